import { readFile, stat } from 'node:fs/promises';
import { basename, resolve } from 'node:path';
import type { Result } from '../../agent/base/result.ts';
import { err, ok } from '../../agent/base/result.ts';
import { unitOf } from '../../agent/config/quantity.ts';
import { refuse, standardVoice, type Voice, writeModel } from '../commands.ts';
import { inspected } from '../inspect.ts';
import { readGraphFacts } from '../onnx/graph-reader.ts';
import { type ModelProblem, problem } from '../problem.ts';
import { readRecording } from '../training/csv.ts';
import { type Layout, layouts } from './manifest.ts';
import { graphText, type Place, type WrapAnswers, wrapGraph } from './wrap.ts';

/** The options of `millwright model wrap`, as typed. */
export interface WrapRequest {
  readonly onnx: string;
  readonly out: string;
  readonly name?: string | undefined;
  readonly inputs?: string | undefined;
  readonly rows?: number | undefined;
  readonly everyMs?: number | undefined;
  readonly input?: string | undefined;
  readonly layout?: string | undefined;
  readonly score?: string | undefined;
  readonly above?: string | undefined;
  readonly below?: string | undefined;
  readonly class?: string | undefined;
  readonly labels?: string | undefined;
  readonly forecast?: string | undefined;
  readonly unit?: string | undefined;
  readonly believe?: string | undefined;
  readonly data?: string | undefined;
  readonly rate?: number | undefined;
  readonly raise?: string | undefined;
  readonly clear?: string | undefined;
  readonly json?: boolean | undefined;
}

/** As the agent: bigger graphs are refused unread. */
const largest = 16_000_000;

/** `millwright model wrap FILE.onnx`: exit code 0 made, 1 refused, 2 something has to be said first. */
export async function wrapCommand(request: WrapRequest, voice: Voice = standardVoice): Promise<number> {
  const bytes = await bytesOf(request.onnx);
  if (!bytes.ok) return refuse(voice, bytes.error, request.json);
  const facts = readGraphFacts(bytes.value);
  if (!facts.ok) return refuse(voice, facts.error, request.json);
  const { answers, wrong } = answersOf(request);
  if (wrong.length > 0 || answers === undefined) {
    if (request.json) {
      const message = wrong.join('; ');
      voice.out(`${JSON.stringify({ ok: false, code: 'option-invalid', message, graph: facts.value })}\n`);
    } else voice.error(`${request.onnx}: ${graphText(facts.value)}\n${wrong.map((one) => `- ${one}\n`).join('')}`);
    return 2;
  }
  let whole: WrapAnswers = answers;
  if (request.data !== undefined) {
    const recording = await readRecording(request.data, { columns: answers.inputs.map(({ name }) => name) });
    if (!recording.ok) return refuse(voice, recording.error, request.json);
    const rows = recording.value.rows.filter((row) => row.every(Number.isFinite));
    whole = { ...answers, healthy: { rows, file: basename(request.data) } };
  }
  const wrapped = await wrapGraph(bytes.value, whole);
  if (!wrapped.ok) {
    if (!request.json) voice.error(`${request.onnx}: ${graphText(facts.value)}\n`);
    return refuse(voice, wrapped.error, request.json);
  }
  try {
    await writeModel(request.out, wrapped.value);
  } catch (cause) {
    return refuse(
      voice,
      problem('write-failed', `${request.out} cannot be written (${(cause as Error).message})`),
      request.json,
    );
  }
  const { manifest } = wrapped.value;
  if (request.json) {
    const { golden, ...rest } = manifest;
    voice.out(`${JSON.stringify({ ok: true, out: request.out, ...rest, golden: { checked: golden.length } })}\n`);
  } else voice.out(`${graphText(facts.value)}\n\n${request.out}: ${inspected(manifest).join('\n')}\n`);
  return 0;
}

async function bytesOf(path: string): Promise<Result<Uint8Array, ModelProblem>> {
  try {
    const { size } = await stat(path);
    if (size > largest)
      return err(problem('model-too-large', `${path} has ${size} bytes, at most ${largest} are read`));
    return ok(await readFile(path));
  } catch (cause) {
    return err(problem('model-missing', `${path} cannot be read (${(cause as NodeJS.ErrnoException).code})`));
  }
}

