import type { IncidentReport } from '../../base/incident.ts';
import type { WallTime } from '../../base/time.ts';

export type { IncidentReport };

/**
 * Everything said upward. It enters the durable outbox before it is sent; `class` decides who may be evicted for
 * whom (telemetry never evicts an event or an alarm).
 */
export interface Report {
  readonly class: 'alarm' | 'event' | 'telemetry';
  readonly body: ReportBody;
}

export type ReportBody =
  | AlarmTransition
  | RunReport
  | IncidentReport
  | EventReport
  | CheckReport
  | ReadingsReport
  | LogLinesReport;

/** Registers of reporting.md §3: per (alarm, reporter) `{term, seq, on|off|bad, occ}`; seq is the record's own. */
export interface AlarmTransition {
  readonly type: 'alarm';
  /** `name.subject`, e.g. `bearing-wear.press-7`; never contains the reporter. */
  readonly alarmId: string;
  readonly thing: string;
  readonly name: string;
  readonly state: 'on' | 'off' | 'bad';
  readonly term: number;
  /** Same for the raise and the clear of one occurrence: the reporter's boot and a counter, or carried over. */
  readonly occurrence: string;
  readonly priority: 'low' | 'medium' | 'high' | 'urgent';
  readonly cause: string;
  readonly consequence: string;
  readonly response: string;
  readonly respondWithinMs: number;
  /** When the first bad sample was seen, and when the condition stood. */
  readonly firstSampleAt: WallTime;
  readonly since: WallTime;
  /** Evidence in words: "bearing-rms 7.9 mm/s above 7.1 mm/s". */
  readonly evidence: string;
  /** The thing that is down and explains it: it folds below that one's, still visible. */
  readonly behind?: string | undefined;
  /** The maintenance that holds it back. */
  readonly held?: string | undefined;
}

/** One transition of a remediation run, as it stands in the journal. */
export interface RunReport {
  readonly type: 'run';
  readonly run: string;
  readonly workflow: string;
  readonly thing: string;
  readonly entry: string;
  readonly detail: Readonly<Record<string, string | number | boolean>>;
}

/** All else: member died, duty moved, intruder refused. `name` is a stable word, `text` is for people. */
export interface EventReport {
  readonly type: 'event';
  readonly name: string;
  readonly subject: string;
  readonly severity: 'info' | 'notice' | 'warning' | 'error';
  readonly text: string;
  readonly detail: Readonly<Record<string, string | number | boolean>>;
}

export interface CheckReport {
  readonly type: 'check';
  readonly check: string;
  readonly thing: string;
  readonly status: 'ok' | 'warn' | 'crit' | 'unknown' | 'idle';
  readonly was: string;
  readonly flapping: boolean;
  readonly value: number | undefined;
  readonly unit: string | undefined;
  readonly text: string;
}

/** Readings of one tag; the coordinator deduplicates by (tag, source time). Quality 0 good, 1 uncertain, 2 bad. */
export interface ReadingsReport {
  readonly type: 'readings';
  readonly tag: string;
  readonly unit: string | undefined;
  readonly rows: readonly (readonly [sourceTime: number, value: number | null, quality: 0 | 1 | 2])[];
}

/** Lines of a tailed file with the byte offset after the last one. */
export interface LogLinesReport {
  readonly type: 'lines';
  readonly duty: string;
  readonly file: string;
  readonly from: number;
  readonly to: number;
  readonly lines: readonly string[];
}
