import { z } from 'zod';
import type { Result } from '../../agent/base/result.ts';
import { err, ok } from '../../agent/base/result.ts';
import { type ModelProblem, problem } from '../problem.ts';
import { AlarmJudge } from './alarm-judge.ts';
import { type FeatureKind, NoveltyFeature } from './novelty.ts';
import { RollingWindow } from './rolling-window.ts';

export interface StreamingSettings {
  /** Rows that are only learnt from. Sooner, and much that is healthy is news; later, and early faults are missed. */
  readonly learnRows: number;
  /** Lengths of the windows that are looked at, in rows: one value, a blip, a step, a drift. */
  readonly scales: readonly number[];
  /** Evidence that begins an event; 1 is a full `reach` away from everything known, in the mean of two features. */
  readonly limit: number;
  /** Deviations that a level, and a level with its spread, must lie away from the nearest known one. */
  readonly levelReach: number;
  readonly stateReach: number;
  /** An event ends after this many rows without evidence. */
  readonly quietRows: number;
  /** Each event of late raises the limit by this share; its memory fades over `fadeRows`. */
  readonly escalation: number;
  readonly fadeRows: number;
  /**
   * What is judged new is not learnt until it has lasted this long; a fault that comes back every day stays news.
   * 0: everything becomes known one window later.
   */
  readonly holdRows: number;
  /** Rows after which old ones fade from the scales. */
  readonly horizonRows: number;
}

/**
 * Chosen on half of the Numenta benchmark from the middle of a plateau, not its peak: settings around these (half or
 * double `escalation`, `quietRows` 50 to 90, `limit` 0.6 to 1, other scales) give 70 to 75 points, 72 on average.
 */
export const streamingDefaults: StreamingSettings = {
  learnRows: 250,
  scales: [1, 3, 10, 30],
  limit: 0.7,
  levelReach: 0.2,
  stateReach: 0.8,
  quietRows: 70,
  escalation: 0.3,
  fadeRows: 8_000,
  holdRows: 0,
  horizonRows: 5_000,
};

/**
 * How much must be new before it is told, and what that costs: on noise without any fault (43 200 rows, a month of
 * minutes) high begins about 20 events, medium 4, low at most 2, most of them in the first days. On the benchmark's
 * development half high finds 50 of 57 anomalies with 70 false events, medium 40 with 30, low 33 with 10.
 */
export const sensitivities = { high: 0.7, medium: 2, low: 4 } as const;
export type Sensitivity = keyof typeof sensitivities;

/** Places that a level remembers, and a state; and how near two of them may be, in deviations. */
const levelMemory = { capacity: 256, spacing: 0.03 };
const stateMemory = { capacity: 300, spacing: 0.15 };
/** Squares of larger values leave the range of numbers. */
const largest = 1e150;

/** Why a row is evidence: what one feature saw, beside what it knows. */
export interface Reason {
  readonly kind: FeatureKind;
  readonly rows: number;
  readonly evidence: number;
  readonly level: number;
  /** Undefined for a level. */
  readonly spread: number | undefined;
  /** Lowest and highest level known. */
  readonly known: readonly [number, number];
}

export interface Judgement {
  /** False while it still learns what is usual, and for a value that is no number: nothing can be said. */
  readonly ready: boolean;
  /** Novelty now, 0 … 20. */
  readonly evidence: number;
  /** Evidence that begins an event now. */
  readonly limit: number;
  /** This row begins an event. */
  readonly begins: boolean;
  /** An event is under way. */
  readonly active: boolean;
  /** The strongest evidence of the event under way. */
  readonly peak: number;
}

const numbers = z.array(z.number()).max(4_096);
const featureSchema = z.strictObject({
  points: numbers,
  visited: numbers,
  visits: z.number(),
  scales: z.array(z.tuple([z.number(), z.number(), z.number()])).max(2),
  waiting: z.array(numbers.max(2)).max(4_096),
});
const stateSchema = z.strictObject({
  millwrightStream: z.literal(1),
  settings: z.string().max(2_000),
  rows: z.number().int().nonnegative(),
  news: z.number().int().nonnegative(),
  windows: z.array(numbers).max(16),
  features: z.array(featureSchema).max(32),
  judge: z.strictObject({ quiet: z.number(), recent: z.number(), peak: z.number() }),
});

/** What a detector has learnt, as plain data; some ten thousand numbers at most. */
export type StreamingState = z.infer<typeof stateSchema>;

/**
 * Watches one metric without training: it learns as it goes, judges every row with the past only, and tells what was
 * not there before: a level, or a level with its restlessness, over one row or over thirty. Two features must agree,
 * so that one odd value alone, which every stream has, needs to be odd twice as much.
 *
 * It has no clock, no chance and no idea of time of day: rows are counted, never dated. Memory and time per row are
 * bounded: some 5 000 kept numbers, some thousand multiplications.
 *
 * What it cannot see: a known value at the wrong time (heating on a summer night, a day without its peak), known values
 * in another order within a window, and a drift so slow that every step is near to the last.
 */
export class StreamingDetector {
  readonly settings: StreamingSettings;
  readonly #windows: readonly RollingWindow[];
  readonly #features: readonly { readonly feature: NoveltyFeature; readonly window: RollingWindow }[];
  readonly #judge: AlarmJudge;
  readonly #evidence: Float64Array;
  #rows = 0;
  /** Rows that the news under way has lasted. */
  #news = 0;

