import { findContainment, removeCgroup, type Without } from './containment.ts';
import { findProgram } from './program.ts';
import { killLeftovers, Register } from './register.ts';
import { Supervisor } from './supervisor.ts';
import { findWatch } from './watch.ts';

/**
 * The box supervisor's process: `main.ts [--name N] [--state DIR] … -- PROGRAM [ARGUMENT …]`. It imports nothing but
 * Node's own child_process, dgram, fs and stream, and its own folder: what parents everything should be small enough
 * to be read in one sitting. `launch.ts` starts it: with the right settings, and as one file (`bundle.ts`).
 */
interface Settings {
  name: string;
  state: string;
  device: string | undefined;
  killMs: number;
  beatTimeoutMs: number;
  stopMs: number;
  restartMaxMs: number;
  restartSettledMs: number;
  without: Without[];
  /** Variables that were set for this process alone. */
  unset: string[];
  agent: string[];
}

/** Exit codes as in the agent: 2 for what only a person can mend. */
const wrongUse = 2;

function settingsOf(argv: readonly string[]): Settings | string {
  const settings: Settings = {
    name: 'agent',
    state: '',
    device: undefined,
    killMs: 100,
    beatTimeoutMs: 30_000,
    stopMs: 10_000,
    restartMaxMs: 30_000,
    restartSettledMs: 10_000,
    without: [],
    unset: [],
    agent: [],
  };
  for (let i = 0; i < argv.length; i++) {
    const option = argv[i] ?? '';
    if (option === '--') {
      settings.agent = argv.slice(i + 1);
      break;
    }
    const value = argv[++i];
    if (value === undefined) return `${option} needs a value`;
    const ms = Number(value);
    const span = Number.isFinite(ms) && ms >= 0;
    if (option === '--name') settings.name = value;
    else if (option === '--state') settings.state = value;
    else if (option === '--watchdog-device') settings.device = value;
    else if (option === '--kill-ms' && span) settings.killMs = ms;
    else if (option === '--beat-timeout-ms' && span && ms >= 1_000) settings.beatTimeoutMs = ms;
    else if (option === '--stop-ms' && span) settings.stopMs = ms;
    else if (option === '--restart-max-ms' && span && ms >= 1) settings.restartMaxMs = ms;
    else if (option === '--restart-settled-ms' && span) settings.restartSettledMs = ms;
    else if (option === '--without' && (value === 'cgroup' || value === 'namespace')) settings.without.push(value);
    else if (option === '--unset') settings.unset.push(value);
    else return `${option} ${value}: no such option`;
  }
  if (settings.agent.length === 0) return 'which agent? Give its argument vector after --';
  if (!/^[\w.@-]{1,64}$/.test(settings.name)) return `--name ${settings.name}: letters, digits and . @ _ - only`;
  if (!settings.state.startsWith('/')) return '--state needs the full path of a folder';
  return settings;
}

function log(level: 'info' | 'warn' | 'error', message: string, fields: object = {}): void {
  const row = { level, time: Date.now(), supervisor: process.pid, ...fields, msg: message };
  process.stderr.write(`${JSON.stringify(row)}\n`);
}

function fail(message: string, remedy: string): never {
  process.stderr.write(`supervise: ${message}. Remedy: ${remedy}.\n`);
  process.exit(wrongUse);
}

const settings = settingsOf(process.argv.slice(2));
if (typeof settings === 'string') fail(settings, 'millwright supervise --help');
const { name } = settings;
const watch = findWatch(process.env, settings.device);
for (const variable of settings.unset) delete process.env[variable];
const [wanted = '', ...rest] = settings.agent;
const found = findProgram(wanted, process.env['PATH'] ?? '', process.cwd());
if (found.path === undefined) fail(found.refusal, 'name an existing program after --');

let register: Register;
try {
  register = new Register(settings.state);
} catch (error) {
  fail(`the folder ${settings.state} cannot be made: ${(error as Error).message}`, 'name a folder with --state');
}
const owner = register.owner();
if (owner !== undefined) {
  fail(`process ${owner} supervises "${name}" already`, 'stop it first, or give this one another --name and --state');
}
const containment = findContainment(name, settings.without);
const leftovers = killLeftovers(register, containment.cgroups, name);
const left = leftovers();
if (left.length > 0) log('warn', 'killed what a former supervisor had left', { left });
// Before anything is started: from here on all of it can be found again.
register.write([]);

const supervisor = new Supervisor({
  name,
  agent: [found.path, ...rest],
  env: process.env,
  containment,
  register,
  watch,
  leftovers,
  killMs: settings.killMs,
  beatTimeoutMs: settings.beatTimeoutMs,
  stopMs: settings.stopMs,
  restartMaxMs: settings.restartMaxMs,
  restartSettledMs: settings.restartSettledMs,
  log,
  ended: (code) => {
    if (containment.cgroups !== undefined) removeCgroup(containment.cgroups.folder);
    process.exit(code);
  },
});
process.on('SIGTERM', () => supervisor.stop());
process.on('SIGINT', () => supervisor.stop());
process.on('SIGHUP', () => {});
log('info', 'supervising', {
  name,
  containment: containment.kind,
  protected: watch.intervalMs !== undefined,
  why: watch.why,
});
supervisor.start();
