import {
  type AnyManifest,
  type CheckedModel,
  isForeignManifest,
  startModel,
  thresholdOf,
} from '../../../models/catalog.ts';
import type { ScoringRun, ScoringSession } from '../../../models/onnx/session.ts';
import { type ModelProblem, problem } from '../../../models/problem.ts';
import { WindowRing } from '../../../models/window-ring.ts';
import { BoundedQueue } from '../../base/bounded-queue.ts';
import type { SignalIndex } from '../../base/ids.ts';
import { err, ok, type Result } from '../../base/result.ts';
import type { WallTime } from '../../base/time.ts';
import { unitOf } from '../../config/quantity.ts';
import type { Forecast, ModelSpec, Score } from '../../core/health/model.ts';
import type { Sample, SignalSpec } from '../../core/health/signal.ts';
import { PlantStates } from './plant-states.ts';
import { SignalWindow, type WindowRow } from './signal-window.ts';

/** What a lane says of one window. `last`: the window's newest row, in the order of the manifest's inputs. */
export interface LaneScore {
  readonly score: Score;
  readonly end: WallTime;
  readonly last: ArrayLike<number>;
  /** Whether the plant is known to have been where the model applies: only then the window speaks for or against it. */
  readonly counts: boolean;
}

export interface LaneHandlers {
  opened(manifest: AnyManifest): void;
  scored(said: LaneScore): void;
  /** A row was left out because the plant is in another state, in words. */
  gated(why: string, end: WallTime, threshold: number): void;
  /** For good: nothing is scored after it. */
  refused(problem: ModelProblem): void;
}

export interface LaneStats {
  readonly state: 'unchecked' | 'idle' | 'opening' | 'scoring' | 'refused';
  readonly scored: number;
  /** Windows thrown away because scoring could not follow. */
  readonly dropped: number;
  /** Rows left out for quality or a missing value; windows begun afresh; samples too late. */
  readonly skippedRows: number;
  /** Rows left out for the plant's state. */
  readonly gatedRows: number;
  readonly restarts: number;
  readonly lateSamples: number;
}

interface Job {
  readonly counts: boolean;
  readonly window: Float32Array;
  readonly end: WallTime;
}

/** Windows that may wait for the session; a replay at twenty rows a second fills this in ten seconds. */
const backlog = 256;
/** That many failures of the runtime in a row, and the model is refused. */
const patience = 3;

/** One model file at work: its alignment of samples, its window, its session, its queue. */
export class ScoringLane {
  readonly file: string;
  readonly #spec: Pick<ModelSpec, 'inputs' | 'onlyIn'>;
  readonly #states: PlantStates;
  readonly #signals: readonly SignalSpec[];
  readonly #handlers: LaneHandlers;
  readonly #jobs = new BoundedQueue<Job>(backlog);
  readonly #rows: WindowRow[] = [];
  #state: LaneStats['state'] = 'unchecked';
  #model: CheckedModel | undefined;
  #threshold = Number.POSITIVE_INFINITY;
  #window: SignalWindow | undefined;
  #ring: WindowRing | undefined;
  /** Signals in the order of the manifest's inputs. */
  #order: readonly SignalIndex[] = [];
  #session: ScoringSession | undefined;
  #working: Promise<void> | undefined;
  #stopped = false;
  #scored = 0;
  #dropped = 0;
  #failures = 0;
  #gated = 0;
  /** So many more rows until no row of an unknown state is left in the window. */
  #uncounted = 0;

