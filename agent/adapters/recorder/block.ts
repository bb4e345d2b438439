import { deflateRawSync, inflateRawSync } from 'node:zlib';

/** Samples of one series in order of time: milliseconds since 1970, value, quality 0 good, 1 uncertain, 2 bad. */
export interface Columns {
  readonly times: ArrayLike<number>;
  readonly values: ArrayLike<number>;
  readonly qualities: ArrayLike<number>;
}

/** More samples than this never stand in one block; whoever reads one from disk trusts nothing larger. */
export const blockSamples = 256;

/**
 * Packs samples: deltas of time in whole milliseconds, values bit by bit as they were, qualities; bytes of equal weight
 * stand together, because neighbours share their high bytes, and that is what DEFLATE finds. A tag at 1 Hz takes two to
 * five bytes a sample.
 */
export function pack({ times, values, qualities }: Columns, count: number): Uint8Array {
  const raw = Buffer.alloc(count * 13);
  const numbers = new DataView(new ArrayBuffer(8));
  let last = count > 0 ? Math.round(times[0] ?? 0) : 0;
  for (let i = 0; i < count; i++) {
    const time = Math.max(last, Math.round(times[i] ?? 0));
    numbers.setUint32(0, Math.min(time - last, 0xffff_ffff), true);
    last = time;
    for (let byte = 0; byte < 4; byte++) raw[byte * count + i] = numbers.getUint8(byte);
    numbers.setFloat64(0, values[i] ?? Number.NaN, true);
    for (let byte = 0; byte < 8; byte++) raw[(4 + byte) * count + i] = numbers.getUint8(byte);
    raw[12 * count + i] = qualities[i] ?? 2;
  }
  return deflateRawSync(raw, { level: 1 });
}

/** Samples as they come back from a block, without the way through one. */
export function settled({ times, values, qualities }: Columns, count: number): Columns {
  const first = times[0] ?? 0;
  let last = Math.round(first);
  let time = first;
  const settledTimes = new Float64Array(count);
  for (let i = 0; i < count; i++) {
    const next = Math.max(last, Math.round(times[i] ?? 0));
    time += Math.min(next - last, 0xffff_ffff);
    last = next;
    settledTimes[i] = time;
  }
  return {
    times: settledTimes,
    values: Float64Array.from({ length: count }, (_, i) => values[i] ?? Number.NaN),
    qualities: Uint8Array.from({ length: count }, (_, i) => qualities[i] ?? 2),
  };
}

/** Undefined for bytes that are no block: a damaged disk costs the block, not the agent. */
export function unpack(from: number, count: number, bytes: Uint8Array): Columns | undefined {
  if (!Number.isInteger(count) || count < 0 || count > blockSamples) return undefined;
  let raw: Buffer;
  try {
    raw = inflateRawSync(bytes, { maxOutputLength: blockSamples * 13 });
  } catch {
    return undefined;
  }
  if (raw.length !== count * 13) return undefined;
  const times = new Float64Array(count);
  const values = new Float64Array(count);
  const qualities = new Uint8Array(count);
  const numbers = new DataView(new ArrayBuffer(8));
  let time = from;
  for (let i = 0; i < count; i++) {
    for (let byte = 0; byte < 4; byte++) numbers.setUint8(byte, raw[byte * count + i] ?? 0);
    time += numbers.getUint32(0, true);
    times[i] = time;
    for (let byte = 0; byte < 8; byte++) numbers.setUint8(byte, raw[(4 + byte) * count + i] ?? 0);
    values[i] = numbers.getFloat64(0, true);
    qualities[i] = raw[12 * count + i] ?? 2;
  }
  return { times, values, qualities };
}
