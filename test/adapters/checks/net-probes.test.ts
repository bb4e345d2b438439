import { X509Certificate } from 'node:crypto';
import { createSocket } from 'node:dgram';
import { readFileSync } from 'node:fs';
import { type AddressInfo, createServer } from 'node:net';
import { dirname, join } from 'node:path';
import { createServer as createTls } from 'node:tls';
import { fileURLToPath } from 'node:url';
import { Aedes } from 'aedes';
import { describe, expect, onTestFinished, test } from 'vitest';
import { eventually } from '../../support/eventually.ts';
import { listening, look, prober, script } from './probing.ts';

const here = dirname(fileURLToPath(import.meta.url));
const good = join(here, '..', '..', 'coordinator', 'fixtures', 'broker-for-tests');
const ended = join(here, 'fixtures', 'ended');

describe('tls', () => {
  const served = async (files: string) => {
    const server = createTls({ cert: readFileSync(`${files}.cert.pem`), key: readFileSync(`${files}.key.pem`) });
    server.on('tlsClientError', () => {});
    server.on('secureConnection', (socket) => socket.on('error', () => {}));
    return {
      kind: 'tls',
      host: '127.0.0.1',
      port: await listening(server),
      name: undefined,
      ca: undefined,
      trusted: false,
    } as const;
  };

  test('a certificate of the plant’s own making → its end is the value', async () => {
    const { status, value } = await look(await served(good));
    const end = new X509Certificate(readFileSync(`${good}.cert.pem`)).validToDate.getTime();
    expect(status).toBe('ok');
    expect(Math.abs((value ?? 0) - (end - Date.now()) / 1_000)).toBeLessThan(5);
  });

  test('trust is asked for → bad without, good with its own authority', async () => {
    const probe = { ...(await served(good)), trusted: true };
    expect((await look(probe)).text).toContain('is not trusted');
    expect((await look({ ...probe, ca: `${good}.cert.pem`, name: 'localhost' })).status).toBe('ok');
  });

  test('a certificate that has ended → bad, whatever the limits', async () => {
    const { status, value, text } = await look(await served(ended));
    expect(status).toBe('crit');
    expect(value).toBeLessThan(0);
    expect(text).toContain('ended 2024-02-01');
  });

  test('no TLS there, and nobody there → bad, said so', async () => {
    const plain = createServer((socket) => {
      socket.on('error', () => {});
      socket.end('220 hello\r\n');
      socket.resume();
    });
    const probe = {
      kind: 'tls',
      host: '127.0.0.1',
      port: await listening(plain),
      name: undefined,
      ca: undefined,
      trusted: false,
    } as const;
    expect((await look(probe)).text).toContain('does not speak TLS');
    await new Promise((resolve) => plain.close(resolve));
    expect((await look(probe)).text).toContain('connection refused');
  });
});

describe('dns', () => {
  /** A name server that knows `plc.test`, refuses `secret.test`, is silent about `slow.test` and answers `odd.test` in garbage. */
  async function nameServer() {
    const socket = createSocket('udp4');
    onTestFinished(() => void socket.close());
    socket.on('message', (question, from) => {
      const labels: string[] = [];
      let at = 12;
      for (let size = question[at] ?? 0; size > 0; size = question[at] ?? 0) {
        labels.push(question.toString('latin1', at + 1, at + 1 + size));
        at += size + 1;
      }
      const name = labels.join('.').toLowerCase();
      if (name === 'slow.test') return;
      const asked = question.subarray(12, at + 5);
      const head = Buffer.from(question.subarray(0, 12));
      head[2] = 0x81;
      head[3] = 0x80 | (name === 'plc.test' ? 0 : name === 'secret.test' ? 5 : 3);
      head.writeUInt16BE(name === 'plc.test' ? 1 : 0, 6);
      head.writeUInt16BE(0, 8);
      head.writeUInt16BE(0, 10);
      const record = Buffer.from([0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4, 10, 0, 0, 7]);
      const answer = Buffer.concat([head, asked, ...(name === 'plc.test' ? [record] : [])]);
      socket.send(name === 'odd.test' ? Buffer.from('garbage') : answer, from.port, from.address);
    });
    await new Promise<void>((resolve) => socket.bind(0, '127.0.0.1', resolve));
    return { host: '127.0.0.1', port: (socket.address() as AddressInfo).port };
  }

  test.each([
    ['plc.test', undefined, 'ok', 'plc.test is 10.0.0.7 by 127.0.0.1'],
    ['plc.test', '10.0.0.8', 'crit', 'plc.test is 10.0.0.7 by 127.0.0.1, not 10.0.0.8'],
    ['gone.test', undefined, 'crit', 'there is no name gone.test'],
    ['secret.test', undefined, 'crit', 'refuses secret.test'],
    ['slow.test', undefined, 'crit', 'no answer from the name server'],
    ['odd.test', undefined, 'crit', 'name server'],
  ] as const)('%s, expected %s → %s', async (name, expected, status, text) => {
    const server = await nameServer();
    const answer = await look({ kind: 'dns', name, type: 'A', server, expect: expected }, {}, 500);
    expect(answer).toMatchObject({ status, text: expect.stringContaining(text) });
    if (status === 'ok') expect(answer.value).toBeGreaterThan(0);
  });
});

