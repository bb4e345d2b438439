import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import type * as UA from 'node-opcua-client';
import { type Instant, type WallTime, wallTime } from '../../base/time.ts';
import type { Quality, Sample } from '../../core/health/signal.ts';
import type { Connection } from '../../driver/bindings.ts';
import type { LentConnection } from '../gateway/lent-connection.ts';
import { dial } from './dial.ts';
import { bounded, KeepConnected, reasonOf, type Session, within } from './keep-connected.ts';
import { readSecret } from './secret.ts';
import { type PlcSource, type SourceOptions, type SourceStats, type SourceTiming, sourceTiming } from './source.ts';
import { importStepwise } from './stepwise-import.ts';
import { tagValue } from './tag-value.ts';

type OpcUaConnection = Extract<Connection, { kind: 'opcua' }>;

/** The server says that it lives at least this often, even when no value changes. */
const keepAliveMs = 1_000;
/** Without a word for this long the connection is over. */
const silenceMs = 3_500;
/** Tags that the server refused (unknown node, a program download) are asked for again this often. */
const retryRefusedMs = 10_000;
const queueSize = 1_000;

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
 * Security: with `sign` or `sign-and-encrypt` the server's certificate must lie in `<pki>/trusted/certs`; an unknown
 * one is put into `<pki>/rejected` and the connection refused: a person moves it. Nothing is trusted on first sight.
 */
export class OpcUaSource implements PlcSource {
  readonly #options: SourceOptions<OpcUaConnection>;
  readonly #timing: SourceTiming;
  readonly #link: KeepConnected;
  readonly #last: (Sample | undefined)[];
  readonly #warned = new Set<number>();
  #samples = 0;
  #repeats = 0;
  #overflows = 0;
  #refusals = 0;
  #lent: LentConnection | undefined;

  constructor(options: SourceOptions<OpcUaConnection>) {
    this.#options = options;
    this.#timing = { ...sourceTiming, ...options.timing };
    this.#last = options.tags.map(() => undefined);
    this.#link = new KeepConnected((signal) => this.#open(signal), options.handlers, this.#timing, options.random);
  }

  start(): void {
    this.#link.start();
  }

  stop(): Promise<void> {
    return this.#link.stop();
  }

  lend(): LentConnection | undefined {
    return this.#lent;
  }

  get stats(): SourceStats {
    return {
      samples: this.#samples,
      repeats: this.#repeats,
      connects: this.#link.connects,
      failures: this.#link.failures,
      lastFailure: this.#link.lastFailure,
      overflows: this.#overflows,
      refusals: this.#refusals,
    };
  }

