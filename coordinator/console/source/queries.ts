import { QueryClient, queryOptions } from '@tanstack/react-query';
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

export const queries = {
  // Counters change without an event of their own.
  status: queryOptions({ queryKey: ['status'], queryFn: client.status, refetchInterval: PERIOD_MS }),
  alarms: queryOptions({ queryKey: ['alarms'], queryFn: client.alarms }),
  agents: queryOptions({ queryKey: ['agents'], queryFn: client.agents }),
  duties: queryOptions({ queryKey: ['duties'], queryFn: client.duties }),
  runs: queryOptions({ queryKey: ['runs'], queryFn: client.runs }),
  incidents: queryOptions({
    queryKey: ['incidents'],
    queryFn: async () => (await client.incidents()).sort(byBeginning),
  }),
  quarantine: queryOptions({ queryKey: ['quarantine'], queryFn: client.quarantine }),
  incident: (id: string) => queryOptions({ queryKey: ['incident', id], queryFn: () => client.incident(id) }),
  events: (filter: EventFilter) => queryOptions({ queryKey: ['events', filter], queryFn: () => client.events(filter) }),
} as const;

const STATE_ORDER = { UNACK: 0, RTNUN: 1, ACKED: 2, NORM: 3 } as const;
const PRIORITY_ORDER = { urgent: 0, high: 1, medium: 2, low: 3 } as const;

/** Unacknowledged first, then priority, then the newest: position tells more than colour. */
export const byNeed = (a: AlarmView, b: AlarmView): number =>
  STATE_ORDER[a.state] - STATE_ORDER[b.state] ||
  PRIORITY_ORDER[a.priority] - PRIORITY_ORDER[b.priority] ||
  b.since - a.since ||
  (a.alarmId < b.alarmId ? -1 : 1);

export const setAlarm = (alarm: AlarmView): void => {
  queryClient.setQueryData(queries.alarms.queryKey, (old) =>
    old === undefined ? old : [...old.filter((a) => a.alarmId !== alarm.alarmId), alarm].sort(byNeed),
  );
};
