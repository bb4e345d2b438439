import { createHash, randomBytes, timingSafeEqual } from 'node:crypto';

/**
 * Who may talk to the API: whoever shows the token, as a bearer or, for a page, by a session cookie that was given in
 * exchange for it. Comparison takes the same time whatever was shown; sessions end after twelve hours.
 */
export class Sessions {
  readonly #token: Buffer;
  readonly #open = new Map<string, number>();
  #tries = 0;
  #triesSince = Number.NEGATIVE_INFINITY;

  constructor(token: string) {
    this.#token = digest(token);
  }

  isToken(shown: string): boolean {
    return timingSafeEqual(digest(shown), this.#token);
  }

  /** A login is a guess until it is right: at most ten in ten seconds. */
  mayTry(now: number): boolean {
    if (now - this.#triesSince > 10_000) {
      this.#triesSince = now;
      this.#tries = 0;
    }
    return ++this.#tries <= 10;
  }

  /** Value of a new cookie. */
  open(now: number): string {
    const id = randomBytes(24).toString('base64url');
    if (this.#open.size >= 1_000) {
      const oldest = this.#open.keys().next().value;
      if (oldest !== undefined) this.#open.delete(oldest);
    }
    this.#open.set(id, now + SESSION_MS);
    return id;
  }

  isOpen(id: string, now: number): boolean {
    const until = this.#open.get(id);
    if (until === undefined) return false;
    if (now < until) return true;
    this.#open.delete(id);
    return false;
  }

  close(id: string): void {
    this.#open.delete(id);
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
