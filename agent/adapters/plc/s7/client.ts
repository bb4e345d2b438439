import type { Socket } from 'node:net';
import { err, ok, type Result } from '../../../base/result.ts';
import { reasonOf, within } from '../keep-connected.ts';
import {
  connectRequest,
  FrameReader,
  type ItemAnswer,
  isConfirm,
  moreRequest,
  parseAnswer,
  parseRead,
  parseSetup,
  parseUserData,
  readRequest,
  type S7Answer,
  type S7Range,
  setupRequest,
  userDataRequest,
} from './frame.ts';

/** Pieces of one long answer; the longest list of a real controller has a few. */
const mostPieces = 64;

/**
 * One connection to a controller: a handshake, then questions, one at a time, each with its own time-out. It can read,
 * and there is nothing in it that could write. A controller that breaks the protocol ends the connection (`gone`); one that
 * refuses a question does not.
 */
export class S7Client {
  readonly #socket: Socket;
  readonly #requestMs: number;
  readonly #reader = new FrameReader();
  #reference = 0;
  #waiting: { readonly take: (frame: Buffer) => void; readonly fail: (error: Error) => void } | undefined;
  #last: Promise<unknown> = Promise.resolve();
  #end: (reason: string) => void = () => {};
  /** The agreed length of one message, in bytes. */
  pdu = 240;
  /** Why the connection is over. Never rejects. */
  readonly gone: Promise<string>;

  private constructor(socket: Socket, requestMs: number) {
    this.#socket = socket;
    this.#requestMs = requestMs;
    this.gone = new Promise((resolve) => {
      this.#end = (reason) => {
        resolve(reason);
        socket.destroy();
        this.#waiting?.fail(new Error(reason));
        this.#waiting = undefined;
      };
    });
    socket.on('error', (error) => this.#end(reasonOf(error)));
    socket.on('close', () => this.#end('the device closed the connection'));
    socket.on('data', (piece) => {
      const frames = this.#reader.push(piece);
      if (!frames.ok) return this.#end(frames.error);
      for (const frame of frames.value) this.#waiting?.take(frame);
    });
  }

  /** The socket is this client's from now on. Rejects with a reason for people, the socket closed. */
  static async open(socket: Socket, rack: number, slot: number, requestMs: number): Promise<S7Client> {
    const client = new S7Client(socket, requestMs);
    try {
      const confirmed = await client.#exchange(connectRequest(rack, slot), 'S7 connection', (frame) =>
        isConfirm(frame) ? ok(true) : err(`nobody answers at rack ${rack}, slot ${slot}`),
      );
      if (!confirmed.ok) throw new Error(confirmed.error);
      const pdu = await client.#ask((reference) => setupRequest(reference), 'S7 greeting', parseSetup);
      if (!pdu.ok) throw new Error(pdu.error);
      client.pdu = pdu.value;
      return client;
    } catch (error) {
      client.close();
      const reason = reasonOf(error);
      throw new Error(
        reason.includes('closed the connection')
          ? `the device closed the connection: is it at rack ${rack}, slot ${slot}?`
          : reason,
      );
    }
  }

  close(): void {
    this.#end('closed');
  }

  /** What each of up to 20 ranges holds. Rejects when the device did not answer, or not in S7. */
  async read(ranges: readonly S7Range[]): Promise<readonly ItemAnswer[]> {
    let refused = 0;
    const items = await this.#ask(
      (reference) => readRequest(reference, ranges),
      'read',
      (answer) => {
        refused = answer.error;
        return answer.error === 0 ? parseRead(answer, ranges) : ok([]);
      },
    );
    if (!items.ok) return this.#broken(items.error);
    if (refused === 0) return items.value;
    return ranges.map(() => err(`the controller refuses to read: error 0x${refused.toString(16).padStart(4, '0')}`));
  }

  /** Content of a function of the directory (3) or the processor (4), all pieces; or why the controller has none. */
  async userData(group: 3 | 4, what: number, question: Buffer): Promise<Result<Buffer, string>> {
    const pieces: Buffer[] = [];
    let sequence: number | undefined;
    for (let i = 0; i < mostPieces; i++) {
      const before = sequence;
      const piece = await this.#ask(
        (reference) =>
          before === undefined
            ? userDataRequest(reference, group, what, question)
            : moreRequest(reference, group, what, before),
        'status',
        parseUserData,
      );
      if (!piece.ok) return piece;
      pieces.push(piece.value.content);
      if (!piece.value.more) break;
      sequence = piece.value.sequence;
    }
    return ok(Buffer.concat(pieces));
  }

  #broken(reason: string): never {
    this.#end(reason);
    throw new Error(reason);
  }

  async #ask<T>(
    frameOf: (reference: number) => Buffer,
    what: string,
    parse: (answer: S7Answer) => Result<T, string>,
  ): Promise<Result<T, string>> {
    this.#reference = (this.#reference % 0x7fff) + 1;
    const reference = this.#reference;
    const answer = await this.#exchange(frameOf(reference), what, (cotp) => {
      const parsed = parseAnswer(cotp);
      if (!parsed.ok) return parsed;
      // An empty fragment, or the late answer to a question that was given up.
      return parsed.value === undefined || parsed.value.reference !== reference ? undefined : ok(parsed.value);
    });
    if (!answer.ok) return this.#broken(answer.error);
    return parse(answer.value);
  }

  /** Sends, and waits for the frame that `judge` takes. One exchange after the other. */
  #exchange<T>(
    frame: Buffer,
    what: string,
    judge: (frame: Buffer) => Result<T, string> | undefined,
  ): Promise<Result<T, string>> {
    const run = async (): Promise<Result<T, string>> => {
      if (this.#socket.destroyed) throw new Error('the connection is closed');
      const taken = new Promise<Result<T, string>>((resolve, reject) => {
        this.#waiting = {
          take: (piece) => {
            const judged = judge(piece);
            if (judged !== undefined) resolve(judged);
          },
          fail: reject,
        };
      });
      this.#socket.write(frame);
      try {
        return await within(taken, this.#requestMs, what);
      } finally {
        this.#waiting = undefined;
      }
    };
    const mine = this.#last.then(run, run);
    this.#last = mine.catch(() => {});
    return mine;
  }
}
