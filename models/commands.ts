import { mkdir, rename, writeFile } from 'node:fs/promises';
import { basename, dirname, join, resolve } from 'node:path';
import type { Result } from '../agent/base/result.ts';
import { err, ok } from '../agent/base/result.ts';
import { Catalog, type CheckedModel, thresholdOf } from './catalog.ts';
import { type ModelProblem, problem } from './problem.ts';
import { replay } from './replay.ts';
import { readRecording } from './training/csv.ts';
import { kinds } from './training/kinds.ts';
import { median } from './training/statistics.ts';
import { type TrainedModel, trainFromRows } from './training/train.ts';

/** Where a command writes. */
export interface Voice {
  out(text: string): void;
  error(text: string): void;
}

export const standardVoice: Voice = {
  out: (text) => void process.stdout.write(text),
  error: (text) => void process.stderr.write(text),
};

export interface TrainRequest {
  /** CSV with healthy rows: header, time stamp first. Either this … */
  readonly data?: string | undefined;
  /** … or the data folder of an agent, whose recorder holds them, and the thing whose signals they are. */
  readonly fromRecorder?: string | undefined;
  readonly thing?: string | undefined;
  /** Names, or one text with commas. Default: every column that is no label. */
  readonly columns?: readonly string[] | string | undefined;
  /** Only the first so many rows. */
  readonly rows?: number | undefined;
  /** Folder for `model.onnx` and `manifest.json`. */
  readonly out: string;
  /** Default: the name of the folder. */
  readonly name?: string | undefined;
  /** One of `training/kinds.ts`. */
  readonly kind?: string | undefined;
  /** The kind's knobs: an object, or texts `name=value`. */
  readonly set?: Readonly<Record<string, number | string | undefined>> | readonly string[] | undefined;
  /** Rows per window: short for the knob `windowRows`. */
  readonly window?: number | undefined;
  /** Intended share of healthy windows above the quantile. */
  readonly rate?: number | undefined;
  readonly driftAllowance?: number | undefined;
  /** Dwell that the manifest recommends: `3`, `3 of 5` or `30s`. */
  readonly raise?: string | undefined;
  readonly clear?: string | undefined;
  /** Milliseconds between rows; default: the median distance of the time stamps. */
  readonly everyMs?: number | undefined;
  readonly units?: Readonly<Record<string, string>> | undefined;
}

export interface ScoreRequest {
  /** Folder of the model. */
  readonly model: string;
  readonly data: string;
  /** File to write; default: standard output. */
  readonly out?: string | undefined;
}

/** Fits on a recording and writes the model's folder. */
export async function trainModel(request: TrainRequest): Promise<Result<TrainedModel, ModelProblem>> {
  if (request.rows !== undefined && !(Number.isInteger(request.rows) && request.rows > 0)) {
    return err(problem('option-invalid', `rows ${request.rows}: expected a whole number above 0`));
  }
  const settings = knobs(request.set);
  if (!settings.ok) return settings;
  const columns =
    typeof request.columns === 'string' ? request.columns.split(',').map((name) => name.trim()) : request.columns;
  const healthy = await healthyRows(request, columns);
  if (!healthy.ok) return healthy;
  const trained = trainFromRows(healthy.value.rows, healthy.value.columns, {
    name: request.name ?? basename(resolve(request.out)),
    everyMs: healthy.value.everyMs,
    units: request.units ?? healthy.value.units,
    source: healthy.value.source,
    kind: request.kind,
    settings: { ...settings.value, ...(request.window === undefined ? {} : { windowRows: request.window }) },
    falseAlarmRate: request.rate,
    driftAllowance: request.driftAllowance,
    raise: request.raise,
    clear: request.clear,
  });
  if (!trained.ok) return trained;
  try {
    await writeModel(request.out, trained.value);
  } catch (cause) {
    return err(problem('write-failed', `${request.out} cannot be written (${(cause as Error).message})`));
  }
  return trained;
}

