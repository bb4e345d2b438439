import type { DatabaseSync } from 'node:sqlite';
import { openRecording, readSeries } from '../../agent/adapters/recorder/recorder.ts';
import type { Result } from '../../agent/base/result.ts';
import { err, ok } from '../../agent/base/result.ts';
import { type ModelProblem, problem } from '../problem.ts';

export interface RecordedOptions {
  /** Data folder of an agent, running or not. */
  readonly dataDir: string;
  readonly thing: string;
  /** Names of signals, with or without their thing; default: all of the thing that the recorder holds. */
  readonly columns?: readonly string[] | undefined;
  /** Instead of columns: these series by their full names, `thing/signal`, under these column names. */
  readonly series?: readonly { readonly column: string; readonly name: string }[] | undefined;
  /** The newest so many rows. */
  readonly rows?: number | undefined;
  /** Milliseconds between rows; default: the slowest signal's own period. */
  readonly everyMs?: number | undefined;
  /** Milliseconds around what was not healthy that are left out too. */
  readonly marginMs?: number | undefined;
  /** Only rows in which each of these series, by its full name, stands at one of its values: the states of a plant. */
  readonly onlyIn?: readonly StateRows[] | undefined;
}

export interface StateRows {
  readonly series: string;
  readonly values: readonly number[];
}

export interface RecordedRows {
  readonly columns: readonly string[];
  /** Milliseconds since 1970 by the source's clock; rows that were not healthy are not among them. */
  readonly times: readonly number[];
  /** [rows][columns]; NaN where there was no good value. */
  readonly rows: readonly (readonly number[])[];
  readonly units: Readonly<Record<string, string>>;
  readonly everyMs: number;
  /** Rows left out: the thing was not healthy or in maintenance; the plant in another state; no good value. */
  readonly leftOut: { readonly unhealthy: number; readonly otherState: number; readonly unknown: number };
}

/** What one fit may take; a week at 1 Hz is more than that, and its newest part is the part that counts. */
const mostRows = 100_000;
const marginDefaultMs = 120_000;
/** Of a state, however often it is said; at one a second two weeks. */
const mostStateSamples = 1_200_000;

/**
 * The healthy history of a thing as its agent recorded it: signals brought into rows of one period, a value held for at
 * most three of its own, and every row left out that lies within, or shortly before or after, a time in which a check,
 * a model or an alarm of that thing said that it is not well, or in which it was in maintenance. With `onlyIn` rows of
 * other states go too, and those of a state that nobody knew.
 */
export function readRecorded(options: RecordedOptions): Result<RecordedRows, ModelProblem> {
  const { dataDir, thing, marginMs = marginDefaultMs } = options;
  let db: DatabaseSync | undefined;
  try {
    db = openRecording(dataDir);
    if (db === undefined)
      return err(problem('data-unreadable', `${dataDir} holds no recorder: is it an agent's data folder?`));
    return rowsOf(db, options, marginMs);
  } catch (cause) {
    return err(
      problem('data-unreadable', `the recorder of ${dataDir} cannot be read: ${(cause as Error).message} (${thing})`),
    );
  } finally {
    db?.close();
  }
}

