import { type Instant, instant, wallTime } from '../../agent/base/time.ts';
import { AgentCore, type AgentCoreOptions } from '../../agent/core/agent-core.ts';
import type { Effect } from '../../agent/core/effect.ts';
import type { SignalSpec } from '../../agent/core/health/signal.ts';
import type { Input } from '../../agent/core/input.ts';
import type { AlarmTransition, IncidentReport } from '../../agent/core/reporting/report.ts';
import type { SitePlan } from '../../agent/core/site-plan.ts';
import type { FaultEvent } from '../faults/fault.ts';
import type { Surroundings } from '../run.ts';
import type { Box, World } from '../world/world.ts';

/** What the agents of a site told their coordinator that people would have read. */
export interface Told {
  readonly atMs: number;
  readonly agent: number;
  readonly report: AlarmTransition | IncidentReport;
}

/**
 * What a site's agents look after, as far as a simulation can know it: machines whose readings are healthy while they
 * can be reached, probes that find everything well, and service processes that die and are restarted. The agents are
 * the shipped ones; only what they see and order passes through here.
 */
export class SiteSurroundings implements Surroundings {
  readonly told: Told[] = [];
  /** Names that a workflow would have notified, with how often. */
  readonly notified = new Map<string, number>();
  readonly #plan: SitePlan;
  readonly #lost = new Set<number>();
  readonly #broken = new Set<number>();
  /** Per check: the duty whose process it watches. */
  readonly #watches = new Map<number, number>();
  #world: World | undefined;

  constructor(plan: SitePlan) {
    this.#plan = plan;
    for (const { index, source } of plan.checks) {
      const probe =
        source.kind === 'probe' ? (source.probe as { kind?: string; duty?: number } | undefined) : undefined;
      if (probe?.kind === 'process' && probe.duty !== undefined) this.#watches.set(index, probe.duty);
    }
  }

  /** For `WorldOptions.core`: the shipped core, listened to. */
  readonly core = (options: AgentCoreOptions): AgentCore => {
    const hears = (input: Input): Input => this.#seen(input);
    const says = (effects: readonly Effect[]): void => {
      for (const effect of effects) this.#said(options.identity.self, effect);
    };
    return new (class extends AgentCore {
      override step(now: Instant, input: Input, elapsed?: Instant): readonly Effect[] {
        const effects = super.step(now, hears(input), elapsed);
        says(effects);
        return effects;
      }
    })(options);
  };

  begin(world: World): void {
    this.#world = world;
    for (const signal of this.#plan.signals) this.#read(world, signal);
  }

  fault(world: World, fault: Extract<FaultEvent, { kind: 'source' | 'service' }>): void {
    if (fault.kind === 'service') {
      this.#broken.add(fault.duty);
      return;
    }
    const duties = this.#plan.duties.filter(({ work }) => work.kind === 'poll' && work.source === fault.thing);
    const say = (kind: 'source-lost' | 'source-found'): void => {
      for (const { index } of duties)
        this.#runner(world, index)?.driver?.deliver({ kind, duty: index, reason: 'simulated: no route to it' });
    };
    this.#lost.add(fault.thing);
    say('source-lost');
    world.at(world.now + fault.ms, () => {
      this.#lost.delete(fault.thing);
      say('source-found');
    });
  }

  #seen(input: Input): Input {
    if (input.kind !== 'check-observed') return input;
    const duty = this.#watches.get(input.check);
    if (duty === undefined || !this.#broken.has(duty)) return input;
    return {
      ...input,
      observation: { status: 'crit', value: undefined, text: 'simulated: it is not running', perf: [] },
    };
  }

  #said(agent: number, effect: Effect): void {
    if (effect.kind === 'issue-action' && effect.action.kind === 'process.restart') {
      const { duty } = effect.action;
      this.#world?.at(this.#world.now + 500, () => this.#broken.delete(duty));
    }
    if (effect.kind === 'issue-action' && effect.action.kind === 'notify') {
      for (const who of effect.action.people) this.notified.set(who, (this.notified.get(who) ?? 0) + 1);
    }
    if (effect.kind !== 'report' || this.told.length >= maxTold) return;
    const { body } = effect.report;
    if (body.type === 'alarm' || body.type === 'incident')
      this.told.push({ atMs: this.#world?.now ?? 0, agent, report: body });
  }

  #runner(world: World, duty: number): Box | undefined {
    return world.boxes.find((box) => box.up && box.pausedUntil === 0 && box.running.has(duty));
  }

  /** Readings come as often as freshness asks for, not as often as the site file does: each is as good as the last. */
  #read(world: World, signal: SignalSpec): void {
    const source = this.#plan.duties[signal.duty]?.work;
    const value = healthyValue(this.#plan, signal);
    const everyMs = Math.max(signal.everyMs, Math.min(signal.freshMs / 3, 10_000));
    const read = (): void => {
      world.at(world.now + everyMs, read);
      if (source?.kind === 'poll' && this.#lost.has(source.source)) return;
      const box = this.#runner(world, signal.duty);
      if (!box) return;
      box.driver?.deliver({
        kind: 'sample-received',
        sample: {
          signal: signal.index,
          value,
          quality: 'good',
          sourceTime: wallTime(Math.round(world.wall(box.place))),
          receiveTime: instant(world.uptime(box.place)),
        },
      });
    };
    world.at(everyMs * ((signal.index % 16) / 16), read);
  }
}

const maxTold = 100_000;

/** A reading that no limit of the site file minds: clear of the limits above and below, `running` where it is a state. */
export function healthyValue(plan: SitePlan, signal: SignalSpec): number {
  if (signal.states) {
    const running = [...signal.states].find(([, name]) => /run|auto|produc|normal|ok/i.test(name));
    return (running ?? [...signal.states][0])?.[0] ?? 0;
  }
  if (/lockout$/.test(signal.id)) return 0;
  let [low, high] = [Number.NEGATIVE_INFINITY, Number.POSITIVE_INFINITY];
  for (const { source, warn, crit } of plan.checks) {
    if (source.kind !== 'signal' || source.signal !== signal.index || source.judge !== 'value') continue;
    for (const limit of [warn, crit]) {
      if (limit?.side === 'above') high = Math.min(high, limit.value);
      if (limit?.side === 'below') low = Math.max(low, limit.value);
    }
  }
  if (Number.isFinite(low) && Number.isFinite(high)) return (low + high) / 2;
  if (Number.isFinite(high)) return high > 0 ? high / 2 : high * 2 - 1;
  if (Number.isFinite(low)) return low > 0 ? low * 2 : low / 2 + 1;
  return 1;
}
