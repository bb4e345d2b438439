import { standardVoice, type Voice } from '../commands.ts';
import { type ModelProblem, problem } from '../problem.ts';
import { readRecording } from '../training/csv.ts';
import { MetricWatch } from './metric-watch.ts';
import { type Sensitivity, sensitivities } from './streaming-detector.ts';

export interface RehearseRequest {
  /** CSV: header, time stamp first. */
  readonly data: string;
  /** Names by comma; default: every column that is no label. */
  readonly columns?: string | undefined;
  /** Milliseconds of one row, 60 000 unless said. */
  readonly everyMs?: number | undefined;
  /** Rows from which it only learns, 1440 unless said. */
  readonly after?: number | undefined;
  /** Rows that news must last before it is usual. */
  readonly hold?: number | undefined;
  readonly sensitivity?: string | undefined;
  readonly json?: boolean | undefined;
}

interface Event {
  readonly column: string;
  readonly time: string;
  readonly score: number;
  readonly why: string;
}

/**
 * `millwright model rehearse`: what a model with `learn` would have told of a recording, event by event. Each column is
 * watched for itself. Exit code 0, 1 where the recording cannot be read, 2 where the request is wrong.
 */
export async function rehearseCommand(request: RehearseRequest, voice: Voice = standardVoice): Promise<number> {
  const refuse = (problems: readonly ModelProblem[], code: number): number => {
    if (request.json) voice.out(`${JSON.stringify({ ok: false, problems })}\n`);
    else for (const { message } of problems) voice.error(`${message}\n`);
    return code;
  };
  const mistakes = mistakesOf(request);
  if (mistakes.length > 0) return refuse(mistakes, 2);
  const columns = request.columns?.split(',').map((name) => name.trim());
  const recording = await readRecording(request.data, { columns });
  if (!recording.ok) return refuse([recording.error], 1);

  const { everyMs: rowMs = 60_000, after: learnRows = 1_440, hold: holdRows = 0, sensitivity = 'medium' } = request;
  const settings = { learnRows, holdRows, limit: sensitivities[sensitivity as Sensitivity] };
  const { times, rows } = recording.value;
  const events: Event[] = [];
  const told = recording.value.columns.map((column, c) => {
    const watch = new MetricWatch({ rowMs, settings });
    let unusable = 0;
    for (const [i, row] of rows.entries()) {
      const value = row[c] ?? Number.NaN;
      const time = times[i] ?? Number.NaN;
      if (!Number.isFinite(value) || !Number.isFinite(time)) {
        unusable++;
        continue;
      }
      const said = watch.take(time, value);
      if (said?.begins !== true) continue;
      events.push({ column, time: new Date(said.time).toISOString(), score: said.score, why: said.why ?? '' });
    }
    return { column, rows: watch.rows, judged: Math.max(0, watch.rows - learnRows), unusable, late: watch.late };
  });
  events.sort((a, b) => (a.time < b.time ? -1 : a.time > b.time ? 1 : 0));
  if (request.json) {
    voice.out(`${JSON.stringify({ ok: true, rowMs, ...settings, columns: told, events })}\n`);
    return 0;
  }
  for (const { column, time, why } of events) voice.out(`${time}  ${column}: ${why}\n`);
  for (const { column, rows: made, judged } of told) {
    const count = events.filter((event) => event.column === column).length;
    voice.out(
      judged === 0
        ? `${column}: ${made} rows, all of them to learn from: it judges after ${learnRows} (--after)\n`
        : `${column}: ${count} ${count === 1 ? 'event' : 'events'} in ${judged} judged rows\n`,
    );
  }
  return 0;
}

function mistakesOf({ everyMs, after, hold, sensitivity }: RehearseRequest): readonly ModelProblem[] {
  const mistakes: string[] = [];
  if (everyMs !== undefined && !(everyMs > 0 && everyMs <= 86_400_000)) {
    mistakes.push(`--every ${everyMs}: expected milliseconds above 0, a day at most`);
  }
  if (after !== undefined && !(Number.isInteger(after) && after >= 100 && after <= 20_000)) {
    mistakes.push(`--after ${after}: expected rows, 100 to 20000`);
  }
  if (hold !== undefined && !(Number.isInteger(hold) && hold >= 0 && hold <= 20_000)) {
    mistakes.push(`--hold ${hold}: expected rows, 0 to 20000`);
  }
  if (sensitivity !== undefined && !Object.hasOwn(sensitivities, sensitivity)) {
    mistakes.push(`--sensitivity ${sensitivity}: expected ${Object.keys(sensitivities).join(', ')}`);
  }
  return mistakes.map((text) => problem('option-invalid', text));
}
