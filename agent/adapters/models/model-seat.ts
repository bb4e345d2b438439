import type { AnyManifest, Catalog } from '../../../models/catalog.ts';
import type { ThingIndex } from '../../base/ids.ts';
import type { WallTime } from '../../base/time.ts';
import type { ModelSpec, Score } from '../../core/health/model.ts';
import { type ModelRest, restText } from '../../core/health/shedding.ts';
import type { Sample, SignalSpec } from '../../core/health/signal.ts';
import type { EventReport } from '../../core/reporting/report.ts';
import type { Deliver } from '../../driver/ports.ts';
import type { LaneTrust, ModelTrust } from '../../wire/status.ts';
import { type DriftOptions, DriftWatch, driftDefaults } from './drift-watch.ts';
import type { RetrainProblem } from './retrain.ts';
import { type LaneScore, ScoringLane } from './scoring-lane.ts';
import { Agreement, Tally, type TallyOptions, tallyDefaults } from './tally.ts';
import type { Occupant, SeatRecord } from './trust-store.ts';

export type Role = 'incumbent' | 'shadow' | 'previous';

/** What a person may have a seat do. */
export type SeatAct = 'promote' | 'drop' | 'confirm' | 'revert';

export interface SeatOptions {
  readonly spec: ModelSpec;
  readonly signals: readonly SignalSpec[];
  /** The site's models, and those that were trained on this box. */
  readonly catalogs: { readonly site: Catalog; readonly box: Catalog };
  readonly maxBytes: number | undefined;
  readonly deliver: Deliver;
  readonly log: { info(fields: object, text: string): void; warn(fields: object, text: string): void };
  readonly wall: () => number;
  /** For people: an event about this model. */
  readonly tell: (
    name: string,
    severity: 'info' | 'notice' | 'warning',
    text: string,
    detail?: EventReport['detail'],
  ) => void;
  readonly onScore: ((said: LaneScore) => void) | undefined;
  /** The maintenance that a thing is in: its windows do not count then. */
  readonly maintenance?: ((thing: ThingIndex) => string | undefined) | undefined;
  readonly record: SeatRecord | undefined;
  readonly tally?: TallyOptions | undefined;
  readonly drift?: DriftOptions | undefined;
  /** How long the model before is scored beside a new one. */
  readonly probationMs?: number | undefined;
  /** How much of this model's work is shed now, to keep within the box's budget. */
  readonly rest?: (() => ModelRest) | undefined;
}

interface Chair {
  occupant: Occupant;
  lane: ScoringLane | undefined;
  tally: Tally;
  refused: string | undefined;
  manifest: AnyManifest | undefined;
  /** It has no lane because there is no time for it: it gets one again when there is. */
  isResting: boolean;
}

/** A week holds every shift and every product that a plant runs. */
const probationDefaultMs = 7 * 86_400_000;
/** Share of healthy windows that may be false alarms unless the site file says otherwise. */
const falseAlarmsDefault = 0.05;
const mostRejected = 16;

/**
 * One model of the site and who sits on it: the incumbent, whose scores count; a shadow, which is scored beside it and
 * raises nothing; the previous one, which may have to come back.
 *
 * The site file names incumbent and shadow. A person may promote or drop the shadow on this box; that holds until a
 * signed bundle says something else. By itself the box only goes back: when the incumbent's false alarms pass the limit
 * while the previous model, on the same windows, stays within it. Where both raise, the machine changed and not the
 * model, and people are told instead.
 *
 * A model that is refused never takes another one with it: a refused shadow is shown, a refused choice of this box
 * gives way to the site file's model, and a refused site model leaves the rules working and says so.
 */
export class ModelSeat {
  readonly spec: ModelSpec;
  readonly #options: SeatOptions;
  readonly #limit: number;
  readonly #chairs = new Map<Role, Chair>();
  #since: number;
  #why: string;
  #rejected: string[];
  #agreement: Agreement;
  #drift: DriftWatch | undefined;
  #driftRecord: SeatRecord['drift'];
  #anomalous = false;
  /** A person confirmed what stands now. */
  #confirmed = false;
  /** A check of the same thing is warn or crit. */
  #othersSee = false;
  #unreliableSaid = false;
  /** What became of the last fit on this box. */
  #fit: SeatRecord['fit'];
  #stopped = false;
  #reopening: Promise<void> | undefined;
  #dirty = true;

