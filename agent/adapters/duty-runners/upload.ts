import { createHash } from 'node:crypto';
import type { Stats } from 'node:fs';
import { type FileHandle, open, readdir, stat } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import type { DutyIndex } from '../../base/ids.ts';
import type { DutySpec } from '../../core/duties/duty.ts';
import type { LogLinesReport } from '../../core/reporting/report.ts';
import type { Deliver } from '../../driver/ports.ts';
import type { DutyRunner, Log } from './runner.ts';

export interface UploadRunnerOptions {
  readonly deliver: Deliver;
  /** Into the outbox; true when it is durable there. Only then does the offset move. */
  readonly report: (report: LogLinesReport) => boolean;
  readonly log: Log;
  /** For exclusive duties: whether an effect may begin at this very moment. */
  readonly mayAct?: (duty: DutyIndex) => boolean;
  /** How often the file is looked at. Default 250. */
  readonly everyMs?: number;
  /** Longer lines are cut here and marked with `…`. Default 8192 bytes. */
  readonly lineBytes?: number;
  /** Default 200 lines and 65 536 bytes. */
  readonly batchLines?: number;
  readonly batchBytes?: number;
}

/** Where the reading stands: byte offset in one file, which is known by its inode and its first bytes. */
interface Position {
  readonly offset: number;
  readonly inode: number;
  /** sha256 over the first `headBytes` bytes: an inode number is used again soon after a file is deleted. */
  readonly head: string;
  readonly headBytes: number;
}

interface Running {
  readonly duty: DutySpec;
  readonly path: string;
  position: Position | undefined;
  handle: FileHandle | undefined;
  /** Rounds since another file stood under our path: a writer may still finish its line in the old one. */
  rotatedRounds: number;
  refusals: number;
  timer: NodeJS.Timeout | undefined;
  round: Promise<void>;
  stopped: boolean;
  missing: boolean;
}

const headMax = 256;
/** A rotated file is read for this many rounds more before it is left. */
const rotatedGrace = 2;
/** Batches in one round; the rest waits, so that a large old log does not hold up the event loop. */
const batchesPerRound = 16;

/**
 * Tails a file line by line into the outbox. The checkpoint is the byte offset after the last line that the outbox
 * took, so a takeover or a restart repeats at most the lines between the outbox's commit and the checkpoint's, and
 * loses none.
 *
 * A last line without its newline waits. A file that is renamed away is read to its end first, also when that
 * happened while nobody was looking; one that got shorter or begins otherwise is a new one and is read from its
 * beginning. A file that is not there yet is waited for. Lines are UTF-8; wrong bytes become U+FFFD.
 */
