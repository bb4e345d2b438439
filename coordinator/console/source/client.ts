import { z } from 'zod';
import {
  type AlarmView,
  agentViewSchema,
  alarmViewSchema,
  dutyViewSchema,
  errorSchema,
  eventViewSchema,
  evidenceViewSchema,
  incidentDetailSchema,
  incidentViewSchema,
  listOf,
  modelViewSchema,
  orderViewSchema,
  quarantineViewSchema,
  runViewSchema,
  siteStatementSchema,
  statusViewSchema,
  thingViewSchema,
} from '../../api/schemas.ts';

/**
 * The one way to the coordinator, typed and checked by the schemas that the server speaks by. A page may stay open
 * over an upgrade: an answer of another form becomes an error that says so, not a blank screen.
 */
export class CallError extends Error {
  readonly status: number;
  readonly code: string;

  constructor(status: number, code: string, message: string) {
    super(message);
    this.status = status;
    this.code = code;
  }
}

const PATIENCE_MS = 15_000;

const call = async <S extends z.ZodType>(schema: S, path: string, init: RequestInit = {}): Promise<z.infer<S>> => {
  let response: Response;
  try {
    response = await fetch(path, { ...init, signal: init.signal ?? AbortSignal.timeout(PATIENCE_MS) });
  } catch (error) {
    throw new CallError(0, 'unreachable', (error as Error).message);
  }
  const body: unknown = await response.json().catch(() => undefined);
  if (!response.ok) {
    const told = errorSchema.safeParse(body);
    throw told.success
      ? new CallError(response.status, told.data.code, told.data.message)
      : new CallError(response.status, 'http', `HTTP ${response.status}`);
  }
  const parsed = schema.safeParse(body);
  if (!parsed.success) throw new CallError(response.status, 'other-form', z.prettifyError(parsed.error));
  return parsed.data;
};

const list = async <S extends z.ZodType>(item: S, path: string): Promise<z.infer<S>[]> =>
  (await call(listOf(item), path)).items as z.infer<S>[];

const post = (body: unknown): RequestInit => ({
  method: 'POST',
  headers: { 'content-type': 'application/json' },
  body: JSON.stringify(body),
});

const done = z.object({ ok: z.boolean() });

export interface EventFilter {
  readonly agent: string;
  readonly name: string;
  readonly limit: number;
}

export const client = {
  logIn: (token: string) => call(done, '/api/v1/session', post({ token })),
  session: () => call(z.object({ open: z.boolean() }), '/api/v1/session'),
  logOut: () => call(done, '/api/v1/session', { method: 'DELETE' }),
  status: () => call(statusViewSchema, '/api/v1/status'),
  alarms: () => list(alarmViewSchema, '/api/v1/alarms'),
  agents: () => list(agentViewSchema, '/api/v1/agents'),
  duties: () => list(dutyViewSchema, '/api/v1/duties'),
  models: () => list(modelViewSchema, '/api/v1/models'),
  verdict: () => list(siteStatementSchema, '/api/v1/verdict'),
  runs: () => list(runViewSchema, '/api/v1/runs?limit=200'),
  incidents: () => list(incidentViewSchema, '/api/v1/incidents?limit=500'),
  incident: (id: string) => call(incidentDetailSchema, `/api/v1/incidents/${encodeURIComponent(id)}`),
  things: () => list(thingViewSchema, '/api/v1/things'),
  orders: () => list(orderViewSchema, '/api/v1/orders?limit=500'),
  /** Only carried: what became of it comes as an order's state. */
  order: (document: Uint8Array<ArrayBuffer>) =>
    call(z.object({ carried: z.boolean(), id: z.string() }), '/api/v1/orders', {
      method: 'POST',
      headers: { 'content-type': 'application/octet-stream' },
      body: document,
    }),
  evidence: (subject: string) =>
    list(evidenceViewSchema, `/api/v1/evidence?limit=8&subject=${encodeURIComponent(subject)}`),
  quarantine: () => list(quarantineViewSchema, '/api/v1/quarantine?limit=200'),
  events: ({ agent, name, limit }: EventFilter) => {
    const query = new URLSearchParams({ limit: String(limit) });
    if (agent !== '') query.set('agent', agent);
    if (name !== '') query.set('name', name);
    return list(eventViewSchema, `/api/v1/events?${query}`);
  },
  /** Names the occurrence that stood on the screen; a newer one is refused with 409. */
  acknowledge: (alarm: AlarmView, by: string) =>
    call(
      alarmViewSchema,
      `/api/v1/alarms/${encodeURIComponent(alarm.alarmId)}/acknowledge`,
      post({ occurrence: alarm.occurrence, by }),
    ),
} as const;