  async #open(signal: AbortSignal): Promise<Session> {
    const { connection, tags, log, pki } = this.#options;
    await reach(connection.endpoint, this.#timing.connectMs, signal);
    const ua = await loadDriver();
    const client = await createClient(ua, connection, pki, this.#timing);
    let over: (reason: string) => void = () => {};
    const ended = new Promise<string>((resolve) => {
      over = resolve;
    });
    let closed = false;
    const timers: NodeJS.Timeout[] = [];
    const close = async (): Promise<void> => {
      closed = true;
      this.#lent = undefined;
      for (const timer of timers) clearInterval(timer);
      await bounded(client.disconnect(), 2_000);
    };
    const giveUp = () => void close();
    signal.addEventListener('abort', giveUp, { once: true });
    try {
      await within(client.connect(connection.endpoint), this.#timing.connectMs, connection.endpoint);
      const identity = await identify(ua, connection);
      const session = await within(client.createSession(identity), this.#timing.connectMs, 'login');
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
        this.#timing.connectMs,
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
      const monitor = async (): Promise<void> => {
        const asked = refused;
        const items = asked.map((i) => ({ nodeId: tags[i]!.address, attributeId: ua.AttributeIds.Value }));
        const group = await within(
          subscription.monitorItems(items, monitoring(ua), ua.TimestampsToReturn.Both),
          this.#timing.connectMs,
          'monitored items',
        );
        group.on('changed', (_item, value, i) => {
          if (!closed) this.#take(asked[i]!, value);
        });
        refused = asked.filter((_tag, i) => !group.monitoredItems[i]?.statusCode?.isGood());
        asked.forEach((i, k) => {
          const status = group.monitoredItems[k]?.statusCode;
          if (status?.isGood()) return;
          this.#refusals++;
          // Once per tag and life: it is asked again every ten seconds, and may be missing for a year.
          if (this.#warned.has(i)) return;
          this.#warned.add(i);
          log?.warn(
            { tag: tags[i]!.name, node: tags[i]!.address, status: status?.name },
            'the server refuses this tag',
          );
        });
      };
      if (signal.aborted) throw new Error('stopped');
      this.#lent = { kind: 'opcua', session };
      this.#link.found();
      // What a former connection said proves nothing about this one.
      this.#last.fill(undefined);
      await monitor();
      const begun = this.#options.clock.now();

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
    const { tags, handlers, clock } = this.#options;
    const tag = tags[i];
    if (tag === undefined) return;
    if (data.statusCode.hasOverflowBit) this.#overflows++;
    const told = qualityOf(data.statusCode.value);
    if (told !== 'good') this.#refusals++;
    const { value, quality } = tagValue(tag, plain(data.value?.value), told);
    const stamp = data.sourceTimestamp ?? data.serverTimestamp;
    const sourceTime: WallTime = stamp ? wallTime(stamp.getTime()) : clock.wall();
    const sample: Sample = { signal: tag.signal, value, quality, sourceTime, receiveTime: clock.now() };
    this.#last[i] = sample;
    this.#samples++;
    handlers.onSample(sample);
  }

  /** Hands on again what did not change in its time; a tag without any value, or a refused one, is bad. */
  #repeat(refused: readonly number[], begun: Instant, publishMs: number): void {
    const { tags, handlers, clock } = this.#options;
    const now = clock.now();
    for (let i = 0; i < tags.length; i++) {
      const tag = tags[i]!;
      const last = this.#last[i];
      // Half a period of grace, and at least one publishing: the device's own next value usually comes just after its
      // time. The first value of a connection may need much longer on a busy box, unless the server said it has none.
      const grace = Math.max(tag.everyMs * 1.5, publishMs * 1.1);
      const first = refused.includes(i) ? grace : Math.max(grace, silenceMs);
      if (last === undefined ? now - begun < first : now - last.receiveTime < grace) continue;
      const sample: Sample =
        last === undefined || refused.includes(i)
          ? { signal: tag.signal, value: Number.NaN, quality: 'bad', sourceTime: clock.wall(), receiveTime: now }
          : { ...last, receiveTime: now };
      this.#last[i] = sample;
      this.#repeats++;
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

const monitoring = (ua: typeof UA): UA.MonitoringParametersOptions => ({
  samplingInterval: 0,
  queueSize,
  discardOldest: false,
  filter: new ua.DataChangeFilter({
    trigger: ua.DataChangeTrigger.StatusValueTimestamp,
    deadbandType: ua.DeadbandType.None,
    deadbandValue: 0,
  }),
});

/**
 * Knocks before the driver is loaded: a controller that is off costs no memory here, and the reason is the system's
 * own word (ECONNREFUSED, EHOSTUNREACH), where the driver says only that it did not work.
 */
export async function reach(endpoint: string, ms: number, signal: AbortSignal): Promise<void> {
  const url = URL.parse(endpoint);
  if (url === null || url.hostname === '') throw new Error(`${endpoint} is no endpoint: expected opc.tcp://host:port`);
  const host = url.hostname.replace(/^\[|\]$/g, '');
  (await dial(host, url.port === '' ? 4840 : Number(url.port), ms, signal)).destroy();
}

let loading: Promise<typeof UA> | undefined;

/** What the client consists of, innermost first, in pieces that each take a tenth of a second or less. */
export const driverSteps = [
  // First of all: what follows in the crypto package refuses to load without it.
  'node-opcua-crypto > reflect-metadata',
  'node-opcua-crypto > @peculiar/asn1-schema',
  'node-opcua-crypto > @peculiar/asn1-x509',
  'node-opcua-crypto > @peculiar/asn1-pfx',
  'node-opcua-crypto > @peculiar/x509',
  'node-opcua-crypto > @peculiar/webcrypto',
  'node-opcua-crypto > sshpk',
  'node-opcua-crypto',
  'node-opcua-constants',
  'node-opcua-status-code',
  'node-opcua-basic-types',
  'node-opcua-factory',
  'node-opcua-data-model',
  'node-opcua-types',
  'node-opcua-pki > yauzl',
  'node-opcua-pki > chokidar',
  'node-opcua-pki',
  'node-opcua-transport',
  'node-opcua-secure-channel',
  'node-opcua-certificate-manager',
  'node-opcua-client-dynamic-extension-object',
  'node-opcua-alarm-condition',
];

/** Loads the driver once, on the first connection, and takes its loggers off standard output. */
export const loadDriver = (): Promise<typeof UA> =>
  (loading ??= importStepwise<typeof UA>('node-opcua-client', driverSteps).then(({ loaded: ua }) => {
    for (const set of [ua.setDebugLogger, ua.setWarningLogger, ua.setErrorLogger]) set(() => {});
    return ua;
  }));

/** Making the key pair of a folder must not happen twice at once, so clients of a folder begin one after another. */
const stores = new Map<string, Promise<unknown>>();

export async function createClient(
  ua: typeof UA,
  connection: OpcUaConnection,
  pki: string,
  timing: SourceTiming,
): Promise<UA.OPCUAClient> {
  const { OPCUACertificateManager } = await import('node-opcua-certificate-manager');
  const manager = new OPCUACertificateManager({
    rootFolder: pki,
    automaticallyAcceptUnknownCertificate: false,
    disableFileWatchers: true,
  });
  const mode = { none: 'None', sign: 'Sign', 'sign-and-encrypt': 'SignAndEncrypt' } as const;
  const client = ua.OPCUAClient.create({
    applicationName: 'Millwright',
    clientName: 'millwright',
    securityMode: ua.MessageSecurityMode[mode[connection.security]],
    securityPolicy: connection.security === 'none' ? ua.SecurityPolicy.None : ua.SecurityPolicy.Basic256Sha256,
    clientCertificateManager: manager,
    // The certificate of a controller behind another name or address is still the one that was trusted.
    endpointMustExist: false,
    connectionStrategy: { maxRetry: 0, initialDelay: 100, maxDelay: 1_000 },
    keepSessionAlive: true,
    requestedSessionTimeout: 20_000,
    transportTimeout: timing.connectMs,
    defaultTransactionTimeout: timing.connectMs,
  });
  const before = stores.get(pki);
  const ready = (before ?? Promise.resolve())
    .catch(() => {})
    .then(async () => {
      await mkdir(join(pki, 'own'), { recursive: true, mode: 0o700 });
      await manager.initialize();
      await client.createDefaultCertificate();
    });
  stores.set(pki, ready);
  await ready;
  return client;
}

export async function identify(ua: typeof UA, connection: OpcUaConnection): Promise<UA.UserIdentityInfo> {
  if (connection.user === undefined) return { type: ua.UserTokenType.Anonymous };
  const password = connection.secret === undefined ? '' : await readSecret(connection.secret);
  return { type: ua.UserTokenType.UserName, userName: connection.user, password };
}
