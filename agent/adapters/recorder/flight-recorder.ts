import { createHash, randomBytes } from 'node:crypto';
import { gunzipSync, gzipSync } from 'node:zlib';
import type { ConditionIndex, ModelIndex, ThingIndex } from '../../base/ids.ts';
import type { LocalAlarm } from '../../core/effect.ts';
import { dependencies } from '../../core/health/condition-evaluator.ts';
import type { Score } from '../../core/health/model.ts';
import type { Sample } from '../../core/health/signal.ts';
import type { Observation } from '../../core/observation.ts';
import type { ReportBody } from '../../core/reporting/report.ts';
import type { SitePlan } from '../../core/site-plan.ts';
import { type EvidenceCurve, type EvidenceStage, scorePrefix } from '../../wire/evidence.ts';
import { excerpt, type NamedColumns } from './excerpt.ts';
import { type EvidenceRow, Recorder, type RecorderLimits, type RecorderStats } from './recorder.ts';

export interface FlightRecorderOptions {
  readonly dir: string;
  readonly agent: string;
  readonly plan: SitePlan;
  readonly wall: () => number;
  readonly report: (body: ReportBody) => void;
  /** Alarms that stood when the last life ended. */
  readonly standing: readonly string[];
  /** The maintenance that a thing is in: what happens then is marked like what is not healthy. */
  readonly maintenance?: (thing: ThingIndex) => string | undefined;
  readonly limits?: Partial<RecorderLimits>;
  /** How long before and after what happened is kept as evidence. */
  readonly beforeMs?: number;
  readonly afterMs?: number;
}

export interface FlightRecorder {
  onSample(sample: Sample): void;
  onScore(model: ModelIndex, score: Score, end: number): void;
  alarmChanged(alarm: LocalAlarm): void;
  observed(observation: Observation): void;
  /** About once a second. */
  tick(): void;
  /** Newest first. */
  evidence(): readonly EvidenceRow[];
  /** The whole of one, as it was hashed; undefined when it is not kept (any more). */
  read(id: string): string | undefined;
  stats(): RecorderStats;
  stop(): void;
}

/** An evidence that still waits for what comes after. */
interface Open extends EvidenceRow {
  /** Wall clock at which it is closed. */
  readonly dueAt: number;
  /** What the models said when it was raised, by series; of a life before this one nobody knows it any more. */
  readonly said?: ReadonlyMap<string, Said>;
}

type Said = Pick<EvidenceCurve, 'threshold' | 'shares'>;

const qualityCode = { good: 0, uncertain: 1, bad: 2 } as const;
const mostOpen = 16;
const mostSeries = 24;
const mostShares = 12;
const mostLimits = 8;
/** Samples in one evidence, over all its series: packing them must not hold up the agent. */
const mostSamples = 40_000;
/** What happens to one thing within this is one story: it is recorded once, and told with both names. */
const sameStoryMs = 60_000;

export const scoreSeries = (model: string): string => `${scorePrefix}${model}`;

/**
 * Ties the recorder to the agent: records what is polled and scored, marks when things are not healthy, and keeps what
 * was before and after an alarm or an anomaly as evidence. Of each evidence two events tell: at once, with what led to
 * it, and when it is complete, with the hash of what is kept on the box. Both carry an excerpt of at most 8 kB.
 *
 * Time is the source's: a device whose clock is wrong, or a recording that is played, gives one consistent story.
 */
