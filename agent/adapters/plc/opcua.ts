import type * as UA from 'node-opcua-client';
import { err, type Result } from '../../base/result.ts';
import { type Instant, wallTime } from '../../base/time.ts';
import type { Quality } from '../../core/health/signal.ts';
import type { Tag } from '../../driver/bindings.ts';
import type { LentConnection } from '../gateway/lent-connection.ts';
import { AnswerAge } from './answer-age.ts';
import { bounded, reasonOf, type Session, within } from './keep-connected.ts';
import { LinkedSource } from './linked-source.ts';
import { createClient, identify, type OpcUaConnection, openClient, reach } from './opcua-client.ts';
import { loadDriver, type OpcUaDriver } from './opcua-driver.ts';
import { askServer, keepAsking } from './opcua-server.ts';
import { changeOf, type Reading, SampleMaker } from './sample-maker.ts';
import type { ControllerFact, ControllerQuestion, SourceOptions } from './source.ts';

/** The server says that it lives at least this often, even when no value changes. */
const keepAliveMs = 1_000;
/** Without a word for this long the connection is over. */
const silenceMs = 3_500;
/** Tags that the server refused (unknown node, a program download) are asked for again this often. */
const retryRefusedMs = 10_000;
const queueSize = 1_000;
/**
 * From one question of how late the server is to the next: two periods of the quickest tag, within these bounds. A
 * question costs what a publishing does (measured: some two milliseconds of CPU on a busy box).
 */
const leastAskMs = 500;
const mostAskMs = 2_000;

/**
 * OPC UA, subscribed: one session, one subscription, one monitored item per tag.
 *
 * Every item asks for sampling interval 0, which means "whenever it changes, or as fast as you can", with a queue of
 * a thousand that keeps the oldest, and for notifications also when only the time stamp moved. So nothing is lost
 * between two publishings, whatever the device's pace: a recording that is played a hundred times too fast comes
 * through row by row. A tag's `every` says how often we want to *know* it: a value that does not change brings no
 * notification, and is then handed on again with its old source time, as long as the server keeps saying that it lives.
 *
 * Rejected: sampling at `every`. It would make a fast machine's peaks a matter of luck. The cost is bounded by the
 * queue and by the server's own smallest interval.
 *
 * What a server sends unasked may have been on its way for long, and its own clock does not tell: it is asked for its
 * state every second or two, and what it says is taken to be as old as its answers are (answer-age.ts).
 *
 * Security: with `sign` or `sign-and-encrypt` the server's certificate must lie in `<pki>/trusted/certs`; an unknown
 * one is put into `<pki>/rejected` and the connection refused: a person moves it. Nothing is trusted on first sight.
 */
export class OpcUaSource extends LinkedSource<OpcUaConnection> {
  readonly #makers: readonly SampleMaker[];
  readonly #readings: (Reading | undefined)[];
  /** When each tag was handed on the last time: not how old its value was then. */
  readonly #toldAt: (Instant | undefined)[];
  #age = new AnswerAge(mostAskMs);
  /** Tags whose deadband the server does not bear: they are filtered here. */
  readonly #plain = new Set<number>();
  /** Why the server refuses a tag; told in the log once per tag and life, since it is asked again every ten seconds. */
  readonly #refusedWhy = new Map<number, string>();
  #lent: LentConnection | undefined;

  constructor(options: SourceOptions<OpcUaConnection>) {
    super(options);
    this.#makers = options.tags.map((tag) => new SampleMaker(tag));
    this.#readings = options.tags.map(() => undefined);
    this.#toldAt = options.tags.map(() => undefined);
  }

  lend(): LentConnection | undefined {
    return this.#lent;
  }

  async ask(question: ControllerQuestion): Promise<Result<ControllerFact, string>> {
    const lent = this.#lent;
    if (lent?.kind !== 'opcua') return err('not connected');
    return askServer(await loadDriver(), lent.session, question, this.timing.requestMs);
  }

