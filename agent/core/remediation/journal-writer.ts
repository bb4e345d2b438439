import type { BootId } from '../../base/ids.ts';
import { after, type Instant, instant, never, type WallTime } from '../../base/time.ts';
import type { JournalDraft, JournalEntry, RunId } from './journal-entry.ts';
import type { LiveRun } from './live-run.ts';
import type { RemediationOutput } from './remediation-output.ts';
import type { RunLedger } from './run-ledger.ts';
import type { WorkflowSpec } from './workflow.ts';

const heartbeatMs = 60_000;
const maxPersistBackoffMs = 30_000;

/** Entries on their way to the disk, and what follows when they are there. */
export interface Write {
  readonly entries: readonly JournalEntry[];
  readonly drafts: readonly JournalDraft[];
  readonly run: RunId | undefined;
  readonly then: 'issue' | 'go-on' | 'stop' | 'open' | 'none';
}

/**
 * Hands entries to the disk and remembers what each write was for until the disk has answered. While a run's entry is
 * under way the run waits: a decision takes hold only when it is durable.
 */
export class JournalWriter {
  readonly #ledger: RunLedger;
  readonly #live: ReadonlyMap<RunId, LiveRun>;
  readonly #boot: BootId;
  readonly #wallAt: (at: Instant) => WallTime;
  readonly #writes = new Map<number, Write>();
  #token = 0;
  #episodes = 0;
  #failures = 0;
  #heartbeatAt: Instant = never;

  constructor(ledger: RunLedger, live: ReadonlyMap<RunId, LiveRun>, boot: BootId, wallAt: (at: Instant) => WallTime) {
    this.#ledger = ledger;
    this.#live = live;
    this.#boot = boot;
    this.#wallAt = wallAt;
  }

  /** When the next heartbeat is due. */
  get heartbeatAt(): Instant {
    return this.#heartbeatAt;
  }

  nameRun(spec: WorkflowSpec): RunId {
    // The life is part of the name: a box whose disk was lost must not use an old run's name again.
    return `${spec.id}#${this.#boot.slice(0, 8)}.${++this.#episodes}`;
  }

  write(
    now: Instant,
    run: RunId | undefined,
    drafts: readonly JournalDraft[],
    then: Write['then'],
    out: RemediationOutput[],
  ): void {
    const token = ++this.#token;
    const entries = drafts.map(
      (draft) => ({ ...draft, v: 1, boot: this.#boot, wall: this.#wallAt(draft.at) }) as JournalEntry,
    );
    this.#writes.set(token, { entries, drafts, run, then });
    const live = run === undefined ? undefined : this.#live.get(run);
    if (live !== undefined && then !== 'stop') live.pending = { kind: 'persist', token };
    if (drafts.some((draft) => draft.kind !== 'heartbeat'))
      this.#heartbeatAt = instant(Math.min(this.#heartbeatAt, now + heartbeatMs));
    out.push({ kind: 'persist', token, drafts });
  }

  /** The write that the disk has answered; it is forgotten here. Undefined for an answer to nothing. */
  answered(token: number): Write | undefined {
    const write = this.#writes.get(token);
    this.#writes.delete(token);
    return write;
  }

  /** Is this write an intent, so that an effect follows it? */
  isIntent(token: number): boolean {
    return this.#writes.get(token)?.then === 'issue';
  }

  succeeded(): void {
    this.#failures = 0;
  }

  /** Milliseconds to wait before the disk is asked again. */
  failed(): number {
    const backoff = Math.min(maxPersistBackoffMs, 1_000 * 2 ** Math.min(this.#failures, 10));
    this.#failures++;
    return backoff;
  }

  /** Proves that time passes, while something depends on it. */
  heartbeat(now: Instant, out: RemediationOutput[]): void {
    this.#heartbeatAt = never;
    const braking = this.#ledger.budget.braking(this.#ledger.budget.proven(now, this.#boot));
    if (!braking && this.#ledger.open().length === 0) return;
    this.write(now, undefined, [{ run: '', at: now, kind: 'heartbeat' }], 'none', out);
    this.#heartbeatAt = after(now, heartbeatMs);
  }
}
