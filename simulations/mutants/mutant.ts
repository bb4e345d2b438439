import type { Violation } from '../invariants/invariants.ts';

export const parts = ['leases', 'permits', 'claims', 'membership'] as const;
export type Part = (typeof parts)[number];

/** A safeguard taken out, outside the shipped code, and a world in which that should be noticed. */
export interface Mutant {
  readonly part: Part;
  readonly name: string;
  /** Told step by step instead of drawn: no seed changes it. Names the story. */
  readonly story?: string;
  /** At most so many seeds are asked before it counts as not found, unless somebody says otherwise. */
  readonly seeds: number;
  /** Plays one seed, with the mistake or as the product ships. What was broken first, if anything. */
  trial(seed: number, isPlanted: boolean): Pick<Violation, 'invariant' | 'text'> | undefined;
}

export interface MutantReport {
  readonly name: string;
  readonly part: Part;
  readonly found: boolean;
  /** What was broken at the first seed that found it. */
  readonly invariant: string | null;
  readonly text: string | null;
  /** The first seed that found it; null where it is not found, and where a story plants it. */
  readonly seed: number | null;
  readonly story: string | null;
  /** Seeds that were played, each with the mistake and without. */
  readonly seeds: number;
  /** Seeds of those that found it: how hard it is to find. */
  readonly hits: number;
  /** Seeds of those on which the shipped code broke something as well, and what; must be empty. */
  readonly shippedFails: readonly { readonly seed: number; readonly invariant: string; readonly text: string }[];
  /** Plays it again. */
  readonly command: string;
}

export interface HuntOptions {
  /** The first seed; 1. */
  readonly from?: number | undefined;
  /** At most so many seeds; what the mutant says. */
  readonly seeds?: number | undefined;
  /** Goes on for at least so many seeds when it is found at once, so that `hits` means something; 1. */
  readonly atLeast?: number | undefined;
}

/**
 * Plays seed after seed, with the mistake and without, until it was found. A checker that does not find it checks
 * nothing; one that complains of the shipped code as well, on the very same seed, is wrong itself.
 */
export function hunt(mutant: Mutant, options: HuntOptions = {}): MutantReport {
  const from = options.from ?? 1;
  const isStory = mutant.story !== undefined;
  const most = isStory ? 1 : (options.seeds ?? mutant.seeds);
  const least = Math.min(most, options.atLeast ?? 1);
  const shippedFails: MutantReport['shippedFails'][number][] = [];
  let first: { readonly seed: number; readonly invariant: string; readonly text: string } | undefined;
  let [seeds, hits] = [0, 0];
  for (let seed = from; seeds < most && (first === undefined || seeds < least); seed++) {
    seeds++;
    const shipped = mutant.trial(seed, false);
    if (shipped) shippedFails.push({ seed, invariant: shipped.invariant, text: shipped.text });
    const found = mutant.trial(seed, true);
    if (!found) continue;
    hits++;
    first ??= { seed, invariant: found.invariant, text: found.text };
  }
  return {
    name: mutant.name,
    part: mutant.part,
    found: first !== undefined,
    invariant: first?.invariant ?? null,
    text: first?.text ?? null,
    seed: isStory ? null : (first?.seed ?? null),
    story: mutant.story ?? null,
    seeds,
    hits,
    shippedFails,
    command: commandOf(mutant, first?.seed),
  };
}

const commandOf = ({ part, name, story }: Mutant, seed: number | undefined): string => {
  const seeds = story === undefined && seed !== undefined ? ` --from ${seed} --seeds 1` : '';
  return `npm run sim:mutants -- --part ${part} --only '${name}'${seeds}`;
};
