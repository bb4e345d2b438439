import { reasonText } from '../../../models/streaming/reason-text.ts';
import { type Reason, StreamingDetector, sensitivities } from '../../../models/streaming/streaming-detector.ts';
import type { CheckIndex, ModelIndex, SignalIndex } from '../../base/ids.ts';
import type { WallTime } from '../../base/time.ts';
import type { CheckObservation } from '../../core/health/check.ts';
import type { Learning, ModelSpec, Score } from '../../core/health/model.ts';
import type { Sample, SignalSpec } from '../../core/health/signal.ts';
import type { Site } from '../../driver/bindings.ts';
import type { Deliver } from '../../driver/ports.ts';
import { RowMaker } from './row-maker.ts';
import { StreamStore } from './stream-store.ts';

export interface StreamingScorerOptions {
  readonly site: Pick<Site, 'plan'>;
  readonly deliver: Deliver;
  readonly log: {
    info(fields: object, text: string): void;
    warn(fields: object, text: string): void;
  };
  /** Folder where what was learnt is kept across restarts. */
  readonly folder: string;
  /** Wall clock, for values that carry no time of their own. */
  readonly wall: () => WallTime;
  /** Every score, before the core hears it: for the recorder. */
  readonly onScore?: (model: ModelIndex, score: Score, end: WallTime) => void;
  /** How often what was learnt is written, while there is something new. */
  readonly saveEveryMs?: number;
}

export interface StreamingScorer {
  /** Takes up what was learnt before; rows come after this. */
  start(): Promise<void>;
  onSample(sample: Sample): void;
  onCheck(check: CheckIndex, observation: CheckObservation): void;
  stats(): readonly StreamingStats[];
  /** Takes nothing more, and keeps what was learnt. */
  stop(): Promise<void>;
}

export interface StreamingStats {
  readonly model: string;
  readonly state: 'unchecked' | 'learning' | 'judging';
  /** Rows learnt from or judged by its slowest input. */
  readonly rows: number;
  /** Readings without a usable value; of a period that was closed; in a state of the plant that does not count. */
  readonly badReadings: number;
  readonly lateReadings: number;
  readonly gatedReadings: number;
}

const saveEveryMs = 600_000;

/**
 * Models that learn on the box: readings into rows, rows into one detector per input, `score-computed` per row. While
 * an event is under way the score stays at its peak, so that `raise` and `clear` see one event and not its flicker.
 * A model that still learns says so: its score is NaN with the rows so far, which is unknown to every rule.
 */
export function createStreamingScorer(options: StreamingScorerOptions): StreamingScorer {
  const { site, deliver, log, folder, wall } = options;
  const { plan } = site;
  const store = new StreamStore(folder);
  const tell = (model: ModelIndex, score: Score, end: WallTime): void => {
    if (!Number.isNaN(score.value)) options.onScore?.(model, score, end);
    deliver({ kind: 'score-computed', model, score, windowEnd: end });
  };
  const models = plan.models.flatMap((spec) =>
    spec.learn === undefined ? [] : [new LearningModel(spec, spec.learn, plan.signals, tell)],
  );
  const bySignal = new Map<SignalIndex, LearningModel[]>();
  const byCheck = new Map<CheckIndex, LearningModel[]>();
  const add = <K>(map: Map<K, LearningModel[]>, key: K, model: LearningModel): void => {
    const list = map.get(key);
    if (list === undefined) map.set(key, [model]);
    else if (!list.includes(model)) list.push(model);
  };
  for (const model of models) {
    for (const { signal } of model.spec.inputs) add(bySignal, signal, model);
    for (const { state } of model.learn.onlyIn) add(bySignal, state, model);
    for (const { check } of model.learn.checks) add(byCheck, check, model);
  }
  let timer: NodeJS.Timeout | undefined;
  let saving: Promise<void> = Promise.resolve();
  let complained = false;
  const saveAll = async (): Promise<void> => {
    for (const model of models) {
      if (!model.changed) continue;
      const saved = await store.save(model.spec.id, model.state());
      if (saved.ok) {
        complained = false;
      } else if (!complained) {
        complained = true;
        log.warn({ model: model.spec.id }, `what was learnt is not kept: ${saved.error}`);
      }
    }
  };
  return {
    async start() {
      for (const model of models) {
        const found = await store.load(model.spec.id);
        const why = found.ok ? model.takeUp(found.value) : found.error;
        const fields = { model: model.spec.id, rows: model.rows };
        if (why !== undefined) log.warn(fields, `learns anew: ${why}`);
        else log.info(fields, 'learns on the box');
      }
      if (models.length === 0) return;
      timer = setInterval(() => {
        saving = saving.then(saveAll);
      }, options.saveEveryMs ?? saveEveryMs);
      timer.unref();
    },
    onSample(sample) {
      const list = bySignal.get(sample.signal);
      if (list !== undefined) for (const model of list) model.sample(sample);
    },
    onCheck(check, { value }) {
      const list = byCheck.get(check);
      if (list !== undefined) for (const model of list) model.checked(check, value, wall());
    },
    stats: () => models.map((model) => model.stats()),
    async stop() {
      clearInterval(timer);
      for (const model of models) model.stop();
      await saving;
      await saveAll();
    },
  };
}

