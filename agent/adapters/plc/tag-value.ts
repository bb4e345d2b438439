import type { Quality } from '../../core/health/signal.ts';
import type { Tag } from '../../driver/bindings.ts';

export interface TagValue {
  /** In the tag's unit; NaN exactly when the quality is `bad`. */
  readonly value: number;
  readonly quality: Quality;
  /** Why it is bad, for people; of what this function found itself. */
  readonly why?: string;
}

const bad = (why?: string): TagValue => ({
  value: Number.NaN,
  quality: 'bad',
  ...(why === undefined ? {} : { why }),
});

/** How far a scaled value may lie outside its range before the wire, not the machine, is what it tells about. */
const outside = 0.05;

/**
 * Raw value → value in the tag's unit. A 4–20 mA card reads below its range when a wire is broken and above it when
 * one is short: more than 5 % of the span outside is therefore bad. What is no number, or not finite, is bad as well.
 * Booleans are 0 and 1.
 */
export function tagValue(tag: Pick<Tag, 'type' | 'scale'>, raw: unknown, quality: Quality = 'good'): TagValue {
  if (quality === 'bad') return bad();
  const number = rawNumber(raw);
  if (number === undefined) return bad(raw === undefined ? 'no value' : 'no number');
  if (!Number.isFinite(number)) return bad(`not finite: ${number}`);
  if (tag.type === 'bool') return { value: number === 0 ? 0 : 1, quality };
  const { scale } = tag;
  if (scale === undefined) return { value: number, quality };
  const share = (number - scale.rawLo) / (scale.rawHi - scale.rawLo);
  if (!(share >= -outside && share <= 1 + outside)) {
    return bad(`${number} lies outside of ${scale.rawLo}..${scale.rawHi} by more than 5 %`);
  }
  return { value: scale.lo + share * (scale.hi - scale.lo), quality };
}

/** 64-bit integers lose what is beyond 2^53, as every number here does. */
function rawNumber(raw: unknown): number | undefined {
  if (typeof raw === 'number') return raw;
  if (typeof raw === 'boolean') return raw ? 1 : 0;
  if (typeof raw === 'bigint') return Number(raw);
  return undefined;
}
