import { timingSafeEqual } from 'node:crypto';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';

/** A route answers with a body, or with undefined for 404. A thrown `BadRequest` is a 400 with its text. */
export type ControlRoute = (body: unknown, query: URLSearchParams) => unknown;

export class BadRequest extends Error {}

export interface ControlFace {
  readonly url: string;
  stop(): Promise<void>;
}

const maxBody = 16 * 1024;

/**
 * The plant's own back door, for whoever stages a story or a test: HTTP on loopback, behind a bearer token. `routes`
 * are keyed `METHOD /path`; a last segment `*` matches one word, given to the route as `query.get('name')`.
 */
export async function openControlFace(
  token: string,
  routes: Readonly<Record<string, ControlRoute>>,
): Promise<ControlFace> {
  const wanted = Buffer.from(`Bearer ${token}`);
  const allowed = (request: IncomingMessage): boolean => {
    const given = Buffer.from(request.headers.authorization ?? '');
    return given.length === wanted.length && timingSafeEqual(given, wanted);
  };
  const answer = (response: ServerResponse, status: number, body: unknown): void => {
    response.writeHead(status, { 'content-type': 'application/json' });
    response.end(`${JSON.stringify(body)}\n`);
  };
  const server = createServer(async (request, response) => {
    try {
      if (!allowed(request)) return answer(response, 401, { error: 'a bearer token is needed' });
      const url = new URL(request.url ?? '/', 'http://plant');
      const parent = url.pathname.replace(/[^/]+$/, '*');
      const exact = routes[`${request.method} ${url.pathname}`];
      const route = exact ?? routes[`${request.method} ${parent}`];
      if (route === undefined) return answer(response, 404, { error: 'no such route' });
      if (exact === undefined) url.searchParams.set('name', url.pathname.slice(parent.length - 1));
      let text = '';
      for await (const chunk of request) {
        text += chunk;
        if (text.length > maxBody) return answer(response, 413, { error: 'body too large' });
      }
      let body: unknown;
      try {
        body = text === '' ? {} : JSON.parse(text);
      } catch {
        return answer(response, 400, { error: 'the body is not JSON' });
      }
      const result = route(body, url.searchParams);
      return result === undefined ? answer(response, 404, { error: 'no such thing' }) : answer(response, 200, result);
    } catch (error) {
      if (error instanceof BadRequest) return answer(response, 400, { error: error.message });
      return answer(response, 500, { error: String(error) });
    }
  });
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen(0, '127.0.0.1', resolve);
  });
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    stop: () =>
      new Promise<void>((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
}
