import { invariant } from '../../../../agent/base/invariant.ts';
import { DwellLatch } from '../../../../agent/core/health/dwell.ts';
import { startModel } from '../../../../models/catalog.ts';
import type { ScoringSession } from '../../../../models/onnx/session.ts';
import { isRising } from '../../../../models/training/rising.ts';
import { trainFromRows } from '../../../../models/training/train.ts';
import { WindowRing } from '../../../../models/window-ring.ts';
import { AlarmRecord } from '../../../../simulations/plant/year/alarm-record.ts';
import type { Watch } from '../../../../simulations/plant/year/hall-year.ts';
import type { YearParameters } from '../../../../simulations/plant/year/parameters.ts';

/** Windows are scored together, some hundred at a time: what an agent does one by one costs more calls, not other scores. */
const batch = 512;

/** A model that judges: its session, its threshold, its window. */
interface Judge {
  readonly session: ScoringSession;
  threshold: number;
  readonly ring: WindowRing;
}

/**
 * A model of one asset, as an agent has it: learns from the asset's own healthy rows, is proven on its golden vectors,
 * scores every window with ONNX Runtime, and raises by dwell. People do with it what people do:
 *
 * - An alarm is looked at within days. If the machine seems well, the alarm is dismissed and the threshold goes above what
 *   was seen, but by a bounded step: a neighbour's breakdown must not make it deaf. If it is visibly ill the alarm stays.
 * - A machine that was serviced or replaced is learnt anew, while the old model judges on. The new one takes over only when
 *   no alarm stands and what was learnt is no stranger at its end than at its beginning: a fault that has begun would be
 *   learnt as well, and a trend in what is learnt makes a model blind to its end.
 */
export class ModelWatch implements Watch {
  readonly alarm: AlarmRecord;
  trainings = 0;
  inspections = 0;
  readonly #names: readonly string[];
  readonly #given: YearParameters;
  readonly #isIll: (minute: number) => boolean;
  #learning: number[][] | undefined = [];
  #learnUntil: number;
  #judge: Judge | undefined;
  #ends: number[] = [];
  #windows: Float32Array | undefined;
  /** What the old model says of the rows that are learnt. */
  #since: number[] = [];
  /** The highest scores while the alarm stands. */
  #seen = 0;
  #inspectAt = Number.POSITIVE_INFINITY;

  /** `isIll` is asked when a person looks at the machine, and never by the model. */
  constructor(names: readonly string[], given: YearParameters, isIll: (minute: number) => boolean) {
    this.#names = names;
    this.#given = given;
    this.#isIll = isIll;
    this.#learnUntil = given.detector.learnDays * 1440;
    const { raise, clear } = given.detector;
    this.alarm = new AlarmRecord(new DwellLatch({ kind: 'of', ...raise }, { kind: 'count', n: clear }));
  }

  get judges(): boolean {
    return this.#judge !== undefined;
  }

  async take(minute: number, row: number[]): Promise<void> {
    this.#learning?.push(row);
    const window = this.#judge?.ring.push(minute * 60_000, row);
    if (window !== undefined) {
      this.#windows ??= new Float32Array(batch * window.length);
      this.#windows.set(window, this.#ends.length * window.length);
      this.#ends.push(minute);
      if (this.#ends.length === batch) await this.#settle();
    }
    if (this.#learning !== undefined && minute >= this.#learnUntil) {
      await this.#settle();
      const ill = this.alarm.active && this.#look(minute);
      if (!ill && !isRising(this.#since)) await this.#train(minute);
      else this.#learnUntil = minute + this.#given.detector.relearnDays * 1440;
    }
  }

  async serviced(minute: number): Promise<void> {
    await this.#settle();
    this.#learning = [];
    this.#since = [];
    this.#learnUntil = minute + this.#given.detector.relearnDays * 1440;
  }

  async replaced(minute: number): Promise<void> {
    await this.serviced(minute);
    this.alarm.end(minute);
  }

  async stop(): Promise<void> {
    await this.#settle();
    await this.#judge?.session.release();
    this.#judge = undefined;
  }

  /** Scores what waits, in the order of time. */
  async #settle(): Promise<void> {
    const judge = this.#judge;
    const count = this.#ends.length;
    if (count === 0 || judge === undefined || this.#windows === undefined) return;
    const width = this.#windows.length / batch;
    const { scores } = await judge.session.run(this.#windows.subarray(0, count * width), count);
    for (let i = 0; i < count; i++) this.#observe(this.#ends[i]!, scores[i]!, judge);
    this.#ends = [];
  }

  #observe(minute: number, score: number, judge: Judge): void {
    if (this.#learning !== undefined) this.#since.push(score);
    const stood = this.alarm.active;
    this.alarm.observe(minute, score > judge.threshold);
    if (!this.alarm.active) {
      this.#seen = 0;
      return;
    }
    if (!stood) this.#inspectAt = minute + this.#given.detector.inspectDays * 1440;
    this.#seen = Math.max(this.#seen, score);
    if (minute < this.#inspectAt || this.#look(minute)) return;
    const { beyond, most } = this.#given.detector.widen;
    judge.threshold = Math.min(this.#seen * beyond, judge.threshold * most);
    this.alarm.end(minute, true);
  }

  /** A person goes there. */
  #look(minute: number): boolean {
    this.inspections++;
    this.#inspectAt = minute + this.#given.detector.inspectDays * 1440;
    return this.#isIll(minute);
  }

  async #train(minute: number): Promise<void> {
    const { falseAlarmRate, driftAllowance, kind, settings } = this.#given.detector;
    const everyMs = this.#given.rowMinutes * 60_000;
    const trained = trainFromRows(this.#learning ?? [], this.#names, {
      name: 'year',
      everyMs,
      falseAlarmRate,
      driftAllowance,
      kind,
      settings,
    });
    // Too few rows (a hall that stood still): it goes on learning.
    if (!trained.ok) return;
    const started = await startModel('year', trained.value);
    invariant(started.ok, started.ok ? '' : started.error.message);
    const { manifest, session } = started.value;
    await this.#judge?.session.release();
    const ring = new WindowRing(manifest.window.rows, this.#names.length, manifest.window.maxGapMs);
    const threshold = manifest.threshold?.value ?? Number.POSITIVE_INFINITY;
    this.#judge = { session, threshold, ring };
    this.alarm.end(minute, true);
    this.#learning = undefined;
    this.trainings++;
  }
}
