import { randomBytes } from 'node:crypto';
import { promisify } from 'node:util';
import { gunzip } from 'node:zlib';
import type { ConditionIndex, ModelIndex, ThingIndex } from '../../base/ids.ts';
import type { LocalAlarm } from '../../core/effect.ts';
import { dependencies } from '../../core/health/condition-evaluator.ts';
import type { Score } from '../../core/health/model.ts';
import type { Sample } from '../../core/health/signal.ts';
import type { Observation } from '../../core/observation.ts';
import type { ReportBody } from '../../core/reporting/report.ts';
import type { SitePlan } from '../../core/site-plan.ts';
import { type EvidenceCurve, type EvidenceStage, scorePrefix } from '../../wire/evidence.ts';
import { evidenceHead, evidenceTail, packText, seriesText } from './evidence-text.ts';
import { excerptSeries, excerptSteps, type NamedColumns } from './excerpt.ts';
import { type EvidenceRow, Recorder, type RecorderLimits, type RecorderStats } from './recorder.ts';
import { Turns } from './turns.ts';

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
  read(id: string): Promise<string | undefined>;
  stats(): RecorderStats;
  /** What waits in memory is written; evidence that is not whole yet is made by the next life. */
  stop(): Promise<void>;
}

/** An evidence that still waits for what comes after, or for being packed. */
interface Open extends EvidenceRow {
  /** Wall clock at which it is closed. */
  dueAt: number;
  /** Where it ends, in the source's time: known when it falls due, whenever its turn comes. */
  end: number | undefined;
  /** What led to it is still to be told, and then that it is the story of these, too. */
  untold: { readonly subject: string; readonly occurrence: string }[] | undefined;
  /** What the models said when it was raised, by series; of a life before this one nobody knows it any more. */
  readonly said?: ReadonlyMap<string, Said>;
}

type Said = Pick<EvidenceCurve, 'threshold' | 'shares'>;

const qualityCode = { good: 0, uncertain: 1, bad: 2 } as const;
const mostOpen = 16;
const mostSeries = 24;
const mostShares = 12;
const mostLimits = 8;
/** Samples in one evidence, over all its series: what it may take of memory and disk. */
const mostSamples = 40_000;
/** So many names of one story wait for their turn; a storm of alarms must fill no memory. */
const mostUntold = 32;
/** A disk that refuses an evidence is asked again after so long. */
const againMs = 60_000;
/** What a box makes itself is smaller by far; a damaged row must not become a flood. */
const mostTextBytes = 64 * 2 ** 20;
const inflate = promisify(gunzip);
/** What happens to one thing within this is one story: it is recorded once, and told with both names. */
const sameStoryMs = 60_000;

export const scoreSeries = (model: string): string => `${scorePrefix}${model}`;

/**
 * Ties the recorder to the agent: records what is polled and scored, marks when things are not healthy, and keeps what
 * was before and after an alarm or an anomaly as evidence. Of each evidence two events tell: at once, with what led to
 * it, and when it is complete, with the hash of what is kept on the box. Both carry an excerpt of at most 8 kB.
 *
 * An evidence is large, and the agent must answer probes meanwhile: it is read, written as JSON, packed and hashed in
 * slices of a few milliseconds, one evidence after the other. It is put down in one transaction, so that it is there as a
 * whole or not at all; what an end of the agent cuts off is still open, and the next life packs it.
 *
 * Time is the source's: a device whose clock is wrong, or a recording that is played, gives one consistent story.
 */
