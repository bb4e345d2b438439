import { expect, it, onTestFinished } from 'vitest';
import { type ModelAct, type StatusSource, startStatusApi } from '../../agent/api/status-api.ts';

/** The API on a free port of loopback; only what these tests ask for is there. */
async function door(source: Partial<StatusSource>) {
  const api = await startStatusApi({ host: '127.0.0.1', port: 0, token: 'secret', source: source as StatusSource });
  onTestFinished(() => api.stop());
  return async (method: string, path: string, token = 'secret') => {
    const response = await fetch(new URL(path, api.address), { method, headers: { authorization: `Bearer ${token}` } });
    return { status: response.status, body: (await response.json()) as Record<string, unknown> };
  };
}

it('models over the API → done, refused with the reason, and nothing without the token', async () => {
  const asked: [string, ModelAct][] = [];
  const ask = await door({
    actOnModel: async (model, act) => {
      asked.push([model, act]);
      return act === 'promote' ? undefined : 'it has no shadow';
    },
  });
  expect(await ask('POST', '/v1/models/press/bearing/promote')).toEqual({ status: 200, body: { done: true } });
  const dropped = await ask('POST', '/v1/models/press/bearing/drop');
  expect(dropped).toMatchObject({ status: 409, body: { message: 'Nothing was changed: it has no shadow' } });
  expect((await ask('POST', '/v1/models/press/bearing/explode')).status).toBe(409);
  expect((await ask('POST', '/v1/models/press/bearing/promote', 'guess')).status).toBe(401);
  expect(asked).toEqual([
    ['press/bearing', 'promote'],
    ['press/bearing', 'drop'],
  ]);
});

it('evidence over the API → listed, given whole as it was hashed, 404 for what is gone', async () => {
  const whole = '{"v":1,"series":[]}';
  const ask = await door({
    evidence: () => [{ id: 'a1', state: 'kept' }],
    readEvidence: async (id) => (id === 'a1' ? whole : undefined),
  });
  expect((await ask('GET', '/v1/evidence')).body).toEqual({ evidence: [{ id: 'a1', state: 'kept' }] });
  expect((await ask('GET', '/v1/evidence/a1')).body).toEqual(JSON.parse(whole));
  expect(await ask('GET', '/v1/evidence/zz')).toMatchObject({ status: 404, body: { code: 'no-such-evidence' } });
});
