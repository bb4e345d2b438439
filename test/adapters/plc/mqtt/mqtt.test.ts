import { type AddressInfo, createServer } from 'node:net';
import { Aedes } from 'aedes';
import fc from 'fast-check';
import { afterEach, describe, expect, test } from 'vitest';
import { parseMqttAddress } from '../../../../agent/adapters/plc/mqtt/address.ts';
import { EdgeNode } from '../../../../agent/adapters/plc/mqtt/edge-node.ts';
import { readPayload } from '../../../../agent/adapters/plc/mqtt/payload.ts';
import { decodeSparkplug, encodeSparkplug, signed } from '../../../../agent/adapters/plc/mqtt/sparkplug.ts';
import type { Connection } from '../../../../agent/driver/bindings.ts';
import { eventually } from '../../../support/eventually.ts';
import { openRoughLine } from '../../../support/rough-line.ts';
import { type Collected, collect, tag } from '../collector.ts';

const undo: (() => Promise<unknown> | unknown)[] = [];
afterEach(async () => {
  for (const step of undo.splice(0).reverse()) await step();
});

const to = (port: number): Connection => ({
  kind: 'mqtt',
  url: `mqtt://127.0.0.1:${port}`,
  user: undefined,
  secret: undefined,
});

const watch = (...args: Parameters<typeof collect>): Collected => {
  const collected = collect(...args);
  undo.push(() => collected.source.stop());
  return collected;
};

async function broker(port = 0) {
  const aedes = await Aedes.createBroker();
  const server = createServer(aedes.handle);
  await new Promise<void>((resolve) => server.listen(port, '127.0.0.1', resolve));
  const subscribed = new Set<string>();
  aedes.on('subscribe', (subscriptions) => {
    for (const { topic } of subscriptions) subscribed.add(topic);
  });
  const refused = new Set<string>();
  aedes.authorizeSubscribe = (_client, subscription, done) =>
    done(null, refused.has(subscription.topic) ? null : subscription);
  const stop = async () => {
    await new Promise<void>((resolve) => aedes.close(() => resolve()));
    await new Promise((resolve) => server.close(resolve));
  };
  undo.push(stop);
  return {
    port: (server.address() as AddressInfo).port,
    subscribed,
    refuse: (topic: string) => refused.add(topic),
    stop,
    say: (topic: string, payload: string | Uint8Array, retain = false) =>
      new Promise<void>((resolve, reject) =>
        aedes.publish(
          { cmd: 'publish', topic, payload: Buffer.from(payload), qos: 0, retain, dup: false },
          (error?: Error | null) => (error ? reject(error) : resolve()),
        ),
      ),
  };
}

describe('MQTT addresses', () => {
  test.each([
    ['line/press/temp', { kind: 'topic', topic: 'line/press/temp', pointer: undefined }],
    ['line/press#/oil/a~1b', { kind: 'topic', topic: 'line/press', pointer: ['oil', 'a/b'] }],
    ['spBv1.0/g/n:Motor/Speed', { kind: 'sparkplug', group: 'g', node: 'n', device: undefined, metric: 'Motor/Speed' }],
    ['spBv1.0/g/n/d:Speed', { kind: 'sparkplug', group: 'g', node: 'n', device: 'd', metric: 'Speed' }],
    ['spBv1.0/STATE/scada#/online', { kind: 'topic', topic: 'spBv1.0/STATE/scada', pointer: ['online'] }],
  ])('%s → understood', (text, value) => {
    expect(parseMqttAddress(text)).toEqual({ ok: true, value });
  });

  test.each(['', 'a/+/b', 'a/#', 'a#b', 'spBv1.0/g/n', 'spBv1.0/g/NDATA/n'])('%s → refused', (text) => {
    expect(parseMqttAddress(text).ok).toBe(false);
  });
});

