import { existsSync } from 'node:fs';
import fastifyStatic from '@fastify/static';
import Fastify, { type FastifyInstance, type FastifyReply, type FastifyRequest } from 'fastify';
import type { z } from 'zod';
import { peekOrder } from '../../agent/wire/order.ts';
import type { Orders } from '../fleet/orders.ts';
import type { Store } from '../store/store.ts';
import type { Live, LiveEvent, LiveListener } from './live.ts';
import {
  type AlarmView,
  type ApiError,
  acknowledgeSchema,
  eventQuerySchema,
  evidenceQuerySchema,
  linesQuerySchema,
  listQuerySchema,
  readingQuerySchema,
  type StatusView,
  sessionSchema,
} from './schemas.ts';
import { COOKIE, SESSION_MS, Sessions, sessionCookie } from './sessions.ts';
import type { Views } from './views.ts';

/**
 * The coordinator's HTTP face: JSON under `/api/v1`, server-sent events, the console's files. Bound to loopback unless
 * the configuration says otherwise; everything but `/healthz`, the console's own files and the login wants the token.
 */
export interface ApiOptions {
  readonly host: string;
  /** 0 takes a free port. */
  readonly port: number;
  readonly token: string;
  readonly store: Store;
  readonly views: Views;
  readonly live: Live;
  readonly status: () => StatusView;
  /** Folder of the built console; served when it exists. */
  readonly console: string;
  readonly wall: () => number;
  readonly now: () => number;
  /** After an acknowledgement, so that other pages hear of it. */
  readonly onAcknowledged: (alarm: AlarmView) => void;
  readonly site: string;
  readonly orders: Orders;
  /** Carries a signed order to an agent; false: there is no line to the broker now. */
  readonly sendOrder: (agent: string, verb: string, document: Uint8Array) => boolean;
}

export interface Api {
  readonly url: string;
  stop(): Promise<void>;
}

const STREAM_BYTES = 1024 * 1024;
const BEAT_MS = 5_000;
const CSP =
  "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; font-src 'self'; " +
  "connect-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'";

