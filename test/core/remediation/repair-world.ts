import { bootId, entryId } from '../../../agent/base/ids.ts';
import { Random } from '../../../agent/base/random.ts';
import { after, type Instant, instant, wallTime } from '../../../agent/base/time.ts';
import type { Truth } from '../../../agent/base/truth.ts';
import type { JournalEntry } from '../../../agent/core/remediation/journal-entry.ts';
import { Remediation } from '../../../agent/core/remediation/remediation.ts';
import type { RemediationOutput } from '../../../agent/core/remediation/remediation-output.ts';
import type { StepSpec, WorkflowSpec } from '../../../agent/core/remediation/workflow.ts';

export const symptom = 0;
export const healthy = 1;
export const permission = 2;

export const step = (name: string, change: Partial<StepSpec> = {}): StepSpec => ({
  name,
  action: { kind: 'command.run', argv: [name] },
  timeoutMs: 1_000,
  retry: { times: 0, backoffMs: 0 },
  doubt: 'idempotent',
  landsWithinMs: 100,
  fixing: true,
  ...change,
});

export const workflow = (change: Partial<WorkflowSpec> = {}): WorkflowSpec => ({
  index: 0,
  id: entryId('press-7/restart'),
  thing: 0,
  runsOn: { on: 'agent', agent: 0 },
  when: symptom,
  at: undefined,
  onlyIf: undefined,
  onlyIn: [],
  lockout: undefined,
  budget: { count: 3, perMs: 86_400_000 },
  cooldownMs: 60_000,
  permit: undefined,
  guardWaitMs: 30_000,
  steps: [step('fix')],
  verify: healthy,
  verifyTimeoutMs: 5_000,
  soakMs: 2_000,
  quietMs: 600_000,
  ifFailed: [{ kind: 'alarm', alarm: 0 }],
  ...change,
});

export interface Issue {
  readonly at: Instant;
  readonly run: string;
  readonly step: number;
  readonly try: number;
  readonly issue: number;
  readonly name: string;
  readonly life: number;
}

/** How the world answers one issue of an action. */
export interface Behaviour {
  /** The effect lands after this; undefined: never. */
  readonly landsAfterMs: number | undefined;
  /** The completion comes after this; undefined: it is lost, and the port says nothing. */
  readonly completesAfterMs: number | undefined;
  readonly outcome: 'ok' | 'failed' | 'refused' | 'late' | 'timed-out';
}

interface Planned {
  readonly at: Instant;
  readonly seq: number;
  /** Dies with this life; undefined: belongs to the plant. */
  readonly life: number | undefined;
  readonly run: () => void;
}

const well: Behaviour = { landsAfterMs: 20, completesAfterMs: 40, outcome: 'ok' };

/**
 * One box in virtual time: a clock, a disk that tells later that it is durable, hands whose effects land later still,
 * and a plant with one symptom. A crash keeps the disk, and lets what was in flight land or not.
 */
export class RepairWorld {
  now: Instant = instant(1_000);
  readonly journal: JournalEntry[] = [];
  readonly issues: Issue[] = [];
  /** Effects that landed in the plant, by step name. */
  readonly landed: { readonly name: string; readonly at: Instant }[] = [];
  readonly said: RemediationOutput[] = [];
  readonly truths = new Map<number, Truth>([
    [symptom, 'true'],
    [healthy, 'false'],
    [permission, 'true'],
  ]);
  here = true;
  lockedOut: Truth = 'false';
  inStates: Truth = 'true';
  flapping = false;
  diskFails = false;
  behave: (issue: Issue) => Behaviour = () => well;
  /** What each landed effect does to the plant; by default the step named `fix` mends it. */
  onLanded: (name: string) => void = (name) => {
    if (name === 'fix') this.mend();
  };
  life = 0;
  core: Remediation;
  readonly #workflows: readonly WorkflowSpec[];
  #queue: Planned[] = [];
  #seq = 0;
  #dead = false;
  /** Called with the number of durable entries, when they are durable and before the core hears of it. */
  onDurable: ((entries: number) => boolean) | undefined;
  /** Called after the core has reacted to that. */
  onReacted: ((entries: number) => boolean) | undefined;

  constructor(...workflows: readonly WorkflowSpec[]) {
    this.#workflows = workflows;
    this.core = this.#born();
  }

  /** The same entries in the core's own words. */
  get kinds(): readonly string[] {
    return this.journal
      .filter((entry) => entry.kind !== 'heartbeat')
      .map((entry) => (entry.kind === 'done' || entry.kind === 'end' ? `${entry.kind} ${entry.outcome}` : entry.kind));
  }

  get ends(): readonly string[] {
    return this.journal.flatMap((entry) => (entry.kind === 'end' ? [entry.outcome] : []));
  }

  mend(): void {
    this.set(symptom, 'false');
    this.set(healthy, 'true');
  }

  break(): void {
    this.set(healthy, 'false');
    this.set(symptom, 'true');
  }

  set(condition: number, truth: Truth): void {
    if (this.truths.get(condition) === truth) return;
    this.truths.set(condition, truth);
    this.#tell((out) => this.core.conditionChanged(this.now, condition, truth, out));
  }

  start(): void {
    this.#tell((out) => this.core.start(this.now, out));
  }

