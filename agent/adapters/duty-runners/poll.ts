import type { DutyIndex, ThingIndex } from '../../base/ids.ts';
import type { Random } from '../../base/random.ts';
import { err } from '../../base/result.ts';
import { type Instant, never } from '../../base/time.ts';
import type { DutySpec } from '../../core/duties/duty.ts';
import type { DerivedSignals } from '../../core/health/derived-signals.ts';
import type { Sample } from '../../core/health/signal.ts';
import type { ReadingsReport } from '../../core/reporting/report.ts';
import type { Site, Tag } from '../../driver/bindings.ts';
import type { Deliver } from '../../driver/ports.ts';
import type { AskController } from '../checks/plc.ts';
import type { EffectLog } from '../effect-log.ts';
import type { LentConnection } from '../gateway/lent-connection.ts';
import { createSource } from '../plc/create-source.ts';
import type { PlcSource, SourceClock, SourceOptions, SourceStats } from '../plc/source.ts';
import type { DutyRunner, Log } from './runner.ts';

export interface PollRunnerOptions {
  readonly site: Pick<Site, 'connections' | 'tags' | 'alongside'>;
  readonly deliver: Deliver;
  /** Signals that are reckoned from what devices say; without it everything is as they say. */
  readonly derived?: DerivedSignals;
  /** Every sample, after the core was told: for the windows of models. */
  readonly onSample?: (sample: Sample) => void;
  /** Into the outbox; true when it is durable there. */
  readonly report: (report: ReadingsReport) => boolean;
  /** Makes the reports of one flush durable together; without it each for itself. */
  readonly together?: (reports: () => void) => void;
  readonly clock: SourceClock;
  /** For the back-off of connections. */
  readonly random: Random;
  /** Folder for OPC UA keys and trusted certificates. */
  readonly pki: string;
  readonly log: Log;
  readonly effectLog: Pick<EffectLog, 'append'>;
  /** Who writes into the effect log. */
  readonly agent: string;
  readonly boot: string;
  readonly timing?: Partial<PollTiming>;
  /** For tests of this file alone. */
  readonly open?: (options: SourceOptions) => PlcSource;
}

export interface PollTiming {
  /** How often readings leave for the outbox, and an interval is written into the effect log. */
  readonly flushMs: number;
  /** How often the checkpoint is taken, while samples come. */
  readonly checkpointMs: number;
  /** So long a device may be out of this box's reach before another box is asked. */
  readonly patienceMs: number;
  /** Having said "not from here", this box does not say it again for so long: the device is down, not the way to it. */
  readonly insistMs: number;
}

export const pollTiming: PollTiming = {
  flushMs: 1_000,
  checkpointMs: 500,
  patienceMs: 10_000,
  insistMs: 600_000,
};

/** More rows of one tag than this do not wait for the time: one report stays small. */
const rowsPerReport = 200;
/** A checkpoint may have 64 kB on the wire. */
const checkpointBytes = 60_000;

interface Polling {
  readonly duty: DutySpec;
  readonly term: number;
  readonly source: PlcSource;
  readonly tags: ReadonlyMap<number, Tag>;
  readonly rows: Map<number, [number, number | null, 0 | 1 | 2][]>;
  /** Source time of the last sample per tag: the checkpoint. */
  readonly last: Map<number, { time: number; quality: Sample['quality'] }>;
  started: boolean;
  lost: string | undefined;
  lostSince: Instant;
  /** Wall time where the running interval of the effect log began; undefined before the device answered. */
  from: number | undefined;
  resumedFrom: number | undefined;
  samples: number;
  fresh: boolean;
  failed: boolean;
  timers: NodeJS.Timeout[];
  stopping: Promise<void> | undefined;
  /** Other machines that are read along. */
  readonly along: PlcSource[];
}

export interface PollRunner extends DutyRunner {
  /** Counters of every device that is polled now, by duty. */
  stats(): ReadonlyMap<DutyIndex, SourceStats>;
  /** The open connection to a device that is polled here. */
  lend(source: ThingIndex): LentConnection | undefined;
  /** What the controller says of itself, when it is polled here. Never rejects. */
  ask: AskController;
}