interface HealthyRows {
  readonly rows: readonly (readonly number[])[];
  readonly columns: readonly string[];
  readonly everyMs: number;
  readonly units?: Readonly<Record<string, string>>;
  readonly source: string;
}

async function healthyRows(
  request: TrainRequest,
  columns: readonly string[] | undefined,
): Promise<Result<HealthyRows, ModelProblem>> {
  const { data, fromRecorder, thing } = request;
  if ((data === undefined) === (fromRecorder === undefined)) {
    return err(
      problem('option-invalid', 'healthy rows come from --data FILE, or from --from-recorder FOLDER --thing NAME'),
    );
  }
  if (fromRecorder !== undefined) {
    if (thing === undefined) return err(problem('option-invalid', '--from-recorder wants --thing: whose signals?'));
    const { readRecorded } = await import('./training/recorded.ts');
    const recorded = readRecorded({
      dataDir: fromRecorder,
      thing,
      columns,
      rows: request.rows,
      everyMs: request.everyMs,
    });
    if (!recorded.ok) return recorded;
    return ok({ ...recorded.value, source: `the recorder, ${thing}` });
  }
  const recording = await readRecording(data ?? '', { columns, rows: request.rows });
  if (!recording.ok) return recording;
  const { times, rows } = recording.value;
  const steps = times.slice(1).map((time, i) => time - (times[i] ?? time));
  const everyMs = request.everyMs ?? (steps.length > 0 ? median(steps) : Number.NaN);
  if (!(everyMs > 0)) {
    return err(problem('data-malformed', `${data}: the time stamps do not rise; say the period with --every`));
  }
  return ok({ rows, columns: recording.value.columns, everyMs, source: basename(data ?? '') });
}

/** `name=value` texts as an object. */
function knobs(set: TrainRequest['set']): Result<Readonly<Record<string, number | string | undefined>>, ModelProblem> {
  if (!Array.isArray(set)) return ok((set ?? {}) as Readonly<Record<string, number | string | undefined>>);
  const pairs = (set as readonly string[]).map((text) => text.split(/=(.*)/s).slice(0, 2));
  const odd = pairs.findIndex(([name, value]) => !name || value === undefined);
  if (odd >= 0) return err(problem('option-invalid', `--set ${set[odd]}: expected name=value, e.g. windowRows=20`));
  return ok(Object.fromEntries(pairs));
}

/** Writes both files so that a reader sees the old pair, a pair that is refused, or the new pair; never half a file. */
export async function writeModel(folder: string, model: Pick<CheckedModel, 'onnx' | 'manifest'>): Promise<void> {
  await mkdir(folder, { recursive: true });
  const files = [
    ['model.onnx', model.onnx],
    ['manifest.json', `${JSON.stringify(model.manifest, undefined, 1)}\n`],
  ] as const;
  for (const [name, content] of files) await writeFile(join(folder, `.${name}.new`), content);
  for (const [name] of files) await rename(join(folder, `.${name}.new`), join(folder, name));
}

export interface ScoredRow {
  readonly timestamp: string;
  /** 0 until the window is full. */
  readonly score: number;
  readonly anomaly: boolean;
}

/** Scores a recording row by row; a row's score depends on that row and those before it only. */
export async function scoreRecording(model: string, data: string): Promise<Result<readonly ScoredRow[], ModelProblem>> {
  const loaded = await catalogOf(model).load(basename(resolve(model)));
  if (!loaded.ok) return loaded;
  const { manifest, session } = loaded.value;
  try {
    const names = manifest.inputs.map(({ name }) => name);
    const recording = await readRecording(data, { columns: names });
    if (!recording.ok) return recording;
    const { rows, times, stamps } = recording.value;
    const limit = thresholdOf(manifest) ?? Number.POSITIVE_INFINITY;
    const scores = await replay({ manifest, session }, times, rows);
    const scored = stamps.map((timestamp, i) => {
      const score = scores[i] ?? Number.NaN;
      return { timestamp, score: Number.isNaN(score) ? 0 : score, anomaly: score > limit };
    });
    return ok(scored);
  } catch (cause) {
    return err(problem('runtime-failed', `scoring failed: ${(cause as Error).message}`));
  } finally {
    await session.release();
  }
}

