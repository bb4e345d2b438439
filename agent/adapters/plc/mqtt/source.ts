import { randomBytes } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import type { IClientOptions, MqttClient } from 'mqtt';
import { wallTime } from '../../../base/time.ts';
import type { Connection } from '../../../driver/bindings.ts';
import { bounded, reasonOf, type Session, within } from '../keep-connected.ts';
import { LinkedSource, type ReadableTag } from '../linked-source.ts';
import type { Reading } from '../sample-maker.ts';
import { readSecret } from '../secret.ts';
import type { SourceOptions, SourceTiming } from '../source.ts';
import { type MqttAddress, parseMqttAddress } from './address.ts';
import { EdgeNode, type SparkplugVerb } from './edge-node.ts';
import { readPayload } from './payload.ts';
import type * as Sparkplug from './sparkplug.ts';

type MqttConnection = Extract<Connection, { kind: 'mqtt' }>;

interface Entry extends ReadableTag<MqttAddress> {
  reading: Reading | undefined;
  receivedAt: number;
}

/**
 * Topics of a broker as a device: values come when somebody publishes them.
 *
 * A plain topic says nothing about its publisher: a value grows stale by itself when nothing new comes, so `fresh` belongs
 * to the publisher's pace. A retained message may be of any age, which is quality uncertain until a live one comes.
 * Sparkplug says who lives: a metric stands until its node or device dies (then it is bad), and is told again every period
 * meanwhile. This source never publishes, also no rebirth: metrics that are sent by alias are known from the next birth on.
 */
export class MqttSource extends LinkedSource<MqttConnection> {
  readonly #entries: readonly Entry[];
  readonly #byTopic: ReadonlyMap<string, readonly Entry[]>;
  readonly #byMetric: ReadonlyMap<string, readonly Entry[]>;
  /** Of the nodes that tags name: what others publish is not looked at. */
  readonly #nodes = new Map<string, EdgeNode>();
  #told = 0;
  /** Loaded with the first connection that has a node to listen to. */
  #sparkplug: typeof Sparkplug | undefined;

