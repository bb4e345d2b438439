/**
 * The number that orders the rights to one lease: 64 bits, epoch (16) in front of counter (48), kept as two numbers,
 * because a double holds 53 bits exactly and a bigint is slow. On the wire it is 16 hex digits, never a JSON number
 * (rule 9).
 *
 * Within an epoch only counters differ, so voters and holders calculate with counters alone; every token of a later
 * epoch is larger than all before it.
 */
export interface FencingToken {
  /** 0 … 65 535. */
  readonly epoch: number;
  /** 1 … 2^48 − 1. */
  readonly counter: number;
}

export const maxEpoch = 65_535;
export const maxCounter = 2 ** 48 - 1;
/** A proposal further than this above what a voter knows is a slip or an attack on the number space: ignored (rule 4). */
export const maxCounterStep = 2 ** 32;

export const isCounter = (n: number): boolean => Number.isInteger(n) && n >= 1 && n <= maxCounter;

/** Below, equal, above: negative, 0, positive. */
export const compareTokens = (a: FencingToken, b: FencingToken): number => a.epoch - b.epoch || a.counter - b.counter;

/** 16 lower-case hex digits; their order as text is the tokens' order. */
export const tokenHex = ({ epoch, counter }: FencingToken): string =>
  epoch.toString(16).padStart(4, '0') + counter.toString(16).padStart(12, '0');

/** Undefined unless the text is exactly what `tokenHex` writes. */
export function parseToken(text: string): FencingToken | undefined {
  if (!/^[0-9a-f]{16}$/.test(text)) return undefined;
  const token = { epoch: Number.parseInt(text.slice(0, 4), 16), counter: Number.parseInt(text.slice(4), 16) };
  return token.counter === 0 ? undefined : token;
}
