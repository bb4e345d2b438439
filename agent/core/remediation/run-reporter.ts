import { type WallTime, wallTime } from '../../base/time.ts';
import type { JournalEntry } from './journal-entry.ts';
import type { Ladder } from './ladder.ts';
import type { LiveRun } from './live-run.ts';
import type { RemediationFacts } from './remediation-facts.ts';
import { type Detail, type RemediationOutput, sayEvent } from './remediation-output.ts';
import { type RunState, rootOf } from './run.ts';
import type { RunLedger } from './run-ledger.ts';
import type { RunSteps } from './run-steps.ts';
import type { WorkflowSpec } from './workflow.ts';

/** Tells people what became durable: every entry as it is, a run's end as an incident with its figures and alarms. */
export class RunReporter {
  readonly #facts: RemediationFacts;
  readonly #byId: ReadonlyMap<string, WorkflowSpec>;
  readonly #ledger: RunLedger;
  readonly #ladder: Ladder;
  readonly #steps: RunSteps;

  constructor(parts: {
    facts: RemediationFacts;
    workflows: readonly WorkflowSpec[];
    ledger: RunLedger;
    ladder: Ladder;
    steps: RunSteps;
  }) {
    this.#facts = parts.facts;
    this.#byId = new Map(parts.workflows.map((workflow) => [workflow.id, workflow]));
    this.#ledger = parts.ledger;
    this.#ladder = parts.ladder;
    this.#steps = parts.steps;
  }

  entry(run: RunState, entry: JournalEntry, out: RemediationOutput[]): void {
    const spec = this.#byId.get(run.workflowId);
    out.push({
      kind: 'run-report',
      body: {
        type: 'run',
        run: run.id,
        workflow: run.workflowId,
        thing: spec === undefined ? '' : this.#facts.thing(spec.thing),
        entry: entry.kind,
        detail: this.#detail(entry, spec),
      },
    });
  }

  ended(
    run: RunState,
    live: LiveRun | undefined,
    entry: Extract<JournalEntry, { kind: 'end' }>,
    out: RemediationOutput[],
  ): void {
    const spec = this.#byId.get(run.workflowId);
    const root = rootOf(this.#ledger.runs, run);
    const firstBadAt = (of: RunState): WallTime => wallTime(of.openedWall - Math.max(0, of.openedAt - of.firstBadAt));
    if (run.trigger === 'condition' || run.trigger === 'rung' || entry.outcome !== 'HEALED') {
      const healed = entry.outcome === 'HEALED' || entry.outcome === 'RECOVERED';
      out.push({
        kind: 'incident',
        body: {
          type: 'incident',
          incident: root.id.replace('#', '-'),
          run: run.id,
          workflow: run.workflowId,
          thing: spec === undefined ? '' : this.#facts.thing(spec.thing),
          symptom: spec === undefined ? '' : this.#steps.symptomName(root, spec),
          outcome: entry.outcome,
          reason: entry.reason,
          firstBadAt: firstBadAt(root),
          conditionAt: wallTime(root.openedWall - Math.max(0, root.openedAt - root.conditionAt)),
          healedAt: healed
            ? live?.soakSince === undefined
              ? entry.wall
              : this.#facts.wallAt(live.soakSince)
            : undefined,
          mttdMs: entry.mttdMs,
          mttaMs: entry.mttaMs,
          mttrMs: entry.mttrMs,
          relapse: run.relapseOf !== undefined && run.trigger === 'condition',
          steps: run.log.map((line) => ({
            name: spec?.steps[line.step]?.name ?? `step ${line.step + 1}`,
            outcome: line.outcome,
            detail: line.detail,
            at: line.wall,
          })),
        },
      });
    }
    if (spec !== undefined) this.#ladderAlarms(run, spec, entry, out);
  }

  #ladderAlarms(
    run: RunState,
    spec: WorkflowSpec,
    entry: Extract<JournalEntry, { kind: 'end' }>,
    out: RemediationOutput[],
  ): void {
    if (entry.outcome === 'HEALED' || entry.outcome === 'RECOVERED' || entry.outcome === 'CANCELLED') return;
    const why = `${short(run.workflowId)} ${entry.outcome.toLowerCase()}: ${entry.reason}`;
    const goesOn = this.#ladder.rung(run, entry.outcome) !== undefined;
    let told = goesOn;
    for (const item of this.#ladder.remainder(run)) {
      // Alarms that stand behind a rung wait for that rung.
      if (item.kind === 'workflow' && goesOn) break;
      if (item.kind !== 'alarm') continue;
      told = true;
      out.push({ kind: 'raise-alarm', alarm: item.alarm, why });
    }
    if (!told) sayEvent(out, 'remediation-failed', spec.id, 'error', why, {});
  }

  #detail(entry: JournalEntry, spec: WorkflowSpec | undefined): Detail {
    const detail: Record<string, string | number | boolean> = {};
    for (const [key, value] of Object.entries(entry)) {
      if (
        [
          'v',
          'run',
          'boot',
          'at',
          'wall',
          'kind',
          'notAfter',
          'baseline',
          'firstBadAt',
          'conditionAt',
          'workflow',
          'workflowId',
        ].includes(key)
      )
        continue;
      if (typeof value === 'string' || typeof value === 'number' || typeof value === 'boolean') detail[key] = value;
    }
    if ('step' in entry) detail['name'] = spec?.steps[entry.step]?.name ?? '';
    if (entry.kind === 'open' && spec?.when !== undefined && entry.trigger === 'condition') {
      detail['evidence'] = this.#facts.evidence(spec.when);
    }
    return detail;
  }
}

const short = (id: string): string => id.slice(id.lastIndexOf('/') + 1);