  constructor(options: SourceOptions<MqttConnection>) {
    super(options);
    this.#entries = this.readAddresses((tag) => parseMqttAddress(tag.address)).map((one) => ({
      ...one,
      reading: undefined,
      receivedAt: 0,
    }));
    this.#byTopic = Map.groupBy(
      this.#entries.filter(({ address }) => address.kind === 'topic'),
      ({ address }) => (address.kind === 'topic' ? address.topic : ''),
    );
    this.#byMetric = Map.groupBy(this.#entries, ({ address }) =>
      address.kind === 'sparkplug' ? metricKey(address.group, address.node, address.device, address.metric) : '',
    );
    for (const { address } of this.#entries)
      if (address.kind === 'sparkplug') this.#nodes.set(nodeKey(address.group, address.node), new EdgeNode());
  }

  protected async open(signal: AbortSignal): Promise<Session> {
    const { connection } = this.options;
    if (this.#nodes.size > 0) this.#sparkplug ??= await import('./sparkplug.ts');
    const client = await connect(connection, this.timing, signal);
    let closed = false;
    const ended = new Promise<string>((resolve) => {
      client.on('error', (error) => resolve(reasonOf(error)));
      client.on('close', () => resolve('the broker closed the connection'));
    });
    const timers: NodeJS.Timeout[] = [];
    const close = async () => {
      closed = true;
      for (const timer of timers) clearInterval(timer);
      await bounded(client.endAsync(true), 2_000);
    };
    const giveUp = () => void close();
    signal.addEventListener('abort', giveUp, { once: true });
    try {
      for (const node of this.#nodes.values()) node.forget();
      for (const entry of this.#entries) entry.reading = undefined;
      client.on('message', (topic, payload, packet) => {
        if (!closed) this.#take(topic, payload, packet.retain);
      });
      const topics = [...this.#byTopic.keys(), ...[...this.#nodes.keys()].flatMap(sparkplugTopics)];
      this.link.found();
      this.tellUnreadable();
      for (let i = 0; i < topics.length; i += 50) {
        await this.#subscribe(client, topics.slice(i, i + 50));
      }
      const step = Math.max(50, Math.min(500, ...this.#entries.map(({ tag }) => tag.everyMs / 2)));
      if (this.#nodes.size > 0) timers.push(setInterval(() => this.#repeat(), step));
      return { ended, close };
    } catch (error) {
      await close();
      throw error;
    } finally {
      signal.removeEventListener('abort', giveUp);
    }
  }

  /** mqtt.js rejects a whole list when the broker refuses one of it: then each is asked for by itself. */
  async #subscribe(client: MqttClient, topics: readonly string[]): Promise<void> {
    const subscribed = client.subscribeAsync([...topics], { qos: 0 }).then(
      (granted) => granted.every(({ qos }) => qos < 128),
      (error: unknown) => {
        this.options.log?.warn({ topics: topics.slice(0, 8) }, `not subscribed: ${reasonOf(error)}`);
        return false;
      },
    );
    if (await within(subscribed, this.timing.requestMs, 'subscribe')) return;
    if (topics.length > 1) for (const topic of topics) await this.#subscribe(client, [topic]);
    else this.#refuse(topics[0] ?? '');
  }

  #wall = () => this.options.clock.wall();

  #refuse(topic: string): void {
    this.counted.refusals++;
    for (const { maker } of this.#byTopic.get(topic) ?? [])
      this.emit(maker, { raw: undefined, why: 'the broker refuses this topic', sourceTime: this.#wall() });
  }

  /** Never throws: it is called from the client's own handler. */
  #take(topic: string, payload: Uint8Array, retained: boolean): void {
    for (const entry of this.#byTopic.get(topic) ?? []) {
      const value = readPayload(payload, entry.address.kind === 'topic' ? entry.address.pointer : undefined);
      const sourceTime = this.#wall();
      if (!value.ok) this.#complain(topic, value.error);
      this.#put(
        entry,
        !value.ok
          ? { raw: undefined, why: value.error, sourceTime }
          : retained
            ? { raw: value.value, quality: 'uncertain', why: 'retained: nobody says how old it is', sourceTime }
            : { raw: value.value, sourceTime },
      );
    }
    const spark = /^spBv1\.0\/([^/]+)\/([ND](?:BIRTH|DATA|DEATH))\/([^/]+)(?:\/([^/]+))?$/.exec(topic);
    if (spark === null || retained) return;
    const [, group, verb, name, device] = spark;
    const node = this.#nodes.get(nodeKey(group!, name!));
    const sparkplug = this.#sparkplug;
    if (sparkplug === undefined || node === undefined || (verb!.startsWith('D') && device === undefined)) return;
    const decoded = sparkplug.decodeSparkplug(payload);
    if (!decoded.ok) return this.#complain(topic, decoded.error);
    const metrics = node.take(verb as SparkplugVerb, device, decoded.value);
    if (verb === 'NDEATH' || verb === 'DDEATH') return this.#repeat();
    if (node.unknownAliases > 0 && this.#told++ === 0)
      this.options.log?.warn(
        { node: name },
        'it speaks by alias and its birth was not heard: values come after its next birth',
      );
    for (const metric of metrics) {
      // What the node had kept while it was offline is history, not the present.
      if (metric.historical) continue;
      for (const entry of this.#byMetric.get(metricKey(group!, name!, metric.device, metric.name)) ?? []) {
        const at = metric.timestamp ?? decoded.value.timestamp;
        const good = metric.quality === undefined || metric.quality === 192;
        this.#put(entry, {
          raw: sparkplug.signed(metric.value, metric.datatype),
          quality: good ? 'good' : 'bad',
          why: good
            ? metric.value === undefined
              ? 'the node says null'
              : undefined
            : `the node says quality ${metric.quality === 500 ? 'stale' : metric.quality}`,
          sourceTime: at !== undefined && at > 0 && at < 8.64e15 ? wallTime(at) : this.#wall(),
        });
      }
    }
  }

  #put(entry: Entry, reading: Reading): void {
    entry.reading = reading;
    entry.receivedAt = this.options.clock.now();
    this.emit(entry.maker, reading);
  }

  /** Metrics of who lives stand; of who died they are bad. */
  #repeat(): void {
    const now = this.options.clock.now();
    for (const entry of this.#entries) {
      const { address, reading, tag } = entry;
      if (address.kind !== 'sparkplug' || reading === undefined) continue;
      const alive = this.#nodes.get(nodeKey(address.group, address.node))?.alive(address.device);
      if (alive === undefined) continue;
      if (alive && now - entry.receivedAt < tag.everyMs) continue;
      if (!alive && reading.raw !== undefined) {
        const who =
          address.device === undefined ? `node ${address.node}` : `device ${address.device} of ${address.node}`;
        entry.reading = { raw: undefined, why: `${who} is dead`, sourceTime: this.#wall() };
      } else if (!alive && now - entry.receivedAt < tag.everyMs) continue;
      entry.receivedAt = now;
      this.counted.repeats++;
      this.emit(entry.maker, entry.reading ?? reading);
    }
  }

  #complain(topic: string, why: string): void {
    this.counted.refusals++;
    if (this.counted.refusals < 20) this.options.log?.warn({ topic: topic.slice(0, 200) }, why);
  }
}

const nodeKey = (group: string, node: string): string => `${group}/${node}`;

const metricKey = (group: string, node: string, device: string | undefined, metric: string): string =>
  [group, node, device ?? '', metric].join('\0');

const sparkplugTopics = (key: string): string[] => {
  const [group, node] = key.split('/');
  return [
    ...['NBIRTH', 'NDATA', 'NDEATH'].map((verb) => `spBv1.0/${group}/${verb}/${node}`),
    ...['DBIRTH', 'DDATA', 'DDEATH'].map((verb) => `spBv1.0/${group}/${verb}/${node}/+`),
  ];
};

/** A connected client with a clean session; reconnecting is not its business. Rejects with a reason for people. */
export async function connect(
  connection: MqttConnection,
  timing: Pick<SourceTiming, 'connectMs'>,
  signal: AbortSignal,
): Promise<MqttClient> {
  const { default: mqtt } = await import('mqtt');
  const options: IClientOptions = {
    clientId: `millwright-${randomBytes(6).toString('hex')}`,
    clean: true,
    reconnectPeriod: 0,
    connectTimeout: timing.connectMs,
    keepalive: 5,
    resubscribe: false,
    queueQoSZero: false,
    ...(connection.user === undefined ? {} : { username: connection.user }),
    ...(connection.secret === undefined ? {} : { password: await readSecret(connection.secret) }),
    ...(connection.ca === undefined ? {} : { ca: await readFile(connection.ca) }),
  };
  const client = mqtt.connect(connection.url, options);
  const connected = new Promise<void>((resolve, reject) => {
    const stop = () => reject(new Error('stopped'));
    signal.addEventListener('abort', stop, { once: true });
    client.once('connect', () => resolve());
    client.once('error', reject);
    client.once('close', () => reject(new Error('the broker closed the connection')));
  });
  try {
    await within(connected, timing.connectMs, connection.url);
    return client;
  } catch (error) {
    client.on('error', () => {});
    client.end(true);
    throw error;
  }
}
