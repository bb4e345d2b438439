import { spawn } from 'node:child_process';
import { join } from 'node:path';
import { median, rounded, spread } from './figures.ts';
import { type Measured, type MeasureName, measures } from './measures.ts';

/** A figure beside what is promised of it; `value` null: nothing was measured. */
export interface Judged {
  readonly figure: string;
  readonly value: number | null;
  readonly must?: number;
  readonly aim?: number;
  readonly verdict: 'aim' | 'must' | 'missed' | '';
}

export interface SimulatedFigure {
  readonly name: string;
  readonly about: string;
  readonly repetitions: number;
  readonly judged: readonly Judged[];
  /** Raw, for who wants to draw them. */
  readonly samples?: Readonly<Record<string, readonly number[]>>;
  readonly cpuSeconds?: number;
}

/**
 * What is promised: of samples a quantile over the samples of all repetitions (`first.p50`), of counts the sum, of
 * rates the median of the repetitions.
 */
interface Promised {
  readonly figure: string;
  readonly must?: number;
  readonly aim?: number;
}

interface Plan {
  readonly name: MeasureName;
  readonly about: string;
  readonly repetitions: number;
  readonly quickRepetitions: number;
  readonly promised: readonly Promised[];
}

const detection = (agents: number, must: number, aim: number, repetitions: number, quick: number): Plan => ({
  name: `detection-${agents}` as MeasureName,
  about: `power of a box lost among ${agents}, preset lan, ms`,
  repetitions,
  quickRepetitions: quick,
  promised: [{ figure: 'first.p50', must, aim }, { figure: 'first.p99', aim: 2_900 }, { figure: 'all.p50' }],
});

/** Over TCP as Linux has it, as agents speak; `streams` is without the datagrams beside a silent stream. */
const lossyOverTcp: readonly Plan[] = [
  ...(['loss-25-tcp', 'loss-25-streams', 'loss-30-tcp', 'loss-30-streams'] as const).map(
    (name): Plan => ({
      name,
      about: `${/25/.test(name) ? 'fifteen boxes, ten agent-hours' : 'five boxes, two and a half agent-hours'} per repetition, preset lan, ${/25/.test(name) ? 'a quarter' : '30 %'} of all packets lost, ${/streams/.test(name) ? 'streams alone' : 'streams, and datagrams beside silent ones'}`,
      repetitions: 10,
      quickRepetitions: 1,
      promised: [
        { figure: 'falseDeaths', ...(name === 'loss-25-tcp' ? { must: 0, aim: 0 } : {}) },
        { figure: 'agentHours' },
        { figure: 'messagesPerSecondPerAgent' },
        { figure: 'bytesPerSecondPerAgent' },
      ],
    }),
  ),
  ...(['detection-10-lossy', 'detection-10-lossy-tcp', 'detection-10-lossy-streams'] as const).map(
    (name): Plan => ({
      name,
      about: `power of a box lost among 10, preset lan, a quarter lost: ${/tcp/.test(name) ? 'of packets, streams and datagrams' : /streams/.test(name) ? 'of packets, streams alone' : 'of single messages'}, ms`,
      repetitions: 5,
      quickRepetitions: 1,
      promised: [{ figure: 'first.p50' }, { figure: 'first.p99' }, { figure: 'all.p50' }, { figure: 'falseDeaths' }],
    }),
  ),
];

