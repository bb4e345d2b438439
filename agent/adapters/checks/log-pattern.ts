import { createHash } from 'node:crypto';
import { type FileHandle, open } from 'node:fs/promises';
import { RE2JS } from 're2js';
import type { CheckObservation } from '../../core/health/check.ts';
import type { ProbeOf } from '../../driver/bindings.ts';
import { codeOf, judged, notKnown, type ProbeContext, reasonOf } from './probe.ts';

/** So much is read at one look; what lies between is skipped, and said. */
const mostBytes = 1_048_576;
/** So much of a line is looked at. */
const longestLine = 8_192;
const pieceBytes = 65_536;
/** Between two pieces others have their turn; a look that still takes longer than this ends, and says so. */
const longestMs = 2_000;
/** The first bytes of a file, by which it is known again when it was cut and written anew. */
const headBytes = 256;

interface Place {
  readonly inode: bigint;
  offset: number;
  /** Hash of the first `headLength` bytes. */
  head: string;
  headLength: number;
}

/**
 * Lines that were added to a log since the last look and match a pattern; their number is the value. The first look
 * begins at the end of the file: what stood there before anybody watched is nobody's news.
 *
 * The pattern is RE2's language: it is matched in time linear in the line, whatever the pattern and whoever wrote the
 * line. A look reads at most 1 MB, 8 kB of a line, for two seconds at most; the newest of what came counts, and how much was skipped
 * is told. A log that was rotated away is read to its end under its new name (`.1`); one that was cut, also in place, is
 * read from its beginning.
 */
export function createLogProbe(question: ProbeOf<'log'>): (context: ProbeContext) => Promise<CheckObservation> {
  const { path } = question;
  let patterns: { readonly match: RE2JS; readonly except: RE2JS | undefined } | undefined;
  let place: Place | undefined;
  return async (context) => {
    try {
      patterns ??= {
        match: RE2JS.compile(question.match),
        except: question.except === undefined ? undefined : RE2JS.compile(question.except),
      };
    } catch (error) {
      return notKnown(`${path}: the pattern cannot be used: ${reasonOf(error)}`);
    }
    const found = new Matches(patterns.match, patterns.except, performance.now() + longestMs);
    let file: FileHandle;
    try {
      file = await open(path, 'r');
    } catch (error) {
      // Between the two steps of a rotation there is none: the rest of the old one is still read the next time.
      if (codeOf(error) === 'ENOENT') return judged('unknown', `${path} does not exist`);
      return notKnown(`${path}: ${reasonOf(error)}`);
    }
    try {
      const stats = await file.stat({ bigint: true });
      if (!stats.isFile()) return notKnown(`${path} is no file`);
      const size = Number(stats.size);
      if (place === undefined) {
        place = { inode: stats.ino, offset: size, head: '', headLength: 0 };
        await keepHead(file, place, size);
        return answer(path, found);
      }
      let renewed = stats.ino !== place.inode;
      if (renewed) await readRotated(`${path}.1`, place, found, context.signal);
      else if (size < place.offset || (await headOf(file, place.headLength)) !== place.head) renewed = true;
      if (renewed) place = { inode: stats.ino, offset: 0, head: '', headLength: 0 };
      place.offset = await readOn(file, place.offset, size, found, context.signal);
      await keepHead(file, place, size);
      return answer(path, found);
    } finally {
      await file.close();
    }
  };
}

function answer(path: string, found: Matches): CheckObservation {
  const { count, last, skipped, stopped } = found;
  const cut = stopped
    ? ' (reading was ended for time)'
    : skipped > 0
      ? ` (${skipped} bytes came too fast and were skipped)`
      : '';
  const text =
    count === 0
      ? `${path}: no such line since the last look${cut}`
      : `${path}: ${count} ${count === 1 ? 'line' : 'lines'}, the last: ${last}${cut}`;
  const perf = [{ label: 'lines', value: count, unit: '', warn: undefined, crit: undefined, min: 0, max: undefined }];
  return { status: undefined, value: count, text, perf };
}

