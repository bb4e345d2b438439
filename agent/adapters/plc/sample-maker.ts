import type { Instant, WallTime } from '../../base/time.ts';
import type { Quality, Sample } from '../../core/health/signal.ts';
import type { Tag } from '../../driver/bindings.ts';
import { tagValue } from './tag-value.ts';

/** What a device said about one tag. */
export interface Reading {
  /** A number, a bit, or whatever else came; undefined: nothing did. */
  readonly raw: unknown;
  /** The device's own word for it; good unless said. */
  readonly quality?: Quality;
  /** Why it is not good, for people. */
  readonly why?: string | undefined;
  readonly sourceTime: WallTime;
  /**
   * When the device was asked, or how old its word is at the least: freshness counts from then, so that an answer which
   * took its time is not taken for news. Now unless said.
   */
  readonly asOf?: Instant | undefined;
}

/** A pause of the readings longer than this many periods (and five seconds) is an outage, not a value that stands still. */
const outagePeriods = 3;

/**
 * Readings of one tag → samples: scale and range, then what only a row of them shows.
 *
 * `frozen`: the raw value has been the very same for so long, while it was read: a sensor that stands still, a gateway
 * that repeats itself. It is bad until it moves. Whoever says it knows that the quantity never rests.
 *
 * `change`: a value that lies within it of the one told last is told as that one, with its time: nothing new. Quality
 * always counts as new. It saves reports, not requests.
 */
export class SampleMaker {
  readonly #tag: Tag;
  readonly #change: number;
  #raw: unknown;
  #movedAt: Instant | undefined;
  #takenAt: Instant | undefined;
  #told: Sample | undefined;

  constructor(tag: Tag) {
    this.#tag = tag;
    this.#change = changeOf(tag) ?? 0;
  }

  make(now: Instant, { raw, quality, why, sourceTime, asOf = now }: Reading): Sample {
    const tag = this.#tag;
    let taken = tagValue(tag, raw, quality);
    const outage = this.#takenAt === undefined || now - this.#takenAt > Math.max(5_000, outagePeriods * tag.everyMs);
    this.#takenAt = now;
    if (outage || !Object.is(raw, this.#raw)) this.#movedAt = now;
    this.#raw = raw;
    const { frozenMs } = tag;
    if (frozenMs !== undefined && taken.quality !== 'bad' && now - this.#movedAt! >= frozenMs) {
      taken = {
        value: Number.NaN,
        quality: 'bad',
        why: `has not moved for ${((now - this.#movedAt!) / 1000).toFixed(1)} s`,
      };
    }
    const told = this.#told;
    if (
      told !== undefined &&
      this.#change > 0 &&
      told.quality === taken.quality &&
      Math.abs(taken.value - told.value) < this.#change
    ) {
      return (this.#told = { ...told, receiveTime: asOf });
    }
    const reason = taken.quality === 'good' ? undefined : (why ?? taken.why);
    this.#told = {
      signal: tag.signal,
      value: taken.value,
      quality: taken.quality,
      sourceTime,
      receiveTime: asOf,
      ...(reason === undefined ? {} : { why: reason }),
    };
    return this.#told;
  }
}

/** The deadband in the signal's unit; undefined when there is none, or only the server knows the range it is a share of. */
export function changeOf({ change, scale }: Pick<Tag, 'change' | 'scale'>): number | undefined {
  if (change === undefined) return undefined;
  if (change.by === 'value') return change.value;
  return scale === undefined ? undefined : change.share * Math.abs(scale.hi - scale.lo);
}
