import { Catalog, type CheckedModel, startModel } from '../../../models/catalog.ts';
import type { Manifest } from '../../../models/manifest.ts';
import type { ScoringSession } from '../../../models/onnx/session.ts';
import { type ModelProblem, problem } from '../../../models/problem.ts';
import { WindowRing } from '../../../models/window-ring.ts';
import { BoundedQueue } from '../../base/bounded-queue.ts';
import type { SignalIndex } from '../../base/ids.ts';
import { err, ok, type Result } from '../../base/result.ts';
import type { WallTime } from '../../base/time.ts';
import type { ModelSpec } from '../../core/health/model.ts';
import type { Sample, SignalSpec } from '../../core/health/signal.ts';
import type { Site } from '../../driver/bindings.ts';
import type { Deliver } from '../../driver/ports.ts';
import { SignalWindow, type WindowRow } from './signal-window.ts';

export interface ModelScorerOptions {
  readonly site: Pick<Site, 'plan'>;
  readonly deliver: Deliver;
  readonly log: {
    info(fields: object, text: string): void;
    warn(fields: object, text: string): void;
  };
  /** Folder that the site's model files start from (`Site.modelRoot`). */
  readonly catalogRoot: string;
  /** Bigger model files are refused unread. */
  readonly maxBytes?: number;
}

export interface ModelScorer {
  /** Checks every model of the site without running any; what is refused is delivered as `model-refused`. */
  start(): Promise<void>;
  /** Tap for every sample that this agent polls. The first one of a model's inputs opens its session. */
  onSample(sample: Sample): void;
  stats(): readonly ModelStats[];
  /** Takes nothing more, and waits for the run under way. */
  stop(): Promise<void>;
}

export interface ModelStats {
  readonly model: string;
  readonly state: 'unchecked' | 'idle' | 'opening' | 'scoring' | 'refused';
  readonly scored: number;
  /** Windows thrown away because scoring could not follow. */
  readonly dropped: number;
  /** Rows left out for quality or a missing value; windows begun afresh; samples too late. */
  readonly skippedRows: number;
  readonly restarts: number;
  readonly lateSamples: number;
}

interface Job {
  readonly window: Float32Array;
  readonly end: WallTime;
}

/** Windows that may wait for the session; a replay at twenty rows a second fills this in ten seconds. */
const backlog = 256;
/** That many failures of the runtime in a row, and the model is refused. */
const patience = 3;

/**
 * From samples to scores: aligns a model's inputs in source time, keeps its window, runs it, delivers
 * `score-computed`. A model that is refused stays refused until the next start, and everything else goes on.
 */
export function createModelScorer(options: ModelScorerOptions): ModelScorer {
  const { site, deliver, log, catalogRoot, maxBytes } = options;
  const catalog = new Catalog(catalogRoot);
  const runners = site.plan.models.map((spec) => new OnnxRunner(spec, site.plan.signals, deliver, log));
  const bySignal = new Map<SignalIndex, OnnxRunner[]>();
  for (const runner of runners) {
    for (const signal of new Set(runner.spec.inputs.map((input) => input.signal))) {
      const list = bySignal.get(signal);
      if (list === undefined) bySignal.set(signal, [runner]);
      else list.push(runner);
    }
  }
  return {
    async start() {
      for (const runner of runners) {
        const { file, sha256 } = runner.spec;
        runner.checked(await catalog.check(file, { sha256, ...(maxBytes === undefined ? {} : { maxBytes }) }));
      }
    },
    onSample(sample) {
      const list = bySignal.get(sample.signal);
      if (list !== undefined) for (const runner of list) runner.take(sample);
    },
    stats: () => runners.map((runner) => runner.stats()),
    async stop() {
      await Promise.all(runners.map((runner) => runner.stop()));
    },
  };
}

/** One model: its window, its session, its queue. */
class OnnxRunner {
  readonly spec: ModelSpec;
  readonly #signals: readonly SignalSpec[];
  readonly #deliver: Deliver;
  readonly #log: ModelScorerOptions['log'];
  readonly #jobs = new BoundedQueue<Job>(backlog);
  readonly #rows: WindowRow[] = [];
  #state: ModelStats['state'] = 'unchecked';
  #model: CheckedModel | undefined;
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

