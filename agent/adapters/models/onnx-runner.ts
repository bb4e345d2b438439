import { join } from 'node:path';
import { Catalog, startModel } from '../../../models/catalog.ts';
import type { ScoringSession } from '../../../models/onnx/session.ts';
import type { CheckIndex, ModelIndex, SignalIndex, ThingIndex } from '../../base/ids.ts';
import type { WallTime } from '../../base/time.ts';
import { dependencies } from '../../core/health/condition-evaluator.ts';
import type { ModelSpec, Score } from '../../core/health/model.ts';
import type { ModelRest } from '../../core/health/shedding.ts';
import type { Sample } from '../../core/health/signal.ts';
import type { Observation } from '../../core/observation.ts';
import type { ReportBody } from '../../core/reporting/report.ts';
import type { SitePlan } from '../../core/site-plan.ts';
import type { Site } from '../../driver/bindings.ts';
import type { Deliver } from '../../driver/ports.ts';
import type { ModelTrust } from '../../wire/status.ts';
import type { DriftOptions } from './drift-watch.ts';
import { ModelSeat, type SeatAct, type SeatOptions } from './model-seat.ts';
import {
  boxModels,
  type RetrainBudget,
  type RetrainProblem,
  retrain,
  retrainBudget,
  tidyBoxModels,
  type WindowScores,
} from './retrain.ts';
import type { LaneStats } from './scoring-lane.ts';
import type { TallyOptions } from './tally.ts';
import { openTrustStore, type TrustStore } from './trust-store.ts';

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
  /** Hears every score that counts, for the recorder; `end`: time of the window's newest row, by the source. */
  readonly onScore?: (model: ModelIndex, score: Score, end: WallTime) => void;
  /** The agent's data folder: what is learned of models is kept there. Without it nothing outlives this process. */
  readonly dataDir?: string | undefined;
  readonly wall?: () => number;
  readonly report?: (body: ReportBody) => void;
  /** The maintenance that a thing is in. */
  readonly maintenance?: (thing: ThingIndex) => string | undefined;
  /** How much of a model's work is shed now, to keep within the box's budget; it is asked about once a second. */
  readonly rest?: (model: ModelIndex) => ModelRest;
  readonly tally?: TallyOptions;
  readonly drift?: DriftOptions;
  readonly probationMs?: number;
  readonly retrainBudget?: RetrainBudget;
}

export interface ModelScorer {
  /** Checks every model of the site without running any; what is refused is delivered as `model-refused`. */
  start(): Promise<void>;
  /** Tap for every sample that this agent polls. The first one of a model's inputs opens its session. */
  onSample(sample: Sample): void;
  /** What the core noticed: checks of the same thing confirm a model. */
  observed(observation: Observation): void;
  /** About once a second: judges models now and then, and keeps what was learned. */
  tick(): Promise<void>;
  /** What a person wants of one model (`thing/name`): undefined when it is done, else why not. */
  act(model: string, act: SeatAct | 'retrain', by: string): Promise<string | undefined>;
  stats(): readonly ModelStats[];
  /** Takes nothing more, and waits for the run under way. */
  stop(): Promise<void>;
}

export interface ModelStats extends LaneStats {
  readonly model: string;
  readonly trust: ModelTrust;
}

const judgeEveryMs = 60_000;
const saveEveryMs = 60_000;
/** The newest rows that a fit on the box takes: at 1 Hz half a day. */
const retrainRows = 40_000;
/** Windows that the present model scores in one go for a fit: with the slowest kinds a few milliseconds. */
const sliceWindows = 8;
const overBudget = 'nothing is trained while this agent is over its budget';

/**
 * From samples to scores: aligns a model's inputs in source time, keeps its window, runs it, delivers
 * `score-computed`. A model that is refused stays refused until the next start, and everything else goes on.
 */
