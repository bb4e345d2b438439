import { createHash } from 'node:crypto';
import { createServer, type Socket } from 'node:net';
import fc from 'fast-check';
import { describe, expect, it, onTestFinished } from 'vitest';
import { receiveCertificates } from '../../agent/adapters/supervisor/certificate-receiver.ts';
import { type Say, speakWithSupervisor } from '../../agent/adapters/supervisor/supervisor-client.ts';
import { decodeCertificate, drawSecret, encodeCertificate } from '../../agent/supervisor/certificate.ts';
import {
  type Ask,
  encodeLine,
  LineReader,
  limits,
  maxLineBytes,
  parseAsk,
  parseSay,
} from '../../agent/supervisor/protocol.ts';
import { sha256 } from '../../agent/supervisor/sha256.ts';
import { eventually } from '../support/eventually.ts';
import { temporaryFolder } from '../support/temporary-folder.ts';

const id = fc.string({ minLength: 1, maxLength: 40 }).filter((text) => !text.includes('\0'));
const text = fc.string().filter((it) => !it.includes('\0'));
const path = text.map((it) => `/${it}`);
const epoch = fc.nat();
const instant = fc.double({ min: 0, max: 1e12, noNaN: true }).map((it) => it + 0);
const span = fc.double({ min: 0, max: 60_000, noNaN: true });
const target = fc.record({ host: fc.oneof(fc.ipV4(), fc.ipV6()), port: fc.integer({ min: 1, max: 65_535 }) });
const targets = fc.array(target, { maxLength: 12 });
const variable = fc.stringMatching(/^[A-Z_]{1,10}$/);

const asks: fc.Arbitrary<Ask> = fc.oneof(
  fc.record({ do: fc.constant('session' as const), cell: id, epoch, targets, guardMs: span }),
  fc.record({ do: fc.constant('targets' as const), cell: id, epoch, targets }),
  fc.record({
    do: fc.constant('start' as const),
    duty: id,
    argv: fc.array(text, { minLength: 1, maxLength: 5 }).filter((argv) => argv[0] !== ''),
    env: fc.dictionary(variable, text, { noNullPrototype: true }),
    cwd: path,
    cell: id,
    epoch,
    exclusive: fc.boolean(),
    until: instant,
    guardMs: span,
    log: fc.option(path, { nil: undefined }),
    boot: fc.option(instant, { nil: undefined }),
    wall: fc.option(instant, { nil: undefined }),
  }),
  fc.record({ do: fc.constant('extend' as const), duty: id, until: instant, boot: instant, wall: instant }),
  fc.record({ do: fc.constant('stop' as const), duty: id, graceMs: span }),
  fc.constant({ do: 'beat' as const }),
);

const says: fc.Arbitrary<Say> = fc.oneof(
  fc.record({
    is: fc.constant('hello' as const),
    v: fc.constant(1),
    protected: fc.boolean(),
    why: text,
    containment: fc.constantFrom('cgroup+namespace', 'cgroup', 'namespace', 'parent-death', 'none'),
    watchdogMs: fc.option(span, { nil: undefined }),
  }),
  fc.record({ is: fc.constant('session' as const), cell: id, epoch, id: fc.stringMatching(/^[0-9a-f]{64}$/) }),
  fc.record({ is: fc.constant('started' as const), duty: id, pid: fc.integer({ min: 1 }) }),
  fc.record({ is: fc.constantFrom('failed' as const, 'stuck' as const), duty: id, reason: text }),
  fc.record({ is: fc.constant('failed' as const), duty: id, reason: text, expired: fc.boolean() }),
  fc.record({ is: fc.constant('extended' as const), duty: id, until: instant }),
  fc.record({
    is: fc.constant('exited' as const),
    duty: id,
    code: fc.option(fc.nat(255)),
    signal: fc.option(fc.constant('SIGKILL')),
    reason: text,
    expired: fc.option(fc.boolean(), { nil: undefined }),
  }),
  fc.record({ is: fc.constant('stopped' as const), duty: id }),
);

