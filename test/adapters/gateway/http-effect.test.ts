import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { createServer, type IncomingHttpHeaders, type ServerResponse } from 'node:http';
import { createServer as createTlsServer } from 'node:https';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { expect, onTestFinished, test } from 'vitest';
import { claimOf } from '../../../agent/adapters/gateway/claims.ts';
import { type Gateway, openGateway } from '../../../agent/adapters/gateway/gateway.ts';
import { type HttpEffect, sendHttpEffect } from '../../../agent/adapters/gateway/http-effect.ts';
import { temporaryFolder } from '../duty-runners/doubles.ts';
import { type Right, rightOf } from './rights.ts';

interface Request {
  readonly headers: IncomingHttpHeaders;
  readonly body: string;
  readonly url: string;
}

/** A device behind HTTP that writes down what it is told. */
async function device(
  answer: (response: ServerResponse, request: Request) => void = (response) => response.end('done'),
) {
  const requests: Request[] = [];
  const server = createServer((incoming, response) => {
    const parts: Buffer[] = [];
    incoming.on('data', (part: Buffer) => parts.push(part));
    incoming.on('end', () => {
      const request = { headers: incoming.headers, body: Buffer.concat(parts).toString(), url: incoming.url ?? '' };
      requests.push(request);
      answer(response, request);
    });
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  onTestFinished(() => {
    server.closeAllConnections();
    server.close();
  });
  return { requests, url: `http://127.0.0.1:${(server.address() as AddressInfo).port}` };
}

function gatewayIn(dir = temporaryFolder()): Gateway {
  const gateway = openGateway({ dir });
  onTestFinished(() => gateway.close());
  return gateway;
}

const send = (
  gate: Gateway,
  right: Right,
  url: string,
  more: Partial<HttpEffect> = {},
  key = 'run#1/0',
  timeoutMs = 5_000,
) =>
  sendHttpEffect({
    gate,
    claim: { ...claimOf('http:camera-2', right), key },
    effect: { method: 'POST', url, body: '{"light":"on"}', ...more },
    timeoutMs,
    signal: new AbortController().signal,
  });

test('a real server gets the request once, with token, lease, session and one key for one effect', async () => {
  const { url, requests } = await device();
  const gate = gatewayIn();
  const right = rightOf(5);
  expect(await send(gate, right, `${url}/light?now=1`)).toEqual({
    outcome: 'ok',
    detail: '200 OK: done',
    untouched: false,
  });
  await send(gate, right, `${url}/light?now=1`);
  await send(gate, right, `${url}/light?now=1`, {}, 'run#1/1');
  expect(requests[0]).toMatchObject({
    url: '/light?now=1',
    body: '{"light":"on"}',
    headers: { 'millwright-token': right.token, 'millwright-lease': right.lease, 'millwright-session': right.session },
  });
  const keys = requests.map(({ headers }) => headers['idempotency-key']);
  expect(keys[0]).toMatch(/^"[A-Za-z0-9_-]{43}"$/);
  expect(keys[1]).toBe(keys[0]);
  expect(keys[2]).not.toBe(keys[0]);
});

test('an old token, and an equal one of another session → no request; after a restart too', async () => {
  const { url, requests } = await device();
  const dir = temporaryFolder();
  const before = openGateway({ dir });
  expect(await send(before, rightOf(6, 'b'), url)).toMatchObject({ outcome: 'ok' });
  before.close();
  const gate = gatewayIn(dir);
  expect(await send(gate, rightOf(5), url)).toMatchObject({ outcome: 'failed', untouched: true });
  expect(await send(gate, rightOf(6, 'c'), url)).toMatchObject({ outcome: 'failed', untouched: true });
  expect(requests).toHaveLength(1);
});

test('a device that compares by itself refuses what a gateway without memory lets through', async () => {
  let largest = '';
  const done: string[] = [];
  const { url } = await device((response, { headers, body }) => {
    const token = String(headers['millwright-token']);
    if (token < largest) return response.writeHead(412).end('a larger token was here');
    largest = token;
    done.push(body);
    response.end();
  });
  expect(await send(gatewayIn(), rightOf(6, 'b'), url, { body: '2' })).toMatchObject({ outcome: 'ok' });
  expect(await send(gatewayIn(), rightOf(5), url, { body: '1' })).toMatchObject({
    outcome: 'failed',
    detail: expect.stringContaining('412'),
  });
  expect(done).toEqual(['2']);
});

test.each([
  [204, 'ok'],
  [302, 'failed'],
  [403, 'failed'],
  [409, 'timed-out'],
  [500, 'timed-out'],
  [503, 'timed-out'],
] as const)('status %i → %s', async (status, outcome) => {
  const { url, requests } = await device((response) => response.writeHead(status, { location: '/elsewhere' }).end());
  expect(await send(gatewayIn(), rightOf(1), url)).toMatchObject({ outcome, untouched: false });
  expect(requests).toHaveLength(1);
});

test('no answer, and an answer that breaks off → doubt; an answer without end → its beginning', async () => {
  const mute = await device(() => {});
  expect(await send(gatewayIn(), rightOf(1), mute.url, {}, 'k', 150)).toMatchObject({
    outcome: 'timed-out',
    untouched: false,
  });
  const broken = await device((response) => void response.socket?.destroy());
  expect(await send(gatewayIn(), rightOf(1), broken.url)).toMatchObject({ outcome: 'timed-out', untouched: false });
  const endless = await device((response) => {
    const more = () => response.write('x'.repeat(65_536), () => setImmediate(more));
    more();
  });
  const end = await send(gatewayIn(), rightOf(1), endless.url);
  expect(end.outcome).toBe('ok');
  expect(end.detail.length).toBeLessThan(5_000);
});

test.each([
  ['ftp://127.0.0.1/x', {}, 'no http address'],
  ['http://me:word@127.0.0.1/x', {}, 'password'],
  ['http://127.0.0.1:1/x', {}, 'ECONNREFUSED'],
  ['http://127.0.0.1:1/x', { body: new Uint8Array(1024 * 1024 + 1) }, 'at most'],
] as const)('%s → nothing is sent', async (url, more, words) => {
  const end = await send(gatewayIn(), rightOf(1), url, more);
  expect(end).toMatchObject({ outcome: 'failed', untouched: true, detail: expect.stringContaining(words) });
});

test('a header that cannot be sent → nothing is sent', async () => {
  const { url, requests } = await device();
  const end = await send(gatewayIn(), rightOf(1), url, { headers: { 'x-note': 'two\nlines' } });
  expect(end).toMatchObject({ outcome: 'failed', untouched: true });
  expect(requests).toEqual([]);
});

test('https: a certificate that nobody trusts → nothing is sent; trusted → done', async () => {
  const folder = join(import.meta.dirname, '../../coordinator/fixtures');
  const cert = readFileSync(join(folder, 'broker-for-tests.cert.pem'), 'utf8');
  const key = readFileSync(join(folder, 'broker-for-tests.key.pem'), 'utf8');
  let heard = 0;
  const server = createTlsServer({ cert, key }, (incoming, response) => {
    heard++;
    incoming.resume().on('end', () => response.end());
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  onTestFinished(() => void server.close());
  const url = `https://127.0.0.1:${(server.address() as AddressInfo).port}/`;
  expect(await send(gatewayIn(), rightOf(1), url)).toMatchObject({ outcome: 'failed', untouched: true });
  expect(heard).toBe(0);
  const end = await sendHttpEffect({
    gate: gatewayIn(),
    claim: { ...claimOf('http:camera-2', rightOf(1)), key: 'k' },
    effect: { method: 'PUT', url },
    timeoutMs: 5_000,
    signal: new AbortController().signal,
    ca: cert,
  });
  expect(end).toMatchObject({ outcome: 'ok' });
  expect(heard).toBe(1);
});
