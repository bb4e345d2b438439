import { episodes, type FaultEvent, named } from '../faults/fault.ts';
import { playScenario, type RunOptions } from '../run.ts';
import type { ScenarioOptions } from '../scenarios/scenario.ts';

export interface Shrunk {
  readonly options: ScenarioOptions;
  readonly agents: number;
  /** Runs that it took. */
  readonly runs: number;
  /** False when `maxRuns` ended it: a smaller one may exist. */
  readonly isMinimal: boolean;
}

/**
 * Makes a run that breaks an invariant as small as it gets while it still breaks the same one: first its faults by
 * delta debugging (Zeller and Hildebrandt, "Simplifying and Isolating Failure-Inducing Input", ddmin), then its other
 * options toward nothing, then the number of boxes, then round times. What remains is 1-minimal: no single episode of
 * faults can be left out.
 */
export function shrink(
  run: RunOptions & { readonly options: ScenarioOptions },
  invariant: string,
  limits: {
    readonly maxRuns?: number;
    readonly progress?: (runs: number, faults: number) => void;
    readonly enough?: () => boolean;
  } = {},
): Shrunk {
  const maxRuns = limits.maxRuns ?? 500;
  let best = run.options;
  let agents = run.agents;
  let runs = 0;
  const isSpent = (): boolean => runs >= maxRuns || limits.enough?.() === true;
  const breaks = (options: ScenarioOptions): boolean => {
    if (isSpent()) return false;
    runs++;
    const { report } = playScenario({
      ...run,
      agents: options.agents,
      options,
      witness: undefined,
      progress: undefined,
      cpuMs: undefined,
      untilViolated: invariant,
    });
    limits.progress?.(runs, best.faults.length);
    return report.violations.some((violation) => violation.invariant === invariant);
  };
  const take = (options: ScenarioOptions): boolean => {
    if (sameAs(options, best) || !breaks(options)) return false;
    best = options;
    agents = options.agents;
    return true;
  };

  for (let changed = true; changed && !isSpent(); ) {
    changed = false;
    const faults = ddmin(episodes(best.faults), (kept) => take({ ...best, faults: inOrder(kept) }));
    if (faults) changed = true;
    for (const simpler of simplerOptions(best)) if (take(simpler(best))) changed = true;
    for (const fewer of [2, 3, 4, 5, 7, 10, 20, 50]) {
      if (fewer >= best.agents || run.plan) continue;
      const faults = best.faults.flatMap((fault) => among(fault, fewer));
      const options = {
        ...best,
        agents: fewer,
        faults,
        repairs: Math.max(Math.min(best.repairs, fewer), mended(faults)),
      };
      if (take(options)) {
        changed = true;
        break;
      }
    }
  }
  for (const unit of [1_000, 100]) {
    const round = (ms: number): number => Math.max(unit, Math.round(ms / unit) * unit);
    if (take({ ...best, faults: best.faults.map((fault) => rounded(fault, round)) })) break;
  }
  return { options: best, agents, runs, isMinimal: !isSpent() };
}

/**
 * Delta debugging over `parts`: `fails` is asked about a smaller list and must say whether it still fails; when it says
 * so, the list is taken. True when anything could be left out. The empty list is tried first: most often the culprit is
 * not a fault at all.
 */
export function ddmin<T>(parts: readonly T[], fails: (kept: readonly T[]) => boolean): boolean {
  let kept = parts;
  if (kept.length === 0) return false;
  if (fails([])) return true;
  for (let pieces = 2; kept.length >= 2; ) {
    const size = Math.ceil(kept.length / pieces);
    let reduced = false;
    for (let start = 0; start < kept.length && !reduced; start += size) {
      const piece = kept.slice(start, start + size);
      const rest = [...kept.slice(0, start), ...kept.slice(start + size)];
      if (pieces > 2 ? false : fails(piece)) {
        kept = piece;
        pieces = 2;
        reduced = true;
      } else if (rest.length > 0 && rest.length < kept.length && fails(rest)) {
        kept = rest;
        pieces = Math.max(pieces - 1, 2);
        reduced = true;
      }
    }
    if (reduced) continue;
    if (pieces >= kept.length) break;
    pieces = Math.min(kept.length, pieces * 2);
  }
  return kept.length < parts.length;
}

const inOrder = (kept: readonly (readonly FaultEvent[])[]): FaultEvent[] =>
  kept.flat().toSorted((a, b) => a.atMs - b.atMs);

/** The same fault where only the first boxes are left; nothing where it was about others. */
function among(fault: FaultEvent, boxes: number): FaultEvent[] {
  if (!('left' in fault)) return named(fault).every((box) => box < boxes) ? [fault] : [];
  const [left, right] = [fault.left, fault.right].map((side) => side.filter((box) => box < boxes));
  return left!.length > 0 && right!.length > 0 ? [{ ...fault, left: left!, right: right! }] : [];
}

/** So many boxes must know how to mend themselves: what breaks where nobody may mend it blames the wrong one. */
const mended = (faults: readonly FaultEvent[]): number =>
  faults.reduce((most, fault) => (fault.kind === 'break' ? Math.max(most, fault.agent + 1) : most), 0);

function simplerOptions(options: ScenarioOptions): readonly ((from: ScenarioOptions) => ScenarioOptions)[] {
  const calmer = (['loss', 'duplication', 'reordering', 'stalls', 'jitterMs'] as const)
    .filter((key) => options.network[key] !== 0)
    .map((key) => (from: ScenarioOptions) => ({ ...from, network: { ...from.network, [key]: 0 } }));
  const fewerLeases: ((from: ScenarioOptions) => ScenarioOptions)[] =
    options.exclusive === undefined
      ? []
      : [
          ({ exclusive: _, voters: __, ...from }) => from,
          (from) => (from.exclusive === undefined ? from : { ...from, exclusive: 1 }),
          (from) => (from.voters === 5 ? { ...from, voters: 3 } : from),
        ];
  const last = options.faults.reduce((latest, fault) => Math.max(latest, fault.atMs), 0) / 1000;
  return [
    ...calmer,
    (from) => ({ ...from, clockDrift: 0 }),
    (from) => ({ ...from, dutyFailure: 0 }),
    (from) => ({ ...from, repairs: mended(from.faults) }),
    ({ permits: _, ...from }) => from,
    (from) => ({ ...from, duties: Math.min(from.duties, 1) }),
    ...fewerLeases,
    (from) => ({ ...from, diskMs: 1 }),
    (from) => ({ ...from, dutyStartMs: 50 }),
    (from) => ({ ...from, network: { ...from.network, latencyMs: 0.5 } }),
    (from) => ({ ...from, membership: {} }),
    (from) => ({ ...from, durationS: Math.min(from.durationS, Math.ceil(last + 45)) }),
  ];
}

const rounded = (fault: FaultEvent, round: (ms: number) => number): FaultEvent => ({
  ...fault,
  atMs: round(fault.atMs),
  ...('ms' in fault ? { ms: round(fault.ms) } : {}),
});

const sameAs = (a: ScenarioOptions, b: ScenarioOptions): boolean => JSON.stringify(a) === JSON.stringify(b);