  protected async open(signal: AbortSignal): Promise<Session> {
    const { connection, tags, log, pki, clock } = this.options;
    await reach(connection.endpoint, this.timing.connectMs, signal);
    const ua = await loadDriver();
    const client = await createClient(ua, connection, pki, this.timing);
    let over: (reason: string) => void = () => {};
    const ended = new Promise<string>((resolve) => {
      over = resolve;
    });
    let closed = false;
    const timers: NodeJS.Timeout[] = [];
    let stopAsking = () => {};
    const close = async (): Promise<void> => {
      closed = true;
      stopAsking();
      this.#lent = undefined;
      for (const timer of timers) clearInterval(timer);
      await bounded(client.disconnect(), 2_000);
    };
    const giveUp = () => void close();
    signal.addEventListener('abort', giveUp, { once: true });
    try {
      await openClient(client, connection, pki, this.timing);
      const identity = await identify(ua, connection);
      const session = await within(client.createSession(identity), this.timing.connectMs, 'login');
      client.on('close', (error) => over(error ? reasonOf(error) : 'the server closed the connection'));
      client.on('connection_lost', () => over('the connection broke'));
      session.on('session_closed', (status) => over(`the server ended the session: ${status.name}`));

      // Two periods of the quickest tag: still within the three after which a value is stale by default, and half the
      // cost of one (measured: ten publishings a second take 1.4 CPU seconds a minute here).
      const quickest = Math.min(500, ...tags.map((tag) => tag.everyMs));
      const publishMs = Math.min(500, Math.max(100, quickest * 2));
      const subscription = await within(
        session.createSubscription2({
          requestedPublishingInterval: publishMs,
          requestedMaxKeepAliveCount: Math.max(1, Math.round(keepAliveMs / publishMs)),
          requestedLifetimeCount: Math.max(30, Math.round(10_000 / publishMs)),
          maxNotificationsPerPublish: 0,
          publishingEnabled: true,
          priority: 1,
        }),
        this.timing.connectMs,
        'subscription',
      );
      let heard = performance.now();
      const alive = () => {
        heard = performance.now();
      };
      subscription.on('keepalive', alive);
      subscription.on('received_notifications', alive);
      subscription.on('terminated', () => over('the server ended the subscription'));
      subscription.on('internal_error', (error: Error) => over(reasonOf(error)));
      subscription.on('status_changed', (status: UA.StatusCode) => over(`subscription: ${status.name}`));

      let refused: number[] = tags.map((_tag, i) => i);
      const monitorGroup = async (group: readonly number[]): Promise<readonly (UA.StatusCode | undefined)[]> => {
        const items = group.map((i) => ({ nodeId: tags[i]!.address, attributeId: ua.AttributeIds.Value }));
        const filter = this.#plain.has(group[0]!) ? undefined : serverDeadband(tags[group[0]!]!);
        const monitored = await within(
          subscription.monitorItems(items, monitoring(ua, filter), ua.TimestampsToReturn.Both),
          this.timing.connectMs,
          'monitored items',
        );
        monitored.on('changed', (_item, value, i) => {
          if (!closed) this.#take(group[i]!, value);
        });
        return group.map((_i, k) => monitored.monitoredItems[k]?.statusCode);
      };
      const monitor = async (): Promise<void> => {
        const asked = refused;
        const still: number[] = [];
        // One request for all tags of the same deadband, which for most sites is one request.
        const groups = Map.groupBy(asked, (i) => (this.#plain.has(i) ? '' : filterKey(serverDeadband(tags[i]!))));
        for (const group of groups.values()) {
          let statuses = await monitorGroup(group);
          const unfit = group.filter((_i, k) => filterRefusal.test(statuses[k]?.name ?? ''));
          if (unfit.length > 0) {
            for (const i of unfit) this.#plain.add(i);
            const again = await monitorGroup(unfit);
            statuses = statuses.map((status, k) =>
              unfit.includes(group[k]!) ? again[unfit.indexOf(group[k]!)] : status,
            );
          }
          for (const [k, i] of group.entries()) {
            const status = statuses[k];
            if (status?.isGood()) continue;
            still.push(i);
            this.counted.refusals++;
            const known = this.#refusedWhy.has(i);
            this.#refusedWhy.set(i, status?.name ?? 'no answer');
            if (known) continue;
            log?.warn(
              { tag: tags[i]!.name, node: tags[i]!.address, status: status?.name },
              'the server refuses this tag',
            );
          }
        }
        refused = still;
      };
      if (signal.aborted) throw new Error('stopped');
      this.#lent = { kind: 'opcua', session };
      this.link.found();
      // What a former connection said proves nothing about this one.
      this.#readings.fill(undefined);
      this.#toldAt.fill(undefined);
      const askMs = 2 * Math.min(...tags.map((tag) => tag.everyMs));
      const age = new AnswerAge(Math.min(mostAskMs, Math.max(leastAskMs, askMs)));
      this.#age = age;
      const tell = () => {
        const news = age.news();
        if (news?.late)
          log?.warn({ ms: news.ms }, 'the server answers late: what it says is taken for that much older');
        else if (news !== undefined) log?.info({ ms: news.ms }, 'the server answers promptly again');
      };
      stopAsking = keepAsking(ua, session, age, clock, this.timing.connectMs, tell, over);
      await monitor();
      const begun = clock.now();

      const step = Math.max(50, publishMs / 4);
      timers.push(
        setInterval(() => {
          const silent = performance.now() - heard;
          if (silent > silenceMs) over(`the server said nothing for ${Math.round(silent)} ms`);
          else if (silent < keepAliveMs * 2) this.#repeat(refused, begun, publishMs);
        }, step),
        setInterval(() => {
          if (refused.length > 0 && !closed) monitor().catch((error: unknown) => over(reasonOf(error)));
        }, retryRefusedMs),
      );
      return { ended, close };
    } catch (error) {
      await close();
      throw error;
    } finally {
      signal.removeEventListener('abort', giveUp);
    }
  }

  #take(i: number, data: UA.DataValue): void {
    const { tags, handlers, clock } = this.options;
    const tag = tags[i];
    if (tag === undefined) return;
    if (data.statusCode.hasOverflowBit) this.counted.overflows++;
    const quality = qualityOf(data.statusCode.value);
    if (quality !== 'good') this.counted.refusals++;
    const stamp = data.sourceTimestamp ?? data.serverTimestamp;
    const now = clock.now();
    const reading: Reading = {
      raw: plain(data.value?.value),
      quality,
      why: quality === 'good' ? undefined : `the device says ${data.statusCode.name}`,
      sourceTime: stamp ? wallTime(stamp.getTime()) : clock.wall(),
      asOf: this.#age.asOf(now),
    };
    const sample = this.#makers[i]!.make(now, reading);
    this.#toldAt[i] = now;
    this.#readings[i] = reading;
    this.counted.samples++;
    handlers.onSample(sample);
  }

  /** Hands on again what did not change in its time; a tag without any value, or a refused one, is bad. */
  #repeat(refused: readonly number[], begun: Instant, publishMs: number): void {
    const { tags, handlers, clock } = this.options;
    const now = clock.now();
    for (let i = 0; i < tags.length; i++) {
      const tag = tags[i]!;
      const toldAt = this.#toldAt[i];
      // Half a period of grace, and at least one publishing: the device's own next value usually comes just after its
      // time. The first value of a connection may need much longer on a busy box, unless the server said it has none.
      const grace = Math.max(tag.everyMs * 1.5, publishMs * 1.1);
      const first = refused.includes(i) ? grace : Math.max(grace, silenceMs);
      if (toldAt === undefined ? now - begun < first : now - toldAt < grace) continue;
      const known = refused.includes(i) ? undefined : this.#readings[i];
      const why = refused.includes(i)
        ? `the server refuses this tag: ${this.#refusedWhy.get(i) ?? 'not yet asked'}`
        : 'no value yet';
      const reading: Reading =
        known === undefined
          ? { raw: undefined, why, sourceTime: clock.wall() }
          : { ...known, asOf: this.#age.asOf(now) };
      const sample = this.#makers[i]!.make(now, reading);
      this.#toldAt[i] = now;
      this.counted.repeats++;
      handlers.onSample(sample);
    }
  }
}

/** OPC UA Part 4, 7.39: the two highest bits are the severity. */
export const qualityOf = (status: number): Quality => {
  const severity = status >>> 30;
  return severity === 0 ? 'good' : severity === 1 ? 'uncertain' : 'bad';
};

/** 64-bit integers come as a pair of words, high first. */
const plain = (value: unknown): unknown =>
  Array.isArray(value) && value.length === 2 && typeof value[0] === 'number' && typeof value[1] === 'number'
    ? value[0] * 4_294_967_296 + value[1]
    : value;

/** A deadband that the server keeps, in raw values or in % of the range that it knows itself. */
interface ServerDeadband {
  readonly kind: 'Absolute' | 'Percent';
  readonly value: number;
}

/**
 * What the server can keep of a tag's deadband. Not where `frozen` is asked: a sensor that only trembles within its
 * deadband would then look dead from here.
 */
export function serverDeadband(tag: Pick<Tag, 'change' | 'scale' | 'frozenMs'>): ServerDeadband | undefined {
  const { change, scale, frozenMs } = tag;
  if (change === undefined || frozenMs !== undefined) return undefined;
  const value = changeOf(tag);
  if (value === undefined) return change.by === 'share' ? { kind: 'Percent', value: change.share * 100 } : undefined;
  const perRaw = scale === undefined ? 1 : Math.abs((scale.hi - scale.lo) / (scale.rawHi - scale.rawLo));
  return { kind: 'Absolute', value: value / perRaw };
}

const filterKey = (filter: ServerDeadband | undefined): string =>
  filter === undefined ? '' : `${filter.kind} ${filter.value}`;

/** How servers say that an item cannot have this filter (Part 4, 5.12.2 and 7.22). */
const filterRefusal = /^Bad(MonitoredItemFilter|DeadbandFilter|FilterNotAllowed)/;

const monitoring = (ua: OpcUaDriver, filter: ServerDeadband | undefined): UA.MonitoringParametersOptions => ({
  samplingInterval: 0,
  queueSize,
  discardOldest: false,
  filter: new ua.DataChangeFilter({
    // With a deadband a new time stamp alone is nothing new.
    trigger: filter === undefined ? ua.DataChangeTrigger.StatusValueTimestamp : ua.DataChangeTrigger.StatusValue,
    deadbandType: ua.DeadbandType[filter?.kind ?? 'None'],
    deadbandValue: filter?.value ?? 0,
  }),
});
