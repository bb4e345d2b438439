import type { GraphWriter } from '../onnx/graph-writer.ts';
import { reach, type Scaling, stillness } from './window-features.ts';

/**
 * What a window is reduced to before anything is judged. C channels, W rows:
 * - `mean` [C]: where each channel stands (with W = 1 the row itself);
 * - `spread` [C]: how much it moves within the window, ½·ln(variance + stillness²): shaking, or frozen;
 * - `mean-spread` [2C]: both;
 * - `rows` [W·C]: every row by itself, so that a detector of correlations sees how one row follows from another.
 *
 * Feature i belongs to channel i mod C in all of them.
 */
export const featureMaps = ['mean', 'spread', 'mean-spread', 'rows'] as const;
export type FeatureMap = (typeof featureMaps)[number];

export const featureCount = (map: FeatureMap, rows: number, channels: number): number =>
  map === 'rows' ? rows * channels : map === 'mean-spread' ? 2 * channels : channels;

/** Features of one window of raw values, row by row. */
export function featuresOf(map: FeatureMap, window: ArrayLike<number>, scaling: Scaling): Float64Array {
  const channels = scaling.centre.length;
  const rows = window.length / channels;
  const scaled = Float64Array.from(window, (value, i) => {
    const c = i % channels;
    return Math.min(reach, Math.max(-reach, (value - (scaling.centre[c] ?? 0)) / (scaling.scale[c] ?? 1)));
  });
  if (map === 'rows') return scaled;
  const features = new Float64Array(featureCount(map, rows, channels));
  const spreads = map === 'mean-spread' ? channels : 0;
  for (let c = 0; c < channels; c++) {
    let sum = 0;
    for (let r = 0; r < rows; r++) sum += scaled[r * channels + c] ?? 0;
    const level = sum / rows;
    if (map !== 'spread') features[c] = level;
    if (map === 'mean') continue;
    let squares = 0;
    for (let r = 0; r < rows; r++) squares += ((scaled[r * channels + c] ?? 0) - level) ** 2;
    features[spreads + c] = 0.5 * Math.log(squares / rows + stillness ** 2);
  }
  return features;
}

/** Draws the same: `window` names float32 [N, W, C]; returns the name of the features, float32 [N, F]. */
export function drawFeatures(
  map: FeatureMap,
  graph: GraphWriter,
  window: string,
  rows: number,
  scaling: Scaling,
): string {
  const channels = scaling.centre.length;
  const centred = graph.node('Sub', [window, graph.floats('centre', [channels], scaling.centre)], 'centred');
  const divided = graph.node('Div', [centred, graph.floats('scale', [channels], scaling.scale)], 'divided');
  const lo = graph.floats('lo', [], [-reach]);
  const hi = graph.floats('hi', [], [reach]);
  const scaled = graph.node('Clip', [divided, lo, hi], 'scaled');
  if (map === 'rows') {
    return graph.node('Reshape', [scaled, graph.integers('flat', [-1, rows * channels])], 'features');
  }
  const over = { axes: [1] };
  const level = map === 'spread' ? '' : graph.node('ReduceMean', [scaled], 'level', { ...over, keepdims: 0 });
  if (map === 'mean') return level;
  const levelWide = graph.node('ReduceMean', [scaled], 'level_wide', { ...over, keepdims: 1 });
  const away = graph.node('Sub', [scaled, levelWide], 'away');
  const squared = graph.node('Mul', [away, away], 'squared');
  const variance = graph.node('ReduceMean', [squared], 'variance', { ...over, keepdims: 0 });
  const granted = graph.node('Add', [variance, graph.floats('stillness', [], [stillness ** 2])], 'granted');
  const logged = graph.node('Log', [granted], 'logged');
  const spread = graph.node('Mul', [logged, graph.floats('half', [], [0.5])], 'log_spread');
  return map === 'spread' ? spread : graph.node('Concat', [level, spread], 'features', { axis: 1 });
}