export function createFlightRecorder(options: FlightRecorderOptions): FlightRecorder {
  const { plan, wall, report, agent, beforeMs = 600_000, afterMs = 120_000 } = options;
  const recorder = new Recorder(options.dir, options.limits);
  const newest = new Map<string, number>();
  const told = new Set<string>();
  const open = new Map<string, Open>();
  const turns = new Turns();
  const ending = new AbortController();
  let working: Promise<void> | undefined;
  let isWorking = false;
  /** Why an evidence is not kept yet. */
  let trouble: string | undefined;
  /** Of each subject the occurrence that has its evidence already: an alarm that is said again is no new one. */
  const known = new Map<string, string>();
  const scores = new Map<ModelIndex, Score>();
  const thingName = (thing: number): string => plan.things[thing]?.id ?? 'site';

  recorder.closeSpans(new Set(options.standing), wall());
  for (const row of recorder.evidence(1_000)) {
    if (row.occurrence !== '' && !known.has(row.subject)) known.set(row.subject, row.occurrence);
    // What comes after was cut off by the restart; what is there is closed soon.
    if (row.state === 'open' && open.size < mostOpen) {
      open.set(row.id, { ...row, dueAt: wall(), end: undefined, untold: undefined });
    }
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
    if (same !== undefined) {
      if (same.untold === undefined || same.untold.length >= mostUntold) tell(same, 'same', subject, occurrence);
      else same.untold.push({ subject, occurrence });
      return;
    }
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
    open.set(id, { ...row, dueAt: wall() + afterMs, end: undefined, untold: [], said: saidNow(series) });
    work();
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

  /** One series of an evidence, block by block. */
  function* collected({ series, from, said }: Open, name: string, to: number): Generator<undefined, NamedColumns> {
    const spec = plan.signals.find(({ id }) => id === name);
    const limits = spec === undefined ? [] : limitsOf(spec.index);
    return {
      name,
      unit: spec?.unit,
      columns: yield* recorder.reading(name, from, to, Math.floor(mostSamples / series.length)),
      marks: { ...said?.get(name), ...(limits.length === 0 ? {} : { limits }) },
    };
  }

  function* begunExcerpt(row: Open): Generator<undefined, string> {
    const columns: NamedColumns[] = [];
    for (const name of row.series.slice(0, excerptSeries)) columns.push(yield* collected(row, name, row.to));
    return yield* excerptSteps(columns, row.from, row.to, row.to);
  }

  /** The whole as text; of its series those that an excerpt may show are kept, the rest is gone when it is written. */
  function* evidenceText(row: Open, to: number, shown: NamedColumns[]): Generator<string, void> {
    yield evidenceHead({ ...row, to, agent, site: plan.site });
    for (const [i, name] of row.series.entries()) {
      const reading = collected(row, name, to);
      let step = reading.next();
      for (; step.done !== true; step = reading.next()) yield '';
      if (i > 0) yield ',';
      yield* seriesText(step.value);
      if (shown.length < excerptSeries) shown.push(step.value);
    }
    yield evidenceTail;
  }

  const tellBegun = async (row: Open): Promise<void> => {
    const excerpt = await turns.run(begunExcerpt(row)).catch((error: unknown) => {
      trouble = `what led to ${row.subject} could not be read: ${String(error)}`;
      return { value: '' };
    });
    if (excerpt === undefined) return;
    const also = row.untold ?? [];
    row.untold = undefined;
    tell(row, 'begun', row.subject, row.occurrence, excerpt.value);
    for (const { subject, occurrence } of also) tell(row, 'same', subject, occurrence);
  };

  const finish = async (row: Open, to: number): Promise<void> => {
    const shown: NamedColumns[] = [];
    const packed = await packText(evidenceText(row, to, shown), turns, ending.signal);
    if (packed === undefined) return;
    const { data, sha256 } = packed;
    const excerpt = await turns.run(excerptSteps(shown, row.from, to, row.to));
    const isReady = await turns.run(recorder.makeRoom(data.length));
    if (excerpt === undefined || isReady === undefined) return;
    const { dueAt: _due, end: _end, said: _said, untold: _untold, ...evidence } = row;
    const kept: EvidenceRow = { ...evidence, to, state: 'kept', sha256, bytes: data.length };
    const put = await turns.turn(() => recorder.putEvidence(kept, data));
    if (put === undefined) return;
    if (!put.value) throw new Error('the disk refused it');
    open.delete(row.id);
    tell(kept, 'kept', row.subject, row.occurrence, excerpt.value);
    writeLater();
  };

  /** Whatever is to be told or packed, one after the other: what has just begun before what is complete. */
  const workOff = async (): Promise<void> => {
    while (!ending.signal.aborted) {
      const rows = [...open.values()];
      const begun = rows.find(({ untold }) => untold !== undefined);
      const due = rows.find(({ dueAt, end }) => end !== undefined && dueAt <= wall());
      if (begun !== undefined) {
        await tellBegun(begun);
      } else if (due?.end !== undefined) {
        try {
          await finish(due, due.end);
          trouble = undefined;
        } catch (error) {
          due.dueAt = wall() + againMs;
          trouble = `evidence of ${due.subject} could not be kept: ${String(error)}`;
        }
      } else break;
    }
    // Not later: whoever comes in the same moment is to begin anew.
    isWorking = false;
  };
  const work = (): void => {
    if (isWorking) return;
    isWorking = true;
    working = workOff().catch((error: unknown) => {
      isWorking = false;
      trouble = `evidence could not be told: ${String(error)}`;
    });
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
  let isWriting = false;
  const writeLater = (): void => {
    if (isWriting) return;
    isWriting = true;
    void (async () => {
      while ((await turns.turn(() => recorder.slice()))?.value);
    })().finally(() => {
      isWriting = false;
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
      if (recorder.tick(now)) writeLater();
      for (const row of open.values()) {
        if (row.dueAt <= now) row.end ??= Math.max(row.to, sourceNow(row.series));
      }
      work();
    },
    evidence: () => recorder.evidence(),
    async read(id) {
      const data = recorder.evidenceData(id);
      if (data === undefined) return undefined;
      return (await inflate(data, { maxOutputLength: mostTextBytes })).toString('utf8');
    },
    stats: () => {
      const stats = recorder.stats();
      const all = [stats.trouble, trouble].filter((one) => one !== undefined);
      return { ...stats, trouble: all.length === 0 ? undefined : all.join('; ') };
    },
    async stop() {
      ending.abort();
      turns.close();
      await working;
      recorder.close();
    },
  };
}