export function createUploadRunner(options: UploadRunnerOptions): DutyRunner {
  const { deliver, report, log, everyMs = 250, lineBytes = 8_192, batchLines = 200, batchBytes = 65_536 } = options;
  const running = new Map<DutyIndex, Running>();
  const chunk = Math.max(batchBytes, 2 * lineBytes);

  const save = (entry: Running) => {
    const data = new TextEncoder().encode(JSON.stringify({ v: 1, ...entry.position }));
    deliver({ kind: 'checkpoint-taken', duty: entry.duty.index, data });
  };

  /** Says at once which file it is, so that a successor finds it again when it is renamed before its first whole line. */
  const begin = (entry: Running, { stats }: OpenFile) => {
    entry.position = { offset: 0, inode: stats.ino, head: '', headBytes: 0 };
    if (!entry.stopped) save(entry);
  };

  /** The open file, reopened where the position says; undefined while there is none. */
  async function attach(entry: Running): Promise<FileHandle | undefined> {
    if (entry.handle !== undefined) return entry.handle;
    const { position } = entry;
    const current = await openFile(entry.path);
    if (current === undefined) return undefined;
    if (position === undefined || (await isSame(current, position))) {
      entry.handle = current.handle;
      if (position === undefined) begin(entry, current);
      return current.handle;
    }
    const old = current.stats.ino === position.inode ? undefined : await findRotated(entry.path, position);
    if (old !== undefined) {
      await current.handle.close();
      entry.handle = old;
      return old;
    }
    log.info(
      { duty: entry.duty.id, file: entry.path },
      'another file than at the last checkpoint: read from its beginning',
    );
    entry.handle = current.handle;
    begin(entry, current);
    return current.handle;
  }

  async function round(entry: Running): Promise<void> {
    const handle = await attach(entry);
    if (handle === undefined || entry.position === undefined) {
      if (!entry.missing) log.info({ duty: entry.duty.id, file: entry.path }, 'waits for its file');
      entry.missing = true;
      return;
    }
    entry.missing = false;
    const stats = await handle.stat();
    if (stats.size < entry.position.offset || !(await isSame({ handle, stats }, entry.position))) {
      log.info({ duty: entry.duty.id, file: entry.path }, 'file was truncated: read from its beginning');
      entry.position = { offset: 0, inode: stats.ino, head: '', headBytes: 0 };
    }
    const rotated = await stat(entry.path).then(
      (now) => now.ino !== stats.ino,
      () => false,
    );
    entry.rotatedRounds = rotated ? entry.rotatedRounds + 1 : 0;
    const leaving = entry.rotatedRounds > rotatedGrace;
    for (let batch = 0; batch < batchesPerRound && !entry.stopped; batch++) {
      const sent = await sendBatch(entry, handle, leaving);
      if (sent === 'refused' || sent === 'changed') return;
      if (sent === 'nothing') {
        if (leaving) {
          await handle.close();
          entry.handle = undefined;
          entry.position = undefined;
          entry.rotatedRounds = 0;
        }
        return;
      }
    }
  }

  /** Reads and reports the next lines. `last` also takes a line that will never get its newline. */
  async function sendBatch(
    entry: Running,
    handle: FileHandle,
    last: boolean,
  ): Promise<'sent' | 'nothing' | 'refused' | 'changed'> {
    const from = entry.position?.offset ?? 0;
    const buffer = Buffer.alloc(chunk);
    const { bytesRead } = await handle.read(buffer, 0, chunk, from);
    if (bytesRead === 0) return 'nothing';
    const lines: string[] = [];
    let at = 0;
    while (at < bytesRead && lines.length < batchLines && at < batchBytes) {
      const newline = buffer.subarray(0, bytesRead).indexOf(0x0a, at);
      if (newline >= 0) {
        lines.push(lineOf(buffer.subarray(at, newline), lineBytes));
        at = newline + 1;
        continue;
      }
      if (bytesRead < chunk && last) {
        lines.push(lineOf(buffer.subarray(at, bytesRead), lineBytes));
        at = bytesRead;
      } else if (at === 0 && bytesRead === chunk) {
        // Longer than all we read at once: its beginning counts, the rest up to its newline is passed over.
        const end = await endOfLine(handle, from + bytesRead);
        if (end === undefined && !last) return 'nothing';
        lines.push(lineOf(buffer.subarray(0, bytesRead), lineBytes));
        at = (end ?? (await handle.stat()).size) - from;
      }
      break;
    }
    if (lines.length === 0 || entry.stopped) return 'nothing';
    // Whoever writes the file anew may do so between our look at its beginning and our reading further on.
    const head = await headBehind(handle, entry.position, buffer.subarray(0, bytesRead), from + at);
    if (head === undefined) return 'changed';
    // In the same synchronous block as the effect; what was read is read again once the right is there.
    if (entry.duty.exclusive && options.mayAct?.(entry.duty.index) !== true) return 'nothing';
    const to = from + at;
    if (!report({ type: 'lines', duty: entry.duty.id, file: entry.path, from, to, lines })) {
      entry.refusals++;
      return 'refused';
    }
    entry.refusals = 0;
    entry.position = { offset: to, inode: head.inode, head: head.head, headBytes: head.headBytes };
    save(entry);
    return 'sent';
  }

  /** Offset behind the next newline at or after `from`, looking at most 16 MB ahead. */
  async function endOfLine(handle: FileHandle, from: number): Promise<number | undefined> {
    const buffer = Buffer.alloc(65_536);
    for (let ahead = 0; ahead < 256; ahead++) {
      const at = from + ahead * buffer.length;
      const { bytesRead } = await handle.read(buffer, 0, buffer.length, at);
      const newline = buffer.subarray(0, bytesRead).indexOf(0x0a);
      if (newline >= 0) return at + newline + 1;
      if (bytesRead < buffer.length) return undefined;
    }
    return from + 256 * buffer.length;
  }

  const again = (entry: Running) => {
    if (entry.stopped) return;
    // A full outbox is not asked four times a second.
    const wait = everyMs * 2 ** Math.min(entry.refusals, 5);
    entry.timer = setTimeout(() => {
      entry.round = round(entry)
        .catch(async (error: unknown) => {
          log.warn({ duty: entry.duty.id, file: entry.path, error }, 'cannot read; tries again');
          await entry.handle?.close().catch(() => {});
          entry.handle = undefined;
        })
        .then(() => again(entry));
    }, wait);
  };

  async function stop(duty: DutyIndex): Promise<void> {
    const entry = running.get(duty);
    if (entry === undefined) return;
    entry.stopped = true;
    clearTimeout(entry.timer);
    await entry.round;
    await entry.handle?.close().catch(() => {});
    running.delete(duty);
  }

  return {
    start(duty, _term, checkpoint) {
      if (running.has(duty.index) || duty.work.kind !== 'upload') return;
      const entry: Running = {
        duty,
        path: duty.work.file,
        position: checkpoint === undefined ? undefined : positionOf(checkpoint.data),
        handle: undefined,
        rotatedRounds: 0,
        refusals: 0,
        timer: undefined,
        round: Promise.resolve(),
        stopped: false,
        missing: false,
      };
      running.set(duty.index, entry);
      entry.round = attach(entry).then(
        () => {
          if (entry.stopped) return;
          deliver({ kind: 'duty-started', duty: duty.index });
          again(entry);
        },
        (error: unknown) => {
          if (entry.stopped) return;
          running.delete(duty.index);
          const reason = error instanceof Error ? error.message : String(error);
          deliver({ kind: 'duty-failed', duty: duty.index, reason });
        },
      );
    },
    stop,
    async stopAll() {
      await Promise.all([...running.keys()].map(stop));
    },
  };
}