describe('payloads', () => {
  test.each<[string, readonly string[] | undefined, number | boolean | string]>([
    ['12.5', undefined, 12.5],
    [' -3e2 ', undefined, -300],
    ['ON', undefined, true],
    ['{"oil":{"temp":41}}', ['oil', 'temp'], 41],
    ['[1,"2.5"]', ['1'], 2.5],
    ['7', [], 7],
    ['warm', undefined, '"warm" is no number'],
    ['', undefined, 'the message is empty'],
    ['{"a":1', ['a'], 'the message is no JSON'],
    ['{"a":1}', ['__proto__'], 'the message has no /__proto__'],
    ['{"a":{}}', ['a'], 'object is no number'],
  ])('%s at %s → %s', (text, pointer, expected) => {
    const read = readPayload(Buffer.from(text), pointer);
    expect(read.ok ? read.value : read.error).toBe(expected);
  });

  test('any bytes → a value or a reason, never a throw', () => {
    fc.assert(
      fc.property(
        fc.uint8Array({ maxLength: 200 }),
        fc.option(fc.array(fc.string(), { maxLength: 3 }), { nil: undefined }),
        (bytes, pointer) => {
          readPayload(bytes, pointer);
          decodeSparkplug(bytes);
        },
      ),
      { numRuns: 500 },
    );
  });

  test('Sparkplug with any byte changed → decoded or refused, never a throw; a node survives it', () => {
    const whole = encodeSparkplug({
      timestamp: 1_700_000_000_000,
      seq: 1,
      metrics: [
        { name: 'Speed', alias: 4, datatype: 9, float: 1.5, properties: { keys: ['Quality'], values: [{ int: 192 }] } },
        { name: 'bdSeq', datatype: 8, long: 3 },
      ],
    });
    fc.assert(
      fc.property(fc.nat(whole.length - 1), fc.nat(255), fc.nat(whole.length), (at, byte, cut) => {
        const bytes = Uint8Array.from(whole).subarray(0, whole.length - (cut % 3 === 0 ? cut : 0));
        if (at < bytes.length) bytes[at] = byte;
        const decoded = decodeSparkplug(bytes);
        if (decoded.ok) new EdgeNode().take('NBIRTH', undefined, decoded.value);
      }),
      { numRuns: 500 },
    );
  });

  test.each([
    [0xff, 1, -1],
    [0xfffe, 2, -2],
    [0xffff_fffd, 3, -3],
    [0xffff_fffd, 7, 4_294_967_293],
    [0xffff_ffff_ffff_fffcn, 4, -4],
  ])('%s as type %i → %i: signed numbers travel as unsigned ones', (raw, type, expected) => {
    expect(signed(raw, type)).toBe(expected);
  });
});

