import type { AgentIndex, AlarmIndex, CheckIndex, DutyIndex } from '../base/ids.ts';
import type { Instant, WallTime } from '../base/time.ts';
import type { Checkpoint } from '../core/duties/duty.ts';
import type { Fence } from '../core/duties/exclusive-duties.ts';
import type { LocalAlarm } from '../core/effect.ts';
import type { HealthDigest } from '../core/health/digest.ts';
import type { DirectMessage, Input } from '../core/input.ts';
import type { CellEntry } from '../core/leases/cell-record.ts';
import type { Observation } from '../core/observation.ts';
import type { JournalEntry, RunId } from '../core/remediation/journal-entry.ts';
import type { ActionRequest } from '../core/remediation/remediation-output.ts';
import type { StepAction } from '../core/remediation/workflow.ts';
import type { Report } from '../core/reporting/report.ts';

export type { ActionRequest };

/**
 * Ports are synchronous: a call only starts something, and its completion comes back as an input. No promise lives
 * below floor 5, so the same driver runs on real time and in the simulator.
 */
export interface Ports {
  readonly clock: ClockPort;
  readonly mesh: MeshPort;
  readonly journal: JournalPort;
  readonly outbox: OutboxPort;
  readonly checks: CheckPort;
  readonly duties: DutyPort;
  readonly actions: ActionPort;
  readonly hooks: HookPort;
  /** Absent where nothing is exclusive. */
  readonly leases?: LeasePort | undefined;
  /** Absent where there is no coordinator. */
  readonly uplink?: UplinkPort | undefined;
  readonly observer: ObserverPort;
}

/** Where completions go. Never re-entrant: the driver queues what arrives while it is stepping. */
export type Deliver = (input: Input) => void;

export interface ClockPort {
  now(): Instant;
  wall(): WallTime;
  /**
   * The holder's clock: it advances by the largest advance of monotonic clock, uptime and wall clock, so that a box that
   * slept wakes up without its leases. Without it the monotonic clock has to do.
   */
  elapsed?(): Instant;
  /** One wake-up at a time: arming replaces the last. Calls the driver's `wake()` at or after `at`. */
  arm(at: Instant): void;
}

/** Direct streams and gossip. Both are lossy; a send to an unconnected peer is dropped silently and counted. */
export interface MeshPort {
  send(to: AgentIndex, message: DirectMessage): void;
  /** To all of our cell who are connected now; who connects later is told the last one. */
  publish(digest: HealthDigest): void;
  /** Digests that were published or received, each as its origin signed it, to one peer of our cell. */
  tellDigests(to: AgentIndex, digests: readonly HealthDigest[]): void;
}

export interface JournalPort {
  /** Durable, all or nothing; then `persisted` or `persist-failed` with this token. */
  append(token: number, entries: readonly JournalEntry[]): void;
  /** Neither number ever falls. */
  saveIncarnation(bootCounter: number, incarnation: number): void;
  saveCheckpoint(checkpoint: Checkpoint): void;
  setLocalAlarm(alarm: LocalAlarm): void;
}

export interface OutboxPort {
  /** Durable when it returns; false when the disk refused (counted, and a gap record will say so). */
  publish(report: Report): boolean;
}

export interface CheckPort {
  /** Answered by `check-observed`, within the check's time-out, always. */
  run(check: CheckIndex): void;
}

export interface DutyPort {
  /** Answered by `duty-started` or `duty-failed`; later `checkpoint-taken`s. */
  start(duty: DutyIndex, term: number, checkpoint: Checkpoint | undefined, fence?: Fence): void;
  /** An exclusive duty goes on, to a later instant or under a larger token. */
  extend?(duty: DutyIndex, fence: Fence): void;
  /** Answered by `duty-stopped`. `atOnce`: without grace, also when a gentler stop is under way. */
  stop(duty: DutyIndex, atOnce?: boolean): void;
}

export interface LeasePort {
  /** Durable, all or nothing, in the order of calls; then `leases-persisted` or `leases-persist-failed`. */
  persist(token: number, cell: string, entries: readonly CellEntry[]): void;
  /** The gateway of this box. Durable when it returns, or the gateway refuses all under these leases. Absent: there is none. */
  raiseFloors?(floors: readonly { readonly lease: string; readonly token: string }[]): void;
  /** Answered by `session-opened`. */
  openSession(cell: string, epoch: number, targets: readonly AgentIndex[], guardMs: number): void;
}

export interface ActionPort {
  /** Answered by `action-completed` with the same run, step, try and issue; `late` when it is past `notAfter`. */
  issue(request: ActionRequest): void;
  /** Answered by `action-probed`. */
  probe(run: RunId, step: number, action: StepAction, baseline: string): void;
  cancel(run: RunId, step: number, issue: number): void;
  /** What a later probe compares with (process start time, boot id). Answered by `baseline-read`. */
  baseline(run: RunId, step: number, action: StepAction): void;
}

export interface HookPort {
  run(alarm: AlarmIndex, argv: readonly string[], transition: 'raised' | 'cleared'): void;
}

export interface ObserverPort {
  observe(now: Instant, observation: Observation): void;
}

export interface UplinkPort {
  /** Asks the broker for a sign of life, or tries to reach it at once; a loss comes back as `coordinator-changed`. */
  check(): void;
}