  constructor(
    file: string,
    spec: Pick<ModelSpec, 'inputs' | 'onlyIn'>,
    signals: readonly SignalSpec[],
    handlers: LaneHandlers,
  ) {
    this.file = file;
    const { inputs, onlyIn = [] } = spec;
    this.#states = new PlantStates(
      onlyIn,
      inputs.map(({ signal }) => signal),
      signals,
    );
    this.#spec = spec;
    this.#signals = signals;
    this.#handlers = handlers;
  }

  get manifest(): AnyManifest | undefined {
    return this.#model?.manifest;
  }

  checked(result: Result<CheckedModel, ModelProblem>): void {
    if (this.#stopped) return;
    if (!result.ok) return this.#refuse(result.error);
    const { manifest } = result.value;
    const order = orderOf(this.file, this.#spec, manifest, this.#signals);
    if (!order.ok) return this.#refuse(order.error);
    this.#order = order.value;
    this.#model = result.value;
    this.#threshold = thresholdOf(manifest) ?? Number.POSITIVE_INFINITY;
    this.#window = new SignalWindow({
      inputs: order.value.map((signal) => ({
        signal,
        acceptUncertain: this.#signals[signal]?.acceptUncertain ?? false,
        freshMs: this.#signals[signal]?.freshMs ?? 0,
        everyMs: this.#signals[signal]?.everyMs ?? manifest.window.everyMs,
      })),
      everyMs: manifest.window.everyMs,
      maxGapMs: manifest.window.maxGapMs,
    });
    this.#ring = new WindowRing(manifest.window.rows, manifest.inputs.length, manifest.window.maxGapMs);
    this.#state = 'idle';
  }

  take(sample: Sample): void {
    if (this.#stopped || this.#window === undefined || this.#ring === undefined) return;
    this.#states.take(sample);
    this.#rows.length = 0;
    this.#window.take(sample, this.#rows);
    for (const row of this.#rows) {
      const standing = this.#states.at(row.time, sample.receiveTime);
      if (standing.kind === 'out') {
        this.#gated++;
        // A window never spans a stop: what runs up afterwards is another stretch.
        this.#ring.clear();
        this.#handlers.gated(standing.why, row.time, this.#threshold);
        continue;
      }
      this.#uncounted = standing.kind === 'in' ? Math.max(0, this.#uncounted - 1) : this.#ring.rows;
      const window = this.#ring.push(row.time, row.values);
      if (window === undefined) continue;
      if (this.#jobs.length >= backlog) {
        // The newest window says most about now.
        this.#jobs.shift();
        this.#dropped++;
      }
      this.#jobs.push({ window, end: row.time, counts: this.#uncounted === 0 });
    }
    // Opening begins with the first sample, so that the session stands when the first window is full.
    if (this.#working === undefined && (this.#jobs.length > 0 || this.#session === undefined)) {
      this.#working = this.#work();
    }
  }

  async #work(): Promise<void> {
    try {
      const session = await this.#open();
      while (session !== undefined && !this.#stopped && this.#state === 'scoring') {
        const job = this.#jobs.shift();
        if (job === undefined) return;
        await this.#score(session, job);
      }
    } finally {
      // In the same turn as the last look at the queue, so that no window is left behind.
      this.#working = undefined;
    }
  }

  async #open(): Promise<ScoringSession | undefined> {
    if (this.#session !== undefined || this.#model === undefined) return this.#session;
    this.#state = 'opening';
    const started = await startModel(this.file, this.#model);
    if (!started.ok) {
      this.#refuse(started.error);
      return undefined;
    }
    this.#session = started.value.session;
    this.#state = 'scoring';
    this.#handlers.opened(started.value.manifest);
    return this.#session;
  }

  async #score(session: ScoringSession, job: Job): Promise<void> {
    let run: ScoringRun;
    let value: number;
    try {
      run = await session.run(job.window, 1);
      value = run.scores[0] ?? Number.NaN;
      const isScorer = this.#threshold !== Number.POSITIVE_INFINITY;
      if (isScorer && !Number.isFinite(value)) throw new Error(`the score is ${value}`);
    } catch (cause) {
      this.#failures++;
      const text = cause instanceof Error ? cause.message : String(cause);
      if (this.#failures >= patience) {
        this.#refuse(problem('runtime-failed', `${this.file}: scoring failed ${patience} times: ${text}`));
      }
      return;
    }
    this.#failures = 0;
    this.#scored++;
    if (this.#stopped) return;
    const shares = run.contributions;
    const contributions = this.#order.map((signal, channel) => ({ signal, share: shares[channel] ?? 0 }));
    const channels = this.#order.length;
    this.#handlers.scored({
      score: {
        value,
        threshold: this.#threshold,
        contributions: contributions.some(({ share }) => share > 0)
          ? contributions.sort((a, b) => b.share - a.share)
          : [],
        class: run.classes?.[0],
        forecast: this.#forecastOf(run.forecasts?.[0]),
      },
      end: job.end,
      last: job.window.subarray(job.window.length - channels),
      counts: job.counts,
    });
  }

  /** In the base unit of its dimension; a unit that no table knows is a dimension of its own. */
  #forecastOf(value: number | undefined): Forecast | undefined {
    const manifest = this.#model?.manifest;
    if (value === undefined || manifest === undefined || !isForeignManifest(manifest)) return undefined;
    const name = manifest.outputs.forecast?.unit ?? '';
    const unit = unitOf(name);
    if (unit === undefined) return { value, dimension: name };
    return { value: value * unit.factor + unit.offset, dimension: unit.dimension };
  }

  #refuse(problem: ModelProblem): void {
    this.#state = 'refused';
    this.#window = undefined;
    this.#ring = undefined;
    this.#jobs.clear();
    this.#handlers.refused(problem);
  }

  stats(): LaneStats {
    const counts = this.#window?.counts;
    return {
      state: this.#state,
      scored: this.#scored,
      dropped: this.#dropped,
      skippedRows: counts?.skipped ?? 0,
      gatedRows: this.#gated,
      restarts: (this.#ring?.restarts ?? 0) + (counts?.resets ?? 0),
      lateSamples: counts?.late ?? 0,
    };
  }

  async stop(): Promise<void> {
    this.#stopped = true;
    this.#jobs.clear();
    await this.#working;
    await this.#session?.release();
    this.#session = undefined;
  }
}

/** The site's inputs in the manifest's order; names must be the same set, and units the same where both tell one. */
function orderOf(
  file: string,
  spec: Pick<ModelSpec, 'inputs'>,
  manifest: AnyManifest,
  signals: readonly SignalSpec[],
): Result<readonly SignalIndex[], ModelProblem> {
  const given = new Map(spec.inputs.map(({ name, signal }) => [name, signal]));
  const wanted = manifest.inputs.map(({ name }) => name);
  const missing = wanted.filter((name) => !given.has(name));
  const surplus = [...given.keys()].filter((name) => !wanted.includes(name));
  if (missing.length > 0 || surplus.length > 0) {
    return err(
      problem(
        'input-mismatch',
        `${file}: the model takes ${wanted.join(', ')}; the site file gives ${[...given.keys()].join(', ')}`,
      ),
    );
  }
  const order: SignalIndex[] = [];
  for (const { name, unit } of manifest.inputs) {
    const signal = given.get(name);
    const found = signal === undefined ? undefined : signals[signal];
    if (signal === undefined || found === undefined) {
      return err(problem('input-mismatch', `${file}: input ${name} is fed by a signal that the site does not have`));
    }
    if (unit !== undefined && found.unit !== undefined && unit !== found.unit) {
      return err(
        problem('input-mismatch', `${file}: input ${name} was trained in ${unit}, ${found.id} comes in ${found.unit}`),
      );
    }
    order.push(signal);
  }
  return ok(order);
}