/** Every mistake at once. */
function answersOf(request: WrapRequest): { readonly answers: WrapAnswers | undefined; readonly wrong: string[] } {
  const wrong: string[] = [];
  const inputs = (request.inputs ?? '')
    .split(',')
    .map((one) => one.trim())
    .filter((one) => one !== '')
    .map((one) => {
      const [name = '', unit] = one.split('=').map((part) => part.trim());
      if (unit !== undefined && unit !== '' && unitOf(unit) === undefined)
        wrong.push(`--inputs: "${unit}" is no unit that is known here`);
      return { name, ...(unit === undefined || unit === '' ? {} : { unit }) };
    });
  if (inputs.length === 0)
    wrong.push('what are its channels? Say --inputs vibration=mm/s,pressure=bar, in their order');
  if (request.rows !== undefined && !(Number.isInteger(request.rows) && request.rows >= 1)) {
    wrong.push(`--rows ${request.rows}: expected a whole number from 1`);
  }
  const everyMs = request.everyMs ?? 1_000;
  if (!(everyMs > 0)) wrong.push(`--every ${request.everyMs}: expected milliseconds above 0`);
  if (request.layout !== undefined && !layouts.includes(request.layout as Layout)) {
    wrong.push(`--layout ${request.layout}: expected ${layouts.join(', ')}`);
  }
  const number = (option: string, text: string | undefined): number | undefined => {
    const value = text === undefined || text === 'rate' ? undefined : Number(text);
    if (value !== undefined && (text === '' || !Number.isFinite(value)))
      wrong.push(`--${option} ${text}: expected a number`);
    return value;
  };
  const above = number('above', request.above);
  const below = number('below', request.below);
  if (request.above !== undefined && request.below !== undefined)
    wrong.push('--above and --below: a score is strange on one side');
  if (request.score === undefined && request.class === undefined && request.forecast === undefined) {
    wrong.push('what does it tell? Say one or more of --score, --class, --forecast with the name of an output');
  }
  if (request.score === undefined && (request.above !== undefined || request.below !== undefined)) {
    wrong.push('--above and --below go with --score');
  }
  const labels = labelsOf(request.labels, wrong);
  if (request.class !== undefined && Object.keys(labels).length === 0) {
    wrong.push('what do its classes mean? Say --labels 0=healthy,1=worn');
  }
  if (request.forecast !== undefined) {
    if (request.unit === undefined) wrong.push('in which unit is the forecast? Say --unit h');
    else if (unitOf(request.unit) === undefined) wrong.push(`--unit: "${request.unit}" is no unit that is known here`);
  }
  const range = /^\s*(-?[\d.e+]+)\s*\.\.\s*(-?[\d.e+]+)\s*$/i.exec(request.believe ?? '');
  if (request.believe !== undefined && range === null) wrong.push(`--believe ${request.believe}: expected 0..2000`);
  if (request.rate !== undefined) {
    if (!(request.rate > 0 && request.rate < 0.5))
      wrong.push(`--rate ${request.rate}: expected a share above 0, below 0.5`);
    if (request.data === undefined) wrong.push('--rate needs --data: a recording of healthy rows');
    if (above !== undefined || below !== undefined)
      wrong.push('--rate sets the threshold: say --above rate or --below rate');
  }
  if (request.score !== undefined && request.above === undefined && request.below === undefined) {
    wrong.push(
      'which scores are anomalous? Say --above NUMBER or --below NUMBER; with --data and --rate: --above rate',
    );
  }
  if ((request.above === 'rate' || request.below === 'rate') && request.rate === undefined) {
    wrong.push('--above rate and --below rate want --rate, for example --rate 0.01');
  }
  if (wrong.length > 0) return { answers: undefined, wrong };
  const score = placeOf(request.score);
  const forecast = placeOf(request.forecast);
  return {
    wrong,
    answers: {
      name: request.name ?? basename(resolve(request.out)),
      inputs,
      rows: request.rows,
      everyMs,
      input: request.input,
      layout: request.layout as Layout | undefined,
      score: score && {
        ...score,
        anomalous: request.below === undefined ? 'above' : 'below',
        threshold: above ?? below,
      },
      class: request.class === undefined ? undefined : { tensor: request.class, labels },
      forecast: forecast && {
        ...forecast,
        unit: request.unit ?? '',
        min: range === null ? undefined : Number(range[1]),
        max: range === null ? undefined : Number(range[2]),
      },
      raise: request.raise ?? '3',
      clear: request.clear ?? '10',
      rate: request.rate,
    },
  };
}

function labelsOf(text: string | undefined, wrong: string[]): Record<string, string> {
  const labels: Record<string, string> = {};
  for (const one of (text ?? '').split(',')) {
    if (one.trim() === '') continue;
    const [key = '', name] = one.split('=').map((part) => part.trim());
    if (name === undefined || name === '') wrong.push(`--labels "${one.trim()}": expected 0=healthy`);
    else labels[key] = name;
  }
  return labels;
}

/** `variable:2` is the third column; the names of tensors may hold colons themselves. */
function placeOf(text: string | undefined): Place | undefined {
  if (text === undefined) return undefined;
  const parts = /^(.+):(\d{1,4})$/.exec(text);
  return parts === null ? { tensor: text, column: 0 } : { tensor: parts[1] ?? text, column: Number(parts[2]) };
}