const plans: readonly Plan[] = [
  detection(10, 1_600, 1_400, 10, 3),
  detection(100, 2_200, 1_900, 10, 3),
  detection(1000, 3_200, 2_800, 10, 2),
  {
    name: 'fast-detection',
    about: 'power of a holder lost among 10, preset fast, lease of 800 ms; whole core, ms',
    repetitions: 10,
    quickRepetitions: 3,
    promised: [
      { figure: 'all.p50', must: 800, aim: 500 },
      { figure: 'all.p99' },
      { figure: 'takeover.p50' },
      { figure: 'takeover.p99', must: 1_200, aim: 1_000 },
    ],
  },
  {
    name: 'fast-detection-others',
    about: 'power of a box lost that holds nothing, among 10, preset fast, ms',
    repetitions: 10,
    quickRepetitions: 3,
    promised: [{ figure: 'all.p50' }, { figure: 'all.p99' }],
  },
  {
    name: 'fast-calm',
    about: 'ten boxes, preset fast, nothing lost; ten site-hours (100 agent-hours) per repetition',
    repetitions: 10,
    quickRepetitions: 1,
    promised: [
      { figure: 'falseDeaths', must: 0 },
      { figure: 'siteHours' },
      { figure: 'messagesPerSecondPerAgent' },
      { figure: 'bytesPerSecondPerAgent' },
      { figure: 'simulatedCpuMsPerAgentHour' },
    ],
  },
  {
    name: 'loss-25',
    about: 'fifty boxes, preset lan, a quarter of all messages lost; a hundred agent-hours per repetition',
    repetitions: 10,
    quickRepetitions: 1,
    promised: [
      { figure: 'falseDeaths', must: 0, aim: 0 },
      { figure: 'agentHours' },
      { figure: 'messagesPerSecondPerAgent' },
      { figure: 'bytesPerSecondPerAgent' },
    ],
  },
  ...lossyOverTcp,
  ...([0, 25] as const).flatMap((loss) =>
    ([20, 2000] as const).map(
      (agents): Plan => ({
        name: `load-${agents}-${loss}` as MeasureName,
        about: `${agents} boxes, preset lan, ${loss} % lost: what a box sends`,
        repetitions: agents > 1000 ? 3 : 10,
        quickRepetitions: agents > 1000 ? 1 : 3,
        promised: [
          { figure: 'bytesPerSecondPerAgent' },
          { figure: 'messagesPerSecondPerAgent' },
          { figure: 'memberBytesPerSecondPerAgent' },
          { figure: 'memberMessagesPerSecondPerAgent' },
          { figure: 'detectorBytesPerSecondPerAgent' },
          { figure: 'detectorMessagesPerSecondPerAgent' },
        ],
      }),
    ),
  ),
  {
    name: 'takeover-box',
    about: 'holder’s power lost until somebody else may act, T = 2 s, five voters; leases alone, ms',
    repetitions: 10,
    quickRepetitions: 3,
    promised: [{ figure: 'takeover.p50' }, { figure: 'takeover.p99', must: 2_500, aim: 2_200 }, { figure: 'missed' }],
  },
  {
    name: 'takeover-box-fast',
    about: 'the same with T = 800 ms, ms',
    repetitions: 10,
    quickRepetitions: 3,
    promised: [{ figure: 'takeover.p50' }, { figure: 'takeover.p99', must: 1_200, aim: 1_000 }, { figure: 'missed' }],
  },
];

export const simulatedNames: readonly string[] = plans.map(({ name }) => name);

export interface SimulatedOptions {
  readonly quick: boolean;
  readonly only: readonly string[] | undefined;
  readonly repetitions: number | undefined;
  readonly seed: number;
  readonly jobs: number;
}

/** Each repetition in a process of its own with a seed of its own, a few at once; a seed gives the same in any company. */
export async function simulatedFigures(
  options: SimulatedOptions,
  say: (text: string) => void,
): Promise<readonly SimulatedFigure[]> {
  const chosen = plans
    .filter(({ name }) => options.only === undefined || options.only.includes(name))
    .map((plan) => ({
      plan,
      wanted: options.repetitions ?? (options.quick ? plan.quickRepetitions : plan.repetitions),
      found: [] as Measured[],
    }));
  // The heavy ones first, so that no processor waits for one of them at the end.
  const weight = (name: string) => Number(/\d{4}/.test(name)) * 2 + Number(/calm|loss/.test(name));
  const work = chosen
    .flatMap((one) => Array.from({ length: one.wanted }, (_, i) => ({ ...one, seed: options.seed + i })))
    .sort((a, b) => weight(b.plan.name) - weight(a.plan.name));
  let next = 0;
  const worker = async (): Promise<void> => {
    while (next < work.length) {
      const { plan, found, wanted, seed } = work[next++]!;
      found.push(await inOwnProcess(plan.name, seed));
      say(`${plan.name} ${found.length}/${wanted}`);
    }
  };
  await Promise.all(Array.from({ length: options.jobs }, worker));
  const figures = chosen.map(({ plan, found }) => summarized(plan, found));
  return [...figures, ...growth(figures)];
}