describe('MQTT source', () => {
  test('plain and JSON topics → values; what is no number is bad with the reason; retained is uncertain', async () => {
    const { port, say, subscribed } = await broker();
    await say('line/old', '5', true);
    const { last, events } = watch(
      to(port),
      [tag(0, 'line/temp'), tag(1, 'line/press#/oil'), tag(2, 'line/press#/missing'), tag(3, 'line/old')],
      '/nowhere',
    );
    await eventually(() => subscribed.size >= 3, { what: 'subscriptions' });
    await say('line/temp', '21.5');
    await say('line/press', '{"oil":40}');
    await eventually(() => last(1) !== undefined && last(3) !== undefined, { what: 'values' });
    expect(last(0)).toMatchObject({ value: 21.5, quality: 'good' });
    expect(last(1)?.value).toBe(40);
    expect(last(2)).toMatchObject({ quality: 'bad', why: 'the message has no /missing' });
    expect(last(3)).toMatchObject({ value: 5, quality: 'uncertain', why: 'retained: nobody says how old it is' });
    await say('line/old', '6', true);
    await eventually(() => last(3)?.quality === 'good', { what: 'a live value' });
    await say('line/temp', 'warm');
    await eventually(() => last(0)?.quality === 'bad', { what: 'nonsense' });
    expect(events).toEqual(['found']);
  });

  test('a topic that the broker refuses → bad with the reason; the others are read', async () => {
    const { port, say, subscribed, refuse } = await broker();
    refuse('line/secret');
    const { last } = watch(to(port), [tag(0, 'line/secret'), tag(1, 'line/open')], '/nowhere');
    await eventually(() => last(0) !== undefined && subscribed.has('line/open'), { what: 'the refusal' });
    expect(last(0)).toMatchObject({ quality: 'bad', why: 'the broker refuses this topic' });
    await say('line/open', '1');
    await eventually(() => last(1)?.value === 1, { what: 'the other' });
  });

  test('Sparkplug: births name, data by alias changes, the value stands while the node lives, and is bad when it dies', async () => {
    const { port, say, subscribed } = await broker();
    const { last, samples } = watch(
      to(port),
      [tag(0, 'spBv1.0/g/n:Node/Load'), tag(1, 'spBv1.0/g/n/press:Temp'), tag(2, 'spBv1.0/g/n/press:Count')],
      '/nowhere',
    );
    await eventually(() => subscribed.has('spBv1.0/g/DDEATH/n/+'), { what: 'subscriptions' });
    const at = 1_700_000_000_000;
    const birth = {
      timestamp: at,
      seq: 0,
      metrics: [
        { name: 'bdSeq', datatype: 8, long: 1 },
        { name: 'Node/Load', alias: 1, datatype: 10, double: 0.5 },
      ],
    };
    await say('spBv1.0/g/NBIRTH/n', encodeSparkplug(birth));
    const press = [
      { name: 'Temp', alias: 2, datatype: 9, float: 41.5, timestamp: at + 5 },
      { name: 'Count', alias: 3, datatype: 3, int: 0xffff_fff9 },
    ];
    await say('spBv1.0/g/DBIRTH/n/press', encodeSparkplug({ timestamp: at + 10, seq: 1, metrics: press }));
    await eventually(() => last(2)?.value === -7, { what: 'the birth' });
    expect(last(0)).toMatchObject({ value: 0.5, quality: 'good', sourceTime: at });
    expect(last(1)).toMatchObject({ value: 41.5, sourceTime: at + 5 });
    await say(
      'spBv1.0/g/DDATA/n/press',
      encodeSparkplug({
        timestamp: at + 20,
        seq: 2,
        metrics: [
          { alias: 2, float: 42.5 },
          { alias: 3, int: 5, historical: true },
        ],
      }),
    );
    await eventually(() => last(1)?.value === 42.5, { what: 'data by alias' });
    expect(last(2)?.value).toBe(-7);
    const told = samples.length;
    await eventually(() => samples.length > told + 6, { what: 'values that stand' });
    expect(last(0)).toMatchObject({ value: 0.5, quality: 'good', sourceTime: at });
    const stale = [{ alias: 2, float: 42.5, properties: { keys: ['Quality'], values: [{ int: 500 }] } }];
    await say('spBv1.0/g/DDATA/n/press', encodeSparkplug({ timestamp: at + 30, seq: 3, metrics: stale }));
    await eventually(() => last(1)?.quality === 'bad', { what: 'stale' });
    expect(last(1)?.why).toBe('the node says quality stale');

    await say('spBv1.0/g/DDEATH/n/press', encodeSparkplug({ timestamp: at + 40, seq: 4 }));
    await eventually(() => last(2)?.quality === 'bad', { what: 'the death of the device' });
    expect(last(2)?.why).toBe('device press of n is dead');
    expect(last(0)?.quality).toBe('good');
    // The broker tells the death of a session that is over already: the new one lives.
    await say('spBv1.0/g/NDEATH/n', encodeSparkplug({ metrics: [{ name: 'bdSeq', datatype: 8, long: 0 }] }));
    await say('spBv1.0/g/NDEATH/n', Buffer.from('garbage'));
    const before = samples.length;
    await eventually(() => samples.length > before + 3, { what: 'time' });
    expect(last(0)?.quality).toBe('good');
    await say('spBv1.0/g/NDEATH/n', encodeSparkplug({ metrics: [{ name: 'bdSeq', datatype: 8, long: 1 }] }));
    await eventually(() => last(0)?.quality === 'bad', { what: 'the death of the node' });
    expect(last(0)?.why).toBe('node n is dead');
    await say('spBv1.0/g/NBIRTH/n', encodeSparkplug({ ...birth, timestamp: at + 60 }));
    await eventually(() => last(0)?.quality === 'good', { what: 'the second birth' });
  });

  test('a broker that goes and comes → lost once, found again, values come on', async () => {
    const first = await broker();
    const { events, last } = watch(to(first.port), [tag(0, 'line/temp')], '/nowhere');
    await eventually(() => first.subscribed.has('line/temp'), { what: 'the subscription' });
    await first.stop();
    await eventually(() => events.length === 2, { what: 'the loss' });
    expect(events[1]).toMatch(/^lost: /);
    const second = await broker(first.port);
    await eventually(() => second.subscribed.has('line/temp'), { what: 'the return' });
    await second.say('line/temp', '3');
    await eventually(() => last(0)?.value === 3, { what: 'a value' });
    expect(events).toEqual(['found', events[1], 'found']);
  });

  test.each([
    ['speaks HTTP', 'HTTP/1.1 400 Bad Request\r\n\r\n'],
    ['says nothing', ''],
  ])('a server that %s → lost with a reason, nothing else', async (_name, words) => {
    const server = createServer((socket) => {
      socket.on('error', () => {});
      socket.on('data', () => socket.write(words));
    });
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    undo.push(() => new Promise((resolve) => server.close(resolve)));
    const { events, source } = watch(to((server.address() as AddressInfo).port), [tag(0, 'a')], '/nowhere', {
      connectMs: 200,
    });
    await eventually(() => source.stats.failures >= 2, { what: 'two attempts' });
    expect(events).toHaveLength(1);
    expect(events[0]).toMatch(/^lost: ./);
  });

  test('a broker whose bytes are mutated at random → never a throw, values go on', async () => {
    const { port, say } = await broker();
    const line = await openRoughLine(port, 3, (bytes, random) => {
      if (random(4) === 0) bytes[random(bytes.length)]! ^= 1 << random(8);
      return random(8) === 0 ? bytes.subarray(0, random(bytes.length)) : bytes;
    });
    undo.push(() => line.stop());
    const timer = setInterval(() => void say('line/temp', '21.5'), 5);
    undo.push(() => clearInterval(timer));
    const { samples, source } = watch(to(line.port), [tag(0, 'line/temp'), tag(1, 'spBv1.0/g/n:x')], '/nowhere', {
      connectMs: 100,
      requestMs: 100,
      backoffBaseMs: 5,
      backoffMostMs: 10,
    });
    await eventually(() => samples.length > 20 && source.stats.failures > 10, {
      what: 'a rough time',
      deadlineMs: 15_000,
    });
  });
});
