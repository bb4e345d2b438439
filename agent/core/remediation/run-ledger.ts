import { Budget } from './budget.ts';
import type { JournalEntry, RunId } from './journal-entry.ts';
import { foldRun, type RunState } from './run.ts';
import type { WorkflowSpec } from './workflow.ts';

/** Ended runs that stay in memory, for the status page and for the chain of a relapse. */
const keepEnded = 128;

/**
 * Everything durable that remediation knows: the runs and the brakes, as the fold of the journal and nothing else. The
 * same entries give the same ledger, in the life that wrote them and in the one that finds them.
 */
export class RunLedger {
  readonly runs = new Map<RunId, RunState>();
  readonly budget: Budget;
  readonly #workflows: readonly WorkflowSpec[];

  constructor(workflows: readonly WorkflowSpec[], entries: readonly JournalEntry[]) {
    this.#workflows = workflows;
    this.budget = new Budget(workflows);
    for (const entry of entries) this.fold(entry);
  }

  fold(entry: JournalEntry): void {
    foldRun(this.runs, entry);
    this.budget.fold(entry);
    if (entry.kind === 'end') this.#forget();
  }

  open(): readonly RunState[] {
    return [...this.runs.values()].filter((run) => run.phase !== 'ended');
  }

  openOf(workflowId: string): RunState | undefined {
    for (const run of this.runs.values()) if (run.phase !== 'ended' && run.workflowId === workflowId) return run;
    return undefined;
  }

  /** For comparing two folds. */
  folded(): { readonly runs: readonly RunState[]; readonly budget: Readonly<Record<string, unknown>> } {
    return { runs: [...this.runs.values()], budget: this.budget.snapshot() };
  }

  /** Keeps memory bounded: the oldest ended runs go, but not those that a standing chain still names. */
  #forget(): void {
    const ended = [...this.runs.values()].filter((run) => run.phase === 'ended');
    if (ended.length <= keepEnded) return;
    const needed = new Set<RunId>();
    for (const workflow of this.#workflows) {
      for (let id = this.budget.lastRun(workflow.id), n = 0; id !== undefined && n < 64; n++) {
        needed.add(id);
        id = this.runs.get(id)?.relapseOf;
      }
    }
    for (const run of this.open()) if (run.relapseOf !== undefined) needed.add(run.relapseOf);
    for (const run of ended.slice(0, ended.length - keepEnded)) if (!needed.has(run.id)) this.runs.delete(run.id);
  }
}
