import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { connect, createServer, type Socket } from 'node:net';
import { createInterface } from 'node:readline';
import { setTimeout as sleep } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import { Random } from '../../../agent/base/random.ts';
import { EventHeap } from '../../../simulations/world/event-heap.ts';
import { TcpConnections } from '../../../simulations/world/tcp.ts';
import { load, machine, rounded } from './figures.ts';
import { Network, whyNoNetwork } from './namespaces.ts';

/**
 * How late an answer comes over TCP when packets are lost: this machine's kernel between two network namespaces, beside
 * the simulator's model of it (simulations/world/tcp.ts). Forty connections, each asks every 200 ms and waits for
 * nothing, which is about what two agents say to each other; delays are from the asking to the answer, in milliseconds.
 *
 *     sudo node test/bench/mesh/stalls.ts [--seconds 60] [--loss 10,25] [--model-only] [--json]
 *
 * `reno` is what every kernel has, `reno, thin` with deploy/90-millwright.conf, `bbr` (where the kernel
 * has it) what some machines were told. The same file is the program at both ends (`--serve`, `--ask`).
 */
const { values } = parseArgs({
  options: {
    seconds: { type: 'string', default: '60' },
    loss: { type: 'string', default: '10,25' },
    json: { type: 'boolean', default: false },
    serve: { type: 'boolean', default: false },
    ask: { type: 'string' },
    'model-only': { type: 'boolean', default: false },
  },
});
const port = 7_979;
const connections = 40;
const everyMs = 200;
const questionBytes = 40;
/** Kinds of events beside those of the connections. */
const [asking, answering] = [10, 11];
const seconds = Number(values.seconds);

if (values.serve) serve();
else if (values.ask !== undefined) await ask(values.ask);
else await compareAll();

interface Delays {
  readonly answers: number;
  readonly p50: number;
  readonly p90: number;
  readonly p99: number;
  readonly p999: number;
  readonly max: number;
  /** Shares of answers that came later than this. */
  readonly over190: number;
  readonly over600: number;
  readonly over1500: number;
}

async function compareAll(): Promise<void> {
  const reason = values['model-only'] ? undefined : whyNoNetwork();
  if (reason !== undefined) {
    process.stderr.write(`${reason}\n`);
    process.exit(1);
  }
  const rows: { loss: number; how: string; delays: Delays }[] = [];
  for (const loss of values.loss.split(',').map((percent) => Number(percent) / 100)) {
    for (const [control, thin] of [
      ['reno', false],
      ['reno', true],
      ['bbr', false],
      ['bbr', true],
    ] as const) {
      const how = thin ? `${control}, thin` : control;
      const found = values['model-only'] ? undefined : await onWires(loss, control, thin);
      if (found !== undefined) rows.push({ loss, how: `kernel ${how}`, delays: delaysOf(found) });
      if (control === 'reno') rows.push({ loss, how: `model ${how}`, delays: delaysOf(inModel(loss, thin)) });
    }
  }
  if (values.json) {
    process.stdout.write(
      `${JSON.stringify({ machine: machine(), load: load(), seconds, connections, everyMs, rows })}\n`,
    );
    return;
  }
  const columns = ['answers', 'p50', 'p90', 'p99', 'p999', 'max', 'over190', 'over600', 'over1500'] as const;
  const line = (first: string, rest: readonly unknown[]): string =>
    `${first.padEnd(26)}${rest.map((cell) => String(cell).padStart(10)).join('')}\n`;
  process.stdout.write(line('', columns));
  for (const { loss, how, delays } of rows) {
    process.stdout.write(
      line(
        `${loss * 100} % ${how}`,
        columns.map((column) => delays[column]),
      ),
    );
  }
}

function delaysOf(found: readonly number[]): Delays {
  const sorted = found.toSorted((a, b) => a - b);
  const at = (q: number): number => rounded(sorted[Math.max(0, Math.ceil(q * sorted.length) - 1)] ?? Number.NaN, 1);
  const over = (ms: number): number => rounded(sorted.filter((one) => one > ms).length / sorted.length, 4);
  return {
    answers: sorted.length,
    ...{ p50: at(0.5), p90: at(0.9), p99: at(0.99), p999: at(0.999), max: at(1) },
    ...{ over190: over(190), over600: over(600), over1500: over(1_500) },
  };
}

// On this machine's kernel

