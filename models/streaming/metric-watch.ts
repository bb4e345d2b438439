import { err, ok, type Result } from '../../agent/base/result.ts';
import { type ModelProblem, problem } from '../problem.ts';
import { reasonText } from './reason-text.ts';
import { RowMaker } from './row-maker.ts';
import { type Reason, StreamingDetector, type StreamingSettings } from './streaming-detector.ts';

export interface MetricWatchOptions {
  /** Readings are averaged over so long, in the time of the source. */
  readonly rowMs: number;
  readonly settings: Partial<StreamingSettings>;
  readonly unit?: string | undefined;
}

/** What is said of one row. */
export interface WatchedRow {
  /** End of the row, ms of the source's clock. */
  readonly time: number;
  readonly mean: number;
  /** NaN while it learns; the peak while an event is under way; at most `limit` otherwise. */
  readonly score: number;
  readonly limit: number;
  readonly begins: boolean;
  /** In words, while the score is above the limit. */
  readonly why: string | undefined;
}

/**
 * One metric watched: readings into rows, rows into the detector, and its event held at its peak until it is over, so
 * that whoever counts scores sees one event and not its flicker. Agents and rehearsals judge with this very class.
 */
export class MetricWatch {
  readonly #options: MetricWatchOptions;
  readonly #rows: RowMaker;
  #detector: StreamingDetector;
  #score = Number.NaN;
  #reason: Reason | undefined;

  constructor(options: MetricWatchOptions) {
    this.#options = options;
    this.#rows = new RowMaker(options.rowMs);
    this.#detector = new StreamingDetector(options.settings);
  }

  get rows(): number {
    return this.#detector.rows;
  }

  get ready(): boolean {
    return this.#detector.ready;
  }

  get late(): number {
    return this.#rows.late;
  }

  /** Of the last row; NaN while it learns. */
  get score(): number {
    return this.#score;
  }

  get limit(): number {
    return this.#detector.settings.limit;
  }

  get why(): string | undefined {
    if (this.#reason === undefined || !(this.#score > this.limit)) return undefined;
    return reasonText(this.#reason, this.#options.unit);
  }

  /** Takes a finite reading; the row that it closed. */
  take(time: number, value: number): WatchedRow | undefined {
    const { row, hole } = this.#rows.take(time, value);
    const said = row === undefined ? undefined : this.#judge(row.time, row.mean);
    if (hole) this.#detector.interrupt();
    return said;
  }

  #judge(time: number, mean: number): WatchedRow {
    const { ready, evidence, active, peak, begins } = this.#detector.take(mean);
    if (begins || (active && evidence >= peak)) this.#reason = this.#detector.reasons()[0];
    if (!active) this.#reason = undefined;
    this.#score = !ready ? Number.NaN : active ? peak : Math.min(evidence, this.limit);
    return { time, mean, score: this.#score, limit: this.limit, begins, why: this.why };
  }

  /** The stream does not count now: what is under way is forgotten, what is known stays. */
  interrupt(): void {
    this.#rows.forget();
    this.#detector.interrupt();
  }

  state(): unknown {
    return { rowMs: this.#options.rowMs, detector: this.#detector.state() };
  }

  /** Goes on from a saved state; refused, and unchanged, where that does not fit. */
  restore(saved: unknown): Result<undefined, ModelProblem> {
    const { rowMs, detector } = (saved ?? {}) as { rowMs?: unknown; detector?: unknown };
    if (rowMs !== undefined && rowMs !== this.#options.rowMs) {
      return err(problem('option-invalid', 'the state was learnt with rows of another length: learning begins anew'));
    }
    const restored = StreamingDetector.restore(detector, this.#options.settings);
    if (!restored.ok) return restored;
    this.#detector = restored.value;
    // What happened meanwhile is not known.
    this.#detector.interrupt();
    return ok(undefined);
  }
}
