/**
 * What an agent and its box supervisor say to each other: one JSON object per line over the duplex stream that the
 * agent inherits as file descriptor 3. Plain checks and no library, since the supervisor has to stay small; the same
 * checks serve both ends. What does not parse is counted by its reader and otherwise ignored: neither side trusts the
 * other's bytes.
 *
 * Instants (`until`) are milliseconds of CLOCK_MONOTONIC (`process.hrtime`), which all processes of a box share.
 */

export const protocolVersion = 1;

/** Longest line, its end included. */
export const maxLineBytes = 65_536;

/** A right to run may reach this far into the future; more is a mistake of whoever asks. */
export const maxAheadMs = 3_600_000;

export const limits = {
  duties: 256,
  sessions: 256,
  targets: 256,
  arguments: 512,
  variables: 512,
  idLength: 256,
  pathLength: 4_096,
  guardMs: 60_000,
  graceMs: 600_000,
} as const;

/** Who is told of a death: an IP literal (nobody resolves names at such a moment) and a UDP port. */
export interface Target {
  readonly host: string;
  readonly port: number;
}

/**
 * The sender's clocks when it computed an instant: wall time and time since boot, each less the monotonic clock, in
 * milliseconds, rounded up. Should the box sleep between sending and reading, the difference shows it.
 */
export interface Stamp {
  readonly boot?: number | undefined;
  readonly wall?: number | undefined;
}

/** Agent to supervisor. */
export type Ask =
  /**
   * Draw a secret for this life of the agent as a holder in the cell; answered by `session`. Asked again in the same
   * life, the answer is the same and only targets and guard are new. `guardMs`: how long an effect of the agent itself
   * may still be on its way after it is gone.
   */
  | {
      readonly do: 'session';
      readonly cell: string;
      readonly epoch: number;
      readonly targets: readonly Target[];
      readonly guardMs: number;
    }
  /** Whom to tell instead. */
  | { readonly do: 'targets'; readonly cell: string; readonly epoch: number; readonly targets: readonly Target[] }
  | ({
      readonly do: 'start';
      readonly duty: string;
      /** Found by the PATH in `env` unless it has a slash. */
      readonly argv: readonly string[];
      /** The whole environment: nothing of the supervisor's own is added. */
      readonly env: Readonly<Record<string, string>>;
      readonly cwd: string;
      readonly cell: string;
      readonly epoch: number;
      /** An exclusive duty runs until `until` at most; others until they are stopped, or their agent ends. */
      readonly exclusive: boolean;
      readonly until: number;
      readonly guardMs: number;
      /** File for what the program prints: at most 1 MiB and one older file `.1`. Without it only the last lines count. */
      readonly log?: string | undefined;
    } & Stamp)
  /** A later end. Without the echo `extended` nothing was extended. An earlier instant changes nothing. */
  | ({ readonly do: 'extend'; readonly duty: string; readonly until: number } & Stamp)
  /** SIGTERM to the program, and after the grace SIGKILL to all that is left; answered by `stopped`. */
  | { readonly do: 'stop'; readonly duty: string; readonly graceMs: number }
  | { readonly do: 'beat' };

/** How duty processes are held together; the strongest that the box permits. */
export type ContainmentKind = 'cgroup+namespace' | 'cgroup' | 'namespace' | 'parent-death' | 'none';

const containmentKinds: readonly string[] = ['cgroup+namespace', 'cgroup', 'namespace', 'parent-death', 'none'];

/** Supervisor to agent. */
export type Say =
  /** First, and again when it changes. Unprotected: nothing ends the duties should the supervisor itself hang. */
  | {
      readonly is: 'hello';
      readonly v: number;
      readonly protected: boolean;
      readonly why: string;
      readonly containment: ContainmentKind;
      /** A hanging supervisor is ended after this; at most T/2 keeps an exclusive duty safe. */
      readonly watchdogMs?: number | undefined;
    }
  /** `id`: SHA-256 of the secret, 64 hex digits. */
  | { readonly is: 'session'; readonly cell: string; readonly epoch: number; readonly id: string }
  /** `pid` is the program's own, not a wrapper's. */
  | { readonly is: 'started'; readonly duty: string; readonly pid: number }
  /** It does not run: nothing has happened. `expired`: only since its right to run was over when the order came. */
  | { readonly is: 'failed'; readonly duty: string; readonly reason: string; readonly expired?: boolean | undefined }
  | { readonly is: 'extended'; readonly duty: string; readonly until: number }
  /**
   * Nothing of it is left. `reason` in words, with the program's last lines. `expired`: it was killed here because its
   * right to run ended before an extension came.
   */
  | {
      readonly is: 'exited';
      readonly duty: string;
      readonly code: number | null;
      readonly signal: string | null;
      readonly reason: string;
      readonly expired?: boolean | undefined;
    }
  /** Nothing of it is left, as was asked; also for a duty that did not run. */
  | { readonly is: 'stopped'; readonly duty: string }
  /** It was killed, and the kernel holds on to a process of it (state D): no certificate, no new start, until it lets go. */
  | { readonly is: 'stuck'; readonly duty: string; readonly reason: string };