export function createModelScorer(options: ModelScorerOptions): ModelScorer {
  const { site, log, dataDir, wall = Date.now } = options;
  const { plan } = site;
  const store: TrustStore | undefined =
    dataDir === undefined || plan.models.every(({ learn }) => learn !== undefined)
      ? undefined
      : openTrustStore(dataDir);
  const catalogs = {
    site: new Catalog(options.catalogRoot),
    box: new Catalog(boxModels(dataDir ?? options.catalogRoot)),
  };
  const tell =
    (spec: ModelSpec): SeatOptions['tell'] =>
    (name, severity, text, detail = {}) =>
      options.report?.({ type: 'event', name, subject: spec.id, severity, text: text.slice(0, 2_000), detail });
  // Models that learn by themselves have no file, and so nobody to be compared with.
  const specs = plan.models.filter(({ learn }) => learn === undefined);
  const seats = specs.map(
    (spec) =>
      new ModelSeat({
        spec,
        signals: plan.signals,
        catalogs,
        maxBytes: options.maxBytes,
        deliver: options.deliver,
        log,
        wall,
        tell: tell(spec),
        onScore: options.onScore && (({ score, end }) => options.onScore?.(spec.index, score, end)),
        maintenance: options.maintenance,
        record: store?.load(spec.id),
        tally: options.tally,
        drift: options.drift,
        probationMs: options.probationMs,
        rest: options.rest && (() => options.rest?.(spec.index) ?? 'nothing'),
      }),
  );
  const bySignal = new Map<SignalIndex, ModelSeat[]>();
  for (const seat of seats) {
    const { inputs, onlyIn = [] } = seat.spec;
    for (const signal of new Set([...inputs.map((one) => one.signal), ...onlyIn.map(({ state }) => state)])) {
      const list = bySignal.get(signal);
      if (list === undefined) bySignal.set(signal, [seat]);
      else list.push(seat);
    }
  }
  const witnesses = seats.map(({ spec }) => witnessesOf(plan, spec));
  const bad = new Set<CheckIndex>();
  let judgedAt = Number.NEGATIVE_INFINITY;
  let savedAt = wall();
  let judging: Promise<void> | undefined;
  let fitting: Promise<string | undefined> | undefined;
  let settling: Promise<void> | undefined;
  const ending = new AbortController();
  /** Ends the fit under way. */
  let shedding = new AbortController();
  const rests = ({ spec }: ModelSeat): boolean => (options.rest?.(spec.index) ?? 'nothing') !== 'nothing';
  /** Beginning with the start: a box that restarts every hour must not fit every hour. */
  const retrainDue = new Map(
    seats.flatMap(({ spec }) => (spec.retrainMs === undefined ? [] : [[spec.id, wall() + spec.retrainMs]])),
  );

  const save = (): void => {
    savedAt = wall();
    store?.save(
      seats.flatMap((seat) => {
        const record = seat.takeRecord();
        return record === undefined ? [] : [[seat.spec.id, record] as const];
      }),
    );
  };

  const train = async (seat: ModelSeat, by: string, shed: AbortSignal): Promise<RetrainProblem | undefined> => {
    const { spec, manifest, incumbent: present } = seat;
    const unfit = (why: string): RetrainProblem => ({ code: 'unfit', why });
    if (dataDir === undefined) return unfit('this agent keeps no recorder');
    if (manifest === undefined || present === undefined)
      return unfit('its present model was refused, and nothing says how often rows come');
    if ('outputs' in manifest)
      return unfit(`${manifest.name} was made elsewhere: only models of our own kinds are trained here`);
    const version = new Date(wall()).toISOString().slice(0, 19).replaceAll(':', '-');
    const file = `${spec.id}/${version}`;
    // A session of its own: the seat's may be asleep, or leave while this lasts.
    const checked = await catalogs[present.from].check(present.file, { sha256: present.sha256 });
    const asked = checked.ok ? await startModel(present.file, checked.value) : checked;
    if (!asked.ok) return unfit(`the present model cannot be asked: ${asked.error.message}`);
    const { session } = asked.value;
    const cut = AbortSignal.any([ending.signal, shed]);
    const fitted = await retrain(
      {
        dataDir,
        thing: plan.things[spec.thing]?.id ?? 'site',
        series: spec.inputs.map(({ name, signal }) => ({ column: name, name: plan.signals[signal]?.id ?? '' })),
        everyMs: manifest.window.everyMs,
        rows: retrainRows,
        onlyIn: (spec.onlyIn ?? []).map(({ state, states }) => {
          const signal = plan.signals[state];
          const codes = [...(signal?.states ?? [])].flatMap(([code, name]) => (states.includes(name) ? [code] : []));
          return { series: signal?.id ?? '', values: codes };
        }),
        incumbent: {
          inputs: manifest.inputs.map(({ name }) => name),
          windowRows: manifest.window.rows,
          maxGapMs: manifest.window.maxGapMs,
        },
        folder: join(boxModels(dataDir), file),
        name: manifest.name,
        kind: manifest.kind,
      },
      (windows, n) => scoreInSlices(session, windows, n, cut),
      options.retrainBudget ?? retrainBudget,
      cut,
    ).finally(() => session.release());
    if (!fitted.ok) return fitted.error;
    const { sha256, rows, cpuMs } = fitted.value;
    log.info({ model: spec.id, file, rows, cpuMs: Math.round(cpuMs), by }, 'a model was trained on this box');
    await seat.offer({ file, sha256, from: 'box' });
    const { incumbent, previous, shadow } = seat.trust();
    tidyBoxModels(
      dataDir,
      spec.id,
      [incumbent, previous, shadow].map((one) => one?.file ?? ''),
    );
    save();
    return undefined;
  };
  /** One at a time: a box has few cores, and its machines come first. */
  const startFit = (seat: ModelSeat, by: string): Promise<string | undefined> => {
    if (fitting !== undefined) return Promise.resolve('another model is being trained');
    if (rests(seat)) return Promise.resolve(overBudget);
    shedding = new AbortController();
    const { signal: shed } = shedding;
    fitting = train(seat, by, shed)
      .catch((cause: unknown): RetrainProblem => ({ code: 'broken', why: String(cause) }))
      .then((problem) => {
        fitting = undefined;
        if (problem?.code === 'stopped' && shed.aborted && !ending.signal.aborted) {
          seat.notTrained({ code: 'budget', why: overBudget });
          return overBudget;
        }
        // An agent that ends was no answer about the model.
        if (problem !== undefined && problem.code !== 'stopped') seat.notTrained(problem);
        return problem?.why;
      });
    return fitting;
  };

  return {
    async start() {
      for (const seat of seats) await seat.start();
    },
    onSample(sample) {
      const list = bySignal.get(sample.signal);
      if (list !== undefined) for (const seat of list) seat.take(sample);
    },
    observed(observation) {
      if (observation.kind === 'anomaly-changed') {
        seats.find(({ spec }) => spec.index === observation.model)?.anomalyChanged(observation.anomalous);
      }
      if (observation.kind !== 'check-changed') return;
      const isBad = observation.to === 'warn' || observation.to === 'crit';
      if (isBad === bad.has(observation.check)) return;
      if (isBad) bad.add(observation.check);
      else bad.delete(observation.check);
      for (const [i, seat] of seats.entries()) {
        if (!witnesses[i]?.has(observation.check)) continue;
        seat.othersSee([...bad].some((check) => witnesses[i]?.has(check)));
      }
    },
    async tick() {
      const now = wall();
      settling ??= (async () => {
        for (const seat of seats) await seat.keepWithin();
      })().finally(() => {
        settling = undefined;
      });
      // It is a step of shedding that all models take together.
      if (fitting !== undefined && seats.some(rests)) shedding.abort();
      if (now - judgedAt >= judgeEveryMs && judging === undefined) {
        judgedAt = now;
        judging = (async () => {
          for (const seat of seats) await seat.judge();
        })().finally(() => {
          judging = undefined;
        });
      }
      for (const seat of seats) {
        const due = retrainDue.get(seat.spec.id);
        // What is due while there is no time for it waits until there is.
        if (due === undefined || now < due || fitting !== undefined || rests(seat)) continue;
        retrainDue.set(seat.spec.id, now + (seat.spec.retrainMs ?? 0));
        void startFit(seat, 'the site file');
      }
      if (now - savedAt >= saveEveryMs) save();
      await settling;
      await judging;
    },
    async act(model, act, by) {
      const seat = seats.find(({ spec }) => spec.id === model);
      if (seat === undefined) return `this site has no model ${model}`;
      const why = act === 'retrain' ? await startFit(seat, by) : await seat.act(act, by);
      save();
      return why;
    },
    stats: () => seats.map((seat) => ({ model: seat.spec.id, ...seat.stats(), trust: seat.trust() })),
    async stop() {
      ending.abort();
      await Promise.all([...seats.map((seat) => seat.stop()), judging, settling, fitting]);
      save();
      store?.close();
    },
  };
}

