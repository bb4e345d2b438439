import { createHash } from 'node:crypto';
import type { Violation } from '../invariants/invariants.ts';
import { type Spread, spread } from '../report.ts';
import type { Outcome } from './job.ts';

export interface FoundViolation extends Violation {
  readonly seed: number;
}

/** Many seeds as one report. Spreads are over the pooled figures of all seeds, rates over all agent-seconds. */
export interface CampaignReport {
  readonly scenario: string;
  /** The most of any seed: scenarios of leases draw them. */
  readonly agents: number;
  readonly seeds: {
    readonly from: number;
    readonly to: number;
    readonly run: number;
    readonly failed: readonly number[];
  };
  /** Ended before all seeds were run: by a person, or because enough had failed. */
  readonly endedEarly: boolean;
  readonly violations: readonly FoundViolation[];
  readonly detection: Spread;
  readonly firstDetection: Spread;
  readonly takeover: Spread;
  readonly falseDeaths: number;
  readonly bytesPerSecondPerAgent: number;
  readonly messagesPerSecondPerAgent: number;
  readonly sometimes: Readonly<Record<string, number>>;
  /** States that the scenario is about and that no seed reached: what was not seen was not tested. */
  readonly neverReached: readonly string[];
  readonly events: number;
  readonly agentSeconds: number;
  readonly cpuSeconds: number;
  readonly eventsPerCpuSecond: number;
  readonly agentSecondsPerCpuSecond: number;
  /** Over the trace hashes of the seeds, in the order of the seeds. */
  readonly traceHash: string;
  readonly deterministic: boolean | null;
}

/** Adds up outcomes as they come, in any order; what it says does not depend on the order. */
export class Tally {
  readonly failed = new Set<number>();
  readonly #hashes = new Map<number, string>();
  readonly #detection: number[] = [];
  readonly #firstDetection: number[] = [];
  readonly #takeover: number[] = [];
  readonly #violations: FoundViolation[] = [];
  readonly #sometimes = new Map<string, number>();
  #agents = 0;
  #falseDeaths = 0;
  #bytes = 0;
  #messages = 0;
  #agentSeconds = 0;
  #events = 0;
  #cpuMs = 0;
  #deterministic: boolean | null = null;

  get run(): number {
    return this.#hashes.size;
  }

  get cpuMs(): number {
    return this.#cpuMs;
  }

  add(outcome: Outcome): void {
    const { seed, samples } = outcome;
    this.#hashes.set(seed, outcome.traceHash);
    this.#agents = Math.max(this.#agents, outcome.agents);
    if (outcome.violations.length > 0) this.failed.add(seed);
    // The first few of a seed tell what is wrong with it; its own run tells all.
    for (const violation of outcome.violations.slice(0, 5)) this.#violations.push({ ...violation, seed });
    for (const ms of samples.detection) this.#detection.push(ms);
    for (const ms of samples.firstDetection) this.#firstDetection.push(ms);
    for (const ms of samples.takeover) this.#takeover.push(ms);
    for (const [what, times] of Object.entries(outcome.sometimes))
      this.#sometimes.set(what, (this.#sometimes.get(what) ?? 0) + times);
    this.#falseDeaths += outcome.falseDeaths;
    this.#bytes += outcome.bytesPerSecondPerAgent * outcome.agentSeconds;
    this.#messages += outcome.messagesPerSecondPerAgent * outcome.agentSeconds;
    this.#agentSeconds += outcome.agentSeconds;
    this.#events += outcome.events;
    this.#cpuMs += outcome.cpuMs;
    if (outcome.deterministic !== null) this.#deterministic = (this.#deterministic ?? true) && outcome.deterministic;
  }

  report(about: {
    scenario: string;
    from: number;
    to: number;
    endedEarly: boolean;
    reaches: readonly string[];
  }): CampaignReport {
    const seeds = [...this.#hashes.keys()].sort((a, b) => a - b);
    const hash = createHash('sha256');
    for (const seed of seeds) hash.update(`${seed} ${this.#hashes.get(seed)}\n`);
    const per = (sum: number): number =>
      this.#agentSeconds === 0 ? 0 : Math.round((sum / this.#agentSeconds) * 10) / 10;
    const cpuS = Math.max(0.001, this.#cpuMs / 1000);
    return {
      scenario: about.scenario,
      agents: this.#agents,
      seeds: { from: about.from, to: about.to, run: seeds.length, failed: [...this.failed].sort((a, b) => a - b) },
      endedEarly: about.endedEarly,
      violations: this.#violations.toSorted((a, b) => a.seed - b.seed || a.atMs - b.atMs),
      detection: spread(this.#detection),
      firstDetection: spread(this.#firstDetection),
      takeover: spread(this.#takeover),
      falseDeaths: this.#falseDeaths,
      bytesPerSecondPerAgent: per(this.#bytes),
      messagesPerSecondPerAgent: per(this.#messages),
      sometimes: Object.fromEntries([...this.#sometimes].sort(([a], [b]) => (a < b ? -1 : 1))),
      neverReached: about.reaches.filter((what) => !this.#sometimes.has(what)),
      events: this.#events,
      agentSeconds: Math.round(this.#agentSeconds),
      cpuSeconds: Math.round(cpuS * 100) / 100,
      eventsPerCpuSecond: Math.round(this.#events / cpuS),
      agentSecondsPerCpuSecond: Math.round(this.#agentSeconds / cpuS),
      traceHash: hash.digest('hex').slice(0, 16),
      deterministic: this.#deterministic,
    };
  }

  get samples(): { detection: readonly number[]; firstDetection: readonly number[]; takeover: readonly number[] } {
    return { detection: this.#detection, firstDetection: this.#firstDetection, takeover: this.#takeover };
  }
}
