import { createHash } from 'node:crypto';
import { Random } from '../../agent/base/random.ts';
import type { Result } from '../../agent/base/result.ts';
import { err, ok } from '../../agent/base/result.ts';
import { parseDwell } from '../../agent/config/grammar.ts';
import { limits, type Manifest } from '../manifest.ts';
import { scorerOnnx } from '../onnx/scorer-graph.ts';
import { type ModelProblem, problem } from '../problem.ts';
import { type KindFit, type Scorer, settingsOf } from './kind.ts';
import { defaultKind, kindNamed } from './kinds.ts';
import { conformalQuantile, deviation, histogram, median } from './statistics.ts';

export interface TrainOptions {
  readonly name: string;
  /** One of `kinds`; default: the first. */
  readonly kind?: string | undefined;
  /** The kind's knobs; what is absent has the kind's default. */
  readonly settings?: Readonly<Record<string, number | string | undefined>> | undefined;
  /** Default: the first twelve digits of the file's sha256. */
  readonly version?: string | undefined;
  /** Milliseconds between rows. */
  readonly everyMs: number;
  /** Share of healthy windows that may lie above the quantile; default 0.01. */
  readonly falseAlarmRate?: number | undefined;
  /** Factor on the quantile, at least 1; default: what the kind recommends. */
  readonly driftAllowance?: number | undefined;
  /** Dwell in scores that goes with this model, as the site file takes it; default: what the kind recommends. */
  readonly raise?: string | undefined;
  readonly clear?: string | undefined;
  /** Units by input name. */
  readonly units?: Readonly<Record<string, string>> | undefined;
  /** File name of the recording, for the manifest. */
  readonly source?: string | undefined;
}

export interface TrainedModel {
  readonly onnx: Uint8Array;
  readonly manifest: Manifest;
  readonly scorer: Scorer;
}

const defaultFalseAlarmRate = 0.01;

/**
 * Trains on healthy rows [rows][inputs], in time order. Pure: the same rows give the same bytes. Rows with a missing
 * value (NaN) are left out.
 */
export function trainFromRows(
  rows: readonly (readonly number[])[],
  inputs: readonly string[],
  options: TrainOptions,
): Result<TrainedModel, ModelProblem> {
  const named = kindNamed(options.kind ?? defaultKind);
  if (!named.ok) return named;
  const kind = named.value;
  const falseAlarmRate = options.falseAlarmRate ?? defaultFalseAlarmRate;
  const driftAllowance = options.driftAllowance ?? kind.recommends.driftAllowance;
  const { raise = kind.recommends.raise, clear = kind.recommends.clear } = options;
  const settings = settingsOf(kind, options.settings ?? {});
  const wrong = [
    ...(settings.ok ? [] : [settings.error.message]),
    ...mistakes(inputs, options.everyMs, falseAlarmRate, driftAllowance),
    ...dwellMistakes({ raise, clear }),
  ];
  if (!settings.ok || wrong.length > 0) return err(problem('option-invalid', wrong.join('; ')));
  const ragged = rows.find((row) => row.length !== inputs.length);
  if (ragged !== undefined) {
    return err(problem('data-malformed', `a row has ${ragged.length} values, there are ${inputs.length} inputs`));
  }
  const whole = rows.filter((row) => row.every(Number.isFinite));
  const fit = kind.fit(whole, settings.value, { random: new Random('train', kind.name), inputs, falseAlarmRate });
  if (!fit.ok) return fit;
  const { scorer, heldOut, heldOutHow, limit, still } = fit.value;
  const { windowRows } = scorer;
  if (windowRows > limits.windowRows) {
    return err(problem('option-invalid', `the windows span ${windowRows} rows; at most ${limits.windowRows}`));
  }
  const scores = heldOut.map(({ value }) => value);
  const quantile = limit?.value ?? conformalQuantile(scores, falseAlarmRate);
  // A kind that finds nothing strange in any held-out window gives 0, and a threshold has to be above it.
  const threshold = Math.max(quantile * driftAllowance, 1e-6);

  const onnx = scorerOnnx(scorer, options.name, inputs);
  if (onnx.length > limits.onnxBytes) {
    const told = `the model would have ${onnx.length} bytes; agents read at most ${limits.onnxBytes}: take smaller settings`;
    return err(problem('model-too-large', told));
  }
  const sha256 = createHash('sha256').update(onnx).digest('hex');
  const distribution = inputs.map((name, c) => {
    const column = whole.map((row) => row[c] ?? 0);
    const extremes = column.reduce(([lo, hi], v) => [Math.min(lo, v), Math.max(hi, v)] as const, [
      Number.POSITIVE_INFINITY,
      Number.NEGATIVE_INFINITY,
    ] as readonly [number, number]);
    return {
      name,
      min: extremes[0],
      median: median(column),
      max: extremes[1],
      deviation: deviation(column),
      histogram: histogram(column),
      ...(still.includes(c) ? { leftOut: 'did not change in the training rows' } : {}),
    };
  });
  const manifest: Manifest = {
    millwrightModel: 1,
    name: options.name,
    version: options.version ?? sha256.slice(0, 12),
    kind: kind.name,
    settings: settings.value,
    inputs: inputs.map((name) => ({
      name,
      ...(options.units?.[name] === undefined ? {} : { unit: options.units[name] }),
    })),
    window: { rows: windowRows, everyMs: options.everyMs, maxGapMs: 10 * options.everyMs },
    threshold: {
      value: threshold,
      method: `${limit?.how ?? 'conformal quantile of held-out healthy windows'}, times an allowance for drift`,
      quantile: Math.max(quantile, 1e-6),
      falseAlarmRate,
      driftAllowance,
      heldOutWindows: heldOut.length,
      heldOut: heldOutHow,
    },
    recommendedDwell: { raise, clear },
    onnx: { file: 'model.onnx', sha256, bytes: onnx.length },
    golden: goldenVectors(fit.value, whole),
    trainedFrom: { file: options.source ?? 'rows', rows: whole.length },
    distribution,
  };
  return ok({ onnx, manifest, scorer });
}

