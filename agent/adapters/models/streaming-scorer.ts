import { MetricWatch } from '../../../models/streaming/metric-watch.ts';
import { sensitivities } from '../../../models/streaming/streaming-detector.ts';
import type { CheckIndex, ModelIndex, SignalIndex, ThingIndex } from '../../base/ids.ts';
import type { WallTime } from '../../base/time.ts';
import type { CheckObservation } from '../../core/health/check.ts';
import type { Learning, ModelSpec, Score } from '../../core/health/model.ts';
import { type ModelRest, restText } from '../../core/health/shedding.ts';
import type { Sample, SignalSpec } from '../../core/health/signal.ts';
import type { Site } from '../../driver/bindings.ts';
import type { Deliver } from '../../driver/ports.ts';
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
  /** The maintenance that a thing is in: what happens then is neither judged nor learnt. */
  readonly maintenance?: (thing: ThingIndex) => string | undefined;
  /** How much of a model's work is shed now; a model that rests as a whole neither judges nor learns. */
  readonly rest?: (model: ModelIndex) => ModelRest;
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
  /** Readings without a usable value; of a period that was closed; in maintenance or in a state that does not count. */
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
    spec.learn === undefined ? [] : [new LearningModel(spec, spec.learn, plan.signals, tell, options)],
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
    for (const { state } of model.spec.onlyIn ?? []) add(bySignal, state, model);
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
      await store.prune(models.map(({ spec }) => spec.id));
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
  readonly acceptUncertain: boolean;
  readonly watch: MetricWatch;
}

/** One model: a detector per input, and the gate of the plant's state before all of them. */
class LearningModel {
  readonly spec: ModelSpec;
  readonly learn: Learning;
  readonly #signals: readonly SignalSpec[];
  readonly #tell: Tell;
  readonly #options: Pick<StreamingScorerOptions, 'maintenance' | 'rest'>;
  readonly #inputs: Input[];
  /** Last known state of the plant, by its signal. */
  readonly #states = new Map<SignalIndex, string | undefined>();
  #started = false;
  #stopped = false;
  #changed = false;
  #bad = 0;
  #gated = 0;
  /** Period in which it last said that it does not judge. */
  #closedPeriod = Number.NaN;

  constructor(
    spec: ModelSpec,
    learn: Learning,
    signals: readonly SignalSpec[],
    tell: Tell,
    options: Pick<StreamingScorerOptions, 'maintenance' | 'rest'>,
  ) {
    this.spec = spec;
    this.learn = learn;
    this.#signals = signals;
    this.#tell = tell;
    this.#options = options;
    const { afterRows: learnRows, holdRows, sensitivity } = learn;
    const settings = { learnRows, holdRows, limit: sensitivities[sensitivity] };
    const input = (name: string, signal: SignalIndex | undefined): Input => ({
      name,
      signal,
      acceptUncertain: signal !== undefined && (signals[signal]?.acceptUncertain ?? false),
      watch: new MetricWatch({
        rowMs: learn.rowMs,
        settings,
        unit: signal === undefined ? undefined : signals[signal]?.unit,
      }),
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
    return Math.min(...this.#inputs.map(({ watch }) => watch.rows));
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
      const restored = input.watch.restore(one);
      if (!restored.ok) return `${input.name}: ${restored.error.message}`;
    }
    return undefined;
  }

  state(): unknown {
    this.#changed = false;
    return { inputs: Object.fromEntries(this.#inputs.map(({ name, watch }) => [name, watch.state()])) };
  }

  sample({ signal, value, quality, sourceTime }: Sample): void {
    if (this.spec.onlyIn?.some(({ state }) => state === signal)) {
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
    const closed = this.#closed();
    if (closed !== undefined) {
      this.#gated++;
      input.watch.interrupt();
      const period = Math.floor(time / this.learn.rowMs);
      if (period !== this.#closedPeriod) {
        this.#closedPeriod = period;
        const { limit } = input.watch;
        this.#tell(this.spec.index, { value: Number.NaN, threshold: limit, contributions: [], text: closed }, time);
      }
      return;
    }
    const row = input.watch.take(time, value);
    if (row === undefined) return;
    this.#changed = true;
    this.#tell(this.spec.index, this.#score(row.limit), row.time as WallTime);
  }

  /** Why readings do not count now. In doubt about the plant's state it goes on: that is no reason to be blind. */
  #closed(): string | undefined {
    if (this.#options.rest?.(this.spec.index) === 'all') return restText;
    const maintenance = this.#options.maintenance?.(this.spec.thing);
    if (maintenance !== undefined) return `not judged in maintenance ${maintenance}`;
    for (const { state, states } of this.spec.onlyIn ?? []) {
      const now = this.#states.get(state);
      if (now !== undefined && !states.includes(now)) return `not judged while ${now}`;
    }
    return undefined;
  }

  #score(limit: number): Score {
    const judging = this.#inputs.filter(({ watch }) => !Number.isNaN(watch.score));
    if (judging.length === 0) {
      const text = `learning, ${this.rows} of ${this.learn.afterRows} rows`;
      return { value: Number.NaN, threshold: limit, contributions: [], text };
    }
    const loudest = judging.reduce((a, b) => (b.watch.score > a.watch.score ? b : a));
    const sum = judging.reduce((total, { watch }) => total + watch.score, 0);
    const contributions = judging
      .flatMap(({ signal, watch }) => (signal === undefined || sum === 0 ? [] : [{ signal, share: watch.score / sum }]))
      .sort((a, b) => b.share - a.share);
    const { why } = loudest.watch;
    const text = why === undefined ? `nothing new in ${this.rows} rows` : `${loudest.name}: ${why}`;
    return { value: loudest.watch.score, threshold: limit, contributions, text };
  }

  stats(): StreamingStats {
    const ready = this.#inputs.every(({ watch }) => watch.ready);
    return {
      model: this.spec.id,
      state: !this.#started ? 'unchecked' : ready ? 'judging' : 'learning',
      rows: this.rows,
      badReadings: this.#bad,
      lateReadings: this.#inputs.reduce((sum, { watch }) => sum + watch.late, 0),
      gatedReadings: this.#gated,
    };
  }

  stop(): void {
    this.#stopped = true;
  }
}
