import { entryId } from '../../../agent/base/ids.ts';
import type { Location } from '../../../agent/base/location.ts';
import { after, type Instant, instant, wallTime } from '../../../agent/base/time.ts';
import type { Truth } from '../../../agent/base/truth.ts';
import type { CheckObservation, CheckSpec } from '../../../agent/core/health/check.ts';
import type { ConditionSpec, Expression } from '../../../agent/core/health/condition.ts';
import { Health, type HealthOutput, type HealthPlan } from '../../../agent/core/health/health.ts';
import type { ModelSpec } from '../../../agent/core/health/model.ts';
import type { Quality, SignalSpec } from '../../../agent/core/health/signal.ts';

export const signal = (index: number, name: string, change: Partial<SignalSpec> = {}): SignalSpec => ({
  index,
  id: entryId(`press-7/${name}`),
  thing: 0,
  unit: 'mm/s',
  duty: 0,
  everyMs: 100,
  freshMs: 500,
  acceptUncertain: false,
  states: undefined,
  ...change,
});

export const check = (index: number, name: string, change: Partial<CheckSpec> = {}): CheckSpec => ({
  index,
  id: entryId(`press-7/${name}`),
  thing: 0,
  runsOn: { on: 'agent', agent: 0 },
  everyMs: 1_000,
  timeoutMs: 500,
  source: { kind: 'probe', probe: undefined },
  warn: undefined,
  crit: undefined,
  warnWhen: undefined,
  critWhen: undefined,
  deadband: 0,
  raise: { kind: 'count', n: 1 },
  clear: { kind: 'count', n: 1 },
  onlyIn: [],
  graceMs: 0,
  ...change,
});

export const model = (index: number, name: string, change: Partial<ModelSpec> = {}): ModelSpec => ({
  index,
  id: entryId(`press-7/${name}`),
  thing: 0,
  runsOn: { on: 'agent', agent: 0 },
  file: name,
  sha256: undefined,
  inputs: [],
  raise: { kind: 'count', n: 3 },
  clear: { kind: 'count', n: 3 },
  ...change,
});

export const condition = (index: number, expression: Expression): ConditionSpec => ({
  index,
  id: entryId(`press-7/condition-${index}`),
  source: `condition ${index}`,
  expression,
});

export const crit = (of: number): Expression => ({ op: 'check', is: 'crit', check: of });

/** One box's health in virtual time, with members and locations set by hand. */
export class HealthWorld {
  now: Instant = instant(10_000);
  readonly said: HealthOutput[] = [];
  readonly members: ('unknown' | 'alive' | 'suspect' | 'dead' | 'left')[] = ['alive', 'alive', 'alive'];
  readonly held = new Map<number, Truth>();
  readonly holds = new Set<number>();
  readonly health: Health;

  constructor(plan: Partial<HealthPlan>) {
    this.health = new Health({
      plan: {
        signals: [],
        checks: [],
        models: [],
        conditions: [],
        agents: [{ id: 'a' }, { id: 'b' }, { id: 'c' }],
        duties: [{ id: 'site/poll' }],
        ...plan,
      },
      self: 0,
      facts: {
        member: (agent) => this.members[agent] ?? 'unknown',
        held: (duty) => this.held.get(duty) ?? 'false',
        runsHere: (location: Location) =>
          location.on === 'agent' ? location.agent === 0 : location.on === 'every' || this.holds.has(location.duty),
      },
    });
    this.call((out) => this.health.start(this.now, out));
  }

  call(run: (out: HealthOutput[]) => void): HealthOutput[] {
    const out: HealthOutput[] = [];
    run(out);
    this.said.push(...out);
    return out;
  }

  sample(of: number, value: number, quality: Quality = 'good'): HealthOutput[] {
    return this.call((out) =>
      this.health.sample(
        this.now,
        { signal: of, value, quality, sourceTime: wallTime(5_000_000 + this.now), receiveTime: this.now },
        out,
      ),
    );
  }

  observe(of: number, observation: Partial<CheckObservation>): HealthOutput[] {
    return this.call((out) =>
      this.health.checkObserved(
        this.now,
        of,
        { status: undefined, value: undefined, text: '', perf: [], ...observation },
        out,
      ),
    );
  }

  score(of: number, value: number, threshold = 10): HealthOutput[] {
    return this.call((out) =>
      this.health.scoreComputed(this.now, of, { value, threshold, contributions: [] }, wallTime(0), out),
    );
  }

  /** Time passes; ticks come exactly when wanted. Returns what was said meanwhile. */
  pass(ms: number): HealthOutput[] {
    const end = after(this.now, ms);
    const before = this.said.length;
    for (let ticks = 0; this.health.deadline() <= end; ticks++) {
      if (ticks > 100_000) throw new Error('the deadline does not move on');
      this.now = instant(Math.max(this.now, this.health.deadline()));
      this.call((out) => this.health.tick(this.now, out));
      if (this.health.deadline() <= this.now) throw new Error(`the deadline stands still at ${this.now}`);
    }
    this.now = end;
    return this.said.slice(before);
  }
}
