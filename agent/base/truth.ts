/**
 * Three-valued truth (Kleene's strong logic). Maxim: in doubt, show; do not touch. So `unknown and false` is false,
 * `unknown or true` is true, and every other doubt stays unknown and denies whatever would act.
 */
export type Truth = 'true' | 'false' | 'unknown';

export const truthOf = (value: boolean): Truth => (value ? 'true' : 'false');

export const not = (truth: Truth): Truth => (truth === 'true' ? 'false' : truth === 'false' ? 'true' : 'unknown');

/** False wins, then unknown. True of nothing. */
export function every(truths: Iterable<Truth>): Truth {
  let result: Truth = 'true';
  for (const truth of truths) {
    if (truth === 'false') return 'false';
    if (truth === 'unknown') result = 'unknown';
  }
  return result;
}

/** True wins, then unknown. False of nothing. */
export function some(truths: Iterable<Truth>): Truth {
  let result: Truth = 'false';
  for (const truth of truths) {
    if (truth === 'true') return 'true';
    if (truth === 'unknown') result = 'unknown';
  }
  return result;
}
