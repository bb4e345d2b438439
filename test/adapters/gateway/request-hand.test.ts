import { once } from 'node:events';
import { writeFileSync } from 'node:fs';
import { createServer, type IncomingMessage } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { describe, expect, onTestFinished, test } from 'vitest';
import { openGateway } from '../../../agent/adapters/gateway/gateway.ts';
import { createRequestHand } from '../../../agent/adapters/gateway/request-hand.ts';
import { instant } from '../../../agent/base/time.ts';
import type { ActionRequest, EffectRight } from '../../../agent/core/remediation/remediation-output.ts';
import type { StepAction } from '../../../agent/core/remediation/workflow.ts';
import { temporaryFolder } from '../duty-runners/doubles.ts';

type RequestAction = Extract<StepAction, { kind: 'http.request' }>;

async function device(status = 200) {
  const asked: { message: IncomingMessage; body: string }[] = [];
  const server = createServer((message, response) => {
    let body = '';
    message.on('data', (part) => (body += String(part)));
    message.on('end', () => {
      asked.push({ message, body });
      response.writeHead(status).end('said');
    });
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  onTestFinished(() => {
    server.closeAllConnections();
    server.close();
  });
  return { asked, url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/api/restart` };
}

function hand() {
  const gate = openGateway({ dir: temporaryFolder() });
  onTestFinished(() => gate.close());
  return createRequestHand({ gate, elapsed: () => instant(1_000) });
}

const right = (counter: number, until = 10_000): EffectRight => ({
  lease: 'guard:line-3/asking/slot-1',
  token: `0001${counter.toString(16).padStart(12, '0')}`,
  session: 'ab'.repeat(32),
  until: instant(until),
});
const action = (url: string, change: Partial<RequestAction> = {}): RequestAction => ({
  kind: 'http.request',
  method: 'PUT',
  url,
  body: '{"on":true}',
  headers: [],
  ...change,
});
const request = (doing: RequestAction, change: Partial<ActionRequest> = {}): ActionRequest => ({
  run: 'printer/restart@1' as ActionRequest['run'],
  step: 0,
  try: 1,
  issue: 1,
  action: doing,
  timeoutMs: 3_000,
  notAfter: instant(9_000),
  fence: right(7),
  ...change,
});
const quiet = new AbortController().signal;

describe('an http.request step', () => {
  test('under a right → sent with its token, the secrets of its headers and what the site file says', async () => {
    const { asked, url } = await device();
    const file = join(temporaryFolder(), 'secret');
    writeFileSync(file, 'geheim-2\n');
    process.env['REQUEST_HAND_TEST'] = 'Bearer geheim-1';
    const doing = action(url, {
      headers: [
        ['Authorization', 'env:REQUEST_HAND_TEST'],
        ['x-api-key', `file:${file}`],
        ['x-line', '3'],
      ],
    });
    expect(await hand()(request(doing), doing, quiet)).toMatchObject({ outcome: 'ok', detail: '200 OK: said' });
    expect(asked).toHaveLength(1);
    const { method, url: path, headers } = asked[0]!.message;
    expect([method, path, asked[0]!.body]).toEqual(['PUT', '/api/restart', '{"on":true}']);
    expect(headers).toMatchObject({
      authorization: 'Bearer geheim-1',
      'x-api-key': 'geheim-2',
      'x-line': '3',
      'millwright-token': '0001000000000007',
      'millwright-lease': 'guard:line-3/asking/slot-1',
      'millwright-session': 'ab'.repeat(32),
    });
  });

  test('issued again in doubt → the same idempotency key; a new try, another step → another one', async () => {
    const { asked, url } = await device();
    const send = hand();
    const doing = action(url);
    for (const change of [{ issue: 1 }, { issue: 2 }, { try: 2 }, { step: 1 }]) {
      await send(request(doing, change), doing, quiet);
    }
    const keys = asked.map(({ message }) => message.headers['idempotency-key']);
    expect(keys[1]).toBe(keys[0]);
    expect(new Set(keys).size).toBe(3);
  });

  test.each<[string, Partial<ActionRequest>, Partial<RequestAction>, string]>([
    ['no right', { fence: undefined }, {}, 'no right to send it under'],
    ['a right that is over', { fence: right(7, 500) }, {}, 'the right ended'],
    [
      'a secret that is not there',
      {},
      { headers: [['authorization', 'env:NOT_SET_ANYWHERE']] },
      'env:NOT_SET_ANYWHERE is not set',
    ],
    [
      'a secret file that is not there',
      {},
      { headers: [['x-api-key', 'file:/nowhere/key']] },
      'cannot be read (ENOENT)',
    ],
    ['a secret that no header can hold', {}, { headers: [['x-line', 'a\nb']] }, 'Invalid character'],
  ])('%s → nothing is sent, and why', async (_, change, doing, why) => {
    const { asked, url } = await device();
    const what = action(url, doing);
    const ended = await hand()(request(what, change), what, quiet);
    expect(ended).toMatchObject({ outcome: 'failed', untouched: true, detail: expect.stringContaining(why) });
    expect(asked).toEqual([]);
  });

  test('a successor was here → the older token sends nothing', async () => {
    const { asked, url } = await device();
    const send = hand();
    const doing = action(url);
    expect((await send(request(doing, { fence: right(8) }), doing, quiet)).outcome).toBe('ok');
    const late = await send(request(doing), doing, quiet);
    expect(late).toMatchObject({ outcome: 'failed', untouched: true, detail: expect.stringContaining('older') });
    expect(asked).toHaveLength(1);
  });

  test.each([
    [204, 'ok'],
    [400, 'failed'],
    [302, 'failed'],
    [409, 'timed-out'],
    [503, 'timed-out'],
  ] as const)('answered with %i → %s', async (status, outcome) => {
    const { url } = await device(status);
    const doing = action(url);
    expect((await hand()(request(doing), doing, quiet)).outcome).toBe(outcome);
  });
});
