import { createSocket, type Socket } from 'node:dgram';
import { closeSync, openSync, readSync } from 'node:fs';
import type { Target } from './protocol.ts';

/**
 * A death certificate is the secret of a session, shown. Its hash has been the session's id all along, so one look
 * proves that whoever kept the secret holds the session for ended; the session itself never knew it and cannot sign
 * its own death. Replay is harmless: dead stays dead.
 */
const magic = 'MWD1';
const secretBytes = 32;
export const certificateBytes = magic.length + secretBytes;

/** When the datagrams go, after the first: a lost one costs 20 ms, a burst of losses 140. */
export const repeatsMs: readonly number[] = [0, 20, 60, 140, 300];

export function drawSecret(): Buffer {
  const secret = Buffer.alloc(secretBytes);
  const file = openSync('/dev/urandom', 'r');
  try {
    for (let got = 0; got < secretBytes; ) got += readSync(file, secret, got, secretBytes - got, null);
  } finally {
    closeSync(file);
  }
  return secret;
}

export const encodeCertificate = (secret: Uint8Array): Buffer => Buffer.concat([Buffer.from(magic, 'latin1'), secret]);

/** The shown secret, or undefined when the datagram is none of ours. Longer ones are later versions: the rest is theirs. */
export function decodeCertificate(datagram: Buffer): Buffer | undefined {
  if (datagram.length < certificateBytes || datagram.toString('latin1', 0, magic.length) !== magic) return undefined;
  return Buffer.from(datagram.subarray(magic.length, certificateBytes));
}

/** Sends datagrams and forgets them: nobody can be asked at such a moment, and time-outs still work without. */
export class Announcer {
  readonly #sockets = new Map<'udp4' | 'udp6', Socket>();
  #refused = 0;

  /** Datagrams that the network stack did not take. */
  get refused(): number {
    return this.#refused;
  }

  /** Opens what the targets need ahead of time, so that a death costs no set-up. */
  prepare(targets: readonly Target[]): void {
    for (const target of targets) this.#socketFor(target);
  }

  announce(secret: Uint8Array, targets: readonly Target[]): void {
    const datagram = encodeCertificate(secret);
    for (const ms of repeatsMs) {
      if (ms === 0) this.#send(datagram, targets);
      else setTimeout(() => this.#send(datagram, targets), ms);
    }
  }

  #send(datagram: Buffer, targets: readonly Target[]): void {
    for (const target of targets) {
      try {
        this.#socketFor(target).send(datagram, target.port, target.host, (error) => {
          if (error !== null) this.#refused++;
        });
      } catch {
        this.#refused++;
      }
    }
  }

  #socketFor(target: Target): Socket {
    const type = target.host.includes(':') ? 'udp6' : 'udp4';
    let socket = this.#sockets.get(type);
    if (socket === undefined) {
      socket = createSocket(type);
      socket.on('error', () => {
        this.#refused++;
      });
      socket.bind({ port: 0, exclusive: true });
      socket.unref();
      this.#sockets.set(type, socket);
    }
    return socket;
  }
}
