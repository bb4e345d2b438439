import { accessSync, chmodSync, constants, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { stripTypeScriptTypes } from 'node:module';
import { fileURLToPath } from 'node:url';
import { bundle } from './bundle.ts';
import { findProgram } from './program.ts';

/** What `millwright supervise` takes; everything after `--` is the agent. */
export interface SuperviseFlags {
  readonly name?: string | undefined;
  readonly state?: string | undefined;
  readonly watchdogDevice?: string | undefined;
  readonly killMs?: string | undefined;
  readonly beatTimeoutMs?: string | undefined;
  readonly restartMaxMs?: string | undefined;
  readonly restartSettledMs?: string | undefined;
  readonly without?: readonly string[] | undefined;
}

/** How a supervisor is started: a program, its arguments and its environment. */
export interface Launch {
  readonly program: string;
  readonly args: readonly string[];
  readonly env: NodeJS.ProcessEnv;
}

/**
 * Variables that make the process small: one allocator arena and one thread for files instead of one per core and four.
 * Measured with smaps_rollup beside an agent: 0.3 MB.
 */
const small: Readonly<Record<string, string>> = { MALLOC_ARENA_MAX: '1', UV_THREADPOOL_SIZE: '1' };

/**
 * No pool of compiler threads (0.1 MB, three threads less), and no compiler: what this process does in a minute an
 * interpreter does as well, and the compilers' code, once it ran, stays mapped (5 MB PSS). Other flags changed nothing
 * that could be told from noise (--single-threaded, --max-semi-space-size, --optimize-for-size), and a user-land
 * snapshot added 5 MB.
 */
const nodeFlags = ['--v8-pool-size=0', '--jitless'];

/**
 * Opens systemd's notify socket and becomes the program in its arguments, which inherits it. Not blocking, so that a
 * systemd that does not read cannot hang the supervisor. An argument vector for an interpreter, never for a shell.
 */
const perl = `use Socket; use Fcntl; my $s; my $p = $ENV{NOTIFY_SOCKET}; $p =~ s/^@/\\0/;
if (socket($s, PF_UNIX, SOCK_DGRAM, 0) && connect($s, pack_sockaddr_un($p))) {
fcntl($s, F_SETFD, 0); fcntl($s, F_SETFL, O_NONBLOCK); $ENV{MILLWRIGHT_NOTIFY_FD} = fileno($s);
} exec { $ARGV[0] } @ARGV;`;
const python = `import os, socket, sys
p = os.environ['NOTIFY_SOCKET']; s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
try:
    s.connect('\\0' + p[1:] if p.startswith('@') else p); s.setblocking(False); s.set_inheritable(True)
    os.environ['MILLWRIGHT_NOTIFY_FD'] = str(s.fileno())
except OSError: pass
os.execv(sys.argv[1], sys.argv[1:])`;

/** Prepares the start: the folder for its state, and the program in it. */
export function prepareLaunch(
  agent: readonly string[],
  flags: SuperviseFlags = {},
  environment: NodeJS.ProcessEnv = process.env,
): Launch {
  const name = flags.name ?? 'agent';
  const state = flags.state ?? stateFolder(name, environment);
  mkdirSync(state, { recursive: true, mode: 0o700 });
  chmodSync(state, 0o700);

  const env: NodeJS.ProcessEnv = { ...environment };
  const args = ['--name', name, '--state', state];
  if (flags.watchdogDevice !== undefined) args.push('--watchdog-device', flags.watchdogDevice);
  if (flags.killMs !== undefined) args.push('--kill-ms', flags.killMs);
  if (flags.beatTimeoutMs !== undefined) args.push('--beat-timeout-ms', flags.beatTimeoutMs);
  if (flags.restartMaxMs !== undefined) args.push('--restart-max-ms', flags.restartMaxMs);
  if (flags.restartSettledMs !== undefined) args.push('--restart-settled-ms', flags.restartSettledMs);
  for (const what of flags.without ?? []) args.push('--without', what);
  for (const [variable, value] of Object.entries(small)) {
    if (env[variable] !== undefined) continue;
    env[variable] = value;
    args.push('--unset', variable);
  }
  const command = [process.execPath, ...nodeFlags, programFile(state), ...args, '--', ...agent];
  for (const [interpreter, flag, text] of [
    ['perl', '-e', perl],
    ['python3', '-c', python],
  ] as const) {
    if ((env['NOTIFY_SOCKET'] ?? '') === '') break;
    const { path } = findProgram(interpreter, env['PATH'] ?? '', '/');
    if (path !== undefined) return { program: path, args: [flag, text, ...command], env };
  }
  const [program = '', ...rest] = command;
  return { program, args: rest, env };
}

/** `millwright supervise`: becomes the supervisor; this process, its number included, goes over into it. */
export function superviseCommand(agent: readonly string[], flags: SuperviseFlags): number {
  const [first, ...rest] = agent;
  if (first === undefined) {
    process.stderr.write('supervise: which agent? For instance: millwright supervise -- agent -c agent.yaml\n');
    return 2;
  }
  // `agent …` is this very millwright.
  const itself =
    first === 'agent' ? [process.execPath, ...process.execArgv, process.argv[1] ?? '', ...agent] : undefined;
  try {
    const { program, args, env } = prepareLaunch(itself ?? [first, ...rest], flags);
    process.execve?.(program, [program, ...args], env);
    process.stderr.write('supervise: this Node cannot become another program; 24.12 or newer can\n');
    return 1;
  } catch (error) {
    process.stderr.write(`supervise: ${(error as Error).message}. Remedy: name a writable folder with --state.\n`);
    return 2;
  }
}

/** On a memory file system: what stands there concerns this boot only, and no disk can hold a supervisor up. */
function stateFolder(name: string, env: NodeJS.ProcessEnv): string {
  const given = env['RUNTIME_DIRECTORY']?.split(':')[0];
  if (given !== undefined && given !== '') return given;
  const uid = process.getuid?.() ?? 0;
  const personal = env['XDG_RUNTIME_DIR'];
  for (const base of [uid === 0 ? '/run' : (personal ?? ''), '/dev/shm', '/tmp']) {
    try {
      accessSync(base, constants.W_OK);
      return `${base}/millwright-${base === '/run' || base === personal ? '' : `${uid}-`}${name}`;
    } catch {
      // The next one.
    }
  }
  return `/tmp/millwright-${uid}-${name}`;
}

/** The file that Node runs: this folder as one text, beside the state, written anew at each start. */
function programFile(state: string): string {
  const here = fileURLToPath(new URL('.', import.meta.url));
  const typed = import.meta.url.endsWith('.ts');
  const read = (name: string): string => {
    const text = readFileSync(`${here}${name}.${typed ? 'ts' : 'js'}`, 'utf8');
    return typed ? withoutTypes(text) : text;
  };
  const file = `${state}/supervisor.cjs`;
  writeFileSync(file, bundle('main', read), { mode: 0o600 });
  return file;
}

/** Node calls the stripping of types experimental, each time; here it is what runs this tree at all. */
function withoutTypes(text: string): string {
  const { emitWarning } = process;
  process.emitWarning = () => {};
  try {
    return stripTypeScriptTypes(text);
  } finally {
    process.emitWarning = emitWarning;
  }
}