export function createFlightRecorder(options: FlightRecorderOptions): FlightRecorder {
  const { plan, wall, report, agent, beforeMs = 600_000, afterMs = 120_000 } = options;
  const recorder = new Recorder(options.dir, options.limits);
  const newest = new Map<string, number>();
  const told = new Set<string>();
  const open = new Map<string, Open>();
  /** Of each subject the occurrence that has its evidence already: an alarm that is said again is no new one. */
  const known = new Map<string, string>();
  const scores = new Map<ModelIndex, Score>();
  const thingName = (thing: number): string => plan.things[thing]?.id ?? 'site';

  recorder.closeSpans(new Set(options.standing), wall());
  for (const row of recorder.evidence(1_000)) {
    if (row.occurrence !== '' && !known.has(row.subject)) known.set(row.subject, row.occurrence);
    // What comes after was cut off by the restart; what is there is closed soon.
    if (row.state === 'open' && open.size < mostOpen) open.set(row.id, { ...row, dueAt: wall() });
  }

  const describe = (name: string, unit: string | undefined, everyMs: number | undefined): void => {
    if (told.has(name) || told.size > 4_000) return;
    told.add(name);
    recorder.describe({ name, unit, everyMs });
  };

  /** The signals of a thing and the scores of its models, those that a condition looks at first. */
  const seriesOf = (thing: number, first: readonly ModelIndex[], condition: ConditionIndex | undefined): string[] => {
    const names = new Set<string>();
    const addModel = (index: ModelIndex): void => {
      const spec = plan.models[index];
      if (spec === undefined) return;
      names.add(scoreSeries(spec.id));
      for (const { signal } of spec.inputs) names.add(plan.signals[signal]?.id ?? '');
    };
    for (const model of first) addModel(model);
    const expression = condition === undefined ? undefined : plan.conditions[condition]?.expression;
    if (expression !== undefined) {
      const of = dependencies(expression);
      for (const model of of.models) addModel(model);
      for (const check of of.checks) {
        const source = plan.checks[check]?.source;
        if (source?.kind === 'signal') names.add(plan.signals[source.signal]?.id ?? '');
      }
      for (const signal of of.signals) names.add(plan.signals[signal]?.id ?? '');
    }
    for (const spec of plan.models) if (spec.thing === thing) addModel(spec.index);
    for (const spec of plan.signals) if (spec.thing === thing) names.add(spec.id);
    return [...names].filter((name) => newest.has(name)).slice(0, mostSeries);
  };

  /** The newest time of the source among them; the wall clock where nothing was ever read. */
  const sourceNow = (series: readonly string[]): number => {
    let last = Number.NEGATIVE_INFINITY;
    for (const name of series) last = Math.max(last, newest.get(name) ?? last);
    return Number.isFinite(last) ? last : wall();
  };

  const begin = (subject: string, occurrence: string, thing: number, series: readonly string[]): void => {
    const at = sourceNow(series);
    recorder.beginSpan(subject, thingName(thing), at);
    if (occurrence !== '') {
      if (known.get(subject) === occurrence) return;
      known.set(subject, occurrence);
    }
    // A dead member or a full disk has no curves: there is nothing to show.
    if (series.length === 0) return;
    const same = [...open.values()].find(
      (one) => one.thing === thingName(thing) && one.dueAt - afterMs > wall() - sameStoryMs,
    );
    if (same !== undefined) return tell(same, 'same', subject, occurrence);
    if (open.size >= mostOpen) return;
    const id = `${wall().toString(36)}-${randomBytes(4).toString('hex')}`;
    const row: EvidenceRow = {
      id,
      subject,
      occurrence,
      thing: thingName(thing),
      from: at - beforeMs,
      to: at,
      series,
      state: 'open',
      sha256: undefined,
      bytes: 0,
    };
    recorder.putEvidence(row, undefined);
    const begun = { ...row, dueAt: wall() + afterMs, said: saidNow(series) };
    open.set(id, begun);
    tell(row, 'begun', subject, occurrence, excerpt(collect(begun, at), row.from, at));
  };

  /** Threshold and shares of each score among these, as its model told them last. */
  const saidNow = (series: readonly string[]): Map<string, Said> => {
    const said = new Map<string, Said>();
    for (const [model, { threshold, contributions }] of scores) {
      const name = scoreSeries(plan.models[model]?.id ?? '');
      if (!series.includes(name)) continue;
      const shares = contributions
        .slice(0, mostShares)
        .map(({ signal, share }) => [
          plan.signals[signal]?.id ?? '',
          Math.round(Math.min(1, Math.max(0, share)) * 1_000) / 1_000,
        ]);
      said.set(name, {
        ...(Number.isFinite(threshold) ? { threshold: Number(threshold.toPrecision(5)) } : {}),
        ...(shares.length === 0 ? {} : { shares: Object.fromEntries(shares) }),
      });
    }
    return said;
  };

  /** Where checks of this signal draw the line. */
  const limitsOf = (signal: number): NonNullable<EvidenceCurve['limits']> =>
    plan.checks
      .filter(({ source }) => source.kind === 'signal' && source.judge === 'value' && source.signal === signal)
      .flatMap(({ warn, crit }) => [
        ...(warn === undefined ? [] : [{ level: 'warn' as const, ...warn }]),
        ...(crit === undefined ? [] : [{ level: 'crit' as const, ...crit }]),
      ])
      .slice(0, mostLimits);

  const collect = ({ series, from, said }: EvidenceRow & Pick<Open, 'said'>, to: number): NamedColumns[] =>
    series.map((name) => {
      const spec = plan.signals.find(({ id }) => id === name);
      const limits = spec === undefined ? [] : limitsOf(spec.index);
      return {
        name,
        unit: spec?.unit,
        columns: recorder.read(name, from, to, Math.floor(mostSamples / series.length)),
        marks: { ...said?.get(name), ...(limits.length === 0 ? {} : { limits }) },
      };
    });

  const finish = (row: Open): void => {
    open.delete(row.id);
    const to = Math.max(row.to, sourceNow(row.series));
    const columns = collect(row, to);
    const { id, subject, occurrence, thing, from } = row;
    const series = columns.map(({ name, unit, columns: { times, values, qualities } }) => ({
      name,
      unit,
      samples: Array.from(times, (time, i) => [time, finiteOrNull(values[i]), qualities[i]]),
    }));
    const text = JSON.stringify({ v: 1, id, agent, site: plan.site, subject, occurrence, thing, from, to, series });
    const data = gzipSync(text, { level: 3 });
    const sha256 = createHash('sha256').update(text).digest('hex');
    const { dueAt: _due, said: _said, ...evidence } = row;
    const kept: EvidenceRow = { ...evidence, to, state: 'kept', sha256, bytes: data.length };
    recorder.putEvidence(kept, data);
    tell(kept, 'kept', subject, occurrence, excerpt(columns, from, to, row.to));
  };

  const tell = (row: EvidenceRow, stage: EvidenceStage, subject: string, occurrence: string, curves = ''): void => {
    const span = `${Math.round((row.to - row.from) / 60_000)} min of ${row.series.length} series of ${row.thing}`;
    const text =
      stage === 'kept'
        ? `${span} are kept on ${agent}: ${row.bytes} bytes, sha256 ${row.sha256?.slice(0, 12)}`
        : stage === 'same'
          ? `same evidence as ${row.subject}: ${row.id} on ${agent}`
          : `what led to it: ${span}; what follows is kept too`;
    report({
      type: 'event',
      name: 'evidence',
      subject,
      severity: 'info',
      text,
      detail: {
        evidence: row.id,
        occurrence,
        thing: row.thing,
        stage,
        from: row.from,
        to: row.to,
        bytes: row.bytes,
        ...(row.sha256 === undefined ? {} : { sha256: row.sha256 }),
        ...(curves === '' ? {} : { excerpt: curves }),
      },
    });
  };

  const end = (subject: string, thing: number): void =>
    recorder.endSpan(subject, sourceNow(seriesOf(thing, [], undefined)));

  /** Things that are in maintenance, and the subjects of their spans. */
  const serviced = new Map<ThingIndex, string>();
  const watched = [...new Set(plan.signals.map(({ thing }) => thing))];
  const markMaintenance = (): void => {
    if (options.maintenance === undefined) return;
    for (const thing of watched) {
      const id = options.maintenance(thing);
      const subject = id === undefined ? undefined : `maintenance:${id}:${thingName(thing)}`;
      const before = serviced.get(thing);
      if (subject === before) continue;
      if (before !== undefined) end(before, thing);
      serviced.delete(thing);
      if (subject === undefined) continue;
      serviced.set(thing, subject);
      recorder.beginSpan(subject, thingName(thing), sourceNow(seriesOf(thing, [], undefined)));
    }
  };

  /** The rest of a round, a slice at a time: whatever else waits goes in between. */
  let rest: NodeJS.Immediate | undefined;
  const later = (): void => {
    rest ??= setImmediate(() => {
      rest = undefined;
      if (recorder.slice()) later();
    });
  };

  return {
    onSample(sample) {
      const spec = plan.signals[sample.signal];
      if (spec === undefined) return;
      describe(spec.id, spec.unit, spec.everyMs);
      newest.set(spec.id, sample.sourceTime);
      recorder.take(spec.id, sample.sourceTime, sample.value, qualityCode[sample.quality], wall());
    },
    onScore(model, score, at) {
      const spec = plan.models[model];
      if (spec === undefined || !Number.isFinite(score.value)) return;
      scores.set(model, score);
      const name = scoreSeries(spec.id);
      describe(name, undefined, undefined);
      newest.set(name, at);
      recorder.take(name, at, score.value, 0, wall());
    },
    alarmChanged({ alarm, alarmId, state, occurrence }) {
      const spec = plan.alarms[alarm];
      if (spec === undefined) return;
      if (state === 'on') begin(alarmId, occurrence, spec.thing, seriesOf(spec.thing, [], spec.when));
      else end(alarmId, spec.thing);
    },
    observed(observation) {
      if (observation.kind === 'anomaly-changed') {
        const spec = plan.models[observation.model];
        if (spec === undefined) return;
        if (!observation.anomalous) return end(spec.id, spec.thing);
        begin(spec.id, '', spec.thing, seriesOf(spec.thing, [spec.index], undefined));
      } else if (observation.kind === 'check-changed') {
        const spec = plan.checks[observation.check];
        if (spec === undefined) return;
        if (observation.to === 'warn' || observation.to === 'crit') {
          recorder.beginSpan(spec.id, thingName(spec.thing), sourceNow(seriesOf(spec.thing, [], undefined)));
        } else if (observation.from === 'warn' || observation.from === 'crit') end(spec.id, spec.thing);
      }
    },
    tick() {
      const now = wall();
      markMaintenance();
      if (recorder.tick(now)) later();
      for (const row of [...open.values()]) if (row.dueAt <= now) finish(row);
    },
    evidence: () => recorder.evidence(),
    read(id) {
      const data = recorder.evidenceData(id);
      return data === undefined ? undefined : gunzipSync(data).toString('utf8');
    },
    stats: () => recorder.stats(),
    stop() {
      clearImmediate(rest);
      recorder.close();
    },
  };
}

const finiteOrNull = (value: number | undefined): number | null =>
  value !== undefined && Number.isFinite(value) ? value : null;