/** `millwright model train`. Returns the exit code. */
export async function trainCommand(
  request: TrainRequest & { readonly json?: boolean | undefined },
  voice: Voice = standardVoice,
): Promise<number> {
  const trained = await trainModel(request);
  if (!trained.ok) return refuse(voice, trained.error, request.json);
  const { manifest } = trained.value;
  if (request.json) {
    const { golden, ...rest } = manifest;
    voice.out(`${JSON.stringify({ ok: true, ...rest, golden: { checked: golden.length } })}\n`);
    return 0;
  }
  const { threshold, window } = manifest;
  voice.out(
    `${request.out}: ${manifest.kind}, ${manifest.inputs.length} inputs, windows of ${window.rows} rows every ${window.everyMs} ms, ` +
      `threshold ${threshold.value.toFixed(3)} from ${threshold.heldOutWindows} held-out windows ` +
      `(false-alarm rate ${threshold.falseAlarmRate}, drift allowance ${threshold.driftAllowance}), ` +
      `raise ${manifest.recommendedDwell.raise}, sha256 ${manifest.onnx.sha256}\n`,
  );
  for (const { name, leftOut } of manifest.distribution) {
    if (leftOut !== undefined) voice.error(`note: ${name} does not count: it ${leftOut}\n`);
  }
  return 0;
}

/** `millwright model kinds`: what `--kind` and `--set` may say. */
export function kindsCommand(
  { json }: { readonly json?: boolean | undefined } = {},
  voice: Voice = standardVoice,
): number {
  if (json) {
    const told = kinds.map(({ name, does, settings, recommends }) => ({ name, does, settings, recommends }));
    voice.out(`${JSON.stringify({ ok: true, kinds: told })}\n`);
    return 0;
  }
  for (const { name, does, settings } of kinds) {
    voice.out(`${name}\n  ${does}\n`);
    for (const [knob, setting] of Object.entries(settings)) {
      const range =
        setting.kind === 'number'
          ? `${setting.min} to ${setting.max}`
          : setting.kind === 'choice'
            ? setting.among.join(', ')
            : 'text';
      voice.out(`  --set ${knob}=${setting.default}  ${setting.means} (${range})\n`);
    }
  }
  return 0;
}

/** `millwright model score`: lines of `timestamp,score,is_anomaly`, one per row of the recording. */
export async function scoreCommand(request: ScoreRequest, voice: Voice = standardVoice): Promise<number> {
  const scored = await scoreRecording(request.model, request.data);
  if (!scored.ok) return refuse(voice, scored.error);
  const lines = scored.value.map(({ timestamp, score, anomaly }) => `${timestamp},${score},${anomaly ? 1 : 0}`);
  const text = `timestamp,score,is_anomaly\n${lines.join('\n')}\n`;
  if (request.out === undefined) {
    voice.out(text);
    return 0;
  }
  try {
    await mkdir(dirname(resolve(request.out)), { recursive: true });
    await writeFile(request.out, text);
  } catch (cause) {
    return refuse(voice, problem('write-failed', `${request.out} cannot be written (${(cause as Error).message})`));
  }
  voice.out(
    `${request.out}: ${scored.value.length} rows, ${scored.value.filter((row) => row.anomaly).length} anomalous\n`,
  );
  return 0;
}

export const catalogOf = (model: string): Catalog => new Catalog(dirname(resolve(model)));

/** Says what is wrong and gives the exit code. */
export function refuse(voice: Voice, { code, message }: ModelProblem, json: boolean | undefined = false): number {
  if (json) voice.out(`${JSON.stringify({ ok: false, code, message })}\n`);
  else voice.error(`${message}\n`);
  return 1;
}
