import { type ChildProcess, spawn } from 'node:child_process';
import { mkdirSync, mkdtempSync, openSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { AgentStatus } from '../../agent/wire/status.ts';
import { agentStatus } from '../../simulations/demo/client.ts';
import { eventually } from '../support/eventually.ts';
import { freePorts } from '../support/free-ports.ts';
import { millwright, run } from './small-site.ts';

/** What the exclusive program wrote: one line for each of its effects, by the clock that all processes share. */
export interface Effect {
  readonly at: number;
  readonly token: string;
  readonly session: string;
  readonly agent: string;
  readonly pid: number;
}

export interface ExclusiveAgent {
  readonly name: string;
  /** The agent's own process, also where a supervisor stands in front of it. */
  pid(): number;
  status(): Promise<AgentStatus>;
  log(): string;
}

export interface ExclusiveSite {
  readonly folder: string;
  readonly agents: readonly ExclusiveAgent[];
  start(index: number): Promise<void>;
  signal(index: number, signal: NodeJS.Signals): void;
  effects(): readonly Effect[];
  /** Who wrote the newest effect, if that was within the last 300 ms. */
  writer(): ExclusiveAgent | undefined;
  dispose(): Promise<void>;
}

/** Writes a line every 10 ms, with the newest token that it was given. It ends by a signal, or without its token file. */
const program = `
import { appendFileSync, readFileSync } from 'node:fs';
const { MILLWRIGHT_TOKEN_FILE: file, MILLWRIGHT_SESSION: session, MILLWRIGHT_AGENT: agent } = process.env;
setInterval(() => {
  const token = readFileSync(file, 'utf8').trim();
  const at = Number(process.hrtime.bigint()) / 1e6;
  appendFileSync(process.argv[2], JSON.stringify({ at, token, session, agent, pid: process.pid }) + '\\n');
}, 10);
`;

const boxTime = (): number => Number(process.hrtime.bigint()) / 1e6;

/** Three agents on this box, the last one perhaps a witness, and one exclusive program. */
export async function makeExclusiveSite(
  options: { readonly supervised?: boolean; readonly witness?: boolean } = {},
): Promise<ExclusiveSite> {
  const folder = mkdtempSync(join(tmpdir(), 'millwright-exclusive-'));
  const written = join(folder, 'effects');
  const script = join(folder, 'writer.mjs');
  const siteFile = join(folder, 'site.yaml');
  writeFileSync(written, '');
  writeFileSync(script, program);
  writeFileSync(
    siteFile,
    `millwright: 1
site: exclusive
cells:
  line: { voters: [box-1, box-2, box-3] }
agents:
  box-1: { cell: line }
  box-2: { cell: line }
  box-3: { cell: line${options.witness ? ', role: witness' : ''} }
duties:
  writer: { process: [${process.execPath}, ${script}, ${written}], exclusive: true, cell: line }
`,
  );
  const keys = join(folder, 'keys');
  const made = await run(['site', 'init', siteFile, '--out', keys]);
  if (made.code !== 0) throw new Error(`site init: ${made.stdout}${made.stderr}`);
  const ports = await freePorts(6);
  const names = ['box-1', 'box-2', 'box-3'];
  const children: (ChildProcess | undefined)[] = [];
  const pids: number[] = [];
  const logOf = (name: string) => join(folder, `${name}.log`);

  const start = async (index: number): Promise<void> => {
    const name = names[index]!;
    const box = join(keys, 'agents', name);
    const data = join(folder, 'data', name);
    mkdirSync(data, { recursive: true });
    const peers = names.flatMap((_, other) => (other === index ? [] : [`127.0.0.1:${ports[other]}`]));
    const args = [
      ...['agent', '--site', join(keys, 'site.bundle'), '--key', join(box, 'agent.key'), '--name', name],
      ...['--listen', `127.0.0.1:${ports[index]}`, '--peers', peers.join(','), '--data', data],
      ...['--api', `127.0.0.1:${ports[3 + index]}`],
    ];
    const agent = [process.execPath, millwright, ...args];
    const state = join(folder, 'state', name);
    const [program = '', ...rest] = options.supervised
      ? [
          process.execPath,
          millwright,
          'supervise',
          '--restart-max-ms',
          '1000',
          '--name',
          name,
          '--state',
          state,
          '--',
          ...agent,
        ]
      : agent;
    const child = spawn(program, rest, { stdio: ['ignore', 'pipe', openSync(logOf(name), 'a')] });
    children[index] = child;
    let text = '';
    child.stdout?.on('data', (chunk: Buffer) => {
      text += chunk.toString();
      for (const line of text.split('\n')) {
        const match = /"ready":true.*"pid":(\d+)/.exec(line);
        if (match) pids[index] = Number(match[1]);
      }
    });
    pids[index] = 0;
    await eventually(() => pids[index] !== 0, {
      deadlineMs: 30_000,
      what: `${name} is ready (its log: ${logOf(name)})`,
    });
  };

  const agents = names.map(
    (name, index): ExclusiveAgent => ({
      name,
      pid: () => pids[index]!,
      status: () => {
        const token = readFileSync(join(folder, 'data', name, 'api.token'), 'utf8').trim();
        return agentStatus(`http://127.0.0.1:${ports[3 + index]}`, token);
      },
      log: () => readFileSync(logOf(name), 'utf8'),
    }),
  );
  const effects = (): readonly Effect[] =>
    readFileSync(written, 'utf8')
      .split('\n')
      .slice(0, -1)
      .map((line) => JSON.parse(line) as Effect);

  return {
    folder,
    agents,
    start,
    signal: (index, signal) => void process.kill(pids[index]!, signal),
    effects,
    writer() {
      const last = effects().at(-1);
      return last && boxTime() - last.at < 300 ? agents.find(({ name }) => name === last.agent) : undefined;
    },
    async dispose() {
      await Promise.all(
        children.map(async (child, index) => {
          if (child === undefined || child.exitCode !== null || child.signalCode !== null) return;
          try {
            process.kill(pids[index]!, 'SIGCONT');
          } catch {
            // Gone already.
          }
          const over = new Promise((resolve) => child.once('exit', resolve));
          child.kill('SIGTERM');
          const hung = setTimeout(() => child.kill('SIGKILL'), 8_000);
          await over;
          clearTimeout(hung);
        }),
      );
      rmSync(folder, { recursive: true, force: true, maxRetries: 5 });
    },
  };
}

/** Places where an older token acted after a newer one had. */
export function overlaps(effects: readonly Effect[]): string[] {
  const found: string[] = [];
  let newest: Effect | undefined;
  for (const effect of effects.toSorted((a, b) => a.at - b.at)) {
    if (newest === undefined || effect.token > newest.token) newest = effect;
    else if (effect.token < newest.token || effect.session !== newest.session) {
      found.push(`${effect.agent} with ${effect.token} at ${effect.at}, after ${newest.agent} with ${newest.token}`);
    }
  }
  return found;
}
