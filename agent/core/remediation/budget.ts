import type { BootId } from '../../base/ids.ts';
import type { Instant } from '../../base/time.ts';
import type { JournalEntry, RunEnd, RunId } from './journal-entry.ts';
import type { WorkflowSpec } from './workflow.ts';

/** Relapses that are repaired by the machine; after that a person looks (level ≥ 3 → a person). */
export const levelForPerson = 3;
const cooldownCapMs = 24 * 3_600_000;
/** No budget of a workflow is larger; older stamps are forgotten first. */
const maxStamps = 1_024;

/** Which of its spent runs one workflow remembers: the ledger of (target, symptom, workflow). */
interface Account {
  /** Proven times of first effects, oldest first. */
  readonly spent: number[];
  level: number;
  lastEffect: number | undefined;
  /** `idle`: it ended before its first effect. */
  lastEnd: { readonly at: number; readonly outcome: RunEnd; readonly idle: boolean } | undefined;
  lastRun: RunId | undefined;
  /** Handed to a person: no run starts by itself until the symptom has been quiet. */
  latched: string | undefined;
}

/**
 * The brakes: how often, how soon again, and when a person must look. A fold over the journal like the runs.
 *
 * Brakes count only *proven* time. A box that was off for an hour has not had an hour's rest: between the last entry
 * of one life and the first of the next, nothing is proven, so nothing passes. Heartbeats in the journal (every minute
 * while a brake stands) bound what a crash costs. The wall clock, which people and NTP move, takes no part.
 *
 * Budgets count runs at their first effect, not tries: a retry belongs to the repair it retries. The target has a ledger
 * of its own, so that two workflows with opposite ideas cannot see-saw on each other's credit: by triggers of their own
 * they may together spend as much as the most generous of them, in the longest of their windows. A rung of a ladder
 * is part of its incident, an order is a person's word; both count there, and only their own budget stops them.
 */
export class Budget {
  readonly #workflows = new Map<string, WorkflowSpec>();
  readonly #accounts = new Map<string, Account>();
  /** Per target thing: proven times of first effects by anybody. */
  readonly #targets = new Map<number, number[]>();
  readonly #workflowOfRun = new Map<
    RunId,
    { readonly id: string; readonly symptomatic: boolean; effects: boolean; stopped: boolean }
  >();
  #boot: BootId | undefined;
  #bootFirst = 0;
  #bootLast = 0;
  #base = 0;

  constructor(workflows: readonly WorkflowSpec[]) {
    for (const workflow of workflows) this.#workflows.set(workflow.id, workflow);
  }

