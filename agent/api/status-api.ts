import { createHash, timingSafeEqual } from 'node:crypto';
import { type FastifyInstance, fastify } from 'fastify';
import { drainMaxMs } from '../wire/order.ts';
import { bundleMaxBytes } from '../wire/site-bundle.ts';

/** What became of a bundle that was brought to this door. */
export type BundleAnswer =
  | {
      readonly kind: 'accepted';
      readonly bundle: { readonly era: number; readonly version: number; readonly hash: string };
      /** It is compiled into a new process, when it is this agent's turn. */
      readonly startsAnew: boolean;
    }
  | {
      readonly kind: 'known';
      readonly bundle: { readonly era: number; readonly version: number; readonly hash: string };
    }
  | { readonly kind: 'later'; readonly text: string }
  | { readonly kind: 'refused'; readonly reason: string; readonly text: string };

export type ForcedEpochAnswer =
  | { readonly kind: 'accepted'; readonly cell: string; readonly epoch: number }
  | { readonly kind: 'refused'; readonly reason: string; readonly text: string };

export type OrderAnswer =
  | { readonly kind: 'obeyed'; readonly id: string; readonly by: string }
  | { readonly kind: 'refused'; readonly reason: string; readonly text: string };

/** What the agent hands to its API; the API itself knows nothing of the core. */
export interface StatusSource {
  /** The whole picture as this agent sees it; JSON. */
  status(): object;
  /** Why a duty is where it is; undefined when there is no such duty. */
  explainDuty(id: string): object | undefined;
  /** Takes nothing new and gives its duties away, for so many milliseconds; undefined: until taken back or restarted. */
  drain(forMs: number | undefined): object;
  /** Takes the order back. */
  undrain(): void;
  /** The truth tree of a condition's entry (`press/bearing-wear`); undefined when there is none. */
  explainCondition(id: string): object | undefined;
  /** Durable before it returns true; false when there is no such run. */
  stopRun(run: string, by: string): boolean;
  orderWorkflow(id: string, by: string): boolean;
  /** Judges the bytes of a signed bundle; in force when it is accepted. */
  takeBundle(bytes: Uint8Array): BundleAnswer;
  /** Judges the bytes of a statement that forces the next epoch of a cell. */
  takeForcedEpoch(bytes: Uint8Array): ForcedEpochAnswer;
  /** Judges a signed order and obeys it. */
  takeOrder(bytes: Uint8Array): OrderAnswer;
  /** Prometheus text. */
  metrics(): string;
  /** What a person wants of a model; undefined when it is done, else why not. */
  actOnModel(model: string, act: ModelAct): Promise<string | undefined>;
  /** What was recorded around alarms, newest first. */
  evidence(): readonly object[];
  /** The whole of one, JSON as it was hashed; undefined when it is not kept here. */
  readEvidence(id: string): Promise<string | undefined>;
}

/** What may be done with a model of this box. */
export const modelActs = ['promote', 'drop', 'confirm', 'revert', 'retrain'] as const;
export type ModelAct = (typeof modelActs)[number];

export interface StatusApiOptions {
  readonly host: string;
  readonly port: number;
  /** Bearer token that every route but /healthz wants. */
  readonly token: string;
  readonly source: StatusSource;
}

export interface StatusApi {
  readonly address: string;
  /** What came to this door and was not let in, since the start. */
  readonly refused: { readonly tokens: number; readonly malformed: number };
  stop(): Promise<void>;
}

/** In the data folder while the agent lives: the API's address. */
export const apiAddressFile = 'api.address';