/**
 * Polls connected devices: one source per duty, its samples into the core, its readings into the outbox, its progress
 * into checkpoints, its intervals into the effect log.
 *
 * A device that does not answer is a state (`source-lost`), not a failure of the duty: another box would fare no
 * better with a controller that is switched off, and the duty must not wander because of it. Only when *nothing* comes
 * back from its address for `patienceMs`, which may be this box's own cable, is another box asked, by `duty-failed`;
 * and only once per `insistMs`. When the duty comes round again the device is down for everybody, and we wait here.
 *
 * A successor reads on from now: devices keep no history. What its predecessor had read is reported by neither
 * nor lost by it; the hole is what the effect log shows between the two.
 */
export function createPollRunner(options: PollRunnerOptions): PollRunner {
  const { site, deliver, onSample, report, clock, log, effectLog } = options;
  const timing: PollTiming = { ...pollTiming, ...options.timing };
  const open = options.open ?? createSource;
  const together = options.together ?? ((reports) => reports());
  const polling = new Map<DutyIndex, Polling>();
  /** When this box last passed a duty on. Bounded by the plan's duties. */
  const passedOn = new Map<DutyIndex, Instant>();

  const answer = (entry: Polling): void => {
    if (entry.started || entry.failed) return;
    entry.started = true;
    deliver({ kind: 'duty-started', duty: entry.duty.index });
  };

  /** Name and unit of a signal that is read or reckoned here. */
  const named = (entry: Polling, signal: number) => entry.tags.get(signal) ?? options.derived?.named(signal);

  const flushReadings = (entry: Polling, signal: number): void => {
    const rows = entry.rows.get(signal);
    const tag = named(entry, signal);
    if (rows === undefined || rows.length === 0 || tag === undefined) return;
    entry.rows.set(signal, []);
    // A refusal is the outbox's to count and to tell as a gap; holding rows here would only move the hole.
    report({ type: 'readings', tag: tag.name, unit: tag.unit, rows });
  };

  const closeInterval = (entry: Polling): void => {
    if (entry.from === undefined) return;
    const to = clock.wall();
    effectLog.append({
      effect: 'polled',
      duty: entry.duty.id,
      agent: options.agent,
      boot: options.boot,
      term: entry.term,
      from: new Date(entry.from).toISOString(),
      to: new Date(to).toISOString(),
      samples: entry.samples,
      ...(entry.lost === undefined ? {} : { lost: entry.lost }),
      ...(entry.resumedFrom === undefined ? {} : { resumedFrom: new Date(entry.resumedFrom).toISOString() }),
    });
    entry.from = to;
    entry.resumedFrom = undefined;
    entry.samples = 0;
  };

  const flush = (entry: Polling): void => {
    together(() => {
      for (const signal of entry.rows.keys()) flushReadings(entry, signal);
    });
    closeInterval(entry);
  };

  const takeCheckpoint = (entry: Polling): void => {
    if (!entry.fresh) return;
    entry.fresh = false;
    deliver({
      kind: 'checkpoint-taken',
      duty: entry.duty.index,
      data: encode(entry, clock.wall(), (signal) => named(entry, signal)?.name),
    });
  };

  const received = (entry: Polling, sample: Sample): void => {
    if (entry.failed) return;
    if (options.derived === undefined) return take(entry, sample);
    for (const one of options.derived.take(sample)) {
      // What is made of several machines is told by who has them all, and by nobody else.
      const duty = options.derived.named(one.signal)?.duty;
      if (one.signal === sample.signal || duty === undefined || polling.has(duty)) take(entry, one);
    }
  };

  /** Of another machine: for what is made here of several. Its readings are its own poller's to report. */
  const receivedAlong = (entry: Polling, source: ThingIndex, sample: Sample): void => {
    // Read here in its own right, it comes from there.
    if (entry.failed || sourceOf(source) !== undefined) return;
    for (const one of options.derived?.take(sample) ?? [sample]) {
      if (options.derived?.named(one.signal)?.duty === entry.duty.index) take(entry, one);
      else if (one.signal === sample.signal) {
        deliver({ kind: 'sample-received', sample: one });
        onSample?.(one);
      }
    }
  };

  /** Connections to the other machines that this duty reads along. */
  const openAlong = (entry: Polling): PlcSource[] => {
    const wanted = site.alongside?.get(entry.duty.index) ?? [];
    const tags = wanted.flatMap((signal) => site.tags.get(signal) ?? []);
    return [...new Set(tags.map((tag) => tag.source))].flatMap((thing) => {
      const connection = site.connections.get(thing);
      if (connection === undefined) return [];
      const told = (reason: string) =>
        log.warn({ duty: entry.duty.id, reason }, 'a machine that is read along is lost');
      return open({
        connection,
        tags: tags.filter((tag) => tag.source === thing),
        clock,
        random: options.random.fork(`${entry.duty.id} ${thing}`),
        pki: options.pki,
        log,
        handlers: {
          onSample: (sample) => receivedAlong(entry, thing, sample),
          onLost: told,
          onFound: () => log.info({ duty: entry.duty.id }, 'a machine that is read along answers'),
        },
      });
    });
  };

  const take = (entry: Polling, sample: Sample): void => {
    entry.samples++;
    entry.fresh = true;
    const before = entry.last.get(sample.signal);
    // A value that was only confirmed is known already, by its tag and source time.
    if (before?.time !== sample.sourceTime || before.quality !== sample.quality) {
      entry.last.set(sample.signal, { time: sample.sourceTime, quality: sample.quality });
      const rows = entry.rows.get(sample.signal) ?? [];
      entry.rows.set(sample.signal, rows);
      const quality = sample.quality === 'good' ? 0 : sample.quality === 'uncertain' ? 1 : 2;
      rows.push([sample.sourceTime, Number.isNaN(sample.value) ? null : sample.value, quality]);
      if (rows.length >= rowsPerReport) flushReadings(entry, sample.signal);
    }
    deliver({ kind: 'sample-received', sample });
    onSample?.(sample);
  };

  const found = (entry: Polling): void => {
    const was = entry.lost;
    entry.lost = undefined;
    entry.lostSince = never;
    entry.from ??= clock.wall();
    answer(entry);
    if (was !== undefined) {
      log.info({ duty: entry.duty.id }, 'the device answers');
      deliver({ kind: 'source-found', duty: entry.duty.index, reason: `answers again after: ${was}` });
    }
  };

  const lost = (entry: Polling, reason: string): void => {
    // The interval until now was polled; what follows is not.
    closeInterval(entry);
    entry.lost = reason;
    entry.lostSince = clock.now();
    entry.from ??= clock.wall();
    log.warn({ duty: entry.duty.id, reason }, 'the device does not answer');
    deliver({ kind: 'source-lost', duty: entry.duty.index, reason });
    if (!mayBeOurs(reason) || !mayPassOn(entry)) answer(entry);
  };

  const mayPassOn = (entry: Polling): boolean => {
    const at = passedOn.get(entry.duty.index);
    return at === undefined || clock.now() - at > timing.insistMs;
  };

  const judgePatience = (entry: Polling): void => {
    if (entry.lost === undefined || clock.now() - entry.lostSince < timing.patienceMs || entry.failed) return;
    const why = entry.source.stats.lastFailure ?? entry.lost;
    if (entry.duty.eligible.length < 2 || !mayBeOurs(why) || !mayPassOn(entry)) return answer(entry);
    passedOn.set(entry.duty.index, clock.now());
    entry.failed = true;
    const reason = `out of reach from here: ${why}`;
    void end(entry).then(() => {
      polling.delete(entry.duty.index);
      deliver({ kind: 'duty-failed', duty: entry.duty.index, reason });
    });
  };

  const end = (entry: Polling): Promise<void> => {
    entry.stopping ??= (async () => {
      for (const timer of entry.timers) clearInterval(timer);
      await Promise.all([entry.source, ...entry.along].map((one) => one.stop()));
      flush(entry);
      if (!entry.failed) takeCheckpoint(entry);
    })();
    return entry.stopping;
  };

  const sourceOf = (source: ThingIndex): PlcSource | undefined =>
    [...polling.values()].find(
      ({ duty, stopping }) => duty.work.kind === 'poll' && duty.work.source === source && stopping === undefined,
    )?.source;

  return {
    start(duty, term, checkpoint) {
      const { index, work } = duty;
      if (work.kind !== 'poll') return deliver({ kind: 'duty-failed', duty: index, reason: 'this is no poll duty' });
      const connection = site.connections.get(work.source);
      if (connection === undefined) {
        return deliver({ kind: 'duty-failed', duty: index, reason: 'its thing has no connection' });
      }
      const tags = [...site.tags.values()].filter((tag) => tag.source === work.source);
      const source = open({
        connection,
        tags,
        clock,
        random: options.random.fork(duty.id),
        pki: options.pki,
        log,
        handlers: {
          onSample: (sample) => received(entry, sample),
          onLost: (reason) => lost(entry, reason),
          onFound: () => found(entry),
        },
      });
      const resumed = checkpoint === undefined ? undefined : decode(checkpoint.data);
      const entry: Polling = {
        duty,
        term,
        source,
        tags: new Map(tags.map((tag) => [tag.signal, tag])),
        rows: new Map(),
        last: new Map(),
        started: false,
        lost: undefined,
        lostSince: never,
        from: undefined,
        resumedFrom: resumed?.last,
        samples: 0,
        fresh: false,
        failed: false,
        timers: [],
        stopping: undefined,
        along: [],
      };
      polling.set(index, entry);
      entry.along.push(...openAlong(entry));
      if (resumed !== undefined) {
        const fields = { duty: duty.id, term, lastSourceTime: new Date(resumed.last).toISOString() };
        log.info({ ...fields, takenAt: new Date(resumed.at).toISOString() }, 'polling goes on from a checkpoint');
      }
      entry.timers.push(
        setInterval(() => flush(entry), timing.flushMs),
        setInterval(() => takeCheckpoint(entry), timing.checkpointMs),
        setInterval(() => judgePatience(entry), Math.min(500, timing.patienceMs)),
      );
      source.start();
      for (const one of entry.along) one.start();
    },
    async stop(duty) {
      const entry = polling.get(duty);
      if (entry === undefined) return;
      await end(entry);
      polling.delete(duty);
    },
    async stopAll() {
      await Promise.all([...polling.keys()].map((duty) => this.stop(duty)));
    },
    lend: (source) => sourceOf(source)?.lend?.(),
    ask: async (source, question) => {
      const polled = sourceOf(source);
      if (polled === undefined) return err('this device is not polled here');
      return (await polled.ask?.(question)) ?? err('this protocol has no word for it');
    },
    stats: () => new Map([...polling].map(([duty, entry]) => [duty, entry.source.stats])),
  };
}