  constructor(options: SeatOptions) {
    const { spec, record, wall } = options;
    this.#options = options;
    this.spec = spec;
    this.#limit = spec.falseAlarms ?? falseAlarmsDefault;
    const fromSite: Occupant = { file: spec.file, from: 'site', ...hashes(spec) };
    const shadowOfSite: Occupant | undefined =
      spec.shadow === undefined ? undefined : { file: spec.shadow.file, from: 'site', ...hashes(spec.shadow) };
    this.#rejected = record?.rejected ?? [];
    this.#since = record?.since ?? wall();
    this.#why = record?.why ?? 'named by the site file';
    this.#agreement = new Agreement(record?.agreement);
    this.#driftRecord = record?.drift;
    this.#fit = record?.fit;
    if (record === undefined) {
      this.#seat('incumbent', fromSite);
      this.#seat('shadow', shadowOfSite);
      return;
    }
    const { tallies } = record;
    const isNamedAnew = record.siteFile !== spec.file;
    const isOtherShadow = record.siteShadow !== spec.shadow?.file;
    if (isNamedAnew && record.incumbent.file !== spec.file) {
      // Another bundle, another model: the one before stands by.
      this.#since = wall();
      this.#why = `named by the site file in place of ${record.incumbent.file}`;
      this.#rejected = [];
      this.#driftRecord = undefined;
      this.#agreement = new Agreement();
      this.#seat('incumbent', fromSite);
      this.#seat('previous', record.incumbent, tallies.incumbent);
      this.#seat('shadow', shadowOfSite);
      return;
    }
    const isOwn = record.incumbent.file === spec.file && record.incumbent.from === 'site';
    this.#seat('incumbent', isOwn ? fromSite : record.incumbent, tallies.incumbent);
    this.#seat('previous', record.previous, tallies.previous);
    if (isOtherShadow || isNamedAnew) {
      this.#agreement = new Agreement();
      this.#seat('shadow', shadowOfSite?.file === record.incumbent.file ? undefined : shadowOfSite);
    } else this.#seat('shadow', record.shadow, tallies.shadow);
  }

