import { createServer } from 'node:net';
import { createCheckPort } from '../../../agent/adapters/checks/check-port.ts';
import { entryId } from '../../../agent/base/ids.ts';
import { instant } from '../../../agent/base/time.ts';
import type { CheckSpec } from '../../../agent/core/health/check.ts';
import { Health, type HealthOutput } from '../../../agent/core/health/health.ts';
import type { Input } from '../../../agent/core/input.ts';
import type { SitePlan } from '../../../agent/core/site-plan.ts';
import type { Probe } from '../../../agent/driver/bindings.ts';
import { busiestSecond } from './pacing.ts';

export interface ChecksFigures {
  readonly checks: number;
  readonly intervalMs: number;
  readonly measuredMs: number;
  /** Checks that were answered, in all. */
  readonly answered: number;
  /** Checks a second, in the mean: what the plan asks for. */
  readonly meanPerSecond: number;
  /** Most that began within any one second. */
  readonly busiestSecond: number;
  readonly busiestOverMean: number;
  /** CPU of this process over the time measured, share of one core. */
  readonly cpuShare: number;
}

const probes: readonly ((port: number) => Probe)[] = [
  () => ({ kind: 'memory' }),
  () => ({ kind: 'disk', path: '/' }),
  () => ({ kind: 'load', minutes: 1 }),
  () => ({ kind: 'network', interface: 'lo', measure: 'link' }),
  (port) => ({ kind: 'tcp', host: '127.0.0.1', port }),
  () => ({ kind: 'file-age', path: '/proc/self/stat' }),
];

/**
 * So many real checks (files of the kernel, file systems, connections on the loopback) at one interval, from a cold
 * start, in real time: the shipping core decides when, the shipping probes look. How many begin in the busiest second,
 * and what it costs. The mean is what the plan asks for, so a run shorter than the interval does not flatter.
 */
export async function measureChecks({
  checks = 1_000,
  intervalMs = 60_000,
  measuredMs = 60_000,
}: {
  readonly checks?: number;
  readonly intervalMs?: number;
  readonly measuredMs?: number;
} = {}): Promise<ChecksFigures> {
  const server = createServer((socket) => socket.on('error', () => {}));
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const address = server.address();
  const port = typeof address === 'object' && address !== null ? address.port : 0;
  const specs = Array.from(
    { length: checks },
    (_, index): CheckSpec => ({
      index,
      id: entryId(`box/check-${index}`),
      thing: 0,
      runsOn: { on: 'agent', agent: 0 },
      everyMs: intervalMs,
      timeoutMs: 5_000,
      source: { kind: 'probe', probe: probes[index % probes.length]!(port) },
      warn: undefined,
      crit: { side: 'above', value: 1e12 },
      warnWhen: undefined,
      critWhen: undefined,
      deadband: 0,
      raise: { kind: 'count', n: 1 },
      clear: { kind: 'count', n: 1 },
      onlyIn: [],
      graceMs: 0,
    }),
  );
  const plan = { signals: [], checks: specs, models: [], conditions: [], agents: [{ id: 'box' }], duties: [] };
  const health = new Health({
    plan,
    self: 0,
    facts: { member: () => 'alive', held: () => 'false', runsHere: () => true },
  });
  const begun: number[] = [];
  let answered = 0;
  const now = () => instant(performance.now());
  const act = (outputs: readonly HealthOutput[]) => {
    for (const output of outputs) {
      if (output.kind !== 'run-check') continue;
      begun.push(performance.now());
      checkPort.run(output.check);
    }
  };
  const deliver = (input: Input) => {
    if (input.kind !== 'check-observed') return;
    answered++;
    const out: HealthOutput[] = [];
    health.checkObserved(now(), input.check, input.observation, out);
    act(out);
  };
  const log = { debug() {}, info() {}, warn() {}, error() {} };
  const checkPort = createCheckPort({
    site: { plan: plan as unknown as SitePlan },
    deliver,
    processOf: () => undefined,
    log,
  });

  const cpu = process.cpuUsage();
  const from = performance.now();
  const out: HealthOutput[] = [];
  health.start(now(), out);
  act(out);
  await new Promise<void>((resolve) => {
    const tick = () => {
      const out: HealthOutput[] = [];
      health.tick(now(), out);
      act(out);
      if (performance.now() - from >= measuredMs) return resolve();
      setTimeout(tick, Math.max(0, Math.ceil(Math.min(health.deadline(), from + measuredMs) - performance.now())));
    };
    tick();
  });
  const elapsed = performance.now() - from;
  const spent = process.cpuUsage(cpu);
  checkPort.stop();
  server.close();
  const meanPerSecond = (1_000 * checks) / intervalMs;
  const busiest = busiestSecond(begun);
  return {
    checks,
    intervalMs,
    measuredMs: Math.round(elapsed),
    answered,
    meanPerSecond: Number(meanPerSecond.toFixed(2)),
    busiestSecond: busiest,
    busiestOverMean: Number((busiest / meanPerSecond).toFixed(2)),
    cpuShare: Number(((spent.user + spent.system) / 1_000 / elapsed).toFixed(4)),
  };
}