describe('protocol', () => {
  it('every message → comes back as it went', () => {
    fc.assert(
      fc.property(asks, (ask) => {
        expect(parseAsk(encodeLine(ask).trimEnd())).toEqual(ask);
      }),
    );
    fc.assert(
      fc.property(says, (say) => {
        expect(parseSay(encodeLine(say).trimEnd())).toEqual(say);
      }),
    );
  });

  it('mutated lines → a message of the protocol or undefined, never an exception', () => {
    const mutated = fc
      .tuple(
        fc.oneof(asks.map(encodeLine), says.map(encodeLine)),
        fc.array(fc.tuple(fc.nat(), fc.nat(255)), { maxLength: 6 }),
      )
      .map(([line, edits]) => {
        const bytes = Buffer.from(line);
        for (const [at, value] of edits) bytes[at % bytes.length] = value;
        return bytes.toString('utf8');
      });
    fc.assert(
      fc.property(mutated, (line) => {
        const ask = parseAsk(line);
        const say = parseSay(line);
        if (ask !== undefined) expect(parseAsk(encodeLine(ask))).toEqual(ask);
        if (say !== undefined) expect(parseSay(encodeLine(say))).toEqual(say);
      }),
      { numRuns: 5_000 },
    );
    fc.assert(
      fc.property(fc.json(), (line) => void [parseAsk(line), parseSay(line)]),
      { numRuns: 2_000 },
    );
  });

  const start = {
    do: 'start',
    duty: 'a',
    argv: ['x'],
    env: {},
    cwd: '/',
    cell: 'c',
    epoch: 1,
    exclusive: true,
    until: 1,
    guardMs: 1,
  };
  it.each([
    ['no argument vector', { ...start, argv: [] }],
    ['an empty program', { ...start, argv: [''] }],
    ['a zero byte in an argument', { ...start, argv: ['x', 'a\0b'] }],
    ['too many arguments', { ...start, argv: Array(limits.arguments + 1).fill('x') }],
    ['a variable with an equals sign', { ...start, env: { 'A=B': '1' } }],
    ['a relative folder', { ...start, cwd: 'tmp' }],
    ['a relative log', { ...start, log: 'x.log' }],
    ['an infinite right', { ...start, until: null }],
    ['a negative guard', { ...start, guardMs: -1 }],
    ['exclusive as a word', { ...start, exclusive: 'false' }],
    ['a fraction of an epoch', { ...start, epoch: 1.5 }],
    ['a name for a host', { do: 'targets', cell: 'c', epoch: 1, targets: [{ host: 'voter-1', port: 1 }] }],
    ['an address with 256', { do: 'targets', cell: 'c', epoch: 1, targets: [{ host: '10.0.0.256', port: 1 }] }],
    ['port 0', { do: 'targets', cell: 'c', epoch: 1, targets: [{ host: '10.0.0.1', port: 0 }] }],
    [
      'too many targets',
      { do: 'targets', cell: 'c', epoch: 1, targets: Array(limits.targets + 1).fill({ host: '10.0.0.1', port: 1 }) },
    ],
    ['a list', [start]],
    ['null', null],
    ['another word', { do: 'reboot' }],
  ])('%s → undefined', (_, message) => {
    expect(parseAsk(JSON.stringify(message))).toBeUndefined();
  });

  it('line reader: any cut of the stream → the same lines, and bounded memory', () => {
    const lines = fc.array(
      fc.string({ unit: 'grapheme', maxLength: 60 }).filter((it) => !it.includes('\n') && it !== ''),
    );
    fc.assert(
      fc.property(lines, fc.array(fc.integer({ min: 1, max: 9 }), { minLength: 1 }), (wanted, cuts) => {
        const bytes = Buffer.from(wanted.map((line) => `${line}\n`).join(''));
        const got: string[] = [];
        const reader = new LineReader((line) => got.push(line));
        for (let at = 0, i = 0; at < bytes.length; i++) {
          const size = cuts[i % cuts.length]!;
          reader.push(bytes.subarray(at, at + size));
          at += size;
        }
        expect(got).toEqual(wanted.map((line) => Buffer.from(line).toString('utf8')));
      }),
    );
    const got: string[] = [];
    const reader = new LineReader((line) => got.push(line));
    const long = Buffer.alloc(maxLineBytes - 1, 'x');
    reader.push(Buffer.concat([long, Buffer.from('\n'), long, Buffer.from('y\nafter\n')]));
    expect(got.map((line) => line.length)).toEqual([maxLineBytes - 1, 5]);
    expect(reader.oversized).toBe(1);
  });
});

