import { createHash } from 'node:crypto';
import type { Result } from '../../agent/base/result.ts';
import { err, ok } from '../../agent/base/result.ts';
import { agreement } from '../catalog.ts';
import type { GraphFacts, ValueFacts } from '../onnx/graph-reader.ts';
import { readGraphFacts } from '../onnx/graph-reader.ts';
import type { ScoringSession } from '../onnx/session.ts';
import { type ModelProblem, problem } from '../problem.ts';
import { conformalQuantile, deviation, histogram, median } from '../training/statistics.ts';
import { windowsOf } from '../training/window-features.ts';
import { fits, inputShape, isFree, valueText } from './agreement.ts';
import { type ForeignManifest, foreignKind, type Layout, layouts, parseForeign } from './manifest.ts';
import { openForeign } from './session.ts';

/** Which number of which output. */
export interface Place {
  readonly tensor: string;
  readonly column: number;
}

/** What only a person knows of a graph. */
export interface WrapAnswers {
  readonly name: string;
  readonly version?: string | undefined;
  readonly inputs: readonly { readonly name: string; readonly unit?: string | undefined }[];
  readonly rows?: number | undefined;
  readonly everyMs: number;
  readonly input?: string | undefined;
  readonly layout?: Layout | undefined;
  readonly score?:
    | (Place & { readonly anomalous: 'above' | 'below'; readonly threshold?: number | undefined })
    | undefined;
  readonly class?: { readonly tensor: string; readonly labels: Readonly<Record<string, string>> } | undefined;
  readonly forecast?:
    | (Place & { readonly unit: string; readonly min?: number | undefined; readonly max?: number | undefined })
    | undefined;
  readonly raise: string;
  readonly clear: string;
  /** Healthy rows [rows][inputs], finite, in time order, and where they came from. */
  readonly healthy?: { readonly rows: readonly (readonly number[])[]; readonly file: string } | undefined;
  /** Sets the threshold from the healthy rows: this share of windows lies beyond it. */
  readonly rate?: number | undefined;
}

export interface Wrapped {
  readonly manifest: ForeignManifest;
  readonly onnx: Uint8Array;
}

/** Healthy windows that are scored to set or judge a threshold, spread over the whole recording. */
const mostWindows = 5_000;

/**
 * Makes a model of a graph that others exported and of what a person says about it: holds both against each other, runs
 * the graph for golden vectors, sets or judges the threshold on healthy rows. Nothing is guessed that the graph does
 * not say: where it leaves a choice, the problem names what to say.
 */
export async function wrapGraph(onnx: Uint8Array, answers: WrapAnswers): Promise<Result<Wrapped, ModelProblem>> {
  const facts = readGraphFacts(onnx);
  if (!facts.ok) return facts;
  const input = chooseInput(facts.value, answers.input);
  if (!input.ok) return input;
  const lay = chooseLayout(input.value, answers);
  if (!lay.ok) return lay;
  const { rows, layout } = lay.value;
  const score = answers.score;
  if (score !== undefined && score.threshold === undefined && answers.rate === undefined) {
    return err(
      problem(
        'option-invalid',
        `which score is anomalous? Say --${score.anomalous} NUMBER, or --${score.anomalous} rate with --data and --rate`,
      ),
    );
  }
  const needed = Math.max(rows + 10, 20);
  if (answers.healthy !== undefined && answers.healthy.rows.length < needed) {
    return err(
      problem(
        'data-too-short',
        `${answers.healthy.rows.length} healthy rows of numbers; at least ${needed} are needed`,
      ),
    );
  }
  const sha256 = createHash('sha256').update(onnx).digest('hex');
  const draft: ForeignManifest = {
    millwrightModel: 1,
    name: answers.name,
    version: answers.version ?? sha256.slice(0, 12),
    kind: foreignKind,
    inputs: answers.inputs.map(({ name, unit }) => ({ name, ...(unit === undefined ? {} : { unit }) })),
    window: { rows, everyMs: answers.everyMs, maxGapMs: 10 * answers.everyMs },
    graph: { input: input.value.name, type: input.value.type as 'float32' | 'float64', layout },
    outputs: {
      ...(score === undefined
        ? {}
        : { score: { tensor: score.tensor, column: score.column, anomalous: score.anomalous } }),
      ...(answers.class === undefined
        ? {}
        : {
            class: {
              tensor: answers.class.tensor,
              from: classFrom(facts.value, answers.class.tensor),
              labels: { ...answers.class.labels },
            },
          }),
      ...(answers.forecast === undefined ? {} : { forecast: defined(answers.forecast) }),
    },
    ...(score === undefined ? {} : { threshold: { value: score.threshold ?? 0, method: 'set by hand' } }),
    recommendedDwell: { raise: answers.raise, clear: answers.clear },
    onnx: { file: 'model.onnx', sha256, bytes: onnx.length },
    golden: [{ what: 'zeros', window: new Array<number>(rows * answers.inputs.length).fill(0), tolerance: 1 }],
    trainedFrom: { file: answers.healthy?.file ?? 'elsewhere', rows: answers.healthy?.rows.length ?? 0 },
    distribution: distributionOf(answers),
  };
  const parsed = parseForeign(draft);
  if (!parsed.ok) return parsed;
  const disagreement = agreement(onnx, parsed.value);
  if (disagreement !== undefined) return err(disagreement);

  // Without medians: what is asked for here are the graph's own numbers, not their shares.
  const opened = await openForeign(onnx, { ...parsed.value, distribution: [] });
  if (!opened.ok) return opened;
  try {
    const threshold = await judgeThreshold(opened.value, parsed.value, answers);
    if (!threshold.ok) return threshold;
    const golden = await goldenVectors(opened.value, parsed.value, answers);
    if (!golden.ok) return golden;
    const manifest = {
      ...parsed.value,
      ...(threshold.value === undefined ? {} : { threshold: threshold.value }),
      golden: golden.value,
    };
    return ok({ manifest, onnx });
  } catch (cause) {
    const text = cause instanceof Error ? cause.message : String(cause);
    return err(problem('runtime-failed', `the graph does not run as described: ${text.slice(0, 300)}`));
  } finally {
    await opened.value.release();
  }
}