/** What a box sends among 2000 over what it sends among 20. */
function growth(figures: readonly SimulatedFigure[]): readonly SimulatedFigure[] {
  return [0, 25].flatMap((loss) => {
    const few = figures.find(({ name }) => name === `load-20-${loss}`);
    const many = figures.find(({ name }) => name === `load-2000-${loss}`);
    if (few === undefined || many === undefined) return [];
    const judged = many.judged.map(({ figure, value }, i): Judged => {
      const of20 = few.judged[i]?.value;
      const ratio = value === null || !of20 ? null : rounded(value / of20, 3);
      return judge({ figure: figure.replace('PerSecondPerAgent', ''), must: 1.2, aim: 1.05 }, ratio);
    });
    const about = `load-2000-${loss} as a multiple of load-20-${loss}`;
    return [{ name: `growth-${loss}`, about, repetitions: many.repetitions, judged }];
  });
}

export function summarized(
  plan: Pick<Plan, 'name' | 'about' | 'promised'>,
  found: readonly Measured[],
): SimulatedFigure {
  const pooled = new Map<string, number[]>();
  for (const { samples } of found) {
    for (const [name, more] of Object.entries(samples)) pooled.set(name, [...(pooled.get(name) ?? []), ...more]);
  }
  const measuredValue = (figure: string): number | null => {
    const [name = '', quantile = ''] = figure.split('.');
    const samples = pooled.get(name);
    if (samples !== undefined) return spread(samples)[quantile as 'p50' | 'p99'];
    if (found.length === 0) return null;
    if (found[0]!.sums[name] !== undefined) return found.reduce((sum, one) => sum + (one.sums[name] ?? 0), 0);
    if (found[0]!.rates[name] !== undefined) return rounded(median(found.map((one) => one.rates[name]!)), 2);
    return null;
  };
  return {
    name: plan.name,
    about: plan.about,
    repetitions: found.length,
    judged: plan.promised.map((promised) => judge(promised, measuredValue(promised.figure))),
    samples: Object.fromEntries([...pooled].map(([name, values]) => [name, values.map((value) => rounded(value, 1))])),
    cpuSeconds: rounded(
      found.reduce((sum, { cpuS }) => sum + cpuS, 0),
      1,
    ),
  };
}

export function judge({ figure, must, aim }: Promised, value: number | null): Judged {
  const bounds = { ...(must === undefined ? {} : { must }), ...(aim === undefined ? {} : { aim }) };
  return { figure, value, ...bounds, verdict: verdict(value, must, aim) };
}

function verdict(value: number | null, must?: number, aim?: number): Judged['verdict'] {
  if (must === undefined && aim === undefined) return '';
  if (value === null) return 'missed';
  if (value <= (aim ?? Number.NEGATIVE_INFINITY)) return 'aim';
  if (must === undefined) return '';
  return value <= must ? 'must' : 'missed';
}

function inOwnProcess(name: MeasureName, seed: number): Promise<Measured> {
  const { promise, resolve, reject } = Promise.withResolvers<Measured>();
  const file = join(import.meta.dirname, 'measure.ts');
  const child = spawn(process.execPath, ['--single-threaded-gc', file, name, String(seed)], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const end = () => child.kill('SIGKILL');
  process.once('exit', end);
  let text = '';
  child.stdout.setEncoding('utf8').on('data', (more: string) => {
    text += more;
  });
  child.once('error', reject);
  child.once('close', (code, signal) => {
    process.off('exit', end);
    if (code === 0) resolve(JSON.parse(text) as Measured);
    else reject(new Error(`${name}, seed ${seed}: the measuring process ended with ${signal ?? code}`));
  });
  return promise;
}

/** So that a name that is planned and one that can be measured are the same. */
export const isMeasure = (name: string): name is MeasureName => Object.hasOwn(measures, name);