/** The agent's own HTTP face: it answers with the network away. Loopback by default, a token always. */
export async function startStatusApi({ host, port, token, source }: StatusApiOptions): Promise<StatusApi> {
  const server: FastifyInstance = fastify({ logger: false, bodyLimit: 16_384, requestTimeout: 10_000 });
  const wanted = digest(token);
  const refused = { tokens: 0, malformed: 0 };
  // Fastify answers these with 400 itself; here they are only counted.
  server.server.on('clientError', () => {
    refused.malformed++;
  });

  server.addHook('onRequest', async (request, reply) => {
    if (request.url === '/healthz') return;
    const header = request.headers.authorization ?? '';
    const given = header.startsWith('Bearer ') ? header.slice(7) : '';
    if (!timingSafeEqual(digest(given), wanted)) {
      refused.tokens++;
      return reply.code(401).send({
        code: 'token-refused',
        message: 'This agent wants its token.',
        remedy: 'Send "Authorization: Bearer …" with the text of the file that agent.yaml names under api.token.',
      });
    }
  });
  server.setNotFoundHandler((_request, reply) =>
    reply.code(404).send({
      code: 'no-such-route',
      message: 'There is nothing here.',
      remedy: 'See GET /v1/status, /v1/duties/{thing}/{name}, /v1/conditions/{thing}/{name}, /metrics; POST /v1/drain.',
    }),
  );

  server.get('/healthz', async () => ({ ok: true }));
  server.get('/v1/status', async () => source.status());
  server.get<{ Params: { thing: string; name: string } }>('/v1/duties/:thing/:name', async ({ params }, reply) => {
    return source.explainDuty(`${params.thing}/${params.name}`) ?? missing(reply, 'duty', params);
  });
  server.get<{ Params: { thing: string; name: string } }>('/v1/conditions/:thing/:name', async ({ params }, reply) => {
    return source.explainCondition(`${params.thing}/${params.name}`) ?? missing(reply, 'condition', params);
  });
  server.post<{ Params: { run: string } }>('/v1/runs/:run/stop', async ({ params }, reply) => {
    if (source.stopRun(decodeURIComponent(params.run), 'agent API')) return { accepted: true };
    return reply
      .code(404)
      .send({ code: 'no-such-run', message: `There is no run ${params.run} here.`, remedy: 'See runs in /v1/status.' });
  });
  server.post<{ Params: { thing: string; name: string } }>(
    '/v1/workflows/:thing/:name/order',
    async ({ params }, reply) => {
      if (source.orderWorkflow(`${params.thing}/${params.name}`, 'agent API'))
        return reply.code(202).send({ accepted: true });
      return missing(reply, 'workflow', params);
    },
  );
  server.post<{ Body: unknown }>('/v1/drain', async ({ body }, reply) => {
    const forMs = (body as { forMs?: unknown } | null | undefined)?.forMs;
    const isGood = forMs === undefined || (typeof forMs === 'number' && forMs > 0 && forMs <= drainMaxMs);
    if (isGood) return reply.code(202).send(source.drain(forMs));
    return reply.code(400).send({
      code: 'bad-drain',
      message: 'forMs is not a time in milliseconds.',
      remedy: `Send {"forMs": 600000}, at most ${drainMaxMs}, or nothing to drain until it is taken back.`,
    });
  });
  server.delete('/v1/drain', async () => {
    source.undrain();
    return { accepted: true };
  });
  server.addContentTypeParser('application/octet-stream', { parseAs: 'buffer' }, (_request, body, done) =>
    done(null, body),
  );
  server.post<{ Body: unknown }>('/v1/bundle', { bodyLimit: bundleMaxBytes }, async ({ body }, reply) => {
    if (!Buffer.isBuffer(body)) {
      return reply.code(415).send({
        code: 'no-bundle',
        message: 'This is no file of bytes.',
        remedy: 'Send the bundle as it is, with Content-Type: application/octet-stream; millwright site push does it.',
      });
    }
    const answer = source.takeBundle(body);
    switch (answer.kind) {
      case 'accepted':
      case 'known': {
        const { era, version, hash } = answer.bundle;
        const startsAnew = answer.kind === 'accepted' && answer.startsAnew;
        return reply.code(202).send({ accepted: true, known: answer.kind === 'known', era, version, hash, startsAnew });
      }
      case 'later':
        return reply.code(503).send({
          code: 'bundle-later',
          message: answer.text,
          remedy: 'Push it again when that is done; GET /v1/status shows it under bundle and cells.',
        });
      case 'refused':
        return reply.code(409).send({
          code: 'bundle-refused',
          reason: answer.reason,
          message: `Refused, the bundle in force stays: ${answer.text}`,
          remedy: 'millwright site show says what stands in it, millwright site sign makes one that follows.',
        });
    }
  });
  server.post<{ Body: unknown }>('/v1/forced-epoch', async ({ body }, reply) => {
    const answer = source.takeForcedEpoch(Buffer.isBuffer(body) ? body : Buffer.alloc(0));
    if (answer.kind === 'accepted') {
      const { cell, epoch } = answer;
      return reply.code(202).send({ accepted: true, cell, epoch });
    }
    return reply.code(409).send({
      code: 'forced-epoch-refused',
      reason: answer.reason,
      message: `Refused, the epoch goes on: ${answer.text}`,
      remedy:
        'millwright status says which epoch is spoken and which voters are missing; site force-epoch --help how one is forced.',
    });
  });
  server.post<{ Body: unknown }>('/v1/orders', async ({ body }, reply) => {
    const answer = source.takeOrder(Buffer.isBuffer(body) ? body : Buffer.alloc(0));
    if (answer.kind === 'obeyed') return reply.code(202).send({ accepted: true, id: answer.id, by: answer.by });
    return reply.code(answer.reason === 'nothing-there' ? 404 : 409).send({
      code: 'order-refused',
      reason: answer.reason,
      message: `Not obeyed: ${answer.text}`,
      remedy: 'millwright order --help says how one is signed; people and what they may stand in the site file.',
    });
  });
  server.post<{ Params: { thing: string; name: string; act: string } }>(
    '/v1/models/:thing/:name/:act',
    async ({ params }, reply) => {
      const act = modelActs.find((one) => one === params.act);
      const why = act === undefined ? `"${params.act.slice(0, 32)}" is nothing that a model can do` : undefined;
      const refused = why ?? (act && (await source.actOnModel(`${params.thing}/${params.name}`, act)));
      if (refused === undefined) return { done: true };
      return reply.code(409).send({
        code: 'model-not-changed',
        message: `Nothing was changed: ${refused}`,
        remedy: `A model does ${modelActs.join(', ')}; GET /v1/status shows models with what sits beside them.`,
      });
    },
  );
  server.get('/v1/evidence', async () => ({ evidence: source.evidence() }));
  server.get<{ Params: { id: string } }>('/v1/evidence/:id', async ({ params }, reply) => {
    const text = await source.readEvidence(params.id);
    if (text !== undefined) return reply.type('application/json').send(text);
    return reply.code(404).send({
      code: 'no-such-evidence',
      message: `No evidence ${params.id.slice(0, 64)} is kept here.`,
      remedy: 'GET /v1/evidence lists what is; the oldest goes first, and what follows an alarm takes two minutes.',
    });
  });
  server.get('/metrics', async (_request, reply) => reply.type('text/plain; version=0.0.4').send(source.metrics()));

  const address = await server.listen({ host, port });
  return { address, refused, stop: () => server.close() };
}

function missing(
  reply: { code(n: number): { send(body: object): unknown } },
  what: string,
  { thing, name }: { thing: string; name: string },
): unknown {
  return reply.code(404).send({
    code: `no-such-${what}`,
    message: `This site has no ${what} ${thing}/${name}.`,
    remedy: 'Names are thing/name as in the site file; GET /v1/status lists them.',
  });
}

/** Equal length for the constant-time comparison, whatever was sent. */
const digest = (text: string): Buffer => createHash('sha256').update(text).digest();