describe('ping', () => {
  test('what ping says → time, no echo, or nothing that can be judged', async () => {
    const ask = (text: string) => look({ kind: 'ping', host: '10.0.0.9' }, { programs: { ping: [script(text)] } });
    expect(await ask('echo "rtt min/avg/max/mdev = 0.512/0.512/0.512/0.000 ms"')).toMatchObject({
      status: 'ok',
      value: 0.512,
    });
    expect(await ask('echo "round-trip min/avg/max = 1.5/1.5/1.5 ms"')).toMatchObject({ value: 1.5 });
    expect(await ask('echo "1 packets transmitted, 0 received, 100% packet loss"; exit 1')).toMatchObject({
      status: 'crit',
      text: 'no echo from 10.0.0.9',
    });
    expect(await ask('echo "ping: plc: Name or service not known" >&2; exit 2')).toMatchObject({
      status: 'unknown',
      text: '10.0.0.9: ping: plc: Name or service not known',
    });
    expect((await look({ kind: 'ping', host: 'x' }, { programs: { ping: ['/no/ping'] } })).status).toBe('unknown');
  });

  test('the box’s own ping, where it may → the loopback answers', async () => {
    const { status, value, text } = await look({ kind: 'ping', host: '127.0.0.1' });
    // A container without the right to send echo requests can judge nothing, and must say so.
    if (status !== 'ok') expect(text).toMatch(/permitted|no program|denied|socket/i);
    else expect(value).toBeLessThan(1_000);
  });
});

describe('mqtt', () => {
  async function broker() {
    const aedes = await Aedes.createBroker();
    const server = createServer(aedes.handle);
    const port = await listening(server);
    onTestFinished(() => new Promise<void>((resolve) => aedes.close(() => resolve())));
    const publish = (topic: string, retain = false) =>
      new Promise<void>((resolve, reject) =>
        aedes.publish({ cmd: 'publish', topic, payload: 'x', qos: 0, retain, dup: false }, (error) =>
          error ? reject(error) : resolve(),
        ),
      );
    return { url: `mqtt://127.0.0.1:${port}`, publish };
  }

  test('a topic that speaks, then falls silent → its age, by our clock; the retained word is no news', async () => {
    const { url, publish } = await broker();
    await publish('line/7/state', true);
    const ask = prober({ kind: 'mqtt', url, topic: 'line/+/state', user: undefined, secret: undefined });
    expect((await ask()).text).toContain('nothing on line/+/state since we listen');
    await publish('line/7/state');
    await eventually(async () => (await ask()).text.includes('last spoke'));
    await new Promise((resolve) => setTimeout(resolve, 250));
    const { value } = await ask();
    expect(value).toBeGreaterThanOrEqual(0.2);
    expect(value).toBeLessThan(5);
  });

  test('no broker there → unknown within its time, without the credentials', async () => {
    const server = createServer();
    const port = await listening(server);
    await new Promise((resolve) => server.close(resolve));
    const url = `mqtt://anna:hunter2@127.0.0.1:${port}`;
    const answer = await look({ kind: 'mqtt', url, topic: 'x', user: undefined, secret: undefined }, {}, 1_000);
    expect(answer.status).toBe('unknown');
    expect(answer.text).toContain('ECONNREFUSED');
    expect(answer.text).not.toContain('hunter2');
  });
});