  call(run: (core: Remediation, now: Instant, out: RemediationOutput[]) => void): void {
    this.#tell((out) => run(this.core, this.now, out));
  }

  /** The process is gone; the disk stays; `keepFlying`: what was issued lands all the same. */
  crash(keepFlying: boolean): void {
    this.life++;
    this.#dead = true;
    this.#queue = this.#queue.filter((event) => event.life === undefined && keepFlying);
  }

  /** A new life on another monotonic clock. */
  reborn(downMs = 500): void {
    this.runFor(downMs, false);
    this.core = this.#born();
    this.#dead = false;
    this.start();
  }

  runFor(ms: number, alive = true): void {
    const end = after(this.now, ms);
    for (;;) {
      const event = this.#queue.reduce<Planned | undefined>(
        (first, e) => (first === undefined || e.at < first.at || (e.at === first.at && e.seq < first.seq) ? e : first),
        undefined,
      );
      const deadline = alive && !this.#dead ? this.core.deadline() : Number.POSITIVE_INFINITY;
      const next = Math.min(event?.at ?? Number.POSITIVE_INFINITY, deadline);
      if (next > end) break;
      this.now = instant(Math.max(this.now, next));
      if (event !== undefined && event.at <= deadline) {
        this.#queue.splice(this.#queue.indexOf(event), 1);
        event.run();
      } else {
        this.#tell((out) => this.core.tick(this.now, out));
        if (this.core.deadline() <= this.now) throw new Error(`the deadline does not move on at ${this.now}`);
      }
    }
    this.now = end;
  }

  #born(): Remediation {
    return new Remediation({
      workflows: this.#workflows,
      identity: { boot: bootId(`${this.life}`.padStart(8, '0').padEnd(32, 'f')) },
      restored: [...this.journal],
      random: new Random(7, `life ${this.life}`),
      facts: {
        truth: (condition) => this.truths.get(condition) ?? 'unknown',
        times: () => ({ firstBadAt: after(this.now, -300), conditionAt: this.now }),
        evidence: () => 'it is broken',
        inStates: () => this.inStates,
        lockout: () => this.lockedOut,
        flapping: () => this.flapping,
        runsHere: () => this.here,
        wallAt: (at) => wallTime(1_700_000_000_000 + at),
        thing: () => 'press-7',
        condition: (condition) => `condition ${condition}`,
      },
    });
  }

  #later(ms: number, life: number | undefined, run: () => void): void {
    this.#queue.push({ at: after(this.now, ms), seq: this.#seq++, life, run });
  }

  #tell(run: (out: RemediationOutput[]) => void): void {
    if (this.#dead) return;
    const out: RemediationOutput[] = [];
    run(out);
    // Persist before act, as the driver does.
    for (const output of out) if (output.kind === 'persist') this.#persist(output);
    for (const output of out) if (output.kind !== 'persist') this.#act(output);
  }

  #persist(output: Extract<RemediationOutput, { kind: 'persist' }>): void {
    const { life } = this;
    const boot = bootId(`${life}`.padStart(8, '0').padEnd(32, 'f'));
    const entries = output.drafts.map(
      (draft) => ({ ...draft, v: 1, boot, wall: wallTime(1_700_000_000_000 + draft.at) }) as JournalEntry,
    );
    const failed = this.diskFails;
    this.#later(3, life, () => {
      if (failed) {
        this.#tell((out) => this.core.persistFailed(this.now, output.token, 'no space left on device', out));
        return;
      }
      this.journal.push(...entries);
      if (this.onDurable?.(this.journal.length) === true) return;
      this.#tell((out) => this.core.persisted(this.now, output.token, out));
      this.onReacted?.(this.journal.length);
    });
  }

  #act(output: RemediationOutput): void {
    const { life } = this;
    switch (output.kind) {
      case 'read-baseline':
        this.#later(1, life, () =>
          this.#tell((out) =>
            this.core.baselineRead(this.now, { ...output, baseline: String(this.landed.length) }, out),
          ),
        );
        return;
      case 'issue-action': {
        const name = output.action.kind === 'command.run' ? (output.action.argv[0] ?? '') : output.action.kind;
        const issue: Issue = { ...output, at: this.now, name, life };
        this.issues.push(issue);
        const { landsAfterMs, completesAfterMs, outcome } = this.behave(issue);
        if (landsAfterMs !== undefined) {
          // Nobody's life: the plant does not die with the agent.
          this.#later(landsAfterMs, undefined, () => {
            this.landed.push({ name, at: this.now });
            this.onLanded(name);
          });
        }
        if (completesAfterMs === undefined) return;
        this.#later(completesAfterMs, life, () =>
          this.#tell((out) => this.core.actionCompleted(this.now, { ...output, outcome, detail: outcome }, out)),
        );
        return;
      }
      case 'probe-action': {
        const name = output.action.kind === 'command.run' ? output.action.argv[0] : output.action.kind;
        this.#later(5, life, () => {
          const applied = this.landed.slice(Number(output.baseline)).some((effect) => effect.name === name);
          this.#tell((out) =>
            this.core.actionProbed(
              this.now,
              { ...output, applied: applied ? 'applied' : 'not-applied', detail: 'looked' },
              out,
            ),
          );
        });
        return;
      }
      default:
        this.said.push(output);
    }
  }
}
