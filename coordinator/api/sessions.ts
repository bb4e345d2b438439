import { createHash, createHmac, randomBytes, timingSafeEqual } from 'node:crypto';

/**
 * Who may talk to the API: whoever shows the token, as a bearer or, for a page, by a session cookie that was given in
 * exchange for it. Comparison takes the same time whatever was shown; sessions end after twelve hours.
 *
 * A cookie says until when it holds and is signed with a key made from the token: a panel on the wall stays logged in
 * when the coordinator starts again, and a new token ends every session. Only a log-out is remembered, and only in
 * this life; the browser forgets its cookie at the same moment.
 */
export class Sessions {
  readonly #token: Buffer;
  readonly #key: Buffer;
  readonly #closed = new Map<string, number>();
  #tries = 0;
  #triesSince = Number.NEGATIVE_INFINITY;

  constructor(token: string) {
    this.#token = digest(token);
    this.#key = createHmac('sha256', token).update('millwright session cookie').digest();
  }

  isToken(shown: string): boolean {
    return timingSafeEqual(digest(shown), this.#token);
  }

  /** A login is a guess until it is right: at most ten in ten seconds. `now` is monotonic. */
  mayTry(now: number): boolean {
    if (now - this.#triesSince > 10_000) {
      this.#triesSince = now;
      this.#tries = 0;
    }
    return ++this.#tries <= 10;
  }

  /** Value of a new cookie. `wall` is the time of day here and below: a session outlives the process. */
  open(wall: number): string {
    const body = `${Math.round(wall + SESSION_MS)}.${randomBytes(12).toString('base64url')}`;
    return `${body}.${this.#sign(body)}`;
  }

  isOpen(cookie: string, wall: number): boolean {
    const parts = cookie.length > 200 ? [] : cookie.split('.');
    const [until = '', salt = '', signature = ''] = parts;
    if (parts.length !== 3 || !timingSafeEqual(digest(signature), digest(this.#sign(`${until}.${salt}`)))) return false;
    return wall < Number(until) && !this.#closed.has(cookie);
  }

  close(cookie: string, wall: number): void {
    if (!this.isOpen(cookie, wall)) return;
    for (const [other, until] of this.#closed) if (until <= wall) this.#closed.delete(other);
    if (this.#closed.size >= 10_000) {
      const oldest = this.#closed.keys().next().value;
      if (oldest !== undefined) this.#closed.delete(oldest);
    }
    this.#closed.set(cookie, wall + SESSION_MS);
  }

  #sign(body: string): string {
    return createHmac('sha256', this.#key).update(body).digest('base64url');
  }
}

export const SESSION_MS = 12 * 3_600_000;
export const COOKIE = 'millwright_session';

const digest = (text: string): Buffer => createHash('sha256').update(text).digest();

/** Our cookie out of a Cookie header; undefined when it is not there. */
export const sessionCookie = (header: string | undefined): string | undefined => {
  for (const part of (header ?? '').slice(0, 8_192).split(';')) {
    const at = part.indexOf('=');
    if (at > 0 && part.slice(0, at).trim() === COOKIE) return part.slice(at + 1).trim();
  }
  return undefined;
};
