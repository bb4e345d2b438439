import type { WallTime } from './time.ts';

/** The end of a run: the incident with its figures (remediation rule 29), milliseconds. */
export interface IncidentReport {
  readonly type: 'incident';
  readonly incident: string;
  readonly run: string;
  readonly workflow: string;
  readonly thing: string;
  readonly symptom: string;
  readonly outcome: string;
  readonly reason: string;
  readonly firstBadAt: WallTime;
  readonly conditionAt: WallTime;
  readonly healedAt: WallTime | undefined;
  readonly mttdMs: number | undefined;
  readonly mttaMs: number | undefined;
  readonly mttrMs: number | undefined;
  readonly relapse: boolean;
  readonly steps: readonly {
    readonly name: string;
    readonly outcome: string;
    readonly detail: string;
    readonly at: WallTime;
  }[];
}