describe('client over a real socket', () => {
  async function pair(): Promise<{ client: Socket; server: Socket }> {
    const folder = await temporaryFolder();
    const { connect } = await import('node:net');
    const accepted: Socket[] = [];
    const listening = createServer((socket) => accepted.push(socket));
    await new Promise<void>((resolve) => listening.listen(`${folder}/s`, resolve));
    const client = connect(`${folder}/s`);
    const server = await eventually(() => accepted[0]);
    onTestFinished(() => {
      client.destroy();
      server.destroy();
      listening.close();
    });
    return { client, server };
  }

  it('garbage between messages → counted, messages arrive in order, the end is told once', async () => {
    const { client, server } = await pair();
    const said: Say[] = [];
    const lost: string[] = [];
    const agent = speakWithSupervisor(client, { said: (message) => said.push(message), lost: (why) => lost.push(why) });
    server.write('garbage\n{"is":"sto');
    server.write('pped","duty":"a"}\n{"is":"started","duty":"a","pid":0}\n');
    server.write(`${'x'.repeat(100_000)}\n{"is":"extended","duty":"a","until":5}\n`);
    await eventually(() => said.length === 2);
    expect(said).toEqual([
      { is: 'stopped', duty: 'a' },
      { is: 'extended', duty: 'a', until: 5 },
    ]);
    expect(agent.counts).toEqual({ garbage: 3, refused: 0 });
    let sent = '';
    server.setEncoding('utf8').on('data', (more: string) => {
      sent += more;
    });
    agent.targets('line-1', 1, [
      { host: 'voter-1', port: 7 },
      { host: '10.0.0.2', port: 7 },
      { host: 'fe80::1%eth0', port: 7 },
    ]);
    await eventually(() => sent.includes('\n'));
    expect(sent).toContain('"targets":[{"host":"10.0.0.2","port":7},{"host":"fe80::1%eth0","port":7}]');
    expect(agent.counts.refused).toBe(1);
    server.end();
    await eventually(() => lost.length > 0);
    expect(lost).toHaveLength(1);
    expect(agent.beat()).toBe(false);
    expect(agent.counts.refused).toBe(2);
  });

  it('a supervisor that does not read → calls are refused beyond a bound, and nothing is held', async () => {
    const { client, server } = await pair();
    server.pause();
    const agent = speakWithSupervisor(client, { said: () => {}, lost: () => {} });
    let sent = 0;
    while (agent.extend('d'.repeat(200), 1) && sent < 100_000) sent++;
    expect(sent).toBeLessThan(5_000);
    expect(client.writableLength).toBeLessThan(300_000);
    const argv = ['x', 'y'.repeat(70_000)];
    const { refused } = agent.counts;
    expect(
      agent.start({ duty: 'a', argv, env: {}, cwd: '/', cell: 'c', epoch: 1, exclusive: true, until: 1, guardMs: 1 }),
    ).toBe(false);
    expect(agent.counts.refused).toBe(refused + 1);
  });
});

describe('certificate', () => {
  it('own SHA-256 → that of the library, for any input', () => {
    const reference = (data: Uint8Array) => createHash('sha256').update(data).digest('hex');
    for (const size of [0, 1, 31, 32, 55, 56, 63, 64, 65, 119, 120, 1_000]) {
      const data = Buffer.alloc(size, size);
      expect(sha256(data)).toBe(reference(data));
    }
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 300 }), (data) => {
        expect(sha256(data)).toBe(reference(data));
      }),
    );
  });

  it('datagram → the secret; any other, or a short one → undefined; a longer one is a later version', () => {
    const secret = drawSecret();
    expect(secret.length).toBe(32);
    expect(drawSecret().equals(secret)).toBe(false);
    const datagram = encodeCertificate(secret);
    expect(datagram.length).toBe(36);
    expect(decodeCertificate(datagram)).toEqual(secret);
    expect(decodeCertificate(Buffer.concat([datagram, Buffer.alloc(20)]))).toEqual(secret);
    expect(decodeCertificate(datagram.subarray(0, 35))).toBeUndefined();
    expect(decodeCertificate(Buffer.from(`MWD2${'x'.repeat(32)}`))).toBeUndefined();
    fc.assert(fc.property(fc.uint8Array({ maxLength: 80 }), (bytes) => void decodeCertificate(Buffer.from(bytes))));
  });

  it('flood → cut off at the rate, and heard again a second later', async () => {
    const { createSocket } = await import('node:dgram');
    let now = 0;
    const heard: string[] = [];
    const receiver = await receiveCertificates({
      host: '127.0.0.1',
      port: 0,
      dead: (session) => heard.push(session),
      monotonic: () => now,
      perSecond: 20,
    });
    const sender = createSocket('udp4');
    onTestFinished(async () => {
      sender.close();
      await receiver.close();
    });
    for (let i = 0; i < 50; i++)
      sender.send(i % 2 === 0 ? 'noise' : encodeCertificate(drawSecret()), receiver.port, '127.0.0.1');
    const total = () => receiver.counts.accepted + receiver.counts.garbage + receiver.counts.dropped;
    await eventually(() => total() === 50);
    expect(receiver.counts).toEqual({ accepted: 10, garbage: 10, dropped: 30 });
    now += 1_000;
    const secret = drawSecret();
    sender.send(encodeCertificate(secret), receiver.port, '127.0.0.1');
    await eventually(() => heard.includes(sha256(secret)));
  });
});