type Fields = Readonly<Record<string, unknown>>;

export const encodeLine = (message: Ask | Say): string => `${JSON.stringify(message)}\n`;

/** Undefined: not of this protocol. */
export function parseAsk(line: string): Ask | undefined {
  const it = parseObject(line);
  if (it === undefined) return undefined;
  switch (it['do']) {
    case 'session':
    case 'targets': {
      const { cell, epoch, targets, guardMs = 0 } = it;
      const list = targetsOf(targets);
      if (!isId(cell) || !isEpoch(epoch) || list === undefined) return undefined;
      if (it['do'] === 'targets') return { do: 'targets', cell, epoch, targets: list };
      return isSpan(guardMs, limits.guardMs) ? { do: 'session', cell, epoch, targets: list, guardMs } : undefined;
    }
    case 'start': {
      const { duty, argv, env, cwd, cell, epoch, exclusive, until, guardMs, log } = it;
      const stamp = readStamp(it);
      if (!isId(duty) || !isId(cell) || !isEpoch(epoch) || typeof exclusive !== 'boolean') return undefined;
      if (!isInstant(until) || !isSpan(guardMs, limits.guardMs) || !isPath(cwd) || stamp === undefined)
        return undefined;
      if (log !== undefined && !isPath(log)) return undefined;
      if (!isArguments(argv) || !isEnvironment(env)) return undefined;
      return { do: 'start', duty, argv, env, cwd, cell, epoch, exclusive, until, guardMs, log, ...stamp };
    }
    case 'extend': {
      const { duty, until } = it;
      const stamp = readStamp(it);
      return isId(duty) && isInstant(until) && stamp !== undefined
        ? { do: 'extend', duty, until, ...stamp }
        : undefined;
    }
    case 'stop': {
      const { duty, graceMs } = it;
      return isId(duty) && isSpan(graceMs, limits.graceMs) ? { do: 'stop', duty, graceMs } : undefined;
    }
    case 'beat':
      return { do: 'beat' };
    default:
      return undefined;
  }
}

/** Undefined: not of this protocol. */
export function parseSay(line: string): Say | undefined {
  const it = parseObject(line);
  if (it === undefined) return undefined;
  const { duty, reason } = it;
  switch (it['is']) {
    case 'hello': {
      const { v, why, containment, watchdogMs } = it;
      if (v !== protocolVersion || typeof it['protected'] !== 'boolean' || typeof why !== 'string') return undefined;
      if (typeof containment !== 'string' || !containmentKinds.includes(containment)) return undefined;
      if (watchdogMs !== undefined && !isSpan(watchdogMs, Number.MAX_SAFE_INTEGER)) return undefined;
      const kind = containment as ContainmentKind;
      return { is: 'hello', v, protected: it['protected'], why, containment: kind, watchdogMs };
    }
    case 'session': {
      const { cell, epoch, id } = it;
      if (!isId(cell) || !isEpoch(epoch) || typeof id !== 'string' || !/^[0-9a-f]{64}$/.test(id)) return undefined;
      return { is: 'session', cell, epoch, id };
    }
    case 'started': {
      const { pid } = it;
      if (!isId(duty) || typeof pid !== 'number' || !Number.isSafeInteger(pid) || pid < 1) return undefined;
      return { is: 'started', duty, pid };
    }
    case 'extended': {
      const { until } = it;
      return isId(duty) && isInstant(until) ? { is: 'extended', duty, until } : undefined;
    }
    case 'exited': {
      const { code, signal, expired } = it;
      if (!isId(duty) || typeof reason !== 'string') return undefined;
      if (code !== null && typeof code !== 'number') return undefined;
      if (signal !== null && typeof signal !== 'string') return undefined;
      if (expired !== undefined && typeof expired !== 'boolean') return undefined;
      return { is: 'exited', duty, code, signal, reason, ...(expired === undefined ? {} : { expired }) };
    }
    case 'failed': {
      const { expired } = it;
      if (!isId(duty) || typeof reason !== 'string') return undefined;
      if (expired !== undefined && typeof expired !== 'boolean') return undefined;
      return { is: 'failed', duty, reason, ...(expired === undefined ? {} : { expired }) };
    }
    case 'stuck':
      return isId(duty) && typeof reason === 'string' ? { is: 'stuck', duty, reason } : undefined;
    case 'stopped':
      return isId(duty) ? { is: 'stopped', duty } : undefined;
    default:
      return undefined;
  }
}

