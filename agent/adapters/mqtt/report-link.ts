import { readFileSync } from 'node:fs';
import mqtt, { type IClientOptions, type MqttClient } from 'mqtt';
import { Backoff } from '../../base/backoff.ts';
import { Random } from '../../base/random.ts';
import type { Instant } from '../../base/time.ts';
import { instant, never } from '../../base/time.ts';
import { type OutboxAction, OutboxPolicy, type OutboxPolicyOptions } from '../../core/reporting/outbox-policy.ts';
import type { Deliver } from '../../driver/ports.ts';
import type { OrderAnswer } from '../../wire/order.ts';
import { decodeAck, decodePresence, type Hello, type Presence } from '../../wire/report.ts';
import { agentTopics, coordinatorTopics, isLevel } from '../../wire/topics.ts';
import type { Outbox } from '../store/sqlite-outbox.ts';

/**
 * The line from the outbox to the broker. mqtt.js only carries bytes: its own reconnects are off and each connection
 * is a new client, because its memory of unsent messages would be a second truth beside the outbox (and is dropped
 * when a link breaks in the middle of a replay). A PUBACK is not looked at; only an acknowledgement of the
 * coordinator moves the cursor.
 *
 * Losing the broker or the coordinator is a state that is shown, never an error of this agent.
 */
export interface ReportLinkOptions {
  readonly site: string;
  readonly agent: string;
  readonly boot: string;
  readonly broker: BrokerAddress;
  readonly outbox: Outbox;
  /** Gets `coordinator-changed` inputs. */
  readonly deliver: Deliver;
  readonly log: (level: 'info' | 'warn', event: string, detail: Record<string, unknown>) => void;
  /** Current health for people (`healthSchema` without `v` and `boot`), asked about once a second. */
  readonly health: () => object;
  /** Facts of this life (`infoSchema` without `v` and `boot`), asked once per connection. */
  readonly info?: () => object;
  /**
   * Obeys a signed order that came for this agent, or says why not; without it all are refused. What it says goes to
   * `ack/<id>`, so that whoever sent it knows; an order whose identity could not be read gets no answer.
   */
  readonly obey?: (verb: string, document: Uint8Array) => Omit<OrderAnswer, 'id'> & { readonly id: string | undefined };
  readonly clock?: { now(): Instant; wall(): number };
  readonly random?: Random;
  readonly policy?: OutboxPolicyOptions;
  /** First and largest pause between two attempts, milliseconds (full jitter). */
  readonly reconnectMs?: readonly [base: number, cap: number];
}

export interface BrokerAddress {
  /** `mqtt://host:port` or `mqtts://host:port`. */
  readonly url: string;
  /** User name and client id in one: an id that is not the credential's own is refused at CONNECT. */
  readonly username: string;
  readonly password: string;
  /** File of the certificate authority for `mqtts`. */
  readonly ca?: string | undefined;
}

export interface ReportLinkState {
  readonly broker: 'connected' | 'connecting' | 'waiting' | 'stopped';
  readonly coordinator: 'connected' | 'lost' | 'not-heard';
  /** MQTT version in use: 5 is tried first, 4 is 3.1.1. */
  readonly protocol: 5 | 4;
  readonly lastError: string | undefined;
  readonly connects: number;
  readonly sent: number;
  readonly acks: number;
  /** Messages for us that could not be read, by reason. */
  readonly dropped: Readonly<Record<string, number>>;
  readonly commandsRefused: number;
}

export interface ReportLink {
  state(): ReportLinkState;
  /**
   * Doubt about the line, because a peer lost or found the coordinator: a ping to the broker that must be answered within
   * half a second, or, while between two attempts, an attempt at once. A silent line is else found by the keepalive only,
   * after 5 to 15 s. At most one a second; a loss is told as `coordinator-changed`.
   */
  check(): void;
  /** Says goodbye (retained presence `offline`) when connected; bounded to two seconds. */
  stop(): Promise<void>;
}

const HEALTH_EVERY_MS = 1_000;
const HEALTH_AT_LEAST_MS = 10_000;
const CHECK_MS = 500;
const CHECK_SPACING_MS = 1_000;

