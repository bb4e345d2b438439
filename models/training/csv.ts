import { createReadStream } from 'node:fs';
import { open } from 'node:fs/promises';
import { parse } from 'csv-parse';
import type { Result } from '../../agent/base/result.ts';
import { err, ok } from '../../agent/base/result.ts';
import { type ModelProblem, problem } from '../problem.ts';

/** A recording: one time stamp and one value per column and row. Missing values are NaN. Labels never get in here. */
export interface Recording {
  readonly columns: readonly string[];
  /** Time stamps as written. */
  readonly stamps: readonly string[];
  /** The same in milliseconds since 1970; stamps without a zone are read as UTC. */
  readonly times: readonly number[];
  /** [rows][columns]. */
  readonly rows: readonly (readonly number[])[];
}

export interface ReadOptions {
  /** Only these columns, in this order; spaces in names do not matter. Default: all that are no label. */
  readonly columns?: readonly string[] | undefined;
  /** Stop after this many rows. */
  readonly rows?: number | undefined;
  /** `row-number`: there is no time stamp, every column is a value; rows are `everyMs` apart. Default: stamp first. */
  readonly stamps?: 'first' | 'row-number' | undefined;
  readonly everyMs?: number | undefined;
}

const maxBytes = 256_000_000;
const maxRows = 1_000_000;
const maxColumns = 256;

/** Columns that hold an answer. They are dropped by name, so that no model can learn from them or be scored with them. */
const labels = new Set([
  'anomaly',
  'isanomaly',
  'changepoint',
  'ischangepoint',
  'label',
  'labels',
  'class',
  'target',
  'fault',
  'attack',
  'outlier',
]);

export const isLabelColumn = (header: string): boolean => labels.has(header.toLowerCase().replace(/[^a-z]/g, ''));

/** A column's header as an input's name: without spaces, e.g. `Volume Flow RateRMS` → `VolumeFlowRateRMS`. */
export const inputName = (header: string): string => header.replace(/\s+/g, '');

/**
 * Reads a recording: header line, time stamp first, then numbers; separated by `;`, `,` or tab. The first mistake is
 * told with its line.
 */
export async function readRecording(path: string, options: ReadOptions = {}): Promise<Result<Recording, ModelProblem>> {
  let separator: string;
  try {
    await using handle = await open(path, 'r');
    const { size } = await handle.stat();
    if (size > maxBytes)
      return err(problem('data-too-large', `${path} has ${size} bytes, at most ${maxBytes} are read`));
    const head = await handle.read(Buffer.alloc(8192), 0, 8192, 0);
    const line = head.buffer.subarray(0, head.bytesRead).toString('utf8').split(/\r?\n/, 1)[0] ?? '';
    separator = [';', '\t', ','].find((mark) => line.includes(mark)) ?? ',';
  } catch (cause) {
    return err(problem('data-unreadable', `${path} cannot be read (${(cause as NodeJS.ErrnoException).code})`));
  }

  const stamps: string[] = [];
  const times: number[] = [];
  const rows: number[][] = [];
  let columns: string[] = [];
  let positions: number[] = [];
  const first = options.stamps === 'row-number' ? 0 : 1;
  const everyMs = options.everyMs ?? 1_000;
  const wanted = Math.min(options.rows ?? maxRows, maxRows);
  const parser = createReadStream(path).pipe(
    parse({ delimiter: separator, bom: true, trim: true, skip_empty_lines: true, info: true, max_record_size: 65_536 }),
  );
  try {
    for await (const { record, info } of parser as AsyncIterable<{ record: string[]; info: { lines: number } }>) {
      if (positions.length === 0) {
        const chosen = choose(record, options.columns, first);
        if (!chosen.ok) return chosen;
        positions = chosen.value;
        columns = positions.map((at) => inputName(record[at] ?? ''));
        continue;
      }
      if (rows.length >= wanted) {
        if (options.rows === undefined) {
          return err(problem('data-too-large', `${path} has more than ${maxRows} rows`));
        }
        break;
      }
      const stamp = first === 0 ? String(rows.length) : (record[0] ?? '');
      const time = first === 0 ? rows.length * everyMs : timeOf(stamp);
      if (Number.isNaN(time)) {
        return err(problem('data-malformed', `${path} line ${info.lines}: "${stamp}" is no time stamp`));
      }
      const values: number[] = [];
      for (const at of positions) {
        const text = record[at] ?? '';
        const value = text === '' || /^nan$/i.test(text) ? Number.NaN : Number(text);
        if (Number.isNaN(value) && text !== '' && !/^nan$/i.test(text)) {
          return err(
            problem(
              'data-malformed',
              `${path} line ${info.lines}: "${text.slice(0, 40)}" is no number (column ${at + 1})`,
            ),
          );
        }
        values.push(Number.isFinite(value) ? value : Number.NaN);
      }
      stamps.push(stamp);
      times.push(time);
      rows.push(values);
    }
  } catch (cause) {
    return err(problem('data-malformed', `${path}: ${(cause as Error).message}`));
  } finally {
    parser.destroy();
  }
  if (rows.length === 0) return err(problem('data-too-short', `${path} holds no rows`));
  return ok({ columns, stamps, times, rows });
}

/** Positions of the wanted columns in the header. */
function choose(
  header: readonly string[],
  wanted: readonly string[] | undefined,
  first: number,
): Result<number[], ModelProblem> {
  // Without this the first row of a recording would silently become the names of its columns.
  if (header.slice(first).some((name) => name !== '' && !Number.isNaN(Number(name)))) {
    return err(problem('data-malformed', 'line 1: numbers where names should be; the first line is the header'));
  }
  if (header.length <= first || header.length > maxColumns) {
    return err(
      problem(
        'data-malformed',
        `line 1: ${header.length} columns; expected ${first === 1 ? 'a time stamp and ' : ''}1 to ${maxColumns - first} values`,
      ),
    );
  }
  const offered = header.flatMap((name, at) => (at >= first && !isLabelColumn(name) ? [at] : []));
  const names = offered.map((at) => inputName(header[at] ?? ''));
  const twice = names.find((name, i) => names.indexOf(name) !== i);
  if (twice !== undefined) return err(problem('data-malformed', `line 1: column "${twice}" stands there twice`));
  if (wanted === undefined) {
    return offered.length > 0 ? ok(offered) : err(problem('column-missing', 'line 1: every column is a label'));
  }
  const positions: number[] = [];
  for (const name of wanted) {
    const at = offered[names.indexOf(inputName(name))];
    if (at === undefined) {
      const why = isLabelColumn(name)
        ? 'is a label, which no model may see'
        : `is not there; there are ${names.join(', ')}`;
      return err(problem('column-missing', `column "${name}" ${why}`));
    }
    positions.push(at);
  }
  return ok(positions);
}

function timeOf(text: string): number {
  if (/^-?\d+(\.\d+)?$/.test(text)) {
    const value = Number(text);
    return Math.abs(value) < 1e11 ? value * 1000 : value;
  }
  const iso = text.trim().replace(' ', 'T');
  return Date.parse(/([zZ]|[+-]\d\d:?\d\d)$/.test(iso) || !iso.includes('T') ? iso : `${iso}Z`);
}