type Tell = (model: ModelIndex, score: Score, end: WallTime) => void;

interface Input {
  readonly name: string;
  readonly signal: SignalIndex | undefined;
  readonly unit: string | undefined;
  readonly acceptUncertain: boolean;
  readonly rows: RowMaker;
  detector: StreamingDetector;
  /** Evidence as shown: the peak while an event is under way. */
  shown: number;
  reason: Reason | undefined;
}

/** One model: a detector per input, and the gate of the plant's state before all of them. */
class LearningModel {
  readonly spec: ModelSpec;
  readonly learn: Learning;
  readonly #signals: readonly SignalSpec[];
  readonly #tell: Tell;
  readonly #inputs: Input[];
  /** Last known state of the plant, by its signal. */
  readonly #states = new Map<SignalIndex, string | undefined>();
  #started = false;
  #stopped = false;
  #changed = false;
  #bad = 0;
  #gated = 0;

  constructor(spec: ModelSpec, learn: Learning, signals: readonly SignalSpec[], tell: Tell) {
    this.spec = spec;
    this.learn = learn;
    this.#signals = signals;
    this.#tell = tell;
    const input = (name: string, signal: SignalIndex | undefined): Input => ({
      name,
      signal,
      unit: signal === undefined ? undefined : signals[signal]?.unit,
      acceptUncertain: signal !== undefined && (signals[signal]?.acceptUncertain ?? false),
      rows: new RowMaker(learn.rowMs),
      detector: this.#fresh(),
      shown: 0,
      reason: undefined,
    });
    this.#inputs = [
      ...spec.inputs.map(({ name, signal }) => input(name, signal)),
      ...learn.checks.map(({ name }) => input(name, undefined)),
    ];
  }

  /** Something was learnt since `state` was last asked for. */
  get changed(): boolean {
    return this.#changed;
  }

  get rows(): number {
    return Math.min(...this.#inputs.map(({ detector }) => detector.rows));
  }

  /** Goes on from `saved`; the reason why it does not, when there was something. */
  takeUp(saved: unknown): string | undefined {
    this.#started = true;
    if (saved === undefined) return undefined;
    const inputs = (saved as { inputs?: unknown } | null)?.inputs;
    if (typeof inputs !== 'object' || inputs === null) return 'what was kept cannot be read';
    for (const input of this.#inputs) {
      const one: unknown = Object.hasOwn(inputs, input.name)
        ? (inputs as Record<string, unknown>)[input.name]
        : undefined;
      if (one === undefined) return `nothing was kept of ${input.name}`;
      const restored = StreamingDetector.restore(one, this.#settings());
      if (!restored.ok) return `${input.name}: ${restored.error.message}`;
      input.detector = restored.value;
      // What happened while the agent was away is not known.
      input.detector.interrupt();
    }
    return undefined;
  }

  state(): unknown {
    this.#changed = false;
    return { inputs: Object.fromEntries(this.#inputs.map(({ name, detector }) => [name, detector.state()])) };
  }

  sample({ signal, value, quality, sourceTime }: Sample): void {
    if (this.learn.onlyIn.some(({ state }) => state === signal)) {
      this.#states.set(signal, quality === 'good' ? this.#signals[signal]?.states?.get(value) : undefined);
    }
    for (const input of this.#inputs) {
      if (input.signal !== signal) continue;
      const usable = quality === 'good' || (quality === 'uncertain' && input.acceptUncertain);
      this.#reading(input, usable ? value : Number.NaN, sourceTime);
    }
  }

  checked(check: CheckIndex, value: number | undefined, at: WallTime): void {
    for (const [i, one] of this.learn.checks.entries()) {
      const input = this.#inputs[this.spec.inputs.length + i];
      if (one.check === check && input !== undefined) this.#reading(input, value ?? Number.NaN, at);
    }
  }

  #reading(input: Input, value: number, time: WallTime): void {
    if (this.#stopped || !this.#started) return;
    if (!Number.isFinite(value) || !Number.isFinite(time)) {
      this.#bad++;
      return;
    }
    if (!this.#counts()) {
      this.#gated++;
      input.rows.forget();
      input.detector.interrupt();
      return;
    }
    const { row, hole } = input.rows.take(time, value);
    if (row !== undefined) this.#row(input, row.mean, row.time as WallTime);
    if (hole) input.detector.interrupt();
  }

  /** In doubt about the plant's state it goes on: an unknown state is no reason to be blind. */
  #counts(): boolean {
    return this.learn.onlyIn.every(({ state, states }) => {
      const now = this.#states.get(state);
      return now === undefined || states.includes(now);
    });
  }

  #row(input: Input, mean: number, end: WallTime): void {
    const { ready, evidence, active, peak, begins } = input.detector.take(mean);
    this.#changed = true;
    const { limit } = input.detector.settings;
    if (begins || (active && evidence >= peak)) input.reason = input.detector.reasons()[0];
    if (!active) input.reason = undefined;
    input.shown = !ready ? Number.NaN : active ? peak : Math.min(evidence, limit);
    this.#tell(this.spec.index, this.#score(limit), end);
  }

  #score(limit: number): Score {
    const judging = this.#inputs.filter(({ shown, detector }) => detector.ready && !Number.isNaN(shown));
    if (judging.length === 0) {
      const text = `learning, ${this.rows} of ${this.learn.afterRows} rows`;
      return { value: Number.NaN, threshold: limit, contributions: [], text };
    }
    const loudest = judging.reduce((a, b) => (b.shown > a.shown ? b : a));
    const sum = judging.reduce((total, { shown }) => total + shown, 0);
    const contributions = judging
      .flatMap(({ signal, shown }) => (signal === undefined || sum === 0 ? [] : [{ signal, share: shown / sum }]))
      .sort((a, b) => b.share - a.share);
    const { reason } = loudest;
    const text =
      loudest.shown > limit && reason !== undefined
        ? `${loudest.name}: ${reasonText(reason, loudest.unit)}`
        : `nothing new in ${this.rows} rows`;
    return { value: loudest.shown, threshold: limit, contributions, text };
  }

  #settings() {
    const { afterRows: learnRows, holdRows, sensitivity } = this.learn;
    return { learnRows, holdRows, limit: sensitivities[sensitivity] };
  }

  #fresh(): StreamingDetector {
    return new StreamingDetector(this.#settings());
  }

  stats(): StreamingStats {
    const ready = this.#inputs.every(({ detector }) => detector.ready);
    return {
      model: this.spec.id,
      state: !this.#started ? 'unchecked' : ready ? 'judging' : 'learning',
      rows: this.rows,
      badReadings: this.#bad,
      lateReadings: this.#inputs.reduce((sum, { rows }) => sum + rows.late, 0),
      gatedReadings: this.#gated,
    };
  }

  stop(): void {
    this.#stopped = true;
  }
}