/** Every input and output with type and shape, for people who have to say what is what. */
export const graphText = ({ irVersion, opset, inputs, outputs }: GraphFacts): string =>
  [
    `ONNX, IR version ${irVersion}, opset ${opset}`,
    ...inputs.map((one) => `  input   ${valueText(one)}`),
    ...outputs.map((one) => `  output  ${valueText(one)}${hint(one)}`),
  ].join('\n');

function hint({ type, name }: ValueFacts): string {
  if (type === 'sequence' || type === 'map') return ' - not used: ZipMap and its like are never computed';
  if (type === 'int64' || type === 'string') return ` - a class? --class ${name} --labels 0=…,1=…`;
  if (type === 'float32' || type === 'float64')
    return ` - --score ${name}, --forecast ${name}, or one per class --class ${name}`;
  return '';
}

function chooseInput({ inputs }: GraphFacts, wanted: string | undefined): Result<ValueFacts, ModelProblem> {
  const names = inputs.map(valueText).join(', ') || 'none';
  const found =
    wanted === undefined ? (inputs.length === 1 ? inputs[0] : undefined) : inputs.find(({ name }) => name === wanted);
  if (found === undefined || inputs.length !== 1) {
    return err(
      problem(
        'shape-mismatch',
        `the graph's inputs are ${names}; one float tensor that takes the whole window is needed`,
      ),
    );
  }
  if (found.type !== 'float32' && found.type !== 'float64') {
    return err(problem('shape-mismatch', `the graph's input is ${valueText(found)}; float32 or float64 is needed`));
  }
  return ok(found);
}

/** What the graph's shape leaves open has to be said: [N, 6, 6] may lie either way. */
function chooseLayout(
  input: ValueFacts,
  answers: WrapAnswers,
): Result<{ readonly rows: number; readonly layout: Layout }, ModelProblem> {
  const channels = answers.inputs.length;
  const { shape } = input;
  const possible = layouts.flatMap((layout) => {
    if (answers.layout !== undefined && answers.layout !== layout) return [];
    const rows = answers.rows ?? rowsIn(shape, layout, channels);
    if (rows === undefined || !Number.isInteger(rows) || rows < 1) return [];
    return fits(shape, inputShape(layout, rows, channels)) ? [{ layout, rows }] : [];
  });
  const [only, ...others] = possible;
  if (only !== undefined && others.length === 0) return ok(only);
  const told = `${valueText(input)} with ${channels} inputs${answers.rows === undefined ? '' : ` and windows of ${answers.rows} rows`}`;
  if (only !== undefined) {
    return err(
      problem('option-invalid', `${told} may be ${possible.map(({ layout }) => layout).join(' or ')}: say --layout`),
    );
  }
  return err(
    problem(
      'shape-mismatch',
      `${told} does not go together${answers.layout === undefined ? '' : ` as ${answers.layout}`}: ` +
        'see --inputs, --rows and --layout; dimensions that the graph leaves free need --rows',
    ),
  );
}

function rowsIn(shape: ValueFacts['shape'], layout: Layout, channels: number): number | undefined {
  if (layout === 'flat') {
    const size = shape[1];
    return shape.length !== 2 ? undefined : isFree(size) ? 1 : Number(size) / channels;
  }
  const size = shape[layout === 'rows-inputs' ? 1 : 2];
  return shape.length !== 3 || isFree(size) ? undefined : Number(size);
}

