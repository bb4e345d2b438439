import type {
  AlarmTransition,
  CheckReport,
  Envelope,
  EventReport,
  GapBody,
  IncidentReport,
  LogLinesReport,
  LossBody,
  ReadingsReport,
  RunReport,
} from '../../agent/wire/report.ts';
import type { AlarmRegister } from '../alarms/alarm-fold.ts';

/**
 * What the coordinator keeps. A port, so that PostgreSQL can stand behind it later; the first is SQLite
 * (`sqlite-store.ts`). Synchronous like SQLite itself: one writer, one transaction at a time.
 */
export interface Store {
  /** Identity of this store for acknowledgements, and how often it was found to be older than its agents recall. */
  readonly id: string;
  epoch(): number;
  /** Sets a higher epoch; a lower one is refused silently. */
  raiseEpoch(to: number): void;
  /** All or nothing. A throw inside undoes everything and comes out again. */
  transaction<T>(work: () => T): T;
  /** A part of a transaction that may fail alone. */
  savepoint<T>(work: () => T): T;
  stream(agent: string, stream: string): StreamState | undefined;
  saveStream(state: StreamState, now: number): void;
  /** Content hash of a record that was applied, by id. */
  applied(id: string): string | undefined;
  markApplied(id: string, content: string, now: number): void;

  addEvent(agent: string, e: Envelope, body: EventReport | CheckReport, now: number): EventRow;
  setAlarm(agent: string, e: Envelope, body: AlarmTransition, now: number): void;
  addRunEntry(agent: string, e: Envelope, body: RunReport, now: number): void;
  setIncident(agent: string, e: Envelope, body: IncidentReport, now: number): void;
  /** Returns how many of the rows were new. */
  addReadings(agent: string, body: ReadingsReport): number;
  addLines(agent: string, e: Envelope, body: LogLinesReport, now: number): void;
  addGap(agent: string, e: Envelope, body: GapBody | LossBody, now: number): void;
  quarantine(row: NewQuarantine): QuarantineRow;
  quarantined(agent: string): number;

  agents(): readonly AgentRow[];
  alarms(): readonly AlarmRow[];
  alarm(alarmId: string): AlarmRow | undefined;
  /** Grow-only. False when this very act is known already. */
  acknowledge(alarmId: string, occurrence: string, by: string, now: number): boolean;
  acknowledgements(alarmId: string): readonly Acknowledgement[];
  incidents(limit: number): readonly IncidentRow[];
  incident(id: string): IncidentRow | undefined;
  runEntries(run: string): readonly RunEntryRow[];
  /** The newest runs, each by its last entry; looks no further back than the last few thousand entries. */
  runs(limit: number): readonly RunRow[];
  events(query: EventQuery): readonly EventRow[];
  /** What was told of evidence about a subject (an alarm, a model), newest first, without curves. */
  evidenceTold(subject: string, limit: number): readonly EventRow[];
  /** What an agent told of one evidence under whatever name, newest first. */
  evidence(agent: string, id: string): readonly EventRow[];
  readings(query: ReadingQuery): readonly ReadingRow[];
  lines(duty: string | undefined, limit: number): readonly LineRow[];
  gaps(limit: number): readonly GapRow[];
  quarantineRows(limit: number): readonly QuarantineRow[];
  counts(): StoreCounts;
  /** Forgets what is older than its time: readings after 30 days, all else after a year. Bounded work per call. */
  prune(now: number): void;
  close(): void;
}

export interface StreamState {
  readonly agent: string;
  readonly stream: string;
  readonly highWater: number;
  readonly chain: string;
}

export interface AgentRow {
  readonly agent: string;
  readonly stream: string;
  readonly highWater: number;
  readonly heardAt: number;
}

export interface EventRow {
  readonly cursor: number;
  readonly id: string;
  readonly agent: string;
  readonly type: 'event' | 'check';
  readonly ts: number;
  readonly receivedAt: number;
  readonly name: string;
  readonly subject: string;
  readonly severity: 'info' | 'notice' | 'warning' | 'error';
  readonly text: string;
  readonly detail: Readonly<Record<string, string | number | boolean>>;
}

export interface EventQuery {
  readonly limit: number;
  /** Only rows with a smaller cursor: the next older page. */
  readonly before?: number | undefined;
  readonly agent?: string | undefined;
  readonly name?: string | undefined;
}

export interface AlarmRow {
  readonly alarmId: string;
  /** Of the transition that the winning register told last. */
  readonly latest: AlarmTransition;
  readonly registers: readonly (AlarmRegister & { readonly body: AlarmTransition; readonly receivedAt: number })[];
  readonly acknowledged: readonly Acknowledgement[];
}

export interface Acknowledgement {
  readonly occurrence: string;
  readonly by: string;
  readonly at: number;
}

export interface IncidentRow {
  readonly incident: string;
  readonly agent: string;
  readonly ts: number;
  readonly receivedAt: number;
  readonly body: IncidentReport;
}

export interface RunEntryRow {
  readonly run: string;
  readonly agent: string;
  readonly ts: number;
  readonly entry: string;
  readonly workflow: string;
  readonly thing: string;
  readonly detail: Readonly<Record<string, string | number | boolean>>;
}

/** A run as its last entry left it. */
export interface RunRow extends RunEntryRow {
  readonly startedAt: number;
}

export interface ReadingQuery {
  readonly tag?: string | undefined;
  readonly from?: number | undefined;
  readonly to?: number | undefined;
  readonly limit: number;
}

export interface ReadingRow {
  readonly tag: string;
  readonly at: number;
  readonly value: number | null;
  readonly quality: number;
  readonly unit: string | null;
}

export interface LineRow {
  readonly duty: string;
  readonly agent: string;
  readonly file: string;
  readonly from: number;
  readonly to: number;
  readonly lines: readonly string[];
}

export interface GapRow {
  readonly agent: string;
  readonly stream: string;
  readonly seq: number;
  readonly to: number;
  readonly reason: string;
  readonly lost: Readonly<Record<string, number>>;
  readonly receivedAt: number;
}

export interface NewQuarantine {
  readonly agent: string;
  readonly topic: string;
  readonly reason: string;
  readonly payload: Uint8Array;
  readonly at: number;
}

export interface QuarantineRow {
  readonly id: number;
  readonly agent: string;
  readonly topic: string;
  readonly reason: string;
  /** Of the whole message; what is kept may be less. */
  readonly bytes: number;
  /** The beginning, as text with everything unprintable replaced. */
  readonly preview: string;
  readonly at: number;
}

export interface StoreCounts {
  readonly records: number;
  readonly events: number;
  readonly incidents: number;
  readonly readings: number;
  readonly gaps: number;
  readonly quarantined: number;
}