export function startReportLink(options: ReportLinkOptions): ReportLink {
  const { site, agent, boot, outbox, log } = options;
  const clock = options.clock ?? { now: () => instant(performance.now()), wall: () => Date.now() };
  const random = options.random ?? new Random(`${agent}/${boot}`, 'report-link');
  const [baseMs, capMs] = options.reconnectMs ?? [1_000, 60_000];
  const backoff = new Backoff(baseMs, capMs, random);
  const topics = agentTopics(site, agent);
  const coordinator = coordinatorTopics(site);
  const policy = new OutboxPolicy(clock.now(), outbox, outbox.cursor(), options.policy);

  let client: MqttClient | undefined;
  let protocol: 5 | 4 = 5;
  /** The last attempt already was with the other version. */
  let turned = false;
  let phase: ReportLinkState['broker'] = 'connecting';
  let lastError: string | undefined;
  let connects = 0;
  let sent = 0;
  let acks = 0;
  let commandsRefused = 0;
  let commandTold = -60_000;
  const dropped: Record<string, number> = {};
  let retryTimer: NodeJS.Timeout | undefined;
  let wakeTimer: NodeJS.Timeout | undefined;
  let wakeAt = never;
  let flushQueued = false;
  let lastHealth = '';
  let lastHealthAt = 0;
  let stopped = false;
  let checkTimer: NodeJS.Timeout | undefined;
  let checkedAt = -CHECK_SPACING_MS;
  let heardAt = 0;

  const presence = (state: Presence['state']): string =>
    JSON.stringify({ v: 1, state, boot, ts: Math.round(clock.wall()) } satisfies Presence);

  const publish = (topic: string, payload: string, qos: 0 | 1, retain: boolean): void => {
    // The callback is for mqtt.js's own bookkeeping; what matters is the coordinator's acknowledgement.
    client?.publish(topic, payload, { qos, retain }, (error) => {
      if (error) lastError = error.message;
    });
  };

  const run = (work: (now: Instant, out: OutboxAction[]) => void): void => {
    const out: OutboxAction[] = [];
    work(clock.now(), out);
    for (let i = 0; i < out.length; i++) act(out[i]!, out);
    arm();
  };

  const act = (action: OutboxAction, out: OutboxAction[]): void => {
    switch (action.kind) {
      case 'send-hello': {
        const cursor = outbox.cursor();
        const hello: Hello = {
          v: 1,
          type: 'hello',
          stream: outbox.stream(),
          first: outbox.first(),
          last: outbox.last(),
          chain: outbox.chainAt(outbox.last()) ?? '',
          ...(cursor === undefined ? {} : { acked: { store: cursor.store, epoch: cursor.epoch, upTo: cursor.upTo } }),
        };
        publish(topics.log, JSON.stringify(hello), 1, false);
        return;
      }
      case 'send-record': {
        const bytes = outbox.read(action.seq);
        if (bytes === undefined) return;
        sent++;
        publish(topics.log, bytes, 1, false);
        return;
      }
      case 'advance':
        try {
          outbox.advance(action.cursor);
        } catch (error) {
          // A full disk: the cursor in memory goes on, a restart repeats what was said since.
          log('warn', 'outbox-cursor-not-saved', { reason: (error as Error).message });
        }
        if (action.rewound) log('info', 'outbox-rewound', { ...action.cursor });
        return;
      case 'fork':
        log('warn', 'agent-forked', { after: action.after, why: action.why });
        try {
          outbox.fork(action.after);
        } catch (error) {
          // A full disk: the old stream goes on, and the next disagreement asks again.
          log('warn', 'outbox-not-forked', { reason: (error as Error).message });
          return;
        }
        outbox.publish({
          class: 'event',
          body: {
            type: 'event',
            name: 'agent-forked',
            subject: agent,
            severity: 'warning',
            text:
              action.why === 'ahead-of-us'
                ? 'The coordinator knows more of this agent than the agent itself: its disk was rolled back. A new stream begins.'
                : 'The coordinator knows another past of this agent: it was rolled back or cloned. A new stream begins.',
            detail: { after: action.after, stream: outbox.stream() },
          },
        });
        policy.restarted(clock.now(), out);
        return;
      case 'coordinator-changed':
        options.deliver({ kind: 'coordinator-changed', state: action.state });
        return;
    }
  };

  const arm = (): void => {
    const at = stopped ? never : policy.deadline();
    if (at === wakeAt && wakeTimer !== undefined) return;
    clearTimeout(wakeTimer);
    wakeTimer = undefined;
    wakeAt = at;
    if (at === never) return;
    wakeTimer = setTimeout(
      () => {
        wakeTimer = undefined;
        run((now, out) => policy.tick(now, out));
      },
      Math.min(Math.max(0, at - clock.now()), 600_000),
    );
    wakeTimer.unref();
  };

  const count = (reason: string): void => {
    dropped[reason] = (dropped[reason] ?? 0) + 1;
  };

  const onMessage = (topic: string, payload: Buffer): void => {
    if (topic === topics.acked) {
      const ack = decodeAck(payload);
      if (!ack.ok) return count('bad-ack');
      acks++;
      run((now, out) => policy.ackReceived(now, ack.value, out));
      return;
    }
    if (topic === coordinator.presence) {
      if (payload.length === 0) return;
      const seen = decodePresence(payload);
      if (!seen.ok) return count('bad-presence');
      const { state, boot: life } = seen.value;
      if (state === 'online') run((now, out) => policy.coordinatorSeen(now, life, out));
      else run((now, out) => policy.coordinatorLeft(now, life, out));
      return;
    }
    if (topic === coordinator.info) return;
    const verb = topic.split('/')[5];
    if (topic === topics.commands.replace('+', verb ?? '')) {
      const answer = verb === undefined ? undefined : options.obey?.(verb, payload);
      if (answer?.id !== undefined) publish(topics.ack(answer.id), JSON.stringify(answer), 1, false);
      if (answer?.ok === true) return;
      commandsRefused++;
      if (options.obey !== undefined) return;
      const now = clock.now();
      if (now - commandTold >= 60_000) {
        commandTold = now;
        outbox.publish({
          class: 'event',
          body: {
            type: 'event',
            name: 'command-refused',
            subject: agent,
            severity: 'warning',
            text: 'A command came over the broker to an agent that takes none, and was not obeyed.',
            detail: { verb: verb !== undefined && isLevel(verb) ? verb : '?', refused: commandsRefused },
          },
        });
      }
      return;
    }
    count('unexpected-topic');
  };

  const sayHealth = (): void => {
    if (client?.connected !== true) return;
    const now = clock.now();
    const health = JSON.stringify({ v: 1, boot, ...options.health() });
    if (health === lastHealth && now - lastHealthAt < HEALTH_AT_LEAST_MS) return;
    lastHealth = health;
    lastHealthAt = now;
    publish(topics.health, health, 0, true);
  };

  const connect = (): void => {
    if (stopped) return;
    phase = 'connecting';
    const settings: IClientOptions = {
      clientId: options.broker.username,
      username: options.broker.username,
      password: options.broker.password,
      protocolVersion: protocol,
      clean: true,
      keepalive: 10,
      connectTimeout: 10_000,
      reconnectPeriod: 0,
      queueQoSZero: false,
      resubscribe: false,
      // Else mqtt-packet lays out a buffer for each of 65536 numbers: 7 MB, to save nothing at our few messages a second.
      writeCache: false,
      // The Will is made anew for every connection: it carries this life and this moment.
      will: { topic: topics.presence, payload: Buffer.from(presence('offline')), qos: 1, retain: true },
    };
    let opened: MqttClient;
    try {
      if (options.broker.ca !== undefined) settings.ca = [readFileSync(options.broker.ca)];
      opened = mqtt.connect(options.broker.url, settings);
    } catch (error) {
      lastError = (error as Error).message;
      return retry(backoff.next());
    }
    client = opened;
    let over = false;
    let refusedVersion = false;
    const finish = (): void => {
      if (over) return;
      over = true;
      clearTimeout(checkTimer);
      checkTimer = undefined;
      // The client's own listeners stay: they clear its timers.
      opened.end(true);
      if (client === opened) client = undefined;
      if (stopped) return;
      run((now, out) => policy.linkDown(now, out));
      if (refusedVersion) protocol = protocol === 5 ? 4 : 5;
      // The other version is tried at once, but a broker that refuses both is not pressed.
      const atOnce = refusedVersion && !turned;
      turned = refusedVersion;
      retry(atOnce ? 0 : backoff.next());
    };
    opened.on('connect', () => {
      if (over || stopped) return;
      phase = 'connected';
      lastError = undefined;
      connects++;
      turned = false;
      lastHealth = '';
      log('info', 'broker-connected', { url: options.broker.url, protocol });
      opened.subscribe([topics.acked, topics.commands, coordinator.presence], { qos: 1 }, (error, granted) => {
        if (over) return;
        const denied = granted?.filter((g) => g.qos >= 128).map((g) => g.topic) ?? [];
        if (error || denied.length > 0) {
          lastError = error?.message ?? `subscription denied: ${denied.join(', ')}`;
          log('warn', 'subscription-denied', { reason: lastError });
          if (denied.includes(topics.acked) || granted === undefined) return finish();
        }
        publish(topics.presence, presence('online'), 1, true);
        publish(topics.info, JSON.stringify({ v: 1, boot, ...options.info?.() }), 1, true);
        sayHealth();
        run((now, out) => policy.linkUp(now, out));
        backoff.reset();
      });
    });
    opened.on('packetreceive', () => {
      heardAt = clock.now();
    });
    opened.on('message', (topic, payload) => {
      if (!over && !stopped) onMessage(topic, payload);
    });
    opened.on('error', (error) => {
      lastError = error.message;
      const code = (error as { code?: number | string }).code;
      // 1 is the answer of a broker of 3.1.1 (Aedes) to version 5, 0x84 that of a newer one to what it does not speak.
      refusedVersion = code === 1 || code === 132;
      if (!refusedVersion) log('warn', 'broker-refused', { reason: error.message });
    });
    opened.on('close', finish);
  };

  const retry = (ms: number): void => {
    if (stopped) return;
    phase = 'waiting';
    retryTimer = setTimeout(connect, ms);
  };

  const check = (): void => {
    const now = clock.now();
    if (stopped || now - checkedAt < CHECK_SPACING_MS) return;
    checkedAt = now;
    if (phase === 'waiting') {
      clearTimeout(retryTimer);
      return connect();
    }
    const asked = client;
    if (asked?.connected !== true || checkTimer !== undefined) return;
    asked.sendPing();
    checkTimer = setTimeout(() => {
      checkTimer = undefined;
      // The answers of half a second may wait unread behind a stall of ours: let them be read first.
      setImmediate(() => {
        if (stopped || client !== asked || heardAt >= now) return;
        lastError = `the broker did not answer a ping within ${CHECK_MS} ms`;
        log('warn', 'broker-silent', { reason: lastError });
        // Not the polite end: nobody is there to take a goodbye. Its `close` does the rest.
        asked.stream.destroy();
      });
    }, CHECK_MS);
    checkTimer.unref();
  };

  outbox.onAppended(() => {
    // Several records of one step go out together; the listener itself never sends from inside `publish`.
    if (flushQueued) return;
    flushQueued = true;
    setImmediate(() => {
      flushQueued = false;
      if (!stopped) run((now, out) => policy.appended(now, out));
    });
  });
  const healthTimer = setInterval(sayHealth, HEALTH_EVERY_MS);
  healthTimer.unref();
  connect();

  return {
    state: () => ({
      broker: phase,
      coordinator: policy.state,
      protocol,
      lastError,
      connects,
      sent,
      acks,
      dropped: { ...dropped, ...nonZero(policy.ignored) },
      commandsRefused,
    }),
    check,
    async stop() {
      if (stopped) return;
      stopped = true;
      clearTimeout(checkTimer);
      phase = 'stopped';
      outbox.onAppended(undefined);
      clearTimeout(retryTimer);
      clearTimeout(wakeTimer);
      clearInterval(healthTimer);
      const last = client;
      client = undefined;
      if (last === undefined) return;
      const closed = new Promise<void>((resolve) => last.once('close', () => resolve()));
      if (last.connected) {
        const said = new Promise<void>((resolve) => {
          last.publish(topics.presence, presence('offline'), { qos: 1, retain: true }, () => resolve());
        });
        await bounded(2_000, Promise.race([said, closed]));
      }
      const ended = last.endAsync(true);
      await bounded(500, Promise.race([ended, closed]));
    },
  };
}

const nonZero = (counts: Readonly<Record<string, number>>): Record<string, number> =>
  Object.fromEntries(Object.entries(counts).filter(([, n]) => n > 0));

const bounded = async (ms: number, work: Promise<unknown>): Promise<void> => {
  let timer: NodeJS.Timeout | undefined;
  const deadline = new Promise<void>((resolve) => {
    timer = setTimeout(resolve, ms);
  });
  await Promise.race([work.catch(() => {}), deadline]);
  clearTimeout(timer);
};
