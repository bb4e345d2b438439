import { err, ok, type Result } from '../../../base/result.ts';
import type { S7Area } from './address.ts';

/**
 * The bytes of S7comm: TPKT (RFC 1006) around COTP (ISO 8073, class 0) around requests and answers. Siemens publishes no
 * specification; the layout is the one that Snap7 and Wireshark's dissector agree on. What comes in is never believed:
 * every length is compared with what is there.
 */

/** The longest frame that is taken: one answer of the largest agreed size, with its headers. */
export const longestFrame = 1_024;
/** Asked for in the handshake; a controller agrees to 240, 480 or 960 of it. */
export const wantedPdu = 960;

const areaCodes: Readonly<Record<S7Area, number>> = { input: 0x81, output: 0x82, merker: 0x83, db: 0x84 };

/** Pieces of a stream → whole frames, without their TPKT head. */
export class FrameReader {
  #held: Buffer = Buffer.alloc(0);

  /** All frames that are complete now; or why this is no S7. */
  push(piece: Buffer): Result<readonly Buffer[], string> {
    this.#held = this.#held.length === 0 ? piece : Buffer.concat([this.#held, piece]);
    const frames: Buffer[] = [];
    while (this.#held.length >= 4) {
      const length = this.#held.readUInt16BE(2);
      if (this.#held[0] !== 3) return err('it speaks no S7: a frame begins with another byte than 3');
      if (length < 7 || length > longestFrame) return err(`it speaks no S7: a frame of ${length} bytes`);
      if (this.#held.length < length) break;
      frames.push(this.#held.subarray(4, length));
      this.#held = this.#held.subarray(length);
    }
    return ok(frames);
  }
}

const tpkt = (body: Buffer): Buffer => {
  const head = Buffer.from([3, 0, 0, 0]);
  head.writeUInt16BE(4 + body.length, 2);
  return Buffer.concat([head, body]);
};

/** Asks for the controller at a rack and slot; `programming` devices may be fewer, so the general class is taken. */
export const connectRequest = (rack: number, slot: number): Buffer =>
  tpkt(
    Buffer.from([
      17,
      0xe0,
      0,
      0,
      0,
      1,
      0,
      0xc0,
      1,
      0x0a,
      0xc1,
      2,
      0x01,
      0x00,
      0xc2,
      2,
      0x03,
      ((rack & 7) << 5) | (slot & 31),
    ]),
  );

/** Whether this frame confirms the connection. */
export const isConfirm = (cotp: Buffer): boolean => cotp.length >= 7 && cotp[1] === 0xd0;

function request(kind: 1 | 7, reference: number, parameters: Buffer, data: Buffer): Buffer {
  const head = Buffer.from([0x02, 0xf0, 0x80, 0x32, kind, 0, 0, 0, 0, 0, 0, 0, 0]);
  head.writeUInt16BE(reference, 7);
  head.writeUInt16BE(parameters.length, 9);
  head.writeUInt16BE(data.length, 11);
  return tpkt(Buffer.concat([head, parameters, data]));
}

const nothing = Buffer.alloc(0);

export const setupRequest = (reference: number): Buffer =>
  request(1, reference, Buffer.from([0xf0, 0, 0, 1, 0, 1, wantedPdu >>> 8, wantedPdu & 0xff]), nothing);

/** A stretch of bytes of one area. */
export interface S7Range {
  readonly area: S7Area;
  readonly block: number;
  readonly from: number;
  readonly bytes: number;
}

/** 1 … 20 ranges in one request. */
export function readRequest(reference: number, ranges: readonly S7Range[]): Buffer {
  const parameters = Buffer.alloc(2 + 12 * ranges.length);
  parameters[0] = 4;
  parameters[1] = ranges.length;
  for (const [i, { area, block, from, bytes }] of ranges.entries()) {
    const at = 2 + 12 * i;
    parameters.set([0x12, 0x0a, 0x10, 0x02], at);
    parameters.writeUInt16BE(bytes, at + 4);
    parameters.writeUInt16BE(block, at + 6);
    parameters[at + 8] = areaCodes[area];
    parameters.writeUIntBE(from * 8, at + 9, 3);
  }
  return request(1, reference, parameters, nothing);
}

/** One of the functions that are no reading of values: group 3 is the program's directory, group 4 the processor. */
export function userDataRequest(reference: number, group: 3 | 4, what: number, content: Buffer): Buffer {
  const head = Buffer.from([0xff, 0x09, 0, 0]);
  head.writeUInt16BE(content.length, 2);
  return request(
    7,
    reference,
    Buffer.from([0, 1, 0x12, 4, 0x11, 0x40 | group, what, 0]),
    Buffer.concat([head, content]),
  );
}

export interface S7Answer {
  readonly reference: number;
  /** Error class and code of the head; of a function of `userDataRequest`, its own. 0: none. */
  readonly error: number;
  readonly parameters: Buffer;
  readonly data: Buffer;
}

/** Undefined: an empty fragment, as older controllers send one before the answer. */
export function parseAnswer(cotp: Buffer): Result<S7Answer | undefined, string> {
  if (cotp[1] === 0x80) return err('the controller ended the connection');
  if (cotp.length < 3 || cotp[0] !== 2 || cotp[1] !== 0xf0) return err('it speaks no S7: not a data frame');
  const s7 = cotp.subarray(3);
  if (s7.length === 0) return ok(undefined);
  if (s7.length < 10 || s7[0] !== 0x32) return err('it speaks no S7: the protocol’s mark is missing');
  const kind = s7[1];
  const head = kind === 2 || kind === 3 ? 12 : 10;
  if ((kind !== 2 && kind !== 3 && kind !== 7) || s7.length < head)
    return err(`it answers with a message of kind ${kind}`);
  const [parameters, data] = [s7.readUInt16BE(6), s7.readUInt16BE(8)];
  if (head + parameters + data !== s7.length) return err('an answer’s lengths do not fit together');
  const p = s7.subarray(head, head + parameters);
  return ok({
    reference: s7.readUInt16BE(4),
    error: head === 12 ? s7.readUInt16BE(10) : p.length >= 12 ? p.readUInt16BE(10) : 0,
    parameters: p,
    data: s7.subarray(head + parameters),
  });
}

/** The agreed length of one message, from the answer to `setupRequest`. */
export function parseSetup({ error, parameters }: S7Answer): Result<number, string> {
  if (error !== 0) return err(`the controller refuses to talk: ${errorText(error)}`);
  if (parameters[0] !== 0xf0 || parameters.length < 8) return err('the answer to the greeting is none');
  const pdu = parameters.readUInt16BE(6);
  return pdu >= 64 && pdu <= wantedPdu ? ok(pdu) : err(`it agrees to messages of ${pdu} bytes`);
}

/** One range's bytes, or why the controller does not give them. */
export type ItemAnswer = Result<Buffer, string>;

export function parseRead(
  { parameters, data }: S7Answer,
  ranges: readonly S7Range[],
): Result<readonly ItemAnswer[], string> {
  if (parameters[0] !== 4 || parameters[1] !== ranges.length) return err('the answer is to another question');
  const items: ItemAnswer[] = [];
  let at = 0;
  for (const { bytes } of ranges) {
    if (at + 4 > data.length) return err('an answer is shorter than its parts');
    const [code, size, length] = [data[at]!, data[at + 1]!, data.readUInt16BE(at + 2)];
    at += 4;
    if (code !== 0xff) {
      items.push(err(itemErrors[code] ?? `refused with code ${code}`));
      continue;
    }
    // Sizes 3 to 5 count bits, the others bytes.
    const given = size >= 3 && size <= 5 ? Math.ceil(length / 8) : length;
    if (given !== bytes || at + given > data.length) return err('an answer is not as long as was asked for');
    items.push(ok(data.subarray(at, at + given)));
    at += given + (given % 2);
  }
  return ok(items);
}

const itemErrors: Readonly<Record<number, string>> = {
  1: 'hardware fault',
  3: 'access denied: the controller’s protection forbids it, or the block is optimized',
  5: 'the address lies outside of the area',
  6: 'the type is not supported',
  7: 'the type does not fit',
  10: 'there is no such block',
};

export const errorText = (code: number): string =>
  code === 0x8104
    ? 'function not available'
    : code === 0x8500
      ? 'the message is too long'
      : code === 0xd401 || code === 0xd402
        ? 'this controller has no such status list'
        : code === 0xd209 || code === 0xd20e
          ? 'there is no such block'
          : code === 0xd241
            ? 'a password is needed'
            : `error 0x${code.toString(16).padStart(4, '0')}`;

/** Content behind the head of an answer to `userDataRequest`, and whether more follows. */
export function parseUserData(
  answer: S7Answer,
): Result<{ readonly content: Buffer; readonly sequence: number; readonly more: boolean }, string> {
  const { error, parameters, data } = answer;
  if (error !== 0) return err(errorText(error));
  if (parameters.length < 12 || data.length < 4) return err('the answer is cut off');
  if (data[0] !== 0xff) return err(itemErrors[data[0]!] ?? `refused with code ${data[0]}`);
  const length = data.readUInt16BE(2);
  if (length > data.length - 4) return err('an answer is shorter than it says');
  return ok({ content: data.subarray(4, 4 + length), sequence: parameters[7]!, more: parameters[9] !== 0 });
}

/** Asks for the next piece of an answer that was too long for one message. */
export const moreRequest = (reference: number, group: 3 | 4, what: number, sequence: number): Buffer =>
  request(
    7,
    reference,
    Buffer.from([0, 1, 0x12, 8, 0x12, 0x40 | group, what, sequence, 0, 0, 0, 0]),
    Buffer.from([0x0a, 0, 0, 0]),
  );