/** A few windows at a time, and whatever else waits goes in between: a fit must not hold up the agent. */
async function scoreInSlices(
  session: ScoringSession,
  windows: Float32Array,
  n: number,
  cut: AbortSignal,
): Promise<WindowScores> {
  const width = windows.length / n;
  const scores = new Float32Array(n);
  let contributions = new Float32Array(0);
  for (let from = 0; from < n && !cut.aborted; from += sliceWindows) {
    const count = Math.min(sliceWindows, n - from);
    const run = await session.run(windows.slice(from * width, (from + count) * width), count);
    scores.set(run.scores, from);
    const channels = run.contributions.length / count;
    if (contributions.length === 0) contributions = new Float32Array(n * channels);
    contributions.set(run.contributions, from * channels);
    await new Promise((resolve) => setImmediate(resolve));
  }
  return { scores, contributions };
}

/** Checks of the same thing that see for themselves: those that ask this very model confirm nothing. */
function witnessesOf(plan: SitePlan, model: ModelSpec): ReadonlySet<CheckIndex> {
  const asks = (check: SitePlan['checks'][number]): boolean =>
    [check.warnWhen, check.critWhen].some((index) => {
      const expression = index === undefined ? undefined : plan.conditions[index]?.expression;
      return expression !== undefined && dependencies(expression).models.has(model.index);
    });
  return new Set(plan.checks.filter((check) => check.thing === model.thing && !asks(check)).map(({ index }) => index));
}
