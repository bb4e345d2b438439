import { type DataTag, hashKey, QueryClient, queryOptions } from '@tanstack/react-query';
import type { AlarmView, IncidentView } from '../../api/schemas.ts';
import { CallError, client, type EventFilter } from './client.ts';

/** What the page holds. It is loaded once; after that the stream keeps it true (`live.ts`). */
export const queryClient = new QueryClient({
  defaultOptions: {
    queries: {
      staleTime: Number.POSITIVE_INFINITY,
      gcTime: 300_000,
      refetchOnWindowFocus: false,
      retry: (tries, error) => !(error instanceof CallError && error.status > 0) && tries < 2,
      networkMode: 'always',
    },
    mutations: { networkMode: 'always' },
  },
});

/** Newest first by when they began, whenever they were told. */
export const byBeginning = (a: IncidentView, b: IncidentView): number => b.firstBadAt - a.firstBadAt;

const PERIOD_MS = 10_000;

/**
 * Changes that the stream told while a list was under way. An answer may be older than they are, so they are applied
 * to it once more; each of them is an insertion or a replacement by identity, so twice is the same as once.
 */
const late = new Map<string, ((old: never) => unknown)[]>();

const withLate =
  <T>(key: readonly unknown[], load: () => Promise<T>): (() => Promise<T>) =>
  async () => {
    const hash = hashKey(key);
    const changes: ((old: never) => unknown)[] = [];
    late.set(hash, changes);
    try {
      const value = await load();
      return changes.reduce<T>((old, change) => change(old as never) as T, value);
    } finally {
      if (late.get(hash) === changes) late.delete(hash);
    }
  };

/** Applies a change to a list that is held, and to the answer that may be on its way. */
export const change = <T>(key: DataTag<readonly unknown[], T, Error>, work: (old: T) => T): void => {
  queryClient.setQueryData<T>(key as readonly unknown[], (old) => (old === undefined ? old : work(old)));
  const waiting = late.get(hashKey(key as readonly unknown[]));
  // Bounded: whoever misses more than this while one answer is under way has a slow line, and the next load mends it.
  if (waiting !== undefined && waiting.length < 2_000) waiting.push(work as (old: never) => unknown);
};

const listQuery = <T, K extends readonly unknown[]>(queryKey: K, load: () => Promise<T>) =>
  queryOptions({ queryKey, queryFn: withLate(queryKey, load) });

export const queries = {
  // Counters change without an event of their own.
  status: queryOptions({ queryKey: ['status'], queryFn: client.status, refetchInterval: PERIOD_MS }),
  alarms: listQuery(['alarms'], client.alarms),
  agents: listQuery(['agents'], client.agents),
  duties: listQuery(['duties'], client.duties),
  things: queryOptions({ queryKey: ['things'], queryFn: client.things, refetchInterval: 60_000 }),
  orders: listQuery(['orders'], client.orders),
  models: listQuery(['models'], client.models),
  verdict: listQuery(['verdict'], client.verdict),
  runs: queryOptions({ queryKey: ['runs'], queryFn: client.runs }),
  incidents: listQuery(['incidents'], async () => (await client.incidents()).sort(byBeginning)),
  quarantine: listQuery(['quarantine'], client.quarantine),
  incident: (id: string) => queryOptions({ queryKey: ['incident', id], queryFn: () => client.incident(id) }),
  evidence: (subject: string) =>
    queryOptions({ queryKey: ['evidence', subject], queryFn: () => client.evidence(subject) }),
  events: (filter: EventFilter) => listQuery(['events', filter], () => client.events(filter)),
} as const;

const STATE_ORDER = { UNACK: 0, RTNUN: 1, ACKED: 2, NORM: 3 } as const;
const PRIORITY_ORDER = { urgent: 0, high: 1, medium: 2, low: 3 } as const;

/** Unacknowledged first, then priority, then the newest: position tells more than colour. */
export const byNeed = (a: AlarmView, b: AlarmView): number =>
  STATE_ORDER[a.state] - STATE_ORDER[b.state] ||
  PRIORITY_ORDER[a.priority] - PRIORITY_ORDER[b.priority] ||
  b.since - a.since ||
  (a.alarmId < b.alarmId ? -1 : 1);

export const setAlarm = (alarm: AlarmView): void =>
  change(queries.alarms.queryKey, (old) => [...old.filter((a) => a.alarmId !== alarm.alarmId), alarm].sort(byNeed));
