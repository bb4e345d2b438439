import { readFileSync, statSync } from 'node:fs';
import { parse } from 'csv-parse/sync';

/** A recorded run: what the pump's sensors said, row by row, in the recording's own time. */
export interface Recording {
  /** Sensor columns in the file's order, as tag names: the column's name without blanks. */
  readonly tags: readonly string[];
  readonly rows: readonly RecordedRow[];
}

export interface RecordedRow {
  /** Milliseconds since the epoch; a stamp without zone is read as UTC. */
  readonly at: number;
  /** One per tag; NaN where the cell is empty or no number. */
  readonly values: Float64Array;
  /** What the recording's author says about this row. For the truth log only: it never reaches a server. */
  readonly labels: Readonly<Record<string, string>>;
}

const maxBytes = 64 * 1024 * 1024;

/** Columns that hold the answer rather than a measurement: `anomaly`, `is_anomaly`, `changepoint`, `label` … */
const labelColumn = /^(is[\s_-]?)?(anomal(y|ies|ous)|change[\s_-]?points?|labels?|targets?|faults?|class|outliers?)$/i;

export const isLabelColumn = (name: string): boolean => labelColumn.test(name.trim());

/**
 * Reads a CSV (`;`, `,` or tab, header, timestamp first). Throws an Error with the line number on a file that cannot
 * be played: no rows, a timestamp that is none, rows of another width.
 */
export function readRecording(file: string): Recording {
  const { size } = statSync(file);
  if (size > maxBytes) throw new Error(`${file}: ${size} bytes, at most ${maxBytes} are played`);
  return parseRecording(readFileSync(file, 'utf8'), file);
}

export function parseRecording(text: string, file: string): Recording {
  const newline = text.indexOf('\n');
  const header = newline < 0 ? text : text.slice(0, newline);
  const delimiter = [';', '\t', ','].find((mark) => header.includes(mark));
  if (delimiter === undefined) throw new Error(`${file}:1 header has one column: expected ";" or "," between columns`);
  let lines: string[][];
  try {
    lines = parse(text, { delimiter, bom: true, trim: true, skip_empty_lines: true });
  } catch (error) {
    throw new Error(`${file}: ${error instanceof Error ? error.message : String(error)}`, { cause: error });
  }
  const columns = lines[0] ?? [];
  const sensors: number[] = [];
  const labels: number[] = [];
  for (let c = 1; c < columns.length; c++) (isLabelColumn(columns[c]!) ? labels : sensors).push(c);
  if (sensors.length === 0) throw new Error(`${file}:1 has no sensor column`);
  if (lines.length < 2) throw new Error(`${file} has no rows`);
  const rows = lines.slice(1).map((cells, i): RecordedRow => {
    const at = parseStamp(cells[0] ?? '');
    if (!Number.isFinite(at)) throw new Error(`${file}:${i + 2} "${cells[0]}" is no timestamp`);
    return {
      at,
      values: Float64Array.from(sensors, (c) => {
        const cell = cells[c] ?? '';
        return cell === '' ? Number.NaN : Number(cell);
      }),
      labels: Object.fromEntries(labels.map((c) => [columns[c]!, cells[c] ?? ''])),
    };
  });
  return { tags: sensors.map((c) => columns[c]!.replaceAll(/\s+/g, '')), rows };
}

/** `2020-03-09 12:14:36[.fff]`, ISO 8601 with or without zone, or seconds/milliseconds since the epoch. */
export function parseStamp(text: string): number {
  if (/^\d+(\.\d+)?$/.test(text)) return Number(text) < 1e11 ? Number(text) * 1000 : Number(text);
  if (!/^\d{4}-\d{2}-\d{2}/.test(text)) return Number.NaN;
  const iso = text.replace(' ', 'T');
  return Date.parse(/([zZ]|[+-]\d{2}:?\d{2})$/.test(iso) || !iso.includes('T') ? iso : `${iso}Z`);
}