/** What a rotation moved away is the same file under another name: its rest is read there, if it is there. */
async function readRotated(path: string, place: Place, found: Matches, signal: AbortSignal): Promise<void> {
  let file: FileHandle | undefined;
  try {
    file = await open(path, 'r');
    const stats = await file.stat({ bigint: true });
    if (stats.ino === place.inode) await readOn(file, place.offset, Number(stats.size), found, signal);
  } catch {
    // Compressed at once, or called otherwise: its last lines are lost to us.
  } finally {
    await file?.close();
  }
}

/** Reads whole lines from `from` on; returns where the next look begins: behind the last line that was ended. */
async function readOn(
  file: FileHandle,
  from: number,
  size: number,
  found: Matches,
  signal: AbortSignal,
): Promise<number> {
  let at = from;
  let midLine = false;
  if (size - at > mostBytes) {
    found.skipped += size - mostBytes - at;
    at = size - mostBytes;
    midLine = true;
  }
  let rest: Buffer = Buffer.alloc(0);
  let done = at;
  const piece = Buffer.allocUnsafe(pieceBytes);
  while (at < size && !signal.aborted) {
    const { bytesRead } = await file.read(piece, 0, Math.min(pieceBytes, size - at), at);
    if (bytesRead === 0) break;
    at += bytesRead;
    let text: Buffer =
      rest.length === 0 ? piece.subarray(0, bytesRead) : Buffer.concat([rest, piece.subarray(0, bytesRead)]);
    for (let end = text.indexOf(10); end >= 0; end = text.indexOf(10)) {
      if (midLine) midLine = false;
      else if (!found.look(text.subarray(0, end))) {
        found.skipped += size - done;
        return size;
      }
      done += end + 1;
      text = text.subarray(end + 1);
    }
    // Of a line that does not end only its beginning is kept; the rest of it is passed over.
    if (text.length > 2 * pieceBytes) {
      if (!midLine) found.look(text);
      midLine = true;
      done += text.length;
      text = Buffer.alloc(0);
    }
    rest = Buffer.from(text);
  }
  return done;
}

async function headOf(file: FileHandle, length: number): Promise<string> {
  const head = Buffer.alloc(length);
  const { bytesRead } = length === 0 ? { bytesRead: 0 } : await file.read(head, 0, length, 0);
  return createHash('sha256').update(head.subarray(0, bytesRead)).digest('base64');
}

/** A file that grew is known by more of its beginning. */
async function keepHead(file: FileHandle, place: Place, size: number): Promise<void> {
  const length = Math.min(headBytes, size);
  if (place.head !== '' && place.headLength === length) return;
  place.headLength = length;
  place.head = await headOf(file, length);
}

/** Counts the lines that match, and keeps the last. */
class Matches {
  count = 0;
  last = '';
  skipped = 0;
  stopped = false;
  readonly #match: RE2JS;
  readonly #except: RE2JS | undefined;
  readonly #until: number;
  #looked = 0;

  constructor(match: RE2JS, except: RE2JS | undefined, until: number) {
    this.#match = match;
    this.#except = except;
    this.#until = until;
  }

  /** False: the time is over. */
  look(bytes: Buffer): boolean {
    if (this.#looked++ % 64 === 63 && performance.now() > this.#until) {
      this.stopped = true;
      return false;
    }
    const line = bytes.subarray(0, longestLine).toString('utf8').replace(/\r$/, '');
    if (!this.#match.matcher(line).find()) return true;
    if (this.#except?.matcher(line).find() === true) return true;
    this.count++;
    // biome-ignore lint/suspicious/noControlCharactersInRegex: terminals and consoles must not obey what a log says
    this.last = line.replace(/[\u0000-\u001f\u007f-\u009f]/g, ' ').slice(0, 300);
    return true;
  }
}