/** Healthy windows that golden ones are chosen from, evenly over the training rows. */
const goldenChoice = 200;

/** Windows whose score is written down: ordinary ones, the strangest of some healthy ones, and one far outside. */
function goldenVectors(
  { scorer, spread }: Pick<KindFit, 'scorer' | 'spread'>,
  rows: readonly (readonly number[])[],
): Manifest['golden'] {
  const count = rows.length - scorer.windowRows + 1;
  const windows = Array.from({ length: Math.min(goldenChoice, count) }, (_, i) => {
    const from = Math.floor((i * count) / Math.min(goldenChoice, count));
    return Float32Array.from(rows.slice(from, from + scorer.windowRows).flat());
  });
  const ranked = windows.map((window, at) => ({ at, score: scorer.score(window).value }));
  ranked.sort((a, b) => a.score - b.score || a.at - b.at);
  const pick = (rank: number) => windows[ranked[rank]?.at ?? 0] ?? new Float32Array();
  const far = pick(ranked.length >> 1).map((value, i) => value + 20 * (spread[i % scorer.channels] ?? 1));
  return [
    { what: 'first window', window: windows[0] ?? new Float32Array() },
    { what: 'ordinary window', window: pick(ranked.length >> 1) },
    { what: 'strange healthy window', window: pick(ranked.length - 1) },
    { what: 'every input far above', window: far },
  ].map(({ what, window }) => {
    const score = scorer.score(window).value;
    return { what, window: Array.from(window), score, tolerance: Math.max(1e-4, (scorer.tolerance ?? 1e-3) * score) };
  });
}

function mistakes(
  inputs: readonly string[],
  everyMs: number,
  falseAlarmRate: number,
  driftAllowance: number,
): readonly string[] {
  const wrong: string[] = [];
  if (inputs.length < 1 || inputs.length > limits.channels) {
    wrong.push(`${inputs.length} inputs; a model takes 1 to ${limits.channels}`);
  }
  if (!(falseAlarmRate > 0 && falseAlarmRate < 0.5)) {
    wrong.push(`rate ${falseAlarmRate}: expected a share of false alarms above 0 and below 0.5`);
  }
  if (!(driftAllowance >= 1)) wrong.push(`drift allowance ${driftAllowance}: expected 1 or more`);
  if (!(everyMs > 0)) wrong.push(`period ${everyMs} ms: expected above 0`);
  return wrong;
}

const dwellMistakes = (dwell: Readonly<Record<string, string>>): readonly string[] =>
  Object.entries(dwell).flatMap(([name, text]) => {
    const parsed = parseDwell(text);
    return parsed.ok ? [] : [`${name} ${text}: ${parsed.error}`];
  });