function rowsOf(db: DatabaseSync, options: RecordedOptions, marginMs: number): Result<RecordedRows, ModelProblem> {
  const { thing, series } = options;
  const known = db
    .prepare('SELECT name, unit, every_ms FROM series ORDER BY name')
    .all()
    .map((row) => ({
      name: String(row['name']),
      unit: row['unit'] === null ? undefined : String(row['unit']),
      everyMs: Number(row['every_ms'] ?? 1_000),
    }))
    .filter(({ name }) =>
      series === undefined ? name.startsWith(`${thing}/`) : series.some((one) => one.name === name),
    );
  const short = (name: string): string =>
    series === undefined ? name.slice(thing.length + 1) : (series.find((one) => one.name === name)?.column ?? name);
  if (known.length === 0) {
    const things = db.prepare("SELECT DISTINCT substr(name, 1, instr(name, '/') - 1) AS thing FROM series").all();
    const others = things.map((row) => String(row['thing'])).filter((name) => !name.startsWith('score:'));
    return err(
      problem(
        'column-missing',
        `nothing of "${thing}" is recorded; there is ${[...new Set(others)].join(', ') || 'nothing'}`,
      ),
    );
  }
  const wanted =
    options.columns ?? known.map(({ name }) => short(name)).filter((name) => !['state', 'lockout'].includes(name));
  const chosen: (typeof known)[number][] = [];
  for (const name of wanted) {
    const found = known.find((one) => one.name === name || short(one.name) === name);
    if (found === undefined) {
      return err(
        problem(
          'column-missing',
          `signal "${name}" is not recorded; there are ${known.map((one) => short(one.name)).join(', ')}`,
        ),
      );
    }
    chosen.push(found);
  }
  const everyMs = options.everyMs ?? Math.max(...chosen.map((one) => one.everyMs));
  const most = Math.min(options.rows ?? mostRows, mostRows);
  const all = chosen.map(({ name, everyMs: own }) => {
    const samples = Math.ceil((most * everyMs) / Math.max(1, own)) + 10;
    return readSeries(db, name, Number.NEGATIVE_INFINITY, Number.POSITIVE_INFINITY, Math.min(2_000_000, samples));
  });
  const empty = all.findIndex(({ times }) => times.length === 0);
  if (empty >= 0)
    return err(problem('data-too-short', `signal "${short(chosen[empty]?.name ?? '')}" has no samples yet`));
  const last = Math.min(...all.map(({ times }) => times[times.length - 1] ?? 0));
  const first = Math.max(...all.map(({ times }) => times[0] ?? 0), last - (most - 1) * everyMs);

  const spans = db
    .prepare('SELECT from_ms, to_ms FROM span WHERE thing = ? AND (to_ms IS NULL OR to_ms >= ?)')
    .all(thing, first - marginMs)
    .map(
      (row) =>
        [
          Number(row['from_ms']) - marginMs,
          row['to_ms'] === null ? Number.POSITIVE_INFINITY : Number(row['to_ms']) + marginMs,
        ] as const,
    );

  // A state is said when it changes: it holds until the next word, however long that takes.
  const states = (options.onlyIn ?? []).map(({ series: name, values }) => ({
    values,
    said: readSeries(db, name, Number.NEGATIVE_INFINITY, last, mostStateSamples),
    at: -1,
  }));
  const isInState = (time: number): boolean =>
    states.every((one) => {
      const { times, values, qualities } = one.said;
      while (one.at + 1 < times.length && (times[one.at + 1] ?? 0) <= time) one.at++;
      return one.at >= 0 && qualities[one.at] === 0 && one.values.includes(values[one.at] ?? Number.NaN);
    });

  const cursors = all.map(() => -1);
  const times: number[] = [];
  const rows: number[][] = [];
  let unhealthy = 0;
  let otherState = 0;
  let unknown = 0;
  for (let time = first; time <= last; time += everyMs) {
    const row = all.map((columns, c) => {
      let at = cursors[c] ?? -1;
      while (at + 1 < columns.times.length && (columns.times[at + 1] ?? 0) <= time) at++;
      cursors[c] = at;
      const age = time - (columns.times[at] ?? Number.NEGATIVE_INFINITY);
      const held = 3 * Math.max(chosen[c]?.everyMs ?? everyMs, everyMs);
      return at >= 0 && age <= held && columns.qualities[at] === 0 ? (columns.values[at] ?? Number.NaN) : Number.NaN;
    });
    const fits = isInState(time);
    if (spans.some(([from, to]) => time >= from && time <= to)) unhealthy++;
    else if (!fits) otherState++;
    else if (row.some((value) => !Number.isFinite(value))) unknown++;
    else {
      times.push(time);
      rows.push(row);
    }
  }
  if (rows.length === 0) {
    return err(
      problem(
        'data-too-short',
        `no healthy row of "${thing}" in the recorder: ${unhealthy} were not healthy, ${states.length === 0 ? '' : `${otherState} in another state of the plant, `}${unknown} not known`,
      ),
    );
  }
  return ok({
    columns: chosen.map(({ name }) => short(name)),
    times,
    rows,
    units: Object.fromEntries(chosen.flatMap(({ name, unit }) => (unit === undefined ? [] : [[short(name), unit]]))),
    everyMs,
    leftOut: { unhealthy, otherState, unknown },
  });
}