  constructor(spec: ModelSpec, signals: readonly SignalSpec[], deliver: Deliver, log: ModelScorerOptions['log']) {
    this.spec = spec;
    this.#signals = signals;
    this.#deliver = deliver;
    this.#log = log;
  }

  checked(result: Result<CheckedModel, ModelProblem>): void {
    if (!result.ok) return this.#refuse(result.error);
    const { manifest } = result.value;
    const order = orderOf(this.spec, manifest, this.#signals);
    if (!order.ok) return this.#refuse(order.error);
    this.#order = order.value;
    this.#model = result.value;
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
    this.#rows.length = 0;
    this.#window.take(sample, this.#rows);
    for (const row of this.#rows) {
      const window = this.#ring.push(row.time, row.values);
      if (window === undefined) continue;
      if (this.#jobs.length >= backlog) {
        // The newest window says most about now.
        this.#jobs.shift();
        this.#dropped++;
      }
      this.#jobs.push({ window, end: row.time });
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
    const started = await startModel(this.spec.file, this.#model);
    if (!started.ok) {
      this.#refuse(started.error);
      return undefined;
    }
    this.#session = started.value.session;
    this.#state = 'scoring';
    const { name, version, threshold, onnx } = started.value.manifest;
    this.#log.info(
      { model: this.spec.id, name, version, threshold: threshold.value, sha256: onnx.sha256 },
      'model scores',
    );
    return this.#session;
  }

  async #score(session: ScoringSession, job: Job): Promise<void> {
    const threshold = this.#model?.manifest.threshold.value ?? Number.POSITIVE_INFINITY;
    let value: number;
    let shares: Float32Array;
    try {
      const run = await session.run(job.window, 1);
      value = run.scores[0] ?? Number.NaN;
      shares = run.contributions;
      if (!Number.isFinite(value)) throw new Error(`the score is ${value}`);
    } catch (cause) {
      this.#failures++;
      const text = cause instanceof Error ? cause.message : String(cause);
      if (this.#failures >= patience) {
        this.#refuse(problem('runtime-failed', `${this.spec.file}: scoring failed ${patience} times: ${text}`));
      }
      return;
    }
    this.#failures = 0;
    this.#scored++;
    if (this.#stopped) return;
    const contributions = this.#order.map((signal, channel) => ({ signal, share: shares[channel] ?? 0 }));
    this.#deliver({
      kind: 'score-computed',
      model: this.spec.index,
      score: { value, threshold, contributions: contributions.sort((a, b) => b.share - a.share) },
      windowEnd: job.end,
    });
  }

  #refuse({ code, message }: ModelProblem): void {
    this.#state = 'refused';
    this.#window = undefined;
    this.#ring = undefined;
    this.#jobs.clear();
    this.#log.warn({ model: this.spec.id, code }, message);
    this.#deliver({ kind: 'model-refused', model: this.spec.index, reason: message });
  }

  stats(): ModelStats {
    const counts = this.#window?.counts;
    return {
      model: this.spec.id,
      state: this.#state,
      scored: this.#scored,
      dropped: this.#dropped,
      skippedRows: counts?.skipped ?? 0,
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
  spec: ModelSpec,
  manifest: Manifest,
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
        `${spec.file}: the model takes ${wanted.join(', ')}; the site file gives ${[...given.keys()].join(', ')}`,
      ),
    );
  }
  const order: SignalIndex[] = [];
  for (const { name, unit } of manifest.inputs) {
    const signal = given.get(name);
    const found = signal === undefined ? undefined : signals[signal];
    if (signal === undefined || found === undefined) {
      return err(
        problem('input-mismatch', `${spec.file}: input ${name} is fed by a signal that the site does not have`),
      );
    }
    if (unit !== undefined && found.unit !== undefined && unit !== found.unit) {
      return err(
        problem(
          'input-mismatch',
          `${spec.file}: input ${name} was trained in ${unit}, ${found.id} comes in ${found.unit}`,
        ),
      );
    }
    order.push(signal);
  }
  return ok(order);
}
