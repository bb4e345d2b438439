import { Random } from '../../agent/base/random.ts';
import { type Episode, type FaultName, faults } from './faults.ts';
import { judge, type Spread, spread, type Violation } from './judge.ts';
import { type ChaosOptions, ChaosSite } from './site.ts';

export interface ChaosRun extends ChaosOptions {
  /** How often each fault happens. */
  readonly rounds: number;
  /** Which; all unless said. */
  readonly only?: readonly FaultName[];
  /** Ends after the fault that is under way, and reports what was seen. */
  readonly signal?: AbortSignal;
  readonly progress?: (done: number, of: number, text: string) => void;
}

export interface ChaosReport {
  readonly program: 'perl' | 'node';
  readonly supervised: boolean;
  readonly seed: number;
  readonly violations: readonly Violation[];
  /** Faults after which something did not come back to normal in time, in words. */
  readonly stalled: readonly string[];
  readonly faults: readonly {
    readonly fault: FaultName;
    readonly episodes: number;
    /** From the fault to the first effect on another box. */
    readonly takeover: Spread;
    /** From the last effect of the old holder to the first of the new one. */
    readonly silent: Spread;
    readonly missed: number;
    readonly sometimes: Readonly<Record<string, number>>;
  }[];
  /** All that duties did, and how many times a program took one up. */
  readonly effects: number;
  readonly tenures: number;
  /** In the order in which they reached the machine. */
  readonly machine: { readonly accepted: number; readonly refused: number };
  /** Folders with logs and stores of what was strange; nothing else stays behind. */
  readonly kept: readonly string[];
}

/** Real agents, real faults, one judge. Whatever happens, nothing of it stays behind. */
export async function runChaos(options: ChaosRun): Promise<ChaosReport> {
  const { rounds, seed = 1, supervised = true, signal, progress = () => {} } = options;
  const wanted = faults.filter(({ name }) => options.only === undefined || options.only.includes(name));
  const random = new Random(seed, 'chaos');
  const of = rounds * wanted.length;
  const episodes: Episode[] = [];
  const stalled: string[] = [];
  const kept: string[] = [];
  const sum = { violations: [] as Violation[], effects: 0, tenures: 0, accepted: 0, refused: 0 };
  let program: ChaosReport['program'] = 'node';
  let done = 0;
  // Faults that want another T are played on a site of their own.
  for (const leaseMs of new Set(wanted.map((fault) => fault.leaseMs))) {
    const here = wanted.filter((fault) => fault.leaseMs === leaseMs);
    const order = Array.from({ length: rounds }, () => random.shuffle([...here])).flat();
    if (signal?.aborted) break;
    progress(done, of, 'starting');
    const site = await ChaosSite.start({ ...options, ...(leaseMs === undefined ? {} : { leaseMs }) });
    let strange = false;
    const stall = async (what: string, error: unknown): Promise<void> => {
      strange = true;
      stalled.push(`${what}: ${(error as Error).message}`);
      await site.photograph(`stalled-${stalled.length}`);
    };
    try {
      await site.settle().catch((error) => stall('start', error));
      for (const fault of order) {
        if (signal?.aborted) break;
        progress(done++, of, fault.name);
        try {
          episodes.push(await fault.run(site));
          await site.settle();
        } catch (error) {
          await stall(fault.name, error);
          // What did not settle once is looked at once more: the next fault wants a holder.
          await site.settle().catch(() => {});
        }
      }
      site.look();
      const { tenures, violations } = judge(site.effects);
      const machine = await site.machine();
      if (strange || violations.length > 0) kept.push(site.folder);
      program = site.program.language;
      sum.violations.push(...violations);
      sum.effects += site.effects.length;
      sum.tenures += tenures.length;
      sum.accepted += machine.accepted;
      sum.refused += machine.refused;
    } finally {
      await site.dispose(kept.includes(site.folder));
    }
  }
  progress(of, of, 'judged');
  const { violations, effects, tenures, ...machine } = sum;
  return {
    program,
    supervised,
    seed,
    violations,
    stalled,
    faults: wanted.map(({ name }) => summary(name, episodes)),
    effects,
    tenures,
    machine,
    kept,
  };
}

function summary(fault: FaultName, all: readonly Episode[]): ChaosReport['faults'][number] {
  const episodes = all.filter((episode) => episode.fault === fault);
  const taken = episodes.flatMap(({ takeovers }) => takeovers);
  const sometimes: Record<string, number> = {};
  for (const text of episodes.flatMap((episode) => episode.sometimes)) sometimes[text] = (sometimes[text] ?? 0) + 1;
  return {
    fault,
    episodes: episodes.length,
    takeover: spread(taken.map(({ ms }) => ms)),
    silent: spread(taken.map(({ silentMs }) => silentMs)),
    missed: episodes.reduce((sum, { missed }) => sum + missed.length, 0),
    sometimes,
  };
}
