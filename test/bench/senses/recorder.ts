import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setImmediate as turn } from 'node:timers/promises';
import { createFlightRecorder } from '../../../agent/adapters/recorder/flight-recorder.ts';
import { Random } from '../../../agent/base/random.ts';
import { instant, wallTime } from '../../../agent/base/time.ts';
import { parseSite } from '../../../agent/config/site-file.ts';
import type { ReportBody } from '../../../agent/core/reporting/report.ts';

/**
 * `node test/bench/senses/recorder.ts [--json]`: how long the flight recorder holds up the event loop, where 500 signals
 * are recorded and an alarm's evidence is as large as it may be (40 000 samples). Longest time from one turn of the loop
 * to the next, in ms: CPU time of the loop's own thread, which neighbours on the machine do not lengthen, and beside it
 * the clock's, which they do. Of two runs the better one.
 */
const signals = 500;
const mostSamples = 40_000;
const seconds = 720;

interface Case {
  readonly name: string;
  /** Series of the thing that has the alarm; together they carry `mostSamples` in twelve minutes. */
  readonly series: number;
  readonly bytes: number;
}
const cases: readonly Case[] = [
  { name: '24 series, room in the ring', series: 24, bytes: 64 * 2 ** 20 },
  { name: '24 series, ring full', series: 24, bytes: 12 * 2 ** 20 },
  { name: 'one series', series: 1, bytes: 64 * 2 ** 20 },
];

interface HeldUp {
  readonly cpuMs: number;
  readonly clockMs: number;
}

interface Figures {
  /** By a second's round of blocks, nothing else going on. */
  readonly round: HeldUp;
  /** While what led to the alarm is read and told. */
  readonly begun: HeldUp;
  /** While the whole is packed. */
  readonly kept: HeldUp;
  readonly samples: number;
  readonly bytes: number;
}

/** Looks at every turn of the loop while `work` goes on. */
async function heldUp(work: () => unknown, isDone: () => boolean): Promise<HeldUp> {
  let cpuMs = 0;
  let clockMs = 0;
  const cpu = (): number => {
    const { user, system } = process.threadCpuUsage();
    return (user + system) / 1_000;
  };
  const deadline = performance.now() + 30_000;
  let last = { cpu: cpu(), clock: performance.now() };
  work();
  for (let after = 0; after < 5 && last.clock < deadline; after += isDone() ? 1 : 0) {
    await turn();
    const now = { cpu: cpu(), clock: performance.now() };
    cpuMs = Math.max(cpuMs, now.cpu - last.cpu);
    clockMs = Math.max(clockMs, now.clock - last.clock);
    last = now;
  }
  return { cpuMs, clockMs };
}

const siteOf = (series: number): string => {
  const line = (name: string) => `      ${name}: { address: "ns=1;s=${name}", unit: mm/s, every: 100ms }`;
  const names = (prefix: string, n: number) => Array.from({ length: n }, (_, i) => line(`${prefix}${i}`)).join('\n');
  return `millwright: 1
site: hall
agents: { box: {} }
assets:
  plc: { connect: { opcua: { endpoint: "opc.tcp://10.0.0.5:4840" } } }
  press:
    source: plc
    signals:
${names('s', series)}
    checks:
      shaking: { signal: s0, crit: above 7 mm/s }
    alarms:
      wear: { when: crit("shaking"), priority: high, cause: c, consequence: c, response: r, respond-within: 1h }
  oven:
    source: plc
    signals:
${names('o', signals - series)}
`;
};

async function measure({ name, series, bytes }: Case): Promise<Figures> {
  const { site, problems } = parseSite(siteOf(series), 'site.yaml');
  if (site === undefined) throw new Error(JSON.stringify(problems));
  const dir = mkdtempSync(join(tmpdir(), 'recorder-'));
  let now = 1_700_000_000_000;
  const told: ReportBody[] = [];
  const recorder = createFlightRecorder({
    dir,
    agent: 'box',
    plan: site.plan,
    wall: () => now,
    report: (body) => told.push(body),
    standing: [],
    limits: { bytes },
  });
  const random = new Random(7, name);
  const perSecond = Math.ceil((1.05 * mostSamples) / series / seconds);
  const sample = (signal: number, at: number): void =>
    recorder.onSample({
      signal,
      value: 4 + random.normal(),
      quality: 'good',
      sourceTime: wallTime(at),
      receiveTime: instant(at),
    });
  const second = (): void => {
    for (let i = 0; i < perSecond; i++)
      for (let s = 0; s < series; s++) sample(s, now + Math.floor((i * 1_000) / perSecond));
    for (let s = series; s < signals; s++) sample(s, now);
    now += 1_000;
  };
  const stage = (wanted: string) => told.find((body) => body.type === 'event' && body.detail['stage'] === wanted);
  try {
    let round: HeldUp = { cpuMs: 0, clockMs: 0 };
    for (let i = 0; i < seconds; i++) {
      second();
      if (i < seconds - 20) {
        recorder.tick();
        for (let n = 0; n < 20; n++) await turn();
      } else {
        const until = performance.now() + 40;
        const { cpuMs, clockMs } = await heldUp(
          () => recorder.tick(),
          () => performance.now() > until,
        );
        round = { cpuMs: Math.max(round.cpuMs, cpuMs), clockMs: Math.max(round.clockMs, clockMs) };
      }
    }
    const alarm = { alarm: 0, alarmId: 'wear.press', occurrence: 'b-1', term: 1, evidence: '' };
    const at = { firstSampleAt: wallTime(now), since: wallTime(now) };
    const begun = await heldUp(
      () => recorder.alarmChanged({ ...alarm, ...at, state: 'on' }),
      () => stage('begun') !== undefined,
    );
    for (let i = 0; i < 119; i++) {
      second();
      recorder.tick();
      for (let n = 0; n < 20; n++) await turn();
    }
    second();
    now += 1_000;
    const kept = await heldUp(
      () => recorder.tick(),
      () => stage('kept') !== undefined,
    );
    const [row] = recorder.evidence();
    const whole = JSON.parse((await recorder.read(row?.id ?? '')) ?? '{"series":[]}') as {
      series: { samples: unknown[] }[];
    };
    const samples = whole.series.reduce((sum, one) => sum + one.samples.length, 0);
    return { round, begun, kept, samples, bytes: row?.bytes ?? 0 };
  } finally {
    await recorder.stop();
    rmSync(dir, { recursive: true, force: true });
  }
}

const rounded = (value: number): number => Math.round(value * 10) / 10;
for (const one of cases) {
  const runs = [await measure(one), await measure(one)] as const;
  const least = (figure: 'round' | 'begun' | 'kept', of: keyof HeldUp): number =>
    rounded(Math.min(...runs.map((run) => run[figure][of])));
  const of = (figure: 'round' | 'begun' | 'kept'): HeldUp => ({
    cpuMs: least(figure, 'cpuMs'),
    clockMs: least(figure, 'clockMs'),
  });
  const { samples, bytes } = runs[0];
  const said = { case: one.name, samples, bytes, round: of('round'), begun: of('begun'), kept: of('kept') };
  if (process.argv.includes('--json')) process.stdout.write(`${JSON.stringify(said)}\n`);
  else {
    const figures = (['round', 'begun', 'kept'] as const).map(
      (key) => `${key} ${said[key].cpuMs} (${said[key].clockMs})`,
    );
    process.stdout.write(
      `${one.name}: ${samples} samples, ${bytes} bytes; held up, ms of CPU (clock): ${figures.join(', ')}\n`,
    );
  }
}