export async function startApi(options: ApiOptions): Promise<Api> {
  const { store, views, live } = options;
  const sessions = new Sessions(options.token);
  const app: FastifyInstance = Fastify({ logger: false, bodyLimit: 64 * 1024, forceCloseConnections: true });

  app.addHook('onRequest', async (request, reply) => {
    reply.header('content-security-policy', CSP);
    reply.header('x-content-type-options', 'nosniff');
    reply.header('referrer-policy', 'no-referrer');
    if (!request.url.startsWith('/api/')) return;
    reply.header('cache-control', 'no-store');
    const open = request.url.split('?')[0] === '/api/v1/session' && request.method !== 'DELETE';
    if (open || isAllowed(request, sessions, options.wall())) return;
    return fail(reply, 401, {
      code: 'token-wanted',
      message: 'This needs the coordinator’s token.',
      remedy:
        'Send “Authorization: Bearer <token>”, or log in on the page. The token is in the file that coordinator.yaml names.',
    });
  });
  app.setErrorHandler((error, _request, reply) => {
    const status = (error as { statusCode?: number }).statusCode ?? 500;
    if (status < 500) {
      return fail(reply, status, {
        code: 'bad-request',
        message: (error as Error).message,
        remedy: 'See the API’s schemas.',
      });
    }
    return fail(reply, 500, {
      code: 'internal',
      message: 'The coordinator could not do this.',
      remedy: 'Look into its log; the store may be full or damaged.',
    });
  });
  const hasConsole = existsSync(options.console);
  app.setNotFoundHandler((request, reply) => {
    const path = request.url.split('?')[0] ?? '';
    // Pages of the console have addresses of their own; all are the same document.
    if (hasConsole && request.method === 'GET' && !/^\/(api|assets)\//.test(path)) return reply.sendFile('index.html');
    return fail(reply, 404, {
      code: 'not-found',
      message: `There is nothing at ${path.slice(0, 200)}.`,
      remedy: 'The API begins at /api/v1.',
    });
  });

  app.get('/healthz', async () => ({ ok: true }));

  app.post('/api/v1/session', async (request, reply) => {
    if (!sessions.mayTry(options.now())) {
      return fail(reply, 429, { code: 'too-many-logins', message: 'Too many logins.', remedy: 'Wait ten seconds.' });
    }
    const body = check(sessionSchema, request.body, reply);
    if (body === undefined) return reply;
    if (!sessions.isToken(body.token)) {
      return fail(reply, 401, {
        code: 'wrong-token',
        message: 'That is not the token.',
        remedy: 'Copy it from the token file.',
      });
    }
    const id = sessions.open(options.wall());
    reply.header('set-cookie', `${COOKIE}=${id}; Path=/; HttpOnly; SameSite=Strict; Max-Age=${SESSION_MS / 1_000}`);
    return { ok: true };
  });
  // A page asks whether it is logged in without being told off.
  app.get('/api/v1/session', async (request) => ({ open: isAllowed(request, sessions, options.wall()) }));
  app.delete('/api/v1/session', async (request, reply) => {
    const id = sessionCookie(request.headers.cookie);
    if (id !== undefined) sessions.close(id, options.wall());
    reply.header('set-cookie', `${COOKIE}=; Path=/; HttpOnly; SameSite=Strict; Max-Age=0`);
    return { ok: true };
  });

  app.get('/api/v1/status', async () => options.status());
  app.get('/api/v1/agents', async () => ({ items: views.agents() }));
  app.get('/api/v1/duties', async () => ({ items: views.duties() }));
  app.get('/api/v1/things', async () => ({ items: views.things() }));
  app.get('/api/v1/models', async () => ({ items: views.models() }));
  app.get('/api/v1/verdict', async () => ({ items: views.verdict(options.wall()) }));
  app.get('/api/v1/alarms', async () => ({ items: views.alarms() }));
  app.get('/api/v1/incidents', async (request, reply) => {
    const query = check(listQuerySchema, request.query, reply);
    return query === undefined ? reply : { items: views.incidents(query.limit) };
  });
  app.get('/api/v1/incidents/:id', async (request, reply) => {
    const found = views.incident((request.params as { id: string }).id);
    return (
      found ?? fail(reply, 404, { code: 'no-incident', message: 'No such incident.', remedy: 'See /api/v1/incidents.' })
    );
  });
  app.get('/api/v1/runs', async (request, reply) => {
    const query = check(listQuerySchema, request.query, reply);
    return query === undefined ? reply : { items: views.runs(query.limit) };
  });
  app.get('/api/v1/events', async (request, reply) => {
    const query = check(eventQuerySchema, request.query, reply);
    return query === undefined ? reply : { items: store.events(query) };
  });
  app.get('/api/v1/evidence', async (request, reply) => {
    const query = check(evidenceQuerySchema, request.query, reply);
    return query === undefined ? reply : { items: views.evidence(query.subject, query.limit) };
  });
  app.get('/api/v1/readings', async (request, reply) => {
    const query = check(readingQuerySchema, request.query, reply);
    return query === undefined ? reply : { items: store.readings(query) };
  });
  app.get('/api/v1/lines', async (request, reply) => {
    const query = check(linesQuerySchema, request.query, reply);
    return query === undefined ? reply : { items: store.lines(query.duty, query.limit) };
  });
  app.get('/api/v1/gaps', async (request, reply) => {
    const query = check(listQuerySchema, request.query, reply);
    return query === undefined ? reply : { items: store.gaps(query.limit) };
  });
  app.get('/api/v1/quarantine', async (request, reply) => {
    const query = check(listQuerySchema, request.query, reply);
    return query === undefined ? reply : { items: store.quarantineRows(query.limit) };
  });

  app.post('/api/v1/alarms/:alarmId/acknowledge', async (request, reply) => {
    const { alarmId } = request.params as { alarmId: string };
    const body = check(acknowledgeSchema, request.body, reply);
    if (body === undefined) return reply;
    const alarm = views.alarm(alarmId);
    if (alarm === undefined) {
      return fail(reply, 404, {
        code: 'no-alarm',
        message: `There is no alarm ${alarmId.slice(0, 200)}.`,
        remedy: 'See /api/v1/alarms.',
      });
    }
    const known = store.acknowledgements(alarmId).some((a) => a.occurrence === body.occurrence);
    if (!known && alarm.occurrence !== body.occurrence) {
      return fail(reply, 409, {
        code: 'other-occurrence',
        message: 'This alarm has been raised anew since; only what you have seen can be acknowledged.',
        remedy: `Look at it again: the occurrence now is ${alarm.occurrence}.`,
      });
    }
    if (!known) {
      store.transaction(() => store.acknowledge(alarmId, body.occurrence, body.by, options.wall()));
      options.onAcknowledged(views.alarm(alarmId)!);
    }
    return views.alarm(alarmId);
  });

  // The coordinator has no say in orders: a person signed it, the agent judges it, and here it is only carried.
  app.addContentTypeParser('application/octet-stream', { parseAs: 'buffer' }, (_request, body, done) =>
    done(null, body),
  );
  app.post('/api/v1/orders', async (request, reply) => {
    const document = Buffer.isBuffer(request.body) ? request.body : Buffer.alloc(0);
    const order = peekOrder(document);
    if (!order.ok) {
      return fail(reply, 400, {
        code: 'no-order',
        message: `This is no order: ${order.error.text}.`,
        remedy: 'millwright order signs one; send it as it is, with Content-Type: application/octet-stream.',
      });
    }
    const { site, agent, id, what } = order.value;
    if (site !== options.site) {
      return fail(reply, 409, {
        code: 'other-site',
        message: `The order is for site ${site}, this coordinator is of ${options.site}.`,
        remedy: 'Sign it for this site, or bring it to the coordinator of that one.',
      });
    }
    if (!options.sendOrder(agent, what.verb, document)) {
      return fail(reply, 503, {
        code: 'no-broker',
        message: 'There is no line to the broker now.',
        remedy: 'Bring it to the agent itself: millwright order --api HOST:PORT --token FILE.',
      });
    }
    options.orders.carried(order.value, options.wall());
    return reply.code(202).send({ carried: true, agent, id });
  });
  app.get('/api/v1/orders', async (request, reply) => {
    const query = check(listQuerySchema, request.query, reply);
    return query === undefined ? reply : { items: options.orders.list(query.limit) };
  });

  app.get('/api/v1/stream', (request, reply) => {
    const { raw } = reply;
    const lastId = request.headers['last-event-id'] ?? (request.query as { lastEventId?: string }).lastEventId;
    reply.hijack();
    raw.writeHead(200, {
      'content-type': 'text/event-stream; charset=utf-8',
      'cache-control': 'no-store',
      'content-security-policy': CSP,
      'x-accel-buffering': 'no',
    });
    raw.write('retry: 1000\n\n');
    const sayBeat = (): boolean => raw.write(`event: beat\ndata: ${JSON.stringify({ now: options.wall() })}\n\n`);
    const beat = setInterval(sayBeat, BEAT_MS);
    const listener: LiveListener = {
      send(event: LiveEvent): boolean {
        if (raw.writableLength > STREAM_BYTES) return false;
        raw.write(`id: ${event.id}\nevent: ${event.name}\ndata: ${event.data}\n\n`);
        return true;
      },
      end() {
        clearInterval(beat);
        raw.destroy();
      },
    };
    raw.on('error', () => {});
    raw.on('close', () => {
      clearInterval(beat);
      live.remove(listener);
    });
    sayBeat();
    if (!live.add(listener, Array.isArray(lastId) ? lastId[0] : lastId)) listener.end();
  });

  if (hasConsole) {
    await app.register(fastifyStatic, { root: options.console, prefix: '/', index: ['index.html'], wildcard: false });
  }

  await app.listen({ host: options.host, port: options.port });
  const address = app.server.address();
  const port = typeof address === 'object' && address !== null ? address.port : options.port;
  const host = options.host.includes(':') ? `[${options.host}]` : options.host;
  return {
    url: `http://${host}:${port}`,
    async stop() {
      live.close();
      await app.close();
    },
  };
}

const isAllowed = (request: FastifyRequest, sessions: Sessions, wall: number): boolean => {
  const { authorization } = request.headers;
  if (authorization !== undefined) {
    return authorization.startsWith('Bearer ') && sessions.isToken(authorization.slice('Bearer '.length).trim());
  }
  const cookie = sessionCookie(request.headers.cookie);
  return cookie !== undefined && sessions.isOpen(cookie, wall);
};

const fail = (reply: FastifyReply, status: number, error: ApiError): FastifyReply => reply.code(status).send(error);

/** Checks what came from outside; when it does not fit, the answer is sent and undefined comes back. */
const check = <S extends z.ZodType>(schema: S, value: unknown, reply: FastifyReply): z.infer<S> | undefined => {
  const parsed = schema.safeParse(value ?? {});
  if (parsed.success) return parsed.data;
  const message = parsed.error.issues.map((i) => `${i.path.join('.') || 'request'}: ${i.message}`).join('; ');
  fail(reply, 400, { code: 'bad-request', message, remedy: 'Mend the named fields and send it again.' });
  return undefined;
};
