import { type ChildProcess, spawn } from 'node:child_process';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { Duplex } from 'node:stream';
import { fileURLToPath } from 'node:url';
import {
  monotonicNow,
  type Say,
  type SupervisedDuty,
  type SupervisorClient,
  speakWithSupervisor,
} from '../../agent/adapters/supervisor/supervisor-client.ts';
import { sweepCgroups } from '../../agent/supervisor/containment.ts';
import { prepareLaunch, type SuperviseFlags } from '../../agent/supervisor/launch.ts';
import { eventually } from '../support/eventually.ts';
import { isRunning } from '../support/process-tree.ts';

const relay = fileURLToPath(new URL('relay-agent.mjs', import.meta.url));

/** A real supervisor process with a relay for an agent; the test speaks for the agent. */
export interface Supervised {
  readonly name: string;
  readonly folder: string;
  /** The process that was spawned; with systemd's socket it became the supervisor. */
  readonly process: ChildProcess;
  readonly client: SupervisorClient;
  readonly said: Say[];
  /** Standard error: the supervisor's log. */
  readonly log: () => string;
  /** Lives of the agent so far, by process number. */
  readonly agents: number[];
  /** Names of the variables that the agent was given. */
  readonly agentEnv: readonly string[];
  /** The first message of this kind, in order, at or after `from`. */
  heard<K extends Say['is']>(is: K, from?: number): Promise<Extract<Say, { is: K }>>;
  /** A line as it is, to the supervisor or (with #) to the relay. */
  raw(line: string): void;
  /** Exit code or signal, once it is over. */
  readonly exit: Promise<number | string>;
  /** Kills what is left of all of it. */
  dispose(): Promise<void>;
}

export interface BoxOptions extends SuperviseFlags {
  readonly name: string;
  /** The state goes below it. */
  readonly folder: string;
  readonly env?: NodeJS.ProcessEnv;
  /** Another Node than this one, for supervisor and agent. */
  readonly node?: string;
}

/** Starts a supervisor with a relay for an agent. Whoever calls disposes of it. */
export function startBox(options: BoxOptions): Supervised {
  const { folder, env = process.env, node: program = process.execPath, ...flags } = options;
  const { name } = flags;
  const state = join(folder, 'state');
  const launch = prepareLaunch([program, relay], { state, ...flags }, { ...env, MILLWRIGHT_TEST: folder });
  const ours = (it: string): string => (it === process.execPath ? program : it);
  const child = spawn(ours(launch.program), launch.args.map(ours), { env: launch.env, stdio: 'pipe' });
  const exit = new Promise<number | string>((resolve) => {
    child.once('exit', (code, signal) => resolve(code ?? signal ?? '?'));
  });
  let log = '';
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    log += text;
  });
  const said: Say[] = [];
  const agents: number[] = [];
  const it: { agentEnv: readonly string[] } = { agentEnv: [] };
  // The relay's own lines go aside; the rest is the protocol, byte for byte.
  let rest = '';
  const stream = new Duplex({
    read() {},
    write(chunk: Buffer, _encoding, done) {
      child.stdin.write(chunk, () => done());
    },
  });
  child.stdin.on('error', () => {});
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    const lines = (rest + text).split('\n');
    rest = lines.pop() ?? '';
    for (const line of lines) {
      if (line.startsWith('#')) {
        const { pid, env: names } = JSON.parse(line.slice(1)) as { pid: number; env: string[] };
        agents.push(pid);
        it.agentEnv = names;
      } else stream.push(`${line}\n`);
    }
  });
  const client = speakWithSupervisor(stream, { said: (message) => said.push(message), lost: () => {} });
  return {
    name,
    folder,
    process: child,
    client,
    said,
    log: () => log,
    agents,
    get agentEnv() {
      return it.agentEnv;
    },
    heard: (is, from = 0) =>
      eventually(() => said.slice(from).find((message): message is never => message.is === is), {
        what: () => `"${is}" of the supervisor (${JSON.stringify(said.slice(-4))} ${log.slice(-600)})`,
        everyMs: 2,
        deadlineMs: 8_000,
      }) as never,
    raw: (line) => child.stdin.write(`${line}\n`),
    exit,
    async dispose() {
      if (isRunning(child.pid ?? 0)) {
        child.kill('SIGCONT');
        child.kill('SIGKILL');
        await exit;
      }
      // By their mark, never by a remembered number: on a busy box that is another's by now.
      for (const pid of [...marked(folder, 'MILLWRIGHT_TEST'), ...marked(name)]) {
        try {
          process.kill(pid, 'SIGKILL');
        } catch {
          // Gone, as it should be.
        }
      }
      sweepCgroups(name);
    },
  };
}

/** An exclusive duty that would run for ever. */
export const duty = (argv: readonly string[], more: Partial<SupervisedDuty> = {}): SupervisedDuty => ({
  duty: 'press/label',
  argv,
  env: { PATH: process.env['PATH'] ?? '' },
  cwd: '/',
  cell: 'line-1',
  epoch: 1,
  exclusive: true,
  until: monotonicNow() + 20_000,
  guardMs: 0,
  ...more,
});

/** Living processes that a supervisor of this name (or whoever set this variable) has started, wherever they went. */
export function marked(name: string, variable = 'MILLWRIGHT_SUPERVISOR'): number[] {
  return readdirSync('/proc')
    .filter((entry) => /^\d+$/.test(entry))
    .map(Number)
    .filter((pid) => {
      try {
        return (
          isRunning(pid) && readFileSync(`/proc/${pid}/environ`, 'utf8').split('\0').includes(`${variable}=${name}`)
        );
      } catch {
        return false;
      }
    });
}

/** A duty in Node: `program` is the text of a module. */
export const node = (program: string): string[] => [process.execPath, '--input-type=commonjs', '-e', program];