async function onWires(loss: number, control: string, thin: boolean): Promise<readonly number[] | undefined> {
  const network = new Network(2, thin);
  const children: ChildProcess[] = [];
  const end = (): void => {
    for (const child of children) child.kill('SIGKILL');
    network.down();
  };
  process.once('exit', end);
  try {
    network.up();
    for (const box of [1, 2]) {
      const [ip, ...args] = network.on(box, ['sysctl', '-qw', `net.ipv4.tcp_congestion_control=${control}`]);
      if (spawnSync(ip, args).status !== 0) return undefined;
    }
    const start = (box: number, words: readonly string[]): ChildProcess => {
      const [program, ...args] = network.on(box, [process.execPath, import.meta.filename, ...words]);
      const child = spawn(program, args, { stdio: ['ignore', 'pipe', 'inherit'] });
      children.push(child);
      return child;
    };
    start(1, ['--serve']);
    await sleep(1_000);
    const asker = start(2, ['--ask', network.address(1), '--seconds', String(seconds)]);
    let text = '';
    for await (const said of createInterface({ input: asker.stdout! })) {
      if (said === 'connected') network.loss(loss);
      else text = said;
    }
    return JSON.parse(text) as number[];
  } finally {
    process.off('exit', end);
    end();
  }
}

function serve(): void {
  createServer({ noDelay: true }, (socket) => {
    socket.on('error', () => socket.destroy());
    socket.on('data', (chunk) => void socket.write(chunk));
  }).listen(port);
}

async function ask(host: string): Promise<void> {
  const found: number[] = [];
  const sockets: Socket[] = [];
  for (let i = 0; i < connections; i++) {
    const socket = connect({ port, host, noDelay: true });
    await new Promise((resolve, reject) => socket.once('connect', resolve).once('error', reject));
    const sent: number[] = [];
    let got = 0;
    let read = 0;
    socket.on('error', () => socket.destroy());
    socket.on('data', (chunk) => {
      read += chunk.length;
      for (; (got + 1) * questionBytes <= read; got++) {
        // The first second stands outside: nothing was lost then.
        if (sent[got]! > lossFrom) found.push(performance.now() - sent[got]!);
      }
    });
    sockets.push(socket);
    setTimeout(
      () =>
        setInterval(() => {
          if (performance.now() > until || socket.destroyed) return;
          sent.push(performance.now());
          socket.write(Buffer.alloc(questionBytes));
        }, everyMs),
      (everyMs * i) / connections,
    );
  }
  const lossFrom = performance.now() + 2_000;
  const until = lossFrom + seconds * 1_000;
  await sleep(1_000);
  process.stdout.write('connected\n');
  // What is on its way at the end may take its time: else the longest stalls were left out.
  await sleep(until - performance.now() + 15_000);
  process.stdout.write(`${JSON.stringify(found.map((ms) => rounded(ms, 1)))}\n`, () => process.exit(0));
}

// In the model

function inModel(loss: number, thin: boolean): readonly number[] {
  const found: number[] = [];
  const random = new Random(1, `stalls ${loss}`);
  const heap = new EventHeap();
  let now = 0;
  const wait = (time: number, kind: number, a: number, b: number, payload: unknown) =>
    heap.push(time, kind, a, b, 0, payload);
  const tcp = new TcpConnections(
    {
      now: () => now,
      later: (time, what, a, b, payload) => wait(time, what, a, b, payload),
      drops: () => now > 2_000 && random.chance(loss),
      delayMs: () => 0.05 + random.exponential(0.05),
      deliver: (from, to, payload) => {
        const askedAt = payload as number;
        if (to === 0) wait(now, answering, to, from, askedAt);
        else if (askedAt > 2_000) found.push(now - askedAt);
      },
      givenUp: () => {},
    },
    connections + 1,
    random.fork('tcp'),
  );
  tcp.isThin = thin;
  // The kernel's own patience is a quarter of an hour; it is agents that give up sooner.
  tcp.patienceMs = 900_000;
  for (let i = 1; i <= connections; i++) wait((everyMs * i) / connections, asking, i, 0, undefined);
  while (heap.nextTime < (seconds + 17) * 1_000) {
    heap.pop();
    now = heap.time;
    if (heap.kind === answering) tcp.send(heap.a, heap.b, questionBytes, heap.payload);
    else if (heap.kind === asking) {
      if (now > (seconds + 2) * 1_000) continue;
      const asker = heap.a;
      tcp.send(asker, 0, questionBytes, now);
      wait(now + everyMs, asking, asker, 0, undefined);
    } else tcp.happen(heap.kind, heap.a, heap.b, heap.payload);
  }
  return found;
}
