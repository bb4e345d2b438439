import { readFileSync } from 'node:fs';
import mqtt, { type IClientOptions, type MqttClient } from 'mqtt';
import { Backoff } from '../../agent/base/backoff.ts';
import { Random } from '../../agent/base/random.ts';
import type { Ack, Presence } from '../../agent/wire/report.ts';
import { agentTopics, COORDINATOR, coordinatorTopics, parseTopic } from '../../agent/wire/topics.ts';

/**
 * The coordinator's own connection to the broker, embedded or not: one path for both, so that what holds for one
 * holds for the other. Clean session (broker queues carry no promise), subscribe first, then say that we are there.
 */
export interface BrokerClientOptions {
  readonly site: string;
  readonly boot: string;
  readonly url: string;
  readonly username: string;
  readonly password: string;
  readonly ca?: string | undefined;
  /** The embedded broker speaks 3.1.1 only; with another, 5 is tried first. */
  readonly embedded: boolean;
  readonly onMessage: (message: SiteMessage) => void;
  readonly onState: (state: BrokerClientState) => void;
  readonly info: () => object;
}

export interface BrokerClientState {
  readonly state: 'connected' | 'connecting';
  readonly lastError: string | undefined;
}

/** A message below `mw/1/<site>/`; `owner` is the agent that the topic names. */
export interface SiteMessage {
  readonly owner: string;
  readonly leaf: string;
  readonly rest: string | undefined;
  readonly topic: string;
  readonly payload: Buffer;
}

export interface BrokerClient {
  sendAck(agent: string, ack: Ack): void;
  /** Carries what a person signed; false: there is no line to the broker now. */
  sendOrder(agent: string, verb: string, document: Uint8Array): boolean;
  state(): BrokerClientState;
  stop(): Promise<void>;
}

export function startBrokerClient(options: BrokerClientOptions): BrokerClient {
  const { site, boot } = options;
  const topics = coordinatorTopics(site);
  const backoff = new Backoff(500, 15_000, new Random(boot, 'broker-client'));
  let client: MqttClient | undefined;
  let protocol: 5 | 4 = options.embedded ? 4 : 5;
  let connected = false;
  let turned = false;
  let lastError: string | undefined;
  let stopped = false;
  let timer: NodeJS.Timeout | undefined;

  // Agents greet anew when this changes: what was on its way to a broken line of ours is lost with the clean session.
  let line = 0;
  const presence = (state: Presence['state']): string =>
    JSON.stringify({ v: 1, state, boot: `${boot}-${line}`, ts: Date.now() } satisfies Presence);

  const turn = (): void => options.onState({ state: connected ? 'connected' : 'connecting', lastError });

  const connect = (): void => {
    if (stopped) return;
    line++;
    const settings: IClientOptions = {
      clientId: options.username,
      username: options.username,
      password: options.password,
      protocolVersion: protocol,
      clean: true,
      keepalive: 10,
      connectTimeout: 10_000,
      reconnectPeriod: 0,
      queueQoSZero: false,
      resubscribe: false,
      will: { topic: topics.presence, payload: Buffer.from(presence('offline')), qos: 1, retain: true },
    };
    let opened: MqttClient;
    try {
      if (options.ca !== undefined) settings.ca = [readFileSync(options.ca)];
      opened = mqtt.connect(options.url, settings);
    } catch (error) {
      lastError = (error as Error).message;
      turn();
      timer = setTimeout(connect, backoff.next());
      return;
    }
    client = opened;
    let over = false;
    let refusedVersion = false;
    const finish = (): void => {
      if (over) return;
      over = true;
      // The client's own listeners stay: they clear its timers.
      opened.end(true);
      if (client === opened) client = undefined;
      connected = false;
      if (stopped) return;
      turn();
      if (refusedVersion) protocol = protocol === 5 ? 4 : 5;
      const atOnce = refusedVersion && !turned;
      turned = refusedVersion;
      timer = setTimeout(connect, atOnce ? 0 : backoff.next());
    };
    opened.on('connect', () => {
      if (over || stopped) return;
      turned = false;
      opened.subscribe([...topics.listens], { qos: 1 }, (error, granted) => {
        if (over) return;
        const denied = granted?.filter((g) => g.qos >= 128).map((g) => g.topic) ?? [];
        if (error || denied.length > 0) {
          lastError = error?.message ?? `subscription denied: ${denied.join(', ')}`;
          return finish();
        }
        lastError = undefined;
        connected = true;
        backoff.reset();
        opened.publish(topics.presence, presence('online'), { qos: 1, retain: true }, () => {});
        opened.publish(
          topics.info,
          JSON.stringify({ v: 1, boot, ...options.info() }),
          { qos: 1, retain: true },
          () => {},
        );
        turn();
      });
    });
    opened.on('message', (topic, payload) => {
      if (over || stopped) return;
      const parts = parseTopic(topic);
      if (parts === undefined || parts.site !== site) {
        options.onMessage({ owner: '?', leaf: '?', rest: undefined, topic, payload });
        return;
      }
      // Our own presence and info come back through the filters of all agents'.
      if (parts.owner === COORDINATOR) return;
      options.onMessage({ owner: parts.owner, leaf: parts.leaf, rest: parts.rest, topic, payload });
    });
    opened.on('error', (error) => {
      lastError = error.message;
      const code = (error as { code?: number | string }).code;
      refusedVersion = code === 1 || code === 132;
    });
    opened.on('close', finish);
  };
  connect();

  return {
    sendAck(agent, ack) {
      if (connected) client?.publish(topics.acked(agent), JSON.stringify(ack), { qos: 0 }, () => {});
    },
    sendOrder(agent, verb, document) {
      if (!connected || client === undefined) return false;
      const topic = agentTopics(site, agent).commands.replace('+', verb);
      client.publish(topic, Buffer.from(document), { qos: 1, retain: false }, () => {});
      return true;
    },
    state: () => ({ state: connected ? 'connected' : 'connecting', lastError }),
    async stop() {
      stopped = true;
      clearTimeout(timer);
      const last = client;
      client = undefined;
      if (last === undefined) return;
      const closed = new Promise<void>((resolve) => last.once('close', () => resolve()));
      const goodbye = async (): Promise<void> => {
        if (connected) await last.publishAsync(topics.presence, presence('offline'), { qos: 1, retain: true });
      };
      await bounded(1_500, Promise.race([goodbye(), closed]));
      connected = false;
      await bounded(500, Promise.race([last.endAsync(true), closed]));
    },
  };
}

const bounded = async (ms: number, work: Promise<unknown>): Promise<void> => {
  let timer: NodeJS.Timeout | undefined;
  const deadline = new Promise<void>((resolve) => {
    timer = setTimeout(resolve, ms);
  });
  await Promise.race([work.catch(() => {}), deadline]);
  clearTimeout(timer);
};