  fold(entry: JournalEntry): void {
    this.#clock(entry);
    const at = this.#base + (entry.at - this.#bootFirst);
    switch (entry.kind) {
      case 'open':
        this.#workflowOfRun.set(entry.run, {
          id: entry.workflowId,
          // Levels count relapses of a symptom; a nightly job has none.
          symptomatic: entry.trigger === 'condition' || entry.trigger === 'rung',
          effects: false,
          stopped: false,
        });
        return;
      case 'intent': {
        const run = this.#workflowOfRun.get(entry.run);
        const workflow = run === undefined ? undefined : this.#workflows.get(run.id);
        if (run === undefined || workflow === undefined) return;
        if (workflow.steps[entry.step]?.fixing !== true) return;
        const account = this.#account(run.id);
        account.lastEffect = at;
        if (run.effects) return;
        run.effects = true;
        if (run.symptomatic) account.level++;
        push(account.spent, at);
        let target = this.#targets.get(workflow.thing);
        if (target === undefined) this.#targets.set(workflow.thing, (target = []));
        push(target, at);
        return;
      }
      case 'done': {
        const run = this.#workflowOfRun.get(entry.run);
        if (run === undefined || !run.effects) return;
        // The cool-down runs from when the effect was over, not from when it was meant.
        if (entry.outcome === 'ok' || entry.outcome === 'failed') this.#account(run.id).lastEffect = at;
        return;
      }
      case 'stop': {
        const run = this.#workflowOfRun.get(entry.run);
        if (run !== undefined) run.stopped = true;
        return;
      }
      case 'end': {
        const run = this.#workflowOfRun.get(entry.run);
        if (run === undefined) return;
        this.#workflowOfRun.delete(entry.run);
        const account = this.#account(run.id);
        account.lastEnd = { at, outcome: entry.outcome, idle: !run.effects };
        // It came to nothing before it came to its effect, and would come to nothing again: a relapse like any other.
        if (entry.outcome === 'FAILED' && run.symptomatic && !run.effects) account.level++;
        account.lastRun = entry.run;
        if (entry.outcome === 'ESCALATED') account.latched = entry.reason;
        else if (entry.outcome === 'CANCELLED' && run.stopped) account.latched = 'stopped by a person';
        return;
      }
      case 'quiet': {
        const id = entry.run.slice(0, entry.run.lastIndexOf('#'));
        const account = this.#accounts.get(id);
        if (account === undefined) return;
        account.level = 0;
        account.latched = undefined;
        account.lastRun = undefined;
        account.lastEnd = undefined;
        return;
      }
      default:
        return;
    }
  }

  /** Proven milliseconds up to now; `boot` is our own life. */
  proven(now: Instant, boot: BootId): number {
    if (this.#boot === boot) return this.#base + Math.max(now - this.#bootFirst, this.#bootLast - this.#bootFirst);
    return this.#base + (this.#bootLast - this.#bootFirst);
  }

  level(workflowId: string): number {
    return this.#accounts.get(workflowId)?.level ?? 0;
  }

  /** Has this open run had its first effect written down? Then its brakes are spent, whether it landed or not. */
  charged(run: RunId): boolean {
    return this.#workflowOfRun.get(run)?.effects === true;
  }

  latched(workflowId: string): string | undefined {
    return this.#accounts.get(workflowId)?.latched;
  }

  /** The run before this one that the next would be a relapse of: any that is not quiet yet. */
  lastRun(workflowId: string): RunId | undefined {
    return this.#accounts.get(workflowId)?.lastRun;
  }

  lastOutcome(workflowId: string): RunEnd | undefined {
    return this.#accounts.get(workflowId)?.lastEnd?.outcome;
  }

  /** Proven time still to pass before the next run may begin; 0 when none. Widens with each relapse. */
  coolingMs(workflow: WorkflowSpec, proven: number): number {
    const account = this.#accounts.get(workflow.id);
    if (account === undefined) return 0;
    const { lastEffect, lastEnd } = account;
    const doubled = workflow.cooldownMs * 2 ** Math.max(0, account.level - 1);
    const widened = Math.min(doubled, Math.max(cooldownCapMs, workflow.cooldownMs));
    let until = lastEffect === undefined ? 0 : lastEffect + widened;
    // Runs that were denied, or failed on the way to their effect, had none; but to try again at once would be a loop.
    if (lastEnd?.outcome === 'DENIED') until = Math.max(until, lastEnd.at + workflow.cooldownMs);
    if (lastEnd?.outcome === 'FAILED' && lastEnd.idle) until = Math.max(until, lastEnd.at + widened);
    return Math.max(0, until - proven);
  }

  /** Why the budget denies a first effect now; undefined when it does not. */
  spent(workflow: WorkflowSpec, proven: number, byTrigger: boolean): string | undefined {
    const own = within(this.#accounts.get(workflow.id)?.spent, proven - workflow.budget.perMs);
    if (own >= workflow.budget.count)
      return `${own} of ${workflow.budget.count} runs spent in ${span(workflow.budget.perMs)}`;
    if (!byTrigger) return undefined;
    let count = 0;
    let perMs = 0;
    for (const other of this.#workflows.values()) {
      if (other.thing !== workflow.thing || other.when === undefined) continue;
      count = Math.max(count, other.budget.count);
      perMs = Math.max(perMs, other.budget.perMs);
    }
    const all = within(this.#targets.get(workflow.thing), proven - perMs);
    return all >= count ? `the thing has had ${all} of ${count} repairs in ${span(perMs)}` : undefined;
  }

  /** Does any brake stand, so that time has to be proven? */
  braking(proven: number): boolean {
    for (const [id, account] of this.#accounts) {
      if (account.level > 0 || account.latched !== undefined) return true;
      const workflow = this.#workflows.get(id);
      if (workflow === undefined) continue;
      if (within(account.spent, proven - workflow.budget.perMs) > 0) return true;
      // A denied run spends nothing, and cools down all the same: a life that proves no time would cool down for ever.
      if (this.coolingMs(workflow, proven) > 0) return true;
    }
    return false;
  }

  /** For comparing two folds, and for the status page. */
  snapshot(): Readonly<Record<string, unknown>> {
    return {
      base: this.#base,
      last: this.#bootLast - this.#bootFirst,
      accounts: [...this.#accounts].sort(([a], [b]) => (a < b ? -1 : 1)),
      targets: [...this.#targets].sort(([a], [b]) => a - b),
    };
  }

  #account(id: string): Account {
    let account = this.#accounts.get(id);
    if (account === undefined) {
      account = {
        spent: [],
        level: 0,
        lastEffect: undefined,
        lastEnd: undefined,
        lastRun: undefined,
        latched: undefined,
      };
      this.#accounts.set(id, account);
    }
    return account;
  }

  #clock(entry: JournalEntry): void {
    if (entry.boot !== this.#boot) {
      this.#base += this.#bootLast - this.#bootFirst;
      this.#boot = entry.boot;
      this.#bootFirst = entry.at;
      this.#bootLast = entry.at;
    } else this.#bootLast = Math.max(this.#bootLast, entry.at);
  }
}

function push(stamps: number[], at: number): void {
  stamps.push(at);
  if (stamps.length > maxStamps) stamps.shift();
}

const within = (stamps: readonly number[] | undefined, since: number): number =>
  stamps === undefined ? 0 : stamps.filter((at) => at > since).length;

/** "1 d", "90 min". */
function span(ms: number): string {
  if (ms % 86_400_000 === 0) return `${ms / 86_400_000} d`;
  if (ms % 3_600_000 === 0) return `${ms / 3_600_000} h`;
  if (ms % 60_000 === 0) return `${ms / 60_000} min`;
  return `${Math.round(ms / 1000)} s`;
}
