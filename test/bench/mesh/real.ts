import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { closeSync, mkdirSync, mkdtempSync, openSync, readFileSync, rmSync, watch, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { setTimeout as sleep } from 'node:timers/promises';
import { Random } from '../../../agent/base/random.ts';
import { eventually } from '../../support/eventually.ts';
import { freePorts } from '../../support/free-ports.ts';
import { cpuSeconds, mean, median, rounded, spread } from './figures.ts';
import { millwright } from './products.ts';
import { judge, type SimulatedFigure, type SimulatedOptions } from './simulated.ts';

export const realNames = ['idle', 'idle-fast', 'certificate', 'memory'] as const;
type RealName = (typeof realNames)[number];

/** Real agents on loopback, each under its box supervisor as in production, with one exclusive duty among the five. */
export async function realFigures(
  options: SimulatedOptions,
  say: (text: string) => void,
): Promise<readonly SimulatedFigure[]> {
  const wants = (name: RealName): boolean => options.only === undefined || options.only.includes(name);
  const windows = options.repetitions ?? (options.quick ? 3 : 10);
  const windowS = options.quick ? 20 : 60;
  const kills = options.repetitions ?? (options.quick ? 20 : 100);
  const figures: SimulatedFigure[] = [];
  if (wants('memory')) figures.push(memory(say));
  if (wants('idle') || wants('certificate')) {
    await onSite('lan', say, async (site) => {
      if (wants('idle')) figures.push(await idle('idle', site, windows, windowS, say));
      if (wants('certificate')) figures.push(await certificate(site, kills, options.seed, say));
    });
  }
  if (wants('idle-fast')) {
    await onSite('fast', say, async (site) => {
      figures.push(await idle('idle-fast', site, windows, windowS, say));
    });
  }
  return figures;
}

async function idle(
  name: 'idle' | 'idle-fast',
  site: SmallSite,
  windows: number,
  windowS: number,
  say: (text: string) => void,
): Promise<SimulatedFigure> {
  await sleep(15_000);
  const seen: { perAgent: number; most: number; supervisor: number }[] = [];
  for (let i = 1; i <= windows; i++) {
    const look = () =>
      site.boxes.map((box) => ({ agent: cpuSeconds(box.pid), supervisor: cpuSeconds(box.child.pid!) }));
    const [began, before] = [performance.now(), look()];
    await sleep(windowS * 1_000);
    const minutes = (performance.now() - began) / 60_000;
    const supervisor = look().map((now, box) => (now.supervisor - before[box]!.supervisor) / minutes);
    const both = look().map((now, box) => (now.agent - before[box]!.agent) / minutes + supervisor[box]!);
    seen.push({ perAgent: mean(both), most: Math.max(...both), supervisor: mean(supervisor) });
    say(`${name} ${i}/${windows}: ${rounded(mean(both), 2)} CPU-s per minute`);
  }
  const of = (what: 'perAgent' | 'most' | 'supervisor') => rounded(median(seen.map((window) => window[what])), 3);
  // What the preset `fast` may cost is not promised; it is shown.
  const bounds = name === 'idle' ? { must: 1.2, aim: 0.6 } : {};
  return {
    name,
    about: `five agents that have nothing to do but one exclusive duty, preset ${site.preset}; CPU-seconds per minute of agent and supervisor together, median of ${windows} windows of ${windowS} s`,
    repetitions: windows,
    judged: [
      judge({ figure: 'cpuSecondsPerMinute', ...bounds }, of('perAgent')),
      judge({ figure: 'busiestAgent' }, of('most')),
      judge({ figure: 'supervisorAlone' }, of('supervisor')),
    ],
  };
}

/** Agents that carry the duty are killed in turn; what it does elsewhere is the end of each story. */
async function certificate(
  site: SmallSite,
  kills: number,
  seed: number,
  say: (text: string) => void,
): Promise<SimulatedFigure> {
  const random = new Random(seed, 'bench certificate');
  const took: number[] = [];
  let missed = 0;
  for (let i = 1; i <= kills; i++) {
    await sleep(random.between(1_000, 1_600));
    const holder = site.holder();
    const { lives } = holder.box;
    holder.box.alive.clear();
    const killedAt = performance.now();
    process.kill(holder.box.pid, 'SIGKILL');
    try {
      const next = await eventually(
        () => {
          const newest = site.holder();
          return newest.at > killedAt && newest.box !== holder.box ? newest : undefined;
        },
        { deadlineMs: 10_000, everyMs: 5, what: 'somebody else carries it' },
      );
      took.push(next.at - killedAt);
    } catch {
      missed++;
    }
    // Its supervisor starts it anew; the site is whole before the next one dies.
    await site.whole(() => holder.box.lives > lives);
    if (i % 10 === 0 || i === kills) say(`certificate ${i}/${kills}: ${JSON.stringify(spread(took))}`);
  }
  const { p50, p99 } = spread(took);
  return {
    name: 'certificate',
    about:
      'SIGKILL to the agent that carries an exclusive duty until the duty’s process runs on another box; T = 2 s, ms',
    repetitions: kills,
    judged: [
      judge({ figure: 'takeover.p50' }, p50),
      judge({ figure: 'takeover.p99', must: 500, aim: 150 }, p99),
      judge({ figure: 'missed', must: 0 }, missed),
    ],
    samples: { takeover: took.map((ms) => rounded(ms, 1)) },
  };
}

function memory(say: (text: string) => void): SimulatedFigure {
  say('memory of a supervisor beside its agent …');
  const script = join(import.meta.dirname, '..', 'supervisor.ts');
  const ran = spawnSync(process.execPath, [script, '--json', '--memory-only'], { encoding: 'utf8' });
  if (ran.status !== 0) throw new Error(`supervisor.ts: ${ran.stderr}`);
  const { memoryMb } = JSON.parse(ran.stdout) as Record<
    'memoryMb',
    Record<'supervisor' | 'agent', Record<'pss' | 'private', number>>
  >;
  return {
    name: 'memory',
    about: 'megabytes of a box supervisor beside its agent, with a copy of Node’s binary that nobody else shares',
    repetitions: 1,
    judged: [
      judge({ figure: 'supervisorPssMb', must: 28 }, memoryMb.supervisor.pss),
      judge({ figure: 'supervisorPrivateMb', must: 12 }, memoryMb.supervisor.private),
      judge({ figure: 'agentPssMb' }, memoryMb.agent.pss),
    ],
  };
}

interface SmallBox {
  readonly name: string;
  readonly child: ChildProcess;
  /** The agent's own process; the child is the supervisor that started it. */
  pid: number;
  /** Lives of the agent that said they were ready. */
  lives: number;
  readonly alive: Set<string>;
}

interface SmallSite {
  readonly preset: 'lan' | 'fast';
  readonly boxes: readonly SmallBox[];
  /** Who started the duty's process last, and when. */
  holder(): { readonly box: SmallBox; readonly at: number };
  /** Until this is so, and all hold each other alive. */
  whole(isBack?: () => boolean): Promise<void>;
  /** Looks at the duty no more. */
  close(): void;
}

const names = ['box-1', 'box-2', 'box-3', 'box-4', 'box-5'];

async function onSite(
  preset: 'lan' | 'fast',
  say: (text: string) => void,
  act: (site: SmallSite) => Promise<void>,
): Promise<void> {
  const folder = mkdtempSync(join(tmpdir(), 'millwright-mesh-real-'));
  const boxes: SmallBox[] = [];
  const tidy = () => {
    for (const { child } of boxes) if (child.exitCode === null && child.signalCode === null) child.kill('SIGTERM');
  };
  process.once('exit', tidy);
  try {
    const started = await startSite(folder, preset, boxes).catch((error: Error) => {
      throw new Error(`${error.message}\n${lastWords(folder, boxes)}`, { cause: error });
    });
    say(`five agents, preset ${preset}, are up`);
    try {
      await act(started);
    } finally {
      started.close();
    }
  } finally {
    process.off('exit', tidy);
    await Promise.all(
      boxes.map(async ({ child }) => {
        if (child.exitCode !== null || child.signalCode !== null) return;
        const over = new Promise((resolve) => child.once('exit', resolve));
        child.kill('SIGTERM');
        const hung = setTimeout(() => child.kill('SIGKILL'), 10_000);
        await over;
        clearTimeout(hung);
      }),
    );
    rmSync(folder, { recursive: true, force: true, maxRetries: 5 });
  }
}

/** What each box said last, for who wonders why a site did not come up. */
const lastWords = (folder: string, boxes: readonly SmallBox[]): string =>
  boxes
    .map(({ name, lives, alive }) => {
      const last = readFileSync(join(folder, `${name}.log`), 'utf8')
        .trim()
        .split('\n')
        .slice(-2)
        .join('\n  ');
      return `${name} (ready ${lives} times, holds ${[...alive].join(', ') || 'nobody'} alive):\n  ${last}`;
    })
    .join('\n');

async function startSite(folder: string, preset: 'lan' | 'fast', boxes: SmallBox[]): Promise<SmallSite> {
  const written = join(folder, 'carried');
  writeFileSync(written, '');
  const script = join(folder, 'carry.sh');
  // It says who carries it, and then does nothing: what is measured is ours, not a program's start.
  writeFileSync(script, `echo "$MILLWRIGHT_AGENT" >> ${written}\nexec sleep 1000000\n`);
  const siteFile = join(folder, 'site.yaml');
  writeFileSync(
    siteFile,
    `millwright: 1
site: bench
cells:
  line: { pace: ${preset}, voters: [box-1, box-2, box-3] }
agents:
${names.map((name) => `  ${name}: { cell: line }\n`).join('')}duties:
  carry: { process: [/bin/sh, ${script}], exclusive: true, cell: line }
`,
  );
  const keys = join(folder, 'keys');
  const made = spawnSync(process.execPath, [millwright, 'site', 'init', siteFile, '--out', keys], { encoding: 'utf8' });
  if (made.status !== 0) throw new Error(`site init: ${made.stdout}${made.stderr}`);
  const ports = await freePorts(names.length);
  names.forEach((name, index) => {
    const data = join(folder, 'data', name);
    mkdirSync(data, { recursive: true });
    const peers = ports.filter((_, other) => other !== index).map((port) => `127.0.0.1:${port}`);
    const agent = [
      ...[process.execPath, millwright, 'agent', '--site', join(keys, 'site.bundle'), '--name', name],
      ...['--key', join(keys, 'agents', name, 'agent.key'), '--listen', `127.0.0.1:${ports[index]}`],
      ...['--peers', peers.join(','), '--broker', 'none', '--data', data],
    ];
    const state = join(folder, 'state', name);
    // Kills follow each other closely here: what a box in the field would wait is no part of what is measured.
    const supervise = ['supervise', '--restart-max-ms', '1000'];
    const log = openSync(join(folder, `${name}.log`), 'a');
    const child = spawn(
      process.execPath,
      [millwright, ...supervise, '--name', name, '--state', state, '--', ...agent],
      {
        stdio: ['ignore', 'pipe', log],
      },
    );
    closeSync(log);
    const box: SmallBox = { name, child, pid: 0, lives: 0, alive: new Set() };
    boxes.push(box);
    createInterface({ input: child.stdout! }).on('line', (line) => {
      if (!line.startsWith('{')) return;
      const said = JSON.parse(line) as { ready?: boolean; pid?: number; event?: string; member?: string };
      if (said.ready === true) {
        box.pid = said.pid ?? 0;
        box.lives++;
        return;
      }
      if (said.event === 'member-alive') box.alive.add(said.member ?? '');
      if (said.event === 'member-dead') box.alive.delete(said.member ?? '');
    });
  });
  let [length, at] = [0, 0];
  let newest = '';
  const look = (): void => {
    const text = readFileSync(written, 'utf8');
    if (text.length === length) return;
    at = performance.now();
    length = text.length;
    newest = text.trim().split('\n').at(-1) ?? '';
  };
  const watcher = watch(written, { persistent: false }, look);
  const holder = () => {
    look();
    const box = boxes.find(({ name }) => name === newest);
    if (box === undefined) throw new Error(`nobody carries the duty; the logs: ${folder}`);
    return { box, at };
  };
  const whole = async (isBack: () => boolean = () => true): Promise<void> => {
    await eventually(
      () => isBack() && boxes.every((box) => names.every((name) => name === box.name || box.alive.has(name))),
      { deadlineMs: 60_000, everyMs: 50, what: 'five agents hold each other alive' },
    );
  };
  await whole();
  await eventually(() => holder(), { deadlineMs: 30_000, what: 'somebody carries the duty' });
  return { preset, boxes, holder, whole, close: () => watcher.close() };
}
