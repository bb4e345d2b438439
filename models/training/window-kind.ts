import type { Result } from '../../agent/base/result.ts';
import { err, ok } from '../../agent/base/result.ts';
import type { GraphWriter } from '../onnx/graph-writer.ts';
import { type ModelProblem, problem } from '../problem.ts';
import { drawFeatures, type FeatureMap, featureCount, featureMaps, featuresOf } from './features.ts';
import {
  type Drawn,
  type FitContext,
  foldsSetting,
  type HeldOutScore,
  type Kind,
  type KindFit,
  type Scorer,
  type Setting,
  type Settings,
  windowRowsSetting,
} from './kind.ts';
import { healthyLimit, healthyLimitHow } from './limit.ts';
import { smoothed } from './smoothing.ts';
import { type Part, type Standardisation, standardisation } from './standardise.ts';
import { deviation, median } from './statistics.ts';
import type { Scaling } from './window-features.ts';

/** Judges feature vectors in units of their healthy spread. */
export interface VectorDetector {
  /** `z` [F]. `parts` [F], at least 0: how much each feature adds to the strangeness, in any unit. */
  score(z: Float64Array): { readonly value: number; readonly parts: ArrayLike<number> };
  /** `z` names float32 [N, F]; returns names of the score [N] and of the parts [N, F]. */
  draw(graph: GraphWriter, z: string): { readonly score: string; readonly parts: string };
  /** Share by which the graph may deviate, where it is not rounding alone (trees branch). */
  readonly tolerance?: number;
}

/** What a kind adds to windows, features, folds and smoothing: a way to judge vectors. */
export interface VectorMethod<S extends Settings> {
  readonly name: string;
  readonly does: string;
  readonly settings: { readonly [K in keyof S]: Setting };
  readonly windows: {
    readonly windowRows: number;
    readonly features: FeatureMap;
    readonly smoothRows?: number;
    readonly scale: 'held-out' | 'plain';
  };
  readonly recommends: Kind['recommends'];
  /** `z`: standardised healthy vectors in time order, at least one. Inactive features are 0 in all of them. */
  fit(
    z: readonly Float64Array[],
    active: readonly boolean[],
    settings: S,
    context: FitContext,
  ): Result<VectorDetector, ModelProblem>;
}

type WindowSettings = {
  readonly windowRows: number;
  readonly features: string;
  readonly smoothRows: number;
  readonly scale: string;
  readonly limit: string;
  readonly folds: number;
};

/** A correlation of this many features is inverted in a second or two. */
const mostFeatures = 512;

/** A kind out of a way to judge vectors. The traps that every fit on few healthy rows has to mind are minded here. */
export function windowKind<S extends Settings>(method: VectorMethod<S>): Kind<WindowSettings & S> {
  return {
    name: method.name,
    does: method.does,
    recommends: method.recommends,
    settings: {
      windowRows: windowRowsSetting(method.windows.windowRows),
      features: {
        kind: 'choice',
        default: method.windows.features,
        among: featureMaps,
        means: 'what a window is reduced to: where its channels stand, how much they move, both, or all its rows',
      },
      smoothRows: {
        kind: 'number',
        default: method.windows.smoothRows ?? 1,
        min: 1,
        max: 256,
        whole: true,
        means: 'mean of so many scores, this row and those before; calmer and later',
      },
      scale: {
        kind: 'choice',
        default: method.windows.scale,
        among: ['held-out', 'plain'],
        means: 'a feature’s spread: widened to what held-out parts deviate and what wanders, or as seen',
      },
      limit: {
        kind: 'choice',
        default: method.recommends.driftAllowance > 1 ? 'conformal' : 'tolerance',
        among: ['conformal', 'tolerance'],
        means: 'the quantile of held-out scores, or at least what so few of them can promise',
      },
      folds: foldsSetting,
      ...method.settings,
    } as Kind<WindowSettings & S>['settings'],
    fit: (rows, settings, context) => fitWindows(method, rows, settings, context),
  };
}

function fitWindows<S extends Settings>(
  method: VectorMethod<S>,
  rows: readonly (readonly number[])[],
  settings: WindowSettings & S,
  context: FitContext,
): Result<KindFit, ModelProblem> {
  const { windowRows, folds, smoothRows } = settings;
  const map = settings.features as FeatureMap;
  const channels = rows[0]?.length ?? 0;
  const width = featureCount(map, windowRows, channels);
  if (width > mostFeatures) {
    return err(problem('option-invalid', `${width} features in a window; a fit takes at most ${mostFeatures}`));
  }
  const needed = Math.max(40, windowRows * (folds + 3), folds * smoothRows + windowRows);
  if (rows.length < needed) {
    return err(
      problem(
        'data-too-short',
        `${rows.length} healthy rows; windows of ${windowRows} rows in ${folds} parts need at least ${needed}`,
      ),
    );
  }
  const seen = scalingOf(rows);
  if (!seen.ok) return seen;
  const { scaling, moves, still } = seen.value;

  const flat = Float32Array.from(rows.flat());
  const features = Array.from({ length: rows.length - windowRows + 1 }, (_, i) =>
    featuresOf(map, flat.subarray(i * channels, (i + windowRows) * channels), scaling),
  );
  const active = Array.from({ length: width }, (_, i) => moves[i % channels] ?? false);
  const parts = partsOf(features.length, folds, windowRows);
  const standard = standardisation(features, active, parts, windowRows, settings.scale === 'held-out');

  const build = (from: readonly Float64Array[]): Result<WindowScorer, ModelProblem> => {
    const units = standard(from);
    const z = from.map((feature) => inUnits(feature, units));
    const detector = method.fit(z, active, settings, context);
    return detector.ok ? ok(new WindowScorer(map, windowRows, scaling, units, detector.value)) : detector;
  };
  const heldOut: HeldOutScore[] = [];
  for (const { from, to, others } of parts) {
    const judge = build(others.map((i) => features[i] ?? new Float64Array()));
    if (!judge.ok) return judge;
    const scores = features.slice(from, to).map((feature) => judge.value.scoreFeatures(feature).value);
    for (let i = smoothRows - 1; i < scores.length; i++) {
      const recent = scores.slice(i - smoothRows + 1, i + 1);
      heldOut.push({ row: from + i + windowRows - 1, value: recent.reduce((a, b) => a + b, 0) / smoothRows });
    }
  }
  const whole = build(features);
  if (!whole.ok) return whole;
  const scorer = smoothed(whole.value, smoothRows);
  const values = heldOut.map(({ value }) => value);
  return ok({
    scorer,
    heldOut,
    heldOutHow: `${folds} contiguous parts, a window's width left free on both sides`,
    ...(settings.limit === 'tolerance'
      ? { limit: { value: healthyLimit(values, context.falseAlarmRate, scorer.windowRows), how: healthyLimitHow } }
      : {}),
    still,
    spread: scaling.scale,
  });
}

