import { randomBytes } from 'node:crypto';
import { mkdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { COORDINATOR } from '../agent/wire/topics.ts';
import { Live } from './api/live.ts';
import type { StatusView, StreamName } from './api/schemas.ts';
import { startApi } from './api/server.ts';
import { Views } from './api/views.ts';
import { Credentials, readBrokerUsers } from './broker/credentials.ts';
import { type EmbeddedBroker, type Refusal, startEmbeddedBroker } from './broker/embedded-broker.ts';
import type { CoordinatorConfig } from './config.ts';
import { Fleet } from './fleet/fleet.ts';
import { Orders } from './fleet/orders.ts';
import { type BrokerClient, type SiteMessage, startBrokerClient } from './ingest/broker-client.ts';
import { Ingest, type IngestChange } from './ingest/ingest.ts';
import { openSqliteStore } from './store/sqlite-store.ts';
import type { Store } from './store/store.ts';

/**
 * The coordinator listens and shows. Nothing in the mesh waits for it: it takes in what the agents say, exactly once
 * and in order, keeps it, and gives it to people. It may be killed at any moment; the agents say again what it had
 * not acknowledged.
 */
export interface Coordinator {
  readonly api: string;
  /** `mqtt://host:port` where agents find the broker. */
  readonly broker: string;
  status(): StatusView;
  stop(): Promise<void>;
}

export type CoordinatorLog = (level: 'info' | 'warn', event: string, detail: Record<string, unknown>) => void;

/** Changes of the fleet are told to pages at most this often. */
const FLEET_EVERY_MS = 300;
const VERDICT_EVERY_MS = 2_000;
const PRUNE_EVERY_MS = 60_000;
const RECENT_REFUSALS = 50;
const REFUSALS_LOGGED_EVERY_MS = 1_000;

/** Throws an error for people when a port is taken, the users cannot be read, or the store is of a newer release. */
export async function startCoordinator(config: CoordinatorConfig, log: CoordinatorLog): Promise<Coordinator> {
  const { site } = config;
  const boot = randomBytes(8).toString('hex');
  const startedAt = Date.now();
  const wall = (): number => Date.now();
  const now = (): number => performance.now();
  mkdirSync(config.data, { recursive: true, mode: 0o700 });
  const store = openStore(join(config.data, 'coordinator.db'));
  const stops: (() => Promise<void> | void)[] = [() => store.close()];
  const stop = async (): Promise<void> => {
    for (const end of stops.splice(0).reverse()) await end();
  };
  try {
    const fleet = new Fleet();
    const views = new Views(store, fleet);
    const live = new Live(boot);
    const orders = new Orders((order) => live.push('order', order));
    const recent: StatusView['broker']['recent'] = [];
    let broker: EmbeddedBroker | undefined;
    let client: BrokerClient | undefined;

    const changed = new Set<string>();
    let fleetTimer: NodeJS.Timeout | undefined;
    const fleetChanged = (agent: string): void => {
      changed.add(agent);
      fleetTimer ??= setTimeout(() => {
        fleetTimer = undefined;
        const names = [...changed];
        changed.clear();
        if (live.listeners === 0) return;
        for (const agent of views.agentsNamed(names)) live.push('agent', agent);
        live.push('duties', { items: views.duties() });
        modelsChanged();
        verdictChanged();
      }, FLEET_EVERY_MS);
    };
    stops.push(() => clearTimeout(fleetTimer));

    let models = '';
    const modelsChanged = (): void => {
      const items = views.models();
      const text = JSON.stringify(items);
      if (text === models) return;
      models = text;
      live.push('models', { items });
    };

    let verdict = '';
    const verdictChanged = (): void => {
      if (live.listeners === 0) return;
      const items = views.verdict(wall());
      const text = JSON.stringify(items);
      if (text === verdict) return;
      verdict = text;
      live.push('verdict', { items });
    };
    // Some of it follows from silence, which sends nothing.
    const verdictTimer = setInterval(verdictChanged, VERDICT_EVERY_MS);
    verdictTimer.unref();
    stops.push(() => clearInterval(verdictTimer));

    const statusLater = debounce(FLEET_EVERY_MS, () => live.push('status', status()));
    stops.push(() => statusLater.stop());

    const onChange = (change: IngestChange): void => {
      switch (change.kind) {
        case 'event':
          return live.push('event', change.row);
        case 'alarm': {
          const alarm = views.alarm(change.alarmId);
          if (alarm !== undefined) live.push('alarm', alarm);
          return;
        }
        case 'incident': {
          const found = views.incident(change.incident);
          if (found !== undefined) {
            const { entries: _, ...incident } = found;
            live.push('incident', incident);
          }
          return;
        }
        case 'quarantine':
          log('warn', 'quarantined', { agent: change.row.agent, topic: change.row.topic, reason: change.row.reason });
          live.push('quarantine', change.row);
          return statusLater.ask();
        case 'run':
          return live.push('run', { run: change.run, thing: change.thing, entry: change.entry });
        case 'readings':
          if (change.added > 0) live.push('readings' satisfies StreamName, { tag: change.tag, added: change.added });
          return;
        case 'agent':
          return fleetChanged(change.agent);
      }
    };
    const ingest = new Ingest({
      store,
      wall,
      now,
      log,
      onChange,
      sendAck: (agent, ack) => client?.sendAck(agent, ack),
    });
    stops.push(() => ingest.close());

    const onMessage = ({ owner, leaf, rest, topic, payload }: SiteMessage): void => {
      if (leaf === 'log' && rest === undefined) {
        ingest.heard(owner, topic, payload);
        return;
      }
      if ((leaf === 'presence' || leaf === 'info' || leaf === 'health') && rest === undefined) {
        const refused = fleet.heard(owner, leaf, payload, wall());
        if (refused === undefined) fleetChanged(owner);
        else ingest.quarantine(owner, topic, payload, refused);
        return;
      }
      // An answer to an order of another's is nothing to us, and neither is one that comes twice.
      if (leaf === 'ack' && rest !== undefined) return void orders.answered(owner, payload, wall());
      // Summaries and alarm caches are carried for others; anything else has no place here.
      if ((leaf === 'summary' || leaf === 'alarm') && rest !== undefined) return;
      ingest.quarantine(owner, topic, payload, 'no such topic');
    };

    let unlogged = 0;
    let refusalLoggedAt = Number.NEGATIVE_INFINITY;
    const onRefused = (refusal: Refusal): void => {
      recent.unshift({ reason: refusal.reason, address: refusal.address, name: refusal.name, at: wall() });
      recent.length = Math.min(recent.length, RECENT_REFUSALS);
      statusLater.ask();
      // A scan of the network knocks a thousand times a second: it is counted above, the log gets its rhythm.
      unlogged++;
      if (wall() - refusalLoggedAt < REFUSALS_LOGGED_EVERY_MS && wall() >= refusalLoggedAt) return;
      log('warn', 'broker-refused', { ...refusal, refused: unlogged });
      refusalLoggedAt = wall();
      unlogged = 0;
    };

    let url: string;
    if (config.broker.mode === 'embedded') {
      const users = await readBrokerUsers(config.broker.users);
      if (!users.ok) throw new Error(`the broker’s users cannot be read: ${users.error}`);
      broker = await startEmbeddedBroker({
        site,
        host: config.broker.host,
        port: config.broker.port,
        credentials: new Credentials(users.value),
        tls: config.broker.tls,
        onForeign: (message) => {
          const why = message.will ? 'a Will for a topic of another' : 'published below a topic of another';
          ingest.quarantine(message.client, message.topic, message.payload, why);
        },
        onRefused,
      });
      const { host, port } = broker;
      stops.push(() => broker?.stop());
      url = `${config.broker.tls === undefined ? 'mqtt' : 'mqtts'}://${host}:${port}`;
    } else url = config.broker.url;

    const listening = Promise.withResolvers<void>();
    client = startBrokerClient({
      site,
      boot,
      url,
      username: config.broker.username,
      password: config.broker.password,
      ca: config.broker.mode === 'external' ? config.broker.ca : config.broker.tls?.cert,
      embedded: config.broker.mode === 'embedded',
      onMessage,
      onState: (state) => {
        if (state.state === 'connected') listening.resolve();
        log(state.state === 'connected' ? 'info' : 'warn', `broker-${state.state}`, {
          url,
          lastError: state.lastError,
        });
        statusLater.ask();
      },
      info: () => ({ version: VERSION, role: COORDINATOR, store: store.id }),
    });
    stops.push(() => client?.stop());
    // Our own broker is ready when we listen on it: what came before would be acknowledged by it and heard by nobody.
    // A foreign broker may be away for days; that is a state, and nothing waits for it.
    if (broker !== undefined) {
      const patience = setTimeout(listening.resolve, 5_000);
      await listening.promise;
      clearTimeout(patience);
    }

    const status = (): StatusView => {
      const counts = ingest.counts();
      const state = client?.state();
      return {
        site,
        boot,
        version: VERSION,
        now: wall(),
        startedAt,
        store: { id: store.id, epoch: store.epoch(), state: counts.store, trouble: counts.trouble ?? null },
        broker: {
          mode: config.broker.mode,
          address: url,
          state: state?.state ?? 'connecting',
          lastError: state?.lastError ?? null,
          clients: broker?.clients() ?? null,
          refused: { ...broker?.counts() },
          recent: [...recent],
        },
        ingest: {
          applied: counts.applied,
          repeated: counts.repeated,
          buffered: counts.buffered,
          otherChain: counts.otherChain,
          overflowed: counts.overflowed,
          acks: counts.acks,
        },
        counts: store.counts(),
      };
    };

    const api = await startApi({
      host: config.api.host,
      port: config.api.port,
      token: config.api.token,
      store,
      views,
      live,
      status,
      console: fileURLToPath(new URL('./console/dist', import.meta.url)),
      wall,
      now,
      onAcknowledged: (alarm) => live.push('alarm', alarm),
      site: config.site,
      orders,
      sendOrder: (agent, verb, document) => client?.sendOrder(agent, verb, document) ?? false,
    });
    stops.push(() => api.stop());

    const pruning = setInterval(() => {
      try {
        store.transaction(() => store.prune(wall()));
      } catch (error) {
        log('warn', 'prune-failed', { reason: (error as Error).message });
      }
    }, PRUNE_EVERY_MS);
    pruning.unref();
    stops.push(() => clearInterval(pruning));

    return { api: api.url, broker: url, status, stop };
  } catch (error) {
    await stop();
    throw error;
  }
}

const openStore = (path: string): Store => {
  try {
    return openSqliteStore(path);
  } catch (error) {
    throw new Error(
      `the store ${path} cannot be opened: ${(error as Error).message}. Restore a backup, or move the file away: ` +
        'the agents then say again what they still hold.',
      { cause: error },
    );
  }
};

const VERSION = (() => {
  for (const place of ['../package.json', '../../package.json']) {
    try {
      return (JSON.parse(readFileSync(new URL(place, import.meta.url), 'utf8')) as { version: string }).version;
    } catch {
      // Built code lives one folder deeper.
    }
  }
  return '0.0.0';
})();

/** Runs `work` once, `ms` after the first asking. */
const debounce = (ms: number, work: () => void): { ask(): void; stop(): void } => {
  let timer: NodeJS.Timeout | undefined;
  let stopped = false;
  return {
    ask() {
      if (stopped) return;
      timer ??= setTimeout(() => {
        timer = undefined;
        work();
      }, ms);
    },
    stop() {
      stopped = true;
      clearTimeout(timer);
    },
  };
};