  /** Reads and checks the files; nothing runs before the first sample. */
  async start(): Promise<void> {
    for (const role of [...this.#chairs.keys()]) await this.#open(role);
    await this.#reopening;
  }

  take(sample: Sample): void {
    for (const { lane } of this.#chairs.values()) lane?.take(sample);
  }

  /** The core raised it, or took it back. */
  anomalyChanged(anomalous: boolean): void {
    this.#anomalous = anomalous;
    if (!anomalous) this.#confirmed = false;
  }

  /** Whether a check of the same thing is warn or crit now: somebody else sees something. */
  othersSee(sees: boolean): void {
    this.#othersSee = sees;
    if (sees) for (const { tally } of this.#chairs.values()) tally.confirm(this.#options.wall());
  }

  /**
   * Lets go of what is shed now, its session and memory with it, and takes up again what is not. What was counted of it
   * stays. To be asked again and again: seats change meanwhile.
   */
  async keepWithin(): Promise<void> {
    for (const [role, chair] of [...this.#chairs]) {
      if (this.#rests(role)) {
        const { lane } = chair;
        if (lane === undefined || chair.refused !== undefined) continue;
        // The next one goes on from there; it would begin from nothing.
        if (role === 'incumbent') this.#driftRecord = this.#driftState();
        chair.isResting = true;
        chair.lane = undefined;
        await lane.stop();
      } else if (chair.isResting) {
        chair.isResting = false;
        await this.#open(role);
      }
    }
  }

  /** Undefined when it is done; else why not. */
  async act(act: SeatAct, by: string): Promise<string | undefined> {
    switch (act) {
      case 'confirm':
        for (const { tally } of this.#chairs.values()) tally.confirm(this.#options.wall());
        this.#confirmed = this.#anomalous;
        this.#dirty = true;
        return undefined;
      case 'promote': {
        const shadow = this.#chairs.get('shadow');
        if (shadow === undefined) return 'it has no shadow that could be promoted';
        if (shadow.refused !== undefined) return `its shadow was refused: ${shadow.refused}`;
        await this.#exchange('shadow', `promoted by ${by}`);
        this.#options.tell(
          'model-promoted',
          'notice',
          `${shadow.occupant.file} scores now, by ${by}; the one before stands by`,
        );
        return undefined;
      }
      case 'drop': {
        const shadow = this.#chairs.get('shadow');
        if (shadow === undefined) return 'it has no shadow';
        await this.#leave('shadow');
        this.#reject(shadow.occupant.file);
        this.#options.tell('model-dropped', 'info', `shadow ${shadow.occupant.file} was dropped by ${by}`);
        return undefined;
      }
      case 'revert': {
        if (this.#chairs.get('previous') === undefined) return 'there is no model before this one';
        await this.#revert(`by ${by}`);
        return undefined;
      }
    }
  }

  /** A model that was trained on this box: it begins as a shadow. */
  async offer(occupant: Occupant): Promise<void> {
    await this.#leave('shadow');
    this.#agreement = new Agreement();
    this.#seat('shadow', occupant);
    await this.#open('shadow');
    this.#fit = { at: this.#options.wall(), outcome: 'shadow', file: occupant.file };
    this.#dirty = true;
    this.#options.tell(
      'model-retrained',
      'notice',
      `${occupant.file} was trained on this box and is scored as a shadow`,
    );
  }

  /** A fit on this box gave no model: told, and shown until the next one. */
  notTrained({ code, why }: RetrainProblem): void {
    this.#fit = { at: this.#options.wall(), outcome: 'none', code, why: why.slice(0, 600) };
    this.#dirty = true;
    // What rises may be a machine that gets worse; all else is about the training.
    const severity = code === 'rising' ? 'warning' : 'notice';
    this.#options.tell('model-not-retrained', severity, `nothing was trained: ${why}`, { code });
  }

  /** Now and then: whether the incumbent has to go. */
  async judge(): Promise<void> {
    const now = this.#options.wall();
    const incumbent = this.#chairs.get('incumbent');
    const previous = this.#chairs.get('previous');
    if (incumbent === undefined || this.#stopped) return;
    const { rate } = incumbent.tally.falseAlarms(now);
    const isFailing = rate !== undefined && rate > this.#limit;
    const isWanted = previous !== undefined && previous.lane === undefined && previous.refused === undefined;
    if (isWanted && !this.#rests('previous')) {
      const isOnProbation = now - this.#since < (this.#options.probationMs ?? probationDefaultMs);
      if (isFailing || isOnProbation) await this.#open('previous');
    }
    if (!isFailing) {
      if (rate !== undefined) this.#unreliableSaid = false;
      return;
    }
    const before = previous?.refused === undefined ? previous?.tally.falseAlarms(now).rate : undefined;
    if (previous !== undefined && before !== undefined && before <= this.#limit) {
      const figures = `${percent(rate)} false alarms, ${percent(this.#limit)} are allowed; ${previous.occupant.file} has ${percent(before)} on the same windows`;
      return this.#revert(figures);
    }
    if (this.#unreliableSaid) return;
    this.#unreliableSaid = true;
    const also =
      before === undefined
        ? 'no model before it could do better'
        : `${previous?.occupant.file ?? ''}, the one before, has ${percent(before)} too: the machine may have changed`;
    this.#options.tell(
      'model-unreliable',
      'warning',
      `${percent(rate)} of its windows are above the threshold and confirmed by nobody, ${percent(this.#limit)} are allowed; ${also}`,
    );
  }

  /** Whose scores count; undefined while nothing sits there. */
  get incumbent(): Occupant | undefined {
    return this.#chairs.get('incumbent')?.occupant;
  }

  get manifest(): AnyManifest | undefined {
    return this.#chairs.get('incumbent')?.manifest;
  }

  stats(): ReturnType<ScoringLane['stats']> {
    return (
      this.#chairs.get('incumbent')?.lane?.stats() ?? {
        state: 'unchecked',
        scored: 0,
        dropped: 0,
        skippedRows: 0,
        gatedRows: 0,
        restarts: 0,
        lateSamples: 0,
      }
    );
  }

  trust(): ModelTrust {
    const now = this.#options.wall();
    const told = (role: Role): LaneTrust | undefined => {
      const chair = this.#chairs.get(role);
      if (chair === undefined) return undefined;
      const { windows, above } = chair.tally.totals;
      const { rate, windows: settled } = chair.tally.falseAlarms(now);
      return {
        file: chair.occupant.file,
        from: chair.occupant.from,
        version: chair.manifest?.version,
        sha256: chair.manifest?.onnx.sha256 ?? chair.occupant.sha256,
        state:
          chair.refused !== undefined
            ? 'refused'
            : (chair.lane?.stats().state ?? (chair.isResting ? 'shed' : 'asleep')),
        why: chair.refused ?? (chair.isResting ? restText : undefined),
        windows,
        above,
        falseAlarmRate: rate,
        settledWindows: settled,
      };
    };
    const shadow = told('shadow');
    return {
      since: new Date(this.#since).toISOString(),
      why: this.#why,
      limit: this.#limit,
      incumbent: told('incumbent'),
      shadow: shadow && { ...shadow, ...this.#agreement.state(), agreement: this.#agreement.share.agreement },
      previous: told('previous'),
      lastFit: this.#fit && { ...this.#fit, at: new Date(this.#fit.at).toISOString() },
      drift: {
        state: this.#drift === undefined ? 'unknown' : this.#drift.moved ? 'moved' : 'stable',
        inputs: (this.#drift?.last ?? []).map((one) => ({ ...one })),
      },
    };
  }

  /** What is to be kept across restarts; undefined when nothing changed since the last time. */
  takeRecord(): SeatRecord | undefined {
    if (!this.#dirty) return undefined;
    this.#dirty = false;
    const chair = (role: Role) => this.#chairs.get(role);
    const incumbent = chair('incumbent');
    if (incumbent === undefined) return undefined;
    const tallies: SeatRecord['tallies'] = {};
    for (const [role, { tally }] of this.#chairs) {
      const { stretches, windows, above } = tally.state();
      tallies[role] = { stretches: [...stretches], windows, above };
    }
    const drift = this.#driftState();
    return {
      v: 1,
      siteFile: this.spec.file,
      ...(this.spec.shadow === undefined ? {} : { siteShadow: this.spec.shadow.file }),
      incumbent: incumbent.occupant,
      ...(chair('shadow') === undefined ? {} : { shadow: chair('shadow')!.occupant }),
      ...(chair('previous') === undefined ? {} : { previous: chair('previous')!.occupant }),
      since: this.#since,
      why: this.#why.slice(0, 400),
      rejected: this.#rejected,
      tallies,
      agreement: this.#agreement.state(),
      ...(this.#fit === undefined ? {} : { fit: this.#fit }),
      ...(drift === undefined ? {} : { drift }),
    };
  }

  #driftState(): SeatRecord['drift'] {
    const drift = this.#drift?.state();
    return (
      drift && {
        ...drift,
        sums: [...drift.sums],
        bins: drift.bins.map((bins) => [...bins]),
        last: drift.last.map(({ psi, ...one }) => (psi === undefined ? one : { ...one, psi })),
      }
    );
  }

  async stop(): Promise<void> {
    this.#stopped = true;
    await this.#reopening;
    await Promise.all([...this.#chairs.values()].map(({ lane }) => lane?.stop()));
  }

  #seat(role: Role, occupant: Occupant | undefined, tally?: SeatRecord['tallies'][Role]): void {
    if (occupant === undefined) return;
    this.#chairs.set(role, {
      occupant,
      lane: undefined,
      tally: new Tally(this.#options.tally ?? tallyDefaults, tally),
      refused: undefined,
      manifest: undefined,
      isResting: false,
    });
  }

  async #open(role: Role): Promise<void> {
    const chair = this.#chairs.get(role);
    if (chair === undefined || chair.lane !== undefined || this.#stopped) return;
    chair.isResting = this.#rests(role);
    if (chair.isResting) return;
    const { occupant } = chair;
    const { signals, catalogs, maxBytes } = this.#options;
    const lane = new ScoringLane(occupant.file, this.spec, signals, {
      opened: (manifest) => this.#opened(lane, manifest),
      scored: (said) => this.#scored(lane, said),
      gated: (why, end, threshold) => this.#gated(lane, why, end, threshold),
      refused: ({ code, message }) => this.#refused(lane, code, message),
    });
    chair.lane = lane;
    const checked = await catalogs[occupant.from].check(occupant.file, {
      sha256: occupant.sha256,
      manifestSha256: occupant.manifestSha256,
      ...(maxBytes === undefined ? {} : { maxBytes }),
    });
    if (checked.ok) {
      chair.manifest = checked.value.manifest;
      // From now on it is this very file, also where no bundle promised it.
      const { manifest, manifestSha256 } = checked.value;
      chair.occupant = { ...occupant, ...hashes({ sha256: manifest.onnx.sha256, manifestSha256 }) };
      this.#dirty = true;
      if (this.#roleOf(lane) === 'incumbent') this.#watchDrift(checked.value.manifest);
    }
    lane.checked(checked);
  }

  #watchDrift(manifest: AnyManifest): void {
    this.#drift = new DriftWatch(
      manifest.distribution,
      this.#options.drift ?? driftDefaults,
      this.#driftRecord as ConstructorParameters<typeof DriftWatch>[2],
    );
    this.#driftRecord = undefined;
  }

  #rests(role: Role): boolean {
    const rest = this.#options.rest?.() ?? 'nothing';
    return rest === 'all' || (rest === 'beside' && role !== 'incumbent');
  }

  #roleOf(lane: ScoringLane): Role | undefined {
    for (const [role, chair] of this.#chairs) if (chair.lane === lane) return role;
    return undefined;
  }

  #opened(lane: ScoringLane, { name, version, threshold, onnx }: AnyManifest): void {
    const role = this.#roleOf(lane);
    this.#options.log.info(
      { model: this.spec.id, role, name, version, threshold: threshold?.value, sha256: onnx.sha256 },
      role === 'incumbent' ? 'model scores' : `model scores as ${role}`,
    );
  }

  #scored(lane: ScoringLane, said: LaneScore): void {
    const role = this.#roleOf(lane);
    const chair = role === undefined ? undefined : this.#chairs.get(role);
    if (role === undefined || chair === undefined) return;
    const now = this.#options.wall();
    const { score, end, last } = said;
    this.#dirty = true;
    // In a state that nobody knows, or while people work on it, a window speaks neither for a model nor against it.
    const counts = said.counts && this.#options.maintenance?.(this.spec.thing) === undefined;
    if (!Number.isNaN(score.value) && counts) {
      const above = score.value > score.threshold;
      chair.tally.add(now, above, this.#othersSee || this.#confirmed);
      if (role !== 'previous' && this.#chairs.has('shadow')) this.#agreement.judge(end, role === 'shadow', above);
    }
    if (role !== 'incumbent') return;
    this.#options.onScore?.(said);
    this.#options.deliver({ kind: 'score-computed', model: this.spec.index, score, windowEnd: end });
    if (counts && this.#drift?.take(now, last)) this.#sayDrift(this.#drift);
  }

  /** The plant is where the model does not apply: nobody may take its last word for today's. */
  #gated(lane: ScoringLane, state: string, end: WallTime, threshold: number): void {
    if (this.#roleOf(lane) !== 'incumbent') return;
    const score: Score = { value: Number.NaN, threshold, contributions: [], text: `not judged ${state}` };
    this.#options.deliver({ kind: 'score-computed', model: this.spec.index, score, windowEnd: end });
  }

  #sayDrift({ moved, last }: DriftWatch): void {
    if (!moved) {
      return this.#options.tell('model-drift-gone', 'info', 'its inputs are again as they were in training');
    }
    const which = last
      .filter((one) => one.moved)
      .slice(0, 4)
      .map(({ name, psi, shift }) => {
        const index = psi === undefined ? '' : `, stability index ${psi.toFixed(2)}`;
        return `${name} by ${shift.toFixed(1)} deviations${index}`;
      });
    this.#options.tell(
      'model-drift',
      'notice',
      `its inputs are not those of its training any more: ${which.join('; ')}`,
    );
  }

  #refused(lane: ScoringLane, code: string, message: string): void {
    const role = this.#roleOf(lane);
    const chair = role === undefined ? undefined : this.#chairs.get(role);
    if (role === undefined || chair === undefined) return;
    chair.refused = message;
    this.#options.log.warn({ model: this.spec.id, role, code }, message);
    if (role !== 'incumbent') {
      return this.#options.tell('model-refused', 'notice', `${role} is refused: ${message}`);
    }
    const isChoiceOfBox = chair.occupant.file !== this.spec.file || chair.occupant.from !== 'site';
    if (!isChoiceOfBox) {
      return this.#options.deliver({ kind: 'model-refused', model: this.spec.index, reason: message });
    }
    // What this box chose cannot be had: the site file's word counts again.
    this.#options.tell('model-refused', 'warning', `${message}; ${this.spec.file} of the site file scores again`);
    this.#since = this.#options.wall();
    this.#why = `named by the site file; ${chair.occupant.file} was refused`;
    this.#chairs.delete('previous');
    this.#seat('incumbent', { file: this.spec.file, from: 'site', ...hashes(this.spec) });
    this.#reopening = this.#open('incumbent');
  }

  /** The incumbent and the one on `role` change places; from `shadow` the incumbent goes to `previous`. */
  async #exchange(role: 'shadow' | 'previous', why: string): Promise<void> {
    const incumbent = this.#chairs.get('incumbent');
    const next = this.#chairs.get(role);
    if (incumbent === undefined || next === undefined) return;
    await this.#leave('previous', next);
    this.#chairs.delete(role);
    this.#chairs.set('incumbent', next);
    this.#since = this.#options.wall();
    this.#why = why;
    this.#agreement = new Agreement();
    this.#unreliableSaid = false;
    if (next.manifest !== undefined) this.#watchDrift(next.manifest);
    if (role === 'shadow') this.#chairs.set('previous', incumbent);
    else await incumbent.lane?.stop();
    this.#dirty = true;
    await this.#open('incumbent');
  }

  async #revert(figures: string): Promise<void> {
    const bad = this.#chairs.get('incumbent');
    const good = this.#chairs.get('previous');
    if (bad === undefined || good === undefined) return;
    this.#reject(bad.occupant.file);
    await this.#exchange('previous', `reverted from ${bad.occupant.file}: ${figures}`);
    this.#options.tell(
      'model-reverted',
      'warning',
      `${good.occupant.file} scores again in place of ${bad.occupant.file}: ${figures}`,
    );
  }

  /** Whoever sits there goes, unless it is `but`. */
  async #leave(role: Role, but?: Chair): Promise<void> {
    const chair = this.#chairs.get(role);
    if (chair === undefined || chair === but) return;
    this.#chairs.delete(role);
    this.#dirty = true;
    await chair.lane?.stop();
  }

  #reject(file: string): void {
    this.#rejected = [...this.#rejected.filter((one) => one !== file), file].slice(-mostRejected);
    this.#dirty = true;
  }
}

const hashes = ({ sha256, manifestSha256 }: Pick<ModelSpec, 'sha256' | 'manifestSha256'>) => ({
  ...(sha256 === undefined ? {} : { sha256 }),
  ...(manifestSha256 === undefined ? {} : { manifestSha256 }),
});
const percent = (share: number | undefined): string => `${Number(((share ?? 0) * 100).toPrecision(3))} %`;
