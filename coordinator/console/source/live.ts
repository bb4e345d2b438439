import type { z } from 'zod';
import { type StreamName, streamSchemas } from '../../api/schemas.ts';
import type { EventFilter } from './client.ts';
import { CallError, client } from './client.ts';
import { setServerTime } from './clock.ts';
import { held } from './held.ts';
import { byBeginning, change, queries, queryClient, setAlarm } from './queries.ts';

/**
 * The line to the coordinator. It resumes behind the last event that it saw, so nothing is missed over a short break;
 * after a long one, or another life of the coordinator, the server says `reset` and everything is loaded anew.
 *
 * A silent line is a dead line: the server speaks every five seconds, so three times that means stale, whether or not
 * the socket admits it. Reconnecting is ours and not the browser's, because a browser gives up for good on any answer
 * that is not 200.
 */
export interface LiveState {
  readonly line: 'connecting' | 'open' | 'broken' | 'locked-out';
  /** Wall time of this device when the last word came; undefined before the first. */
  readonly heardAt: number | undefined;
}

const SILENT_MS = 15_000;
const RETRY_MS = 1_000;
const RETRY_CAP_MS = 5_000;
const EVENTS_KEPT = 1_000;
const RECENT_KEPT = 500;

const state = held<LiveState>({ line: 'connecting', heardAt: undefined });
let source: EventSource | undefined;
let lastId = '';
let failures = 0;
let retryTimer: number | undefined;
let watchTimer: number | undefined;

const set = (next: Partial<LiveState>): void => state.set({ ...state.get(), ...next });

export const useLive = state.use;

export const startLive = (): void => {
  stopLive();
  set({ line: 'connecting' });
  connect();
  watchTimer = window.setInterval(() => {
    const { line, heardAt } = state.get();
    if (line === 'open' && heardAt !== undefined && Date.now() - heardAt > SILENT_MS) broke();
  }, 1_000);
};

export const stopLive = (): void => {
  source?.close();
  source = undefined;
  window.clearTimeout(retryTimer);
  window.clearInterval(watchTimer);
};

/** The session is over: the next state is the login. */
export const lockOut = (): void => {
  stopLive();
  lastId = '';
  set({ line: 'locked-out' });
};

const connect = (): void => {
  const resume = lastId;
  source = new EventSource(`/api/v1/stream${resume === '' ? '' : `?lastEventId=${encodeURIComponent(resume)}`}`);
  source.onopen = () => {
    failures = 0;
    set({ line: 'open', heardAt: Date.now() });
    // Without a place to resume from, whatever happened before this moment is only in the lists.
    if (resume === '') void queryClient.invalidateQueries();
    else void queryClient.invalidateQueries({ predicate: (query) => query.state.status === 'error' });
  };
  source.onerror = () => broke();
  for (const name of Object.keys(streamSchemas) as StreamName[]) {
    source.addEventListener(name, (event) => {
      if (event.lastEventId !== '') lastId = event.lastEventId;
      set({ line: 'open', heardAt: Date.now() });
      take(name, event.data as string);
    });
  }
};

const broke = (): void => {
  source?.close();
  source = undefined;
  set({ line: 'broken' });
  window.clearTimeout(retryTimer);
  const pause = Math.min(RETRY_CAP_MS, RETRY_MS * 2 ** failures++);
  retryTimer = window.setTimeout(() => {
    // A stream cannot say why it was refused; an ordinary call can.
    client.status().then(connect, (error: unknown) => {
      if (error instanceof CallError && error.status === 401) lockOut();
      else broke();
    });
  }, pause);
};

const take = (name: StreamName, text: string): void => {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    return;
  }
  hints[name]?.();
  apply(name, value);
};

/** What a coordinator of another version says in another form is left out; the next load brings it. */
const apply = <N extends StreamName>(name: N, value: unknown): void => {
  const parsed = streamSchemas[name].safeParse(value);
  if (parsed.success) changes[name]?.(parsed.data as Told<N>);
};

type Told<N extends StreamName> = z.infer<(typeof streamSchemas)[N]>;

/** These only say that something changed, so they are believed in whatever form they come. */
const hints: { readonly [N in StreamName]?: () => void } = {
  run: () => void queryClient.invalidateQueries({ queryKey: queries.runs.queryKey }),
  reset: () => void queryClient.invalidateQueries(),
};

/** A list with one item more, or anew: the newest first. */
const withNewest =
  <K extends string, T extends { readonly [key in K]: unknown }>(item: T, id: K) =>
  (old: readonly T[]): T[] =>
    [item, ...old.filter((one) => one[id] !== item[id])].slice(0, RECENT_KEPT);

/** What each word of the stream changes in the lists that the page holds. */
const changes: { readonly [N in StreamName]?: (told: Told<N>) => void } = {
  beat: ({ now }) => setServerTime(now),
  status: (status) => queryClient.setQueryData(queries.status.queryKey, status),
  duties: ({ items }) => change(queries.duties.queryKey, () => items),
  models: ({ items }) => change(queries.models.queryKey, () => items),
  verdict: ({ items }) => change(queries.verdict.queryKey, () => items),
  order: (order) => change(queries.orders.queryKey, withNewest(order, 'id')),
  quarantine: (row) => change(queries.quarantine.queryKey, withNewest(row, 'id')),
  alarm: setAlarm,
  incident: (incident) => {
    change(queries.incidents.queryKey, (old) =>
      [incident, ...old.filter((i) => i.incident !== incident.incident)].sort(byBeginning).slice(0, RECENT_KEPT),
    );
    void queryClient.invalidateQueries({ queryKey: ['incident', incident.incident] });
  },
  event: (event) => {
    if (event.name === 'evidence') {
      // An alarm may share the evidence of another name, so all that are on the screen are asked for again.
      void queryClient.invalidateQueries({ queryKey: ['evidence'] });
    }
    for (const query of queryClient.getQueryCache().findAll({ queryKey: ['events'] })) {
      const filter = query.queryKey[1] as EventFilter;
      if (filter.agent !== '' && filter.agent !== event.agent) continue;
      if (filter.name !== '' && filter.name !== event.name) continue;
      change(queries.events(filter).queryKey, (old) =>
        old.some((e) => e.cursor === event.cursor)
          ? old
          : [event, ...old].slice(0, Math.min(filter.limit, EVENTS_KEPT)),
      );
    }
  },
  agent: (agent) => {
    const known = queryClient.getQueryData(queries.agents.queryKey);
    // Whose agent went silent, its alarms say “source lost”.
    if (known?.find((a) => a.agent === agent.agent)?.presence !== agent.presence) {
      void queryClient.invalidateQueries({ queryKey: queries.alarms.queryKey });
    }
    change(queries.agents.queryKey, (old) =>
      [...old.filter((a) => a.agent !== agent.agent), agent].sort((a, b) => (a.agent < b.agent ? -1 : 1)),
    );
  },
};
