import type { AlarmIndex, WorkflowIndex } from '../../base/ids.ts';
import type { RunEnd, RunId } from './journal-entry.ts';
import { type RunState, rootOf } from './run.ts';
import type { WorkflowSpec } from './workflow.ts';

/**
 * What comes after a repair that failed: the `if-failed` of its workflow, then what is left of the one that called it.
 * Rungs are workflows, alarms stand between them and are raised when the ladder has come to them.
 */
export class Ladder {
  readonly #workflows: readonly WorkflowSpec[];
  readonly #byId: ReadonlyMap<string, WorkflowSpec>;
  readonly #runs: ReadonlyMap<RunId, RunState>;

  constructor(workflows: readonly WorkflowSpec[], runs: ReadonlyMap<RunId, RunState>) {
    this.#workflows = workflows;
    this.#byId = new Map(workflows.map((workflow) => [workflow.id, workflow]));
    this.#runs = runs;
  }

  /** What comes after this run on the ladder: its own `if-failed`, then what is left of the one that called it. */
  remainder(run: RunState): readonly WorkflowSpec['ifFailed'][number][] {
    const items: WorkflowSpec['ifFailed'][number][] = [];
    let current: RunState | undefined = run;
    let from: WorkflowIndex | undefined;
    for (let hops = 0; current !== undefined && hops < 16; hops++) {
      const list: WorkflowSpec['ifFailed'] = this.#byId.get(current.workflowId)?.ifFailed ?? [];
      const at = list.findIndex((item) => item.kind === 'workflow' && item.workflow === from);
      items.push(...list.slice(from === undefined ? 0 : at < 0 ? list.length : at + 1));
      if (current.trigger !== 'rung' || current.relapseOf === undefined) break;
      from = this.#byId.get(current.workflowId)?.index;
      current = this.#runs.get(current.relapseOf);
    }
    return items;
  }

  /** The next rung after a run that ended so; undefined when the ladder ends. */
  rung(run: RunState, outcome: RunEnd): WorkflowSpec | undefined {
    // After STOP nothing is done any more, by whatever name.
    if (run.stop !== undefined) return undefined;
    if (outcome !== 'FAILED' && !(outcome === 'DENIED' && run.trigger === 'rung')) return undefined;
    const seen = new Set<string>();
    for (let r: RunState | undefined = run; r !== undefined && seen.size < 16; ) {
      seen.add(r.workflowId);
      r = r.trigger === 'rung' && r.relapseOf !== undefined ? this.#runs.get(r.relapseOf) : undefined;
    }
    for (const item of this.remainder(run)) {
      if (item.kind !== 'workflow') continue;
      const next = this.#workflows[item.workflow];
      // A ladder that leads back to a rung already tried would be a wheel.
      if (next !== undefined && !seen.has(next.id)) return next;
    }
    return undefined;
  }

  /** Is a rung of this workflow's ladder under way? */
  isOpen(spec: WorkflowSpec): boolean {
    for (const run of this.#runs.values()) {
      if (run.phase !== 'ended' && run.trigger === 'rung' && rootOf(this.#runs, run).workflowId === spec.id)
        return true;
    }
    return false;
  }

  /** All workflows that this one's ladder can come to. */
  below(spec: WorkflowSpec): readonly WorkflowSpec[] {
    const found = new Set<WorkflowSpec>();
    const visit = (of: WorkflowSpec): void => {
      for (const item of of.ifFailed) {
        const next = item.kind === 'workflow' ? this.#workflows[item.workflow] : undefined;
        if (next === undefined || next === spec || found.has(next)) continue;
        found.add(next);
        visit(next);
      }
    };
    visit(spec);
    return [...found];
  }

  /** All alarms that this workflow's ladder can raise. */
  alarms(spec: WorkflowSpec): readonly AlarmIndex[] {
    const alarms = new Set<AlarmIndex>();
    for (const of of [spec, ...this.below(spec)]) {
      for (const item of of.ifFailed) if (item.kind === 'alarm') alarms.add(item.alarm);
    }
    return [...alarms];
  }
}
