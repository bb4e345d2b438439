/**
 * Three-valued truth (Kleene's strong logic). Maxim: in doubt, show; do not touch. So `unknown and false` is false,
 * `unknown or true` is true, and every other doubt stays unknown and denies whatever would act.
 */
export type Truth = 'true' | 'false' | 'unknown';

export const truthOf = (value: boolean): Truth => (value ? 'true' : 'false');