/**
 * Whether a failure may lie between this box and the device, so that another box might do better. A refused
 * connection is an answer, and so is everything that the device itself says.
 */
export const mayBeOurs = (reason: string): boolean =>
  /EHOSTUNREACH|ENETUNREACH|ENETDOWN|EADDRNOTAVAIL|EHOSTDOWN|ETIMEDOUT|ENOTFOUND|EAI_AGAIN|no connection within|no answer within|secret (env|file):|[Cc]ertificate/.test(
    reason,
  );

/** `{at, last, tags: {name: source time}}`; the tags are left out when they would make it too large. */
function encode(entry: Polling, at: number, nameOf: (signal: number) => string | undefined): Uint8Array {
  const tags: Record<string, number> = {};
  let last = 0;
  for (const [signal, { time }] of entry.last) {
    tags[nameOf(signal) ?? String(signal)] = time;
    last = Math.max(last, time);
  }
  const data = new TextEncoder().encode(JSON.stringify({ v: 1, at, last, tags }));
  return data.length <= checkpointBytes ? data : new TextEncoder().encode(JSON.stringify({ v: 1, at, last }));
}

/** A checkpoint comes from another box: whatever is no checkpoint of ours is none. */
function decode(data: Uint8Array): { readonly at: number; readonly last: number } | undefined {
  try {
    const value: unknown = JSON.parse(new TextDecoder().decode(data));
    const { v, at, last } = value as { v?: unknown; at?: unknown; last?: unknown };
    const fits = (n: unknown): n is number => typeof n === 'number' && Math.abs(n) <= 8.64e15;
    return v === 1 && fits(at) && fits(last) ? { at, last } : undefined;
  } catch {
    return undefined;
  }
}
