import { createHash } from 'node:crypto';
import type { Result } from '../../agent/base/result.ts';
import { err, ok } from '../../agent/base/result.ts';
import { limits, type Manifest } from '../manifest.ts';
import { mahalanobisOnnx } from '../onnx/mahalanobis-graph.ts';
import { type ModelProblem, problem } from '../problem.ts';
import { type Detector, type FitOptions, fitDefaults, fitMahalanobis, scoreWindow } from './mahalanobis.ts';
import { deviation, median } from './statistics.ts';
import { windowsOf } from './window-features.ts';

export interface TrainOptions extends Partial<FitOptions> {
  readonly name: string;
  /** Default: the first twelve digits of the file's sha256. */
  readonly version?: string | undefined;
  /** Milliseconds between rows. */
  readonly everyMs: number;
  /** Units by input name. */
  readonly units?: Readonly<Record<string, string>> | undefined;
  /** File name of the recording, for the manifest. */
  readonly source?: string | undefined;
}

export interface TrainedModel {
  readonly onnx: Uint8Array;
  readonly manifest: Manifest;
  readonly detector: Detector;
}

/**
 * Dwell that goes with the defaults, in scores: 45 bad ones of the last 60 raise, 60 good ones in a row clear. At
 * 1 Hz this is a minute. Bumps of half a minute are common on healthy machines, faults last longer.
 */
export const recommendedDwell = { raise: '45 of 60', clear: '60' } as const;

/**
 * Trains on healthy rows [rows][inputs], in time order. Pure: the same rows give the same bytes. Rows with a missing
 * value (NaN) are left out.
 */
export function trainFromRows(
  rows: readonly (readonly number[])[],
  inputs: readonly string[],
  options: TrainOptions,
): Result<TrainedModel, ModelProblem> {
  const settings: FitOptions = { ...fitDefaults, ...defined(options) };
  const wrong = settingsProblem(settings, inputs, options.everyMs);
  if (wrong !== undefined) return err(problem('option-invalid', wrong));
  const ragged = rows.find((row) => row.length !== inputs.length);
  if (ragged !== undefined) {
    return err(problem('data-malformed', `a row has ${ragged.length} values, there are ${inputs.length} inputs`));
  }
  const whole = rows.filter((row) => row.every(Number.isFinite));
  const fit = fitMahalanobis(whole, settings);
  if (!fit.ok) return fit;
  const { detector, threshold, quantile, heldOutWindows, still } = fit.value;

  const onnx = mahalanobisOnnx(detector, options.name, inputs);
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
      ...(still.includes(c) ? { leftOut: 'did not change in the training rows' } : {}),
    };
  });
  const manifest: Manifest = {
    millwrightModel: 1,
    name: options.name,
    version: options.version ?? sha256.slice(0, 12),
    kind: 'windowed-mahalanobis',
    inputs: inputs.map((name) => ({
      name,
      ...(options.units?.[name] === undefined ? {} : { unit: options.units[name] }),
    })),
    window: { rows: detector.windowRows, everyMs: options.everyMs, maxGapMs: 10 * options.everyMs },
    threshold: {
      value: threshold,
      method: 'conformal quantile of held-out healthy windows, times an allowance for drift',
      quantile,
      falseAlarmRate: settings.falseAlarmRate,
      driftAllowance: settings.driftAllowance,
      heldOutWindows,
    },
    recommendedDwell,
    onnx: { file: 'model.onnx', sha256, bytes: onnx.length },
    golden: goldenVectors(detector, whole),
    trainedFrom: { file: options.source ?? 'rows', rows: whole.length },
    distribution,
  };
  return ok({ onnx, manifest, detector });
}

/** Windows whose score is written down: ordinary ones, the strangest healthy one, and one far outside. */
function goldenVectors(detector: Detector, rows: readonly (readonly number[])[]): Manifest['golden'] {
  const windows = [...windowsOf(rows, detector.windowRows)];
  const ranked = windows.map((window, at) => ({ at, score: scoreWindow(detector, window).value }));
  ranked.sort((a, b) => a.score - b.score || a.at - b.at);
  const channels = detector.centre.length;
  const pick = (rank: number) => windows[ranked[rank]?.at ?? 0] ?? new Float32Array();
  const far = pick(ranked.length >> 1).map((value, i) => value + 20 * (detector.scale[i % channels] ?? 1));
  return [
    { what: 'first window', window: windows[0] ?? new Float32Array() },
    { what: 'ordinary window', window: pick(ranked.length >> 1) },
    { what: 'strangest healthy window', window: pick(ranked.length - 1) },
    { what: 'every input far above', window: far },
  ].map(({ what, window }) => {
    const score = scoreWindow(detector, window).value;
    return { what, window: Array.from(window), score, tolerance: Math.max(1e-4, 1e-3 * score) };
  });
}

function settingsProblem(settings: FitOptions, inputs: readonly string[], everyMs: number): string | undefined {
  if (inputs.length < 1 || inputs.length > limits.channels) {
    return `${inputs.length} inputs; a model takes 1 to ${limits.channels}`;
  }
  if (!Number.isInteger(settings.windowRows) || settings.windowRows < 2 || settings.windowRows > limits.windowRows) {
    return `window ${settings.windowRows}: expected 2 to ${limits.windowRows} rows`;
  }
  if (!(settings.falseAlarmRate > 0 && settings.falseAlarmRate < 0.5)) {
    return `rate ${settings.falseAlarmRate}: expected a share of false alarms above 0 and below 0.5`;
  }
  if (!(settings.shrinkage > 0 && settings.shrinkage <= 1))
    return `shrinkage ${settings.shrinkage}: expected above 0, to 1`;
  if (!(settings.driftAllowance >= 1)) return `drift allowance ${settings.driftAllowance}: expected 1 or more`;
  if (!Number.isInteger(settings.folds) || settings.folds < 2) return `folds ${settings.folds}: expected 2 or more`;
  if (!(everyMs > 0)) return `period ${everyMs} ms: expected above 0`;
  return undefined;
}

/** Only what was given, so that an absent option does not hide a default. */
function defined(options: TrainOptions): Partial<FitOptions> {
  const keys = ['windowRows', 'shrinkage', 'folds', 'falseAlarmRate', 'driftAllowance'] as const;
  return Object.fromEntries(keys.flatMap((key) => (options[key] === undefined ? [] : [[key, options[key]]])));
}
