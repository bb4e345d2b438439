import { readdirSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { browse } from '../../../agent/adapters/plc/browse.ts';
import { serverDeadband } from '../../../agent/adapters/plc/opcua.ts';
import { sourceTiming } from '../../../agent/adapters/plc/source.ts';
import { openOpcUaFace } from '../../../simulations/plant/opcua-face.ts';
import { eventually } from '../../support/eventually.ts';
import { tag } from './collector.ts';
import { opcuaBench, to } from './opcua-bench.ts';

const { inFolder, pki, onEnd, watch } = opcuaBench();

const names = ['Still', 'Wild', 'Share', 'Frozen'] as const;

async function face(secure = false) {
  const opened = await openOpcUaFace({
    host: '127.0.0.1',
    port: 0,
    folder: inFolder('server'),
    secure,
    users: new Map(),
    machines: {
      Oven: names.map((name) => ({ name, type: 'Double', unit: 'bar', everyMs: 100, about: name })),
    } as never,
    onMonitored: () => {},
  });
  onEnd(() => opened.stop());
  for (const name of names) opened.write('Oven', name, 5, new Date());
  return opened;
}

test('deadband → raw values for the server, % only where the server alone knows the range, none where `frozen` is asked', () => {
  const scale = { rawLo: 0, rawHi: 1_000, lo: 0, hi: 10 };
  const by = { by: 'value', value: 0.5 } as const;
  expect(serverDeadband(tag(0, 'x', { scale, change: by }))).toEqual({ kind: 'Absolute', value: 50 });
  expect(serverDeadband(tag(0, 'x', { change: by }))).toEqual({ kind: 'Absolute', value: 0.5 });
  expect(serverDeadband(tag(0, 'x', { scale, change: { by: 'share', share: 0.02 } }))).toEqual({
    kind: 'Absolute',
    value: 20,
  });
  expect(serverDeadband(tag(0, 'x', { change: { by: 'share', share: 0.02 } }))).toEqual({ kind: 'Percent', value: 2 });
  expect(serverDeadband(tag(0, 'x', { change: by, frozenMs: 1_000 }))).toBeUndefined();
  expect(serverDeadband(tag(0, 'x'))).toBeUndefined();
});

describe('OPC UA server', () => {
  test('deadband kept by the server, a filter that it cannot bear, a sensor that stands still, and what the server says of itself', async () => {
    const server = await face();
    const at = (name: string) => `ns=1;s=Oven.${name}`;
    const { samples, last, source } = watch(
      to(server.endpoint),
      [
        tag(0, at('Still'), { change: { by: 'value', value: 1 } }),
        tag(1, at('Wild')),
        // No range stands on the server: it refuses a share of it, and the tag is read without a filter.
        tag(2, at('Share'), { change: { by: 'share', share: 0.01 } }),
        tag(3, at('Frozen'), { frozenMs: 1_500 }),
      ],
      pki(),
    );
    await eventually(() => [0, 1, 2, 3].every((i) => last(i)?.quality === 'good'), {
      what: 'values',
      deadlineMs: 20_000,
    });
    for (const name of ['Still', 'Wild', 'Share']) server.write('Oven', name, 5.5, new Date());
    await eventually(() => last(1)?.value === 5.5 && last(2)?.value === 5.5, { what: 'what has no deadband' });
    server.write('Oven', 'Still', 6.5, new Date());
    await eventually(() => last(0)?.value === 6.5, { what: 'a step beyond the deadband' });
    expect(samples.filter(({ signal, value }) => signal === 0 && value === 5.5)).toEqual([]);
    await eventually(() => last(3)?.quality === 'bad', { what: 'the sensor that stands still' });
    expect(last(3)?.why).toMatch(/^has not moved for /);
    server.write('Oven', 'Frozen', 5.1, new Date());
    await eventually(() => last(3)?.quality === 'good', { what: 'that it moves' });
    server.write('Oven', 'Wild', Number.NaN, new Date());
    await eventually(() => last(1)?.quality === 'bad', { what: 'a bad reading' });
    expect(last(1)?.why).toBe('the device says BadSensorFailure');

    expect(await source.ask?.('mode')).toEqual({ ok: true, value: { is: 'mode', mode: 'run', text: 'RUNNING' } });
    expect(await source.ask?.('service')).toMatchObject({
      ok: true,
      value: { level: 255, text: 'service level 255, healthy' },
    });
    expect(await source.ask?.('scan')).toEqual({ ok: false, error: 'OPC UA has no scan time' });

    const found = await browse(to(server.endpoint), {
      from: undefined,
      depth: 2,
      most: 100,
      listenMs: 0,
      pki: pki(),
      timing: sourceTiming,
      signal: new AbortController().signal,
    });
    expect(
      found.rows.filter(({ depth, address }) => depth === 1 && address?.includes('Oven')).map(({ address }) => address),
    ).toEqual(names.map(at));
    expect(found.rows.find(({ name }) => name === 'Still')).toMatchObject({ type: 'Double', value: '6.5' });
    expect(found.rows.some(({ name }) => name === 'ServerStatus')).toBe(false);
  });

  test('a stranger’s certificate → refused, and the reason is the command that trusts it', async () => {
    const server = await face(true);
    const { events } = watch(
      to(server.endpoint, { security: 'sign', policy: 'basic256sha256' }),
      [tag(0, 'ns=1;s=Oven.Wild')],
      pki(),
    );
    const refusal = await eventually(() => events[0], { what: 'the refusal', deadlineMs: 20_000 });
    const file = readdirSync(inFolder('pki', 'rejected'))[0];
    expect(refusal).toBe(
      `lost: the server's certificate is not trusted: compare it with the one on the server, then: mv "${inFolder('pki', 'rejected', file!)}" "${inFolder('pki', 'trusted', 'certs')}/"`,
    );
  });
});
