import type { MemberState, MemberUpdate } from './member.ts';

/**
 * The order of statements about one member: (boot counter, incarnation, weight of the state). Merging by "greater
 * wins" is commutative, associative and idempotent, so all views that heard the same statements agree, whatever the
 * order in which they came (SWIM §4.2; the boot in front, so that `left` and `dead` bind to one life of a process).
 *
 * Alive needs strictly greater numbers; suspicion wins over alive at equal ones, death over suspicion, and `left`, which
 * only the member itself says, over death.
 */
export const stateWeight: Readonly<Record<MemberState, number>> = {
  unknown: -1,
  alive: 0,
  suspect: 1,
  dead: 2,
  left: 3,
};

/** Counters above this are refused: a peer must not be able to run another's incarnation out of its range. */
export const maxCounter = 0x7fff_ffff;

export interface Standing {
  readonly state: MemberState;
  readonly bootCounter: number;
  readonly incarnation: number;
}

/** Below zero when `a` is older than `b`, zero when they say the same, above zero when `a` supersedes `b`. */
export function compareStanding(a: Standing, b: Standing): number {
  return compareNumbers(a.state, a.bootCounter, a.incarnation, b.state, b.bootCounter, b.incarnation);
}

/** The same order over plain values: the hot path has them in columns and builds no objects. */
export function compareNumbers(
  state: MemberState,
  boot: number,
  incarnation: number,
  otherState: MemberState,
  otherBoot: number,
  otherIncarnation: number,
): number {
  if (state !== 'unknown' && otherState !== 'unknown') {
    if (boot !== otherBoot) return boot - otherBoot;
    if (incarnation !== otherIncarnation) return incarnation - otherIncarnation;
  }
  return stateWeight[state] - stateWeight[otherState];
}

const isCounter = (n: number): boolean => Number.isInteger(n) && n >= 0 && n <= maxCounter;

/** Numbers of a peer's statement that this roster can hold. Types were checked by the codec. */
export const isPlausible = (update: MemberUpdate, size: number): boolean =>
  Number.isInteger(update.member) &&
  update.member >= 0 &&
  update.member < size &&
  Number.isInteger(update.origin) &&
  update.origin >= 0 &&
  update.origin < size &&
  isCounter(update.bootCounter) &&
  isCounter(update.incarnation);

export const isPlausibleCounter = isCounter;