interface OpenFile {
  readonly handle: FileHandle;
  readonly stats: Stats;
}

/** Undefined when there is no such file; anything else that is wrong with it throws. */
async function openFile(path: string): Promise<OpenFile | undefined> {
  let handle: FileHandle;
  try {
    handle = await open(path, 'r');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw error;
  }
  const stats = await handle.stat();
  if (stats.isFile()) return { handle, stats };
  await handle.close();
  throw new Error(`${path} is not a file`);
}

async function headOf(handle: FileHandle, headBytes: number): Promise<{ head: string; headBytes: number }> {
  const buffer = Buffer.alloc(headBytes);
  const { bytesRead } = await handle.read(buffer, 0, headBytes, 0);
  return { head: hashOf(buffer.subarray(0, bytesRead)), headBytes: bytesRead };
}

const hashOf = (bytes: Buffer): string => createHash('sha256').update(bytes).digest('hex').slice(0, 32);

/**
 * How the file begins, up to `to`; undefined when it no longer begins as it did at that position, or as what was just
 * read from there on. Read last, so that all three are of one file.
 */
async function headBehind(
  handle: FileHandle,
  position: Position | undefined,
  justRead: Buffer,
  to: number,
): Promise<Pick<Position, 'inode' | 'head' | 'headBytes'> | undefined> {
  const from = position?.offset ?? 0;
  const wanted = Math.min(to, headMax);
  const buffer = Buffer.alloc(wanted);
  const { bytesRead } = await handle.read(buffer, 0, wanted, 0);
  const { ino, size } = await handle.stat();
  if (bytesRead < wanted || size < to) return undefined;
  if (
    position !== undefined &&
    position.headBytes > 0 &&
    hashOf(buffer.subarray(0, position.headBytes)) !== position.head
  )
    return undefined;
  const both = Math.min(wanted - from, justRead.length);
  if (both > 0 && !buffer.subarray(from, from + both).equals(justRead.subarray(0, both))) return undefined;
  return { inode: ino, head: hashOf(buffer), headBytes: wanted };
}

/** Whether this is the file of that position: long enough, and it begins the same. The inode only breaks no tie. */
async function isSame({ handle, stats }: OpenFile, position: Position): Promise<boolean> {
  if (stats.size < position.offset || stats.ino !== position.inode) return false;
  return position.headBytes === 0 || (await headOf(handle, position.headBytes)).head === position.head;
}

/** The file of that position under the name that a log rotation gave it, beside its old place. */
async function findRotated(path: string, position: Position): Promise<FileHandle | undefined> {
  const folder = dirname(path);
  const stem = basename(path).replace(/\.[^.]*$/, '');
  const names = (await readdir(folder)).filter((name) => name.startsWith(stem) && name !== basename(path));
  for (const name of names.slice(0, 200)) {
    const file = await openFile(join(folder, name)).catch(() => undefined);
    if (file === undefined) continue;
    if (await isSame(file, position)) return file.handle;
    await file.handle.close();
  }
  return undefined;
}

function lineOf(bytes: Buffer, bound: number): string {
  const end = bytes.at(-1) === 0x0d ? bytes.length - 1 : bytes.length;
  if (end <= bound) return bytes.toString('utf8', 0, end);
  return `${bytes.toString('utf8', 0, bound)}…`;
}

function positionOf(data: Uint8Array): Position | undefined {
  try {
    const raw = JSON.parse(new TextDecoder().decode(data)) as Record<string, unknown>;
    const { offset, inode, head, headBytes } = raw;
    if (!Number.isSafeInteger(offset) || !Number.isSafeInteger(inode) || typeof head !== 'string') return undefined;
    if (!Number.isSafeInteger(headBytes) || (headBytes as number) < 0 || (headBytes as number) > headMax)
      return undefined;
    if ((offset as number) < 0) return undefined;
    return { offset: offset as number, inode: inode as number, head, headBytes: headBytes as number };
  } catch {
    return undefined;
  }
}
