import type { Result } from '../../agent/base/result.ts';
import { err, ok } from '../../agent/base/result.ts';
import type { ScoringRun, ScoringSession } from '../onnx/session.ts';
import { openRuntime, type RuntimeTensor } from '../onnx/session.ts';
import { type ModelProblem, problem } from '../problem.ts';
import { inputShape } from './agreement.ts';
import type { ForeignManifest, Layout } from './manifest.ts';

/**
 * Runs a graph that was not made here: lays the window out as the graph wants it, asks for the named outputs only, and
 * turns them into what conditions use. Scores whose strange side is below are turned over, threshold and all, so that
 * everywhere else "above" means strange.
 *
 * Which input a score comes from is asked by occlusion, only for windows beyond the threshold: each input in turn is
 * held at its healthy median, and what the score loses by that is that input's share (Zeiler and Fergus, "Visualizing
 * and Understanding Convolutional Networks", 2014). Without a recording of healthy rows there is no median and no share.
 */
export async function openForeign(
  onnx: Uint8Array,
  manifest: ForeignManifest,
): Promise<Result<ScoringSession, ModelProblem>> {
  const opened = await openRuntime(onnx);
  if (!opened.ok) return opened;
  const { runtime, session, release } = opened.value;
  const { graph, outputs, window, inputs } = manifest;
  const rows = window.rows;
  const channels = inputs.length;
  const size = rows * channels;
  const fetches = [...new Set(Object.values(outputs).flatMap((one) => (one === undefined ? [] : [one.tensor])))];
  const missing = fetches.filter((name) => !session.outputNames.includes(name));
  if (missing.length > 0 || !session.inputNames.includes(graph.input)) {
    await release();
    return err(problem('runtime-failed', `the graph has no ${[...missing, graph.input].join(', ')}`));
  }
  const turned = outputs.score?.anomalous === 'below' ? -1 : 1;
  const limit = manifest.threshold === undefined ? Number.POSITIVE_INFINITY : turned * manifest.threshold.value;
  const medians = inputs.map(({ name }) => manifest.distribution.find((one) => one.name === name)?.median);
  const isExplained = outputs.score !== undefined && channels > 1 && medians.every((one) => one !== undefined);

  const one = async (window: Float32Array | Float64Array): Promise<Raw> => {
    const values = laidOut(window, rows, channels, graph.layout);
    const data = graph.type === 'float64' ? Float64Array.from(values) : Float32Array.from(values);
    const shape = inputShape(graph.layout, rows, channels).map((n) => (typeof n === 'number' ? n : 1));
    const tensor =
      data instanceof Float64Array
        ? new runtime.Tensor('float64', data, shape)
        : new runtime.Tensor('float32', data, shape);
    const run = await session.run({ [graph.input]: tensor }, fetches);
    return readOutputs(run, outputs, turned);
  };

  return ok({
    async run(windows, n): Promise<ScoringRun> {
      const scores = new Float32Array(n).fill(Number.NaN);
      const contributions = new Float32Array(n * channels);
      const classes: (string | undefined)[] = [];
      const forecasts: (number | undefined)[] = [];
      for (let i = 0; i < n; i++) {
        const window = windows.subarray(i * size, (i + 1) * size);
        const raw = await one(window);
        scores[i] = raw.score ?? Number.NaN;
        classes.push(raw.class);
        forecasts.push(raw.forecast);
        if (raw.score === undefined || !(raw.score > limit) || !isExplained) continue;
        const lost = new Array<number>(channels).fill(0);
        for (let c = 0; c < channels; c++) {
          const held = Float32Array.from(window);
          for (let r = 0; r < rows; r++) held[r * channels + c] = medians[c] ?? 0;
          lost[c] = Math.max(0, raw.score - ((await one(held)).score ?? raw.score));
        }
        const sum = lost.reduce((a, b) => a + b, 0);
        for (let c = 0; c < channels; c++) contributions[i * channels + c] = sum > 0 ? (lost[c] ?? 0) / sum : 0;
      }
      return { scores, contributions, classes, forecasts };
    },
    release,
  });
}

/** A score's threshold with "above" as the strange side; undefined for a model that gives no score. */
export const foreignThreshold = ({ outputs, threshold }: ForeignManifest): number | undefined =>
  threshold === undefined ? undefined : outputs.score?.anomalous === 'below' ? -threshold.value : threshold.value;

interface Raw {
  readonly score: number | undefined;
  readonly class: string | undefined;
  readonly forecast: number | undefined;
}

/** What a graph says that is none of this (NaN, a label without a name, a forecast out of range) is not known. */
function readOutputs(
  run: Readonly<Record<string, RuntimeTensor>>,
  outputs: ForeignManifest['outputs'],
  turned: 1 | -1,
): Raw {
  const { score, class: classes, forecast } = outputs;
  const said = score && numberAt(run[score.tensor], score.column);
  const told = forecast && numberAt(run[forecast.tensor], forecast.column);
  const isBelievable =
    told !== undefined &&
    told >= (forecast?.min ?? Number.NEGATIVE_INFINITY) &&
    told <= (forecast?.max ?? Number.POSITIVE_INFINITY);
  return {
    score: said === undefined ? undefined : turned * said,
    class: classes && classOf(run[classes.tensor], classes),
    forecast: isBelievable ? told : undefined,
  };
}

function numberAt(tensor: RuntimeTensor | undefined, column: number): number | undefined {
  const value = tensor?.data[column];
  const number = typeof value === 'bigint' || typeof value === 'number' ? Number(value) : Number.NaN;
  return Number.isFinite(number) ? number : undefined;
}

function classOf(
  tensor: RuntimeTensor | undefined,
  { from, labels }: NonNullable<ForeignManifest['outputs']['class']>,
): string | undefined {
  if (tensor === undefined) return undefined;
  const own = (key: string): string | undefined => (Object.hasOwn(labels, key) ? labels[key] : undefined);
  if (from === 'labels') return own(String(tensor.data[0]));
  let best = -1;
  let most = Number.NEGATIVE_INFINITY;
  for (let i = 0; i < tensor.data.length; i++) {
    const value = Number(tensor.data[i]);
    if (Number.isNaN(value)) return undefined;
    if (value > most) {
      most = value;
      best = i;
    }
  }
  return own(String(best));
}

/** A window comes row by row. */
function laidOut(
  window: Float32Array | Float64Array,
  rows: number,
  channels: number,
  layout: Layout,
): ArrayLike<number> & Iterable<number> {
  if (layout !== 'inputs-rows') return window;
  const turned = new Float64Array(window.length);
  for (let r = 0; r < rows; r++) {
    for (let c = 0; c < channels; c++) turned[c * rows + r] = window[r * channels + c] ?? Number.NaN;
  }
  return turned;
}