  constructor(settings: Partial<StreamingSettings> = {}) {
    this.settings = { ...streamingDefaults, ...settings };
    const { scales, levelReach, stateReach, horizonRows: horizon } = this.settings;
    this.#windows = scales.map((rows) => new RollingWindow(rows));
    this.#features = this.#windows.flatMap((window) => {
      const { rows } = window;
      const level = new NoveltyFeature({ kind: 'level', rows, reach: levelReach, horizon, ...levelMemory });
      if (rows === 1) return [{ window, feature: level }];
      const state = new NoveltyFeature({ kind: 'state', rows, reach: stateReach, horizon, ...stateMemory });
      return [
        { window, feature: level },
        { window, feature: state },
      ];
    });
    this.#judge = new AlarmJudge(this.settings);
    this.#evidence = new Float64Array(this.#features.length);
  }

  /** Rows learnt from or judged so far. */
  get rows(): number {
    return this.#rows;
  }

  get ready(): boolean {
    return this.#rows >= this.settings.learnRows;
  }

  /** Places in memory; bounded by the number of features times their capacity. */
  get size(): number {
    return this.#features.reduce((sum, { feature }) => sum + feature.size, 0);
  }

  /** Judges one row, then learns from it unless `learn` is false (maintenance, a state of the plant that is not usual). */
  take(value: number, learn = true): Judgement {
    if (!(Math.abs(value) <= largest)) return this.#said(false, 0, false);
    const ready = this.ready;
    const holds = this.#news > 0 && this.#news < this.settings.holdRows;
    for (const window of this.#windows) window.push(value);
    let first = 0;
    let second = 0;
    for (const [i, { feature, window }] of this.#features.entries()) {
      const evidence = feature.take(window, learn && !holds);
      this.#evidence[i] = evidence;
      if (evidence > first) {
        second = first;
        first = evidence;
      } else if (evidence > second) second = evidence;
    }
    if (learn) this.#rows++;
    if (!ready || !learn) return this.#said(ready, (first + second) / 2, false);
    const evidence = (first + second) / 2;
    this.#news = evidence > this.settings.limit ? this.#news + 1 : 0;
    return this.#said(true, evidence, this.#judge.take(evidence));
  }

  #said(ready: boolean, evidence: number, begins: boolean): Judgement {
    const { limit, active, peak } = this.#judge;
    return { ready, evidence, limit, begins, active, peak };
  }

  /** The stream was silent for long: windows begin afresh, what is known stays. */
  interrupt(): void {
    for (const window of this.#windows) window.clear();
    for (const { feature } of this.#features) feature.interrupt();
  }

  /** The two features that speak loudest about the last row, loudest first; none that knows the place. */
  reasons(): readonly Reason[] {
    return this.#features
      .map(({ feature }, i): Reason => {
        const { kind, rows } = feature.options;
        return {
          kind,
          rows,
          evidence: this.#evidence[i] ?? 0,
          level: feature.place[0] ?? 0,
          spread: feature.place[1],
          known: feature.known(0) ?? [0, 0],
        };
      })
      .filter(({ evidence }) => evidence > 0)
      .sort((a, b) => b.evidence - a.evidence)
      .slice(0, 2);
  }

  state(): StreamingState {
    return {
      millwrightStream: 1,
      settings: JSON.stringify(this.settings),
      rows: this.#rows,
      news: this.#news,
      windows: this.#windows.map((window) => window.values()),
      features: this.#features.map(({ feature }) => {
        const { points, visited, visits, scales, waiting } = feature.state();
        return {
          points: [...points],
          visited: [...visited],
          visits,
          scales: scales.map(([count, mean, variance]) => [count, mean, variance]),
          waiting: waiting.map((place) => [...place]),
        };
      }),
      judge: this.#judge.state(),
    };
  }

  /**
   * A detector that goes on where `saved` ended. Refused (`manifest-malformed`, `option-invalid`): what is no such
   * state, and what other settings learnt, because its distances mean something else.
   */
  static restore(saved: unknown, settings: Partial<StreamingSettings> = {}): Result<StreamingDetector, ModelProblem> {
    const parsed = stateSchema.safeParse(saved);
    if (!parsed.success) {
      const first = parsed.error.issues[0];
      return err(
        problem('manifest-malformed', `no state of a stream: ${first?.path.join('.') ?? ''} ${first?.message ?? ''}`),
      );
    }
    const detector = new StreamingDetector(settings);
    const state = parsed.data;
    if (state.settings !== JSON.stringify(detector.settings)) {
      return err(problem('option-invalid', 'the state was learnt with other settings: learning begins anew'));
    }
    const odd = detector.#mismatch(state);
    if (odd !== undefined) return err(problem('manifest-malformed', `no state of this stream: ${odd}`));
    detector.#rows = state.rows;
    detector.#news = state.news;
    for (const [i, window] of detector.#windows.entries())
      for (const value of state.windows[i] ?? []) window.push(value);
    for (const [i, { feature }] of detector.#features.entries()) {
      const one = state.features[i];
      if (one !== undefined) feature.restore(one);
    }
    detector.#judge.restore(state.judge);
    return ok(detector);
  }

  #mismatch({ windows, features }: StreamingState): string | undefined {
    if (windows.length !== this.#windows.length) return `${windows.length} windows`;
    if (features.length !== this.#features.length) return `${features.length} features`;
    for (const [i, { feature }] of this.#features.entries()) {
      const dimensions = feature.options.kind === 'level' ? 1 : 2;
      const one = features[i];
      if (
        one === undefined ||
        one.points.length !== dimensions * one.visited.length ||
        one.scales.length !== dimensions
      ) {
        return `feature ${i} does not fit`;
      }
      if (one.waiting.some((place) => place.length !== dimensions)) return `feature ${i} waits for something else`;
    }
    return undefined;
  }
}
