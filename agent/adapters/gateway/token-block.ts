import { parseToken, tokenHex } from '../../core/leases/fencing-token.ts';

/**
 * One write frame for a device whose program compares tokens itself, in words of 16 bits, high word first:
 *
 * | words | what |
 * |---|---|
 * | 0 … 3 | fencing token |
 * | 4, 5 | sequence number of the effect under that token |
 * | 6 … | the command, as the program understands it |
 *
 * The program takes it when (token, sequence) is larger than the largest that it took before, keeps that pair where a
 * loss of power does not reach it, carries the command out once, and shows the pair as six words of its own.
 */
export const markWords = 6;
/** Of one frame: Modbus function 16 writes 123 words at most (Modbus Application Protocol V1.1b3, 6.12). */
export const maxCommandWords = 123 - markWords;

/** Which effect a device took last. */
export interface Mark {
  /** 16 hex digits; zeroes: none yet. */
  readonly token: string;
  readonly sequence: number;
}

export function blockWords({ token, sequence }: Mark, command: readonly number[]): number[] {
  const words = [0, 4, 8, 12].map((at) => Number.parseInt(token.slice(at, at + 4), 16));
  return [...words, Math.floor(sequence / 65_536), sequence % 65_536, ...command];
}

/** Undefined: these words are no mark. */
export function readMark(words: readonly number[]): Mark | undefined {
  if (words.length < markWords || words.slice(0, markWords).some((word) => !isWord(word))) return undefined;
  const hex = words
    .slice(0, 4)
    .map((word) => word.toString(16).padStart(4, '0'))
    .join('');
  const token = parseToken(hex);
  return { token: token === undefined ? '0'.repeat(16) : tokenHex(token), sequence: words[4]! * 65_536 + words[5]! };
}

export const isWord = (word: number): boolean => Number.isInteger(word) && word >= 0 && word <= 0xffff;

/** Below, equal, above: negative, 0, positive. */
export function compareMarks(a: Mark, b: Mark): number {
  if (a.token !== b.token) return a.token < b.token ? -1 : 1;
  return a.sequence - b.sequence;
}
