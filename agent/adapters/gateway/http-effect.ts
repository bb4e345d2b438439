import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { request as httpRequest, type IncomingMessage } from 'node:http';
import type { Socket } from 'node:net';
import { connect as connectTls } from 'node:tls';
import { lastLines } from '../connections/bounded-output.ts';
import { dial } from '../plc/dial.ts';
import { reasonOf } from '../plc/keep-connected.ts';
import type { Gate } from './claims.ts';
import type { Claim } from './gateway.ts';
import type { EffectEnd } from './write-effect.ts';

export interface HttpEffect {
  readonly method: 'POST' | 'PUT' | 'PATCH' | 'DELETE';
  /** http: or https:, without user and password: those go into a header that is read from a secret. */
  readonly url: string;
  readonly headers?: Readonly<Record<string, string>>;
  /** At most 1 MB. */
  readonly body?: string | Uint8Array;
}

export interface HttpEffectOptions {
  readonly gate: Gate;
  /** Its `key` is the effect's own name: the same effect tried again has the same one. */
  readonly claim: Claim & { readonly key: string };
  readonly effect: HttpEffect;
  /** From the call to its answer; connecting is part of it. */
  readonly timeoutMs: number;
  readonly signal: AbortSignal;
  /** Certificates that are trusted for https beside the system's own, PEM. */
  readonly ca?: string;
}

const maxBodyBytes = 1024 * 1024;
/** Of an answer, kept for people. */
const keepBytes = 4_096;

/**
 * One request that changes something on a device, under a right. Connected first; then judged and sent in one
 * synchronous block, with what a device needs that wants to compare by itself:
 *
 * | header | what |
 * |---|---|
 * | `Idempotency-Key` | one for one effect, however often it is tried (draft-ietf-httpapi-idempotency-key-header, a string of RFC 9651) |
 * | `Millwright-Token` | 16 hex digits; their order as text is the tokens' order |
 * | `Millwright-Lease`, `Millwright-Session` | which right that is, and whose |
 *
 * 2xx is `ok`. 4xx means that the device did not do it, but for 408, 409 and 425, which leave it open, as 5xx and a
 * broken connection do. A redirection is not followed: an effect goes where it was addressed, and is `failed`.
 */
export async function sendHttpEffect(options: HttpEffectOptions): Promise<EffectEnd> {
  const { gate, claim, effect, timeoutMs, signal } = options;
  const url = URL.parse(effect.url);
  if (url === null || !/^https?:$/.test(url.protocol)) return nothing(`${effect.url} is no http address`);
  if (url.username !== '' || url.password !== '') return nothing('a password does not belong into an address');
  const body = Buffer.from(effect.body ?? '');
  if (body.length > maxBodyBytes) return nothing(`a body has at most ${maxBodyBytes} bytes`);
  const late = AbortSignal.timeout(Math.max(1, Math.min(timeoutMs, 2_000_000_000)));
  const over = AbortSignal.any([signal, late]);
  let socket: Socket;
  try {
    socket = await connect(url, timeoutMs, over, options.ca);
  } catch (error) {
    return nothing(over.aborted ? 'no connection in time' : reasonOf(error));
  }
  try {
    if (over.aborted) return nothing('no connection in time');
    const begin = () =>
      httpRequest({
        createConnection: () => socket,
        host: url.hostname,
        path: `${url.pathname}${url.search}`,
        method: effect.method,
        headers: {
          'content-type': 'application/json',
          ...effect.headers,
          host: url.host,
          'content-length': body.length,
          connection: 'close',
          'idempotency-key': `"${idempotencyKey(claim.key)}"`,
          'millwright-token': claim.token,
          'millwright-lease': encodeURI(claim.lease),
          'millwright-session': claim.session,
        },
      }).end(body);
    let begun: ReturnType<typeof gate.perform<ReturnType<typeof begin>>>;
    try {
      begun = gate.perform(claim, begin);
    } catch (error) {
      // A header that cannot be written: nothing was sent.
      return nothing(reasonOf(error));
    }
    if (!begun.ok) return nothing(begun.error.text);
    try {
      const [answer] = (await once(begun.value, 'response', { signal: over })) as [IncomingMessage];
      const said = await textOf(answer, over);
      const status = answer.statusCode ?? 0;
      const detail = `${status} ${answer.statusMessage ?? ''}${said === '' ? '' : `: ${said}`}`;
      if (status >= 200 && status < 300) return { outcome: 'ok', detail, untouched: false };
      const open = status >= 500 || status < 200 || status === 408 || status === 409 || status === 425;
      return { outcome: open ? 'timed-out' : 'failed', detail, untouched: false };
    } catch (error) {
      const why = over.aborted ? 'no answer in time' : reasonOf(error);
      return { outcome: 'timed-out', detail: `whether it was done is not known: ${why}`, untouched: false };
    } finally {
      begun.value.on('error', () => {}).destroy();
    }
  } finally {
    socket.destroy();
  }
}

/** Names of effects may hold anything; the header holds printable ASCII, and not too much of it. */
const idempotencyKey = (key: string): string => createHash('sha256').update(key).digest('base64url');

async function connect(url: URL, ms: number, signal: AbortSignal, ca: string | undefined): Promise<Socket> {
  const host = url.hostname.replace(/^\[|\]$/g, '');
  const secure = url.protocol === 'https:';
  const socket = await dial(host, url.port === '' ? (secure ? 443 : 80) : Number(url.port), ms, signal);
  socket.on('error', () => {});
  if (!secure) return socket;
  const tls = connectTls({
    socket,
    servername: /[a-z]/i.test(host) && !host.includes(':') ? host : '',
    host,
    ...(ca && { ca }),
  });
  try {
    await once(tls, 'secureConnect', { signal });
  } catch (error) {
    socket.destroy();
    throw error;
  }
  tls.on('error', () => {});
  return tls;
}

async function textOf(answer: IncomingMessage, signal: AbortSignal): Promise<string> {
  const parts: Buffer[] = [];
  let size = 0;
  try {
    for await (const part of answer) {
      parts.push(part as Buffer);
      size += (part as Buffer).length;
      if (size >= keepBytes || signal.aborted) break;
    }
  } catch {
    // The status line has said what there is to know.
  }
  return lastLines(Buffer.concat(parts).subarray(0, keepBytes).toString('utf8'));
}

const nothing = (detail: string): EffectEnd => ({ outcome: 'failed', detail, untouched: true });