/** Centre and scale of every channel, and which ones move at all. */
function scalingOf(
  rows: readonly (readonly number[])[],
): Result<{ scaling: Scaling; moves: readonly boolean[]; still: readonly number[] }, ModelProblem> {
  const channels = rows[0]?.length ?? 0;
  // The graph computes in 32 bit; a channel whose movement does not survive that must not be trained on.
  const columns = Array.from({ length: channels }, (_, c) => rows.map((row) => Math.fround(row[c] ?? 0)));
  const centre = columns.map((column) => Math.fround(median(column)));
  const spread = columns.map(deviation);
  const moves = spread.map((value, c) => value > Math.max(1e-30, 1e-6 * Math.abs(centre[c] ?? 0)));
  const still = moves.flatMap((value, c) => (value ? [] : [c]));
  if (still.length === channels) {
    return err(problem('nothing-varies', 'no channel changes in the training rows; there is nothing to learn from'));
  }
  const scale = spread.map((value, c) => (moves[c] ? Math.fround(value) : 1));
  return ok({ scaling: { centre, scale }, moves, still });
}

function partsOf(count: number, folds: number, windowRows: number): readonly Part[] {
  const all = Array.from({ length: count }, (_, i) => i);
  return Array.from({ length: folds }, (_, k) => {
    const from = Math.floor((k * count) / folds);
    const to = Math.floor(((k + 1) * count) / folds);
    const gap = windowRows - 1;
    return { from, to, others: all.filter((i) => i < from - gap || i >= to + gap) };
  });
}

const inUnits = (feature: Float64Array, { location, weight }: Standardisation): Float64Array =>
  feature.map((value, i) => (value - (location[i] ?? 0)) * (weight[i] ?? 0));

class WindowScorer implements Scorer {
  readonly windowRows: number;
  readonly channels: number;
  readonly tolerance: number | undefined;
  readonly #map: FeatureMap;
  readonly #scaling: Scaling;
  readonly #units: Standardisation;
  readonly #detector: VectorDetector;

  constructor(map: FeatureMap, windowRows: number, scaling: Scaling, units: Standardisation, detector: VectorDetector) {
    this.windowRows = windowRows;
    this.channels = scaling.centre.length;
    this.tolerance = detector.tolerance;
    this.#map = map;
    this.#scaling = scaling;
    this.#units = units;
    this.#detector = detector;
  }

  scoreFeatures(feature: Float64Array) {
    return this.#detector.score(inUnits(feature, this.#units));
  }

  score(window: ArrayLike<number>) {
    const { value, parts } = this.scoreFeatures(featuresOf(this.#map, window, this.#scaling));
    const perChannel = new Array<number>(this.channels).fill(0);
    for (let i = 0; i < parts.length; i++) {
      perChannel[i % this.channels] = (perChannel[i % this.channels] ?? 0) + (parts[i] ?? 0);
    }
    const kept = perChannel.map((part) => Math.max(0, part));
    const sum = kept.reduce((a, b) => a + b, 0);
    return { value, contributions: kept.map((part) => (sum > 0 ? part / sum : 0)) };
  }

  draw(graph: GraphWriter, window: string): Drawn {
    const features = drawFeatures(this.#map, graph, window, this.windowRows, this.#scaling);
    const { location, weight } = this.#units;
    const width = location.length;
    const shifted = graph.node('Sub', [features, graph.floats('location', [width], location)], 'shifted');
    const z = graph.node('Mul', [shifted, graph.floats('weight', [width], weight)], 'z');
    const { score, parts } = this.#detector.draw(graph, z);

    const fold = Array.from({ length: width * this.channels }, (_, i) =>
      Math.floor(i / this.channels) % this.channels === i % this.channels ? 1 : 0,
    );
    const folded =
      width === this.channels
        ? parts
        : graph.node('MatMul', [parts, graph.floats('fold', [width, this.channels], fold)], 'folded');
    const kept = graph.node('Relu', [folded], 'kept');
    const along = graph.integers('along_channels', [1]);
    const sum = graph.node('ReduceSum', [kept, along], 'kept_sum', { keepdims: 1 });
    const divisor = graph.node('Max', [sum, graph.floats('tiny', [], [1e-30])], 'divisor');
    return { score, contributions: graph.node('Div', [kept, divisor], 'shares') };
  }
}