/** One number per class where the output has several columns of fractions; labels otherwise. */
function classFrom({ outputs }: GraphFacts, tensor: string): 'labels' | 'columns' {
  const found = outputs.find(({ name }) => name === tensor);
  const isFraction = found?.type === 'float32' || found?.type === 'float64';
  return isFraction && found.shape.length > 1 && found.shape[1] !== 1 ? 'columns' : 'labels';
}

function distributionOf({ inputs, healthy }: WrapAnswers): ForeignManifest['distribution'] {
  if (healthy === undefined) return [];
  return inputs.map(({ name }, c) => {
    const column = healthy.rows.map((row) => row[c] ?? 0);
    let min = Number.POSITIVE_INFINITY;
    let max = Number.NEGATIVE_INFINITY;
    for (const value of column) {
      min = Math.min(min, value);
      max = Math.max(max, value);
    }
    return { name, min, median: median(column), max, deviation: deviation(column), histogram: histogram(column) };
  });
}

async function judgeThreshold(
  session: ScoringSession,
  manifest: ForeignManifest,
  { score, healthy, rate }: WrapAnswers,
): Promise<Result<ForeignManifest['threshold'], ModelProblem>> {
  if (score === undefined || manifest.threshold === undefined || healthy === undefined) return ok(manifest.threshold);
  // The session turns scores so that above is strange; the manifest speaks in the graph's own numbers.
  const sign = score.anomalous === 'below' ? -1 : 1;
  const windows = [...windowsOf(healthy.rows, manifest.window.rows)];
  const step = Math.max(1, Math.ceil(windows.length / mostWindows));
  const scores: number[] = [];
  for (let i = 0; i < windows.length; i += step) {
    const window = windows[i];
    if (window !== undefined) scores.push((await session.run(window, 1)).scores[0] ?? Number.NaN);
  }
  const odd = scores.find((value) => !Number.isFinite(value));
  if (odd !== undefined) return err(problem('runtime-failed', `a healthy window scores ${odd}`));
  const value = score.threshold === undefined ? conformalQuantile(scores, rate ?? 0.01) : sign * score.threshold;
  const beyond = scores.filter((one) => one > value).length;
  return ok({
    value: sign * value,
    method:
      score.threshold === undefined
        ? `conformal quantile of healthy windows at rate ${rate}, on rows that the model may have been trained on`
        : 'set by hand',
    falseAlarmRate: beyond / scores.length,
    healthyWindows: scores.length,
  });
}

/** Windows of the recording, or three plain ones, with what the graph says of them on this machine. */
async function goldenVectors(
  session: ScoringSession,
  manifest: ForeignManifest,
  { healthy }: WrapAnswers,
): Promise<Result<ForeignManifest['golden'], ModelProblem>> {
  const { rows } = manifest.window;
  const cells = rows * manifest.inputs.length;
  const plain = (what: string, value: (i: number) => number) => ({
    what,
    window: Float32Array.from({ length: cells }, (_, i) => value(i)),
  });
  const windows = healthy === undefined ? [] : [...windowsOf(healthy.rows, rows)];
  const picked = [0, windows.length >> 1, windows.length - 1].flatMap((at, i) => {
    const window = windows[at];
    return window === undefined ? [] : [{ what: ['first window', 'middle window', 'last window'][i] ?? '', window }];
  });
  const all = [
    ...(picked.length > 0 ? picked : [plain('zeros', () => 0), plain('ones', () => 1)]),
    plain('a ramp', (i) => (i + 1) / cells),
  ];
  const sign = manifest.outputs.score?.anomalous === 'below' ? -1 : 1;
  const golden: ForeignManifest['golden'] = [];
  for (const { what, window } of all) {
    const run = await session.run(window, 1);
    const score = sign * (run.scores[0] ?? Number.NaN);
    const forecast = run.forecasts?.[0];
    const said = run.classes?.[0];
    if (manifest.outputs.score !== undefined && !Number.isFinite(score)) {
      return err(problem('runtime-failed', `the graph scores "${what}" ${score}: is this output the score?`));
    }
    golden.push({
      what,
      window: Array.from(window),
      ...(Number.isFinite(score) ? { score } : {}),
      ...(said === undefined ? {} : { class: said }),
      ...(forecast === undefined ? {} : { forecast }),
      tolerance: Math.max(1e-4, 1e-3 * Math.max(Math.abs(Number.isFinite(score) ? score : 0), Math.abs(forecast ?? 0))),
    });
  }
  if (golden.every((one) => one.score === undefined && one.class === undefined && one.forecast === undefined)) {
    return err(
      problem(
        'option-invalid',
        'the graph said nothing of any golden window: look at --labels, --believe, or give --data',
      ),
    );
  }
  return ok(golden);
}

function defined(forecast: NonNullable<WrapAnswers['forecast']>): NonNullable<ForeignManifest['outputs']['forecast']> {
  const { tensor, column, unit, min, max } = forecast;
  return { tensor, column, unit, ...(min === undefined ? {} : { min }), ...(max === undefined ? {} : { max }) };
}