function parseObject(line: string): Fields | undefined {
  try {
    const value: unknown = JSON.parse(line);
    return typeof value === 'object' && value !== null && !Array.isArray(value) ? (value as Fields) : undefined;
  } catch {
    return undefined;
  }
}

const isId = (value: unknown): value is string =>
  typeof value === 'string' && value !== '' && value.length <= limits.idLength && !value.includes('\0');

const isPath = (value: unknown): value is string =>
  typeof value === 'string' && value.startsWith('/') && value.length <= limits.pathLength && !value.includes('\0');

const isEpoch = (value: unknown): value is number =>
  typeof value === 'number' && Number.isSafeInteger(value) && value >= 0;

const isInstant = (value: unknown): value is number => typeof value === 'number' && Number.isFinite(value);

const isSpan = (value: unknown, most: number): value is number =>
  typeof value === 'number' && value >= 0 && value <= most;

const isText = (value: unknown): value is string => typeof value === 'string' && !value.includes('\0');

const isArguments = (value: unknown): value is string[] =>
  Array.isArray(value) &&
  value.length >= 1 &&
  value.length <= limits.arguments &&
  value.every(isText) &&
  value[0] !== '';

function isEnvironment(value: unknown): value is Record<string, string> {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return false;
  const rows = Object.entries(value);
  return (
    rows.length <= limits.variables && rows.every(([name, text]) => name !== '' && !/[=\0]/.test(name) && isText(text))
  );
}

function readStamp(it: Fields): Stamp | undefined {
  const { boot, wall } = it;
  if (boot !== undefined && !isInstant(boot)) return undefined;
  if (wall !== undefined && !isInstant(wall)) return undefined;
  return { boot, wall };
}

function targetsOf(value: unknown): readonly Target[] | undefined {
  if (!Array.isArray(value) || value.length > limits.targets || !value.every(isTarget)) return undefined;
  return value.map(({ host, port }: Target) => ({ host, port }));
}

export function isTarget(value: unknown): value is Target {
  if (typeof value !== 'object' || value === null) return false;
  const { host, port } = value as Fields;
  if (typeof host !== 'string' || !isAddress(host)) return false;
  return typeof port === 'number' && Number.isInteger(port) && port >= 1 && port <= 65_535;
}

/** Which duty a line that does not parse wanted to start, if it is so much of one: its sender waits for an answer. */
export function malformedStart(line: string): string | undefined {
  const it = parseObject(line);
  return it?.['do'] === 'start' && isId(it['duty']) ? it['duty'] : undefined;
}

/** IPv4 in dots, or something that can only be IPv6; the socket has the last word. */
const isAddress = (text: string): boolean =>
  text.includes(':')
    ? text.length <= 64 && /^[0-9a-f:.]+(%[\w.-]+)?$/i.test(text)
    : /^(25[0-5]|2[0-4]\d|1?\d?\d)(\.(25[0-5]|2[0-4]\d|1?\d?\d)){3}$/.test(text);

/**
 * Cuts a stream of bytes into lines. A line longer than `maxLineBytes` is dropped up to its end and counted, so that
 * memory stays bounded by two lines whatever comes.
 */
export class LineReader {
  readonly #each: (line: string) => void;
  #parts: Buffer[] = [];
  #size = 0;
  #skipping = false;
  #oversized = 0;

  constructor(each: (line: string) => void) {
    this.#each = each;
  }

  /** Lines that were too long. */
  get oversized(): number {
    return this.#oversized;
  }

  push(chunk: Buffer): void {
    let from = 0;
    for (;;) {
      const end = chunk.indexOf(0x0a, from);
      const piece = chunk.subarray(from, end < 0 ? chunk.length : end);
      if (!this.#skipping && this.#size + piece.length >= maxLineBytes) {
        this.#skipping = true;
        this.#oversized++;
        this.#parts = [];
        this.#size = 0;
      }
      if (!this.#skipping && piece.length > 0) {
        this.#parts.push(piece);
        this.#size += piece.length;
        // A drip of single bytes must not cost an object each.
        if (this.#parts.length > 64) this.#parts = [Buffer.concat(this.#parts)];
      }
      if (end < 0) return;
      if (!this.#skipping && this.#size > 0) {
        const line = Buffer.concat(this.#parts).toString('utf8');
        this.#parts = [];
        this.#size = 0;
        this.#each(line);
      }
      this.#skipping = false;
      from = end + 1;
    }
  }
}
