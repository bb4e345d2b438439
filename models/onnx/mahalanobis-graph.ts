import type { Drawn, Scorer } from '../training/kind.ts';
import { type Detector, scoreWindow } from '../training/mahalanobis.ts';
import { reach, stillness } from '../training/window-features.ts';
import type { GraphWriter } from './graph-writer.ts';
import { scorerOnnx } from './scorer-graph.ts';

/**
 * The detector as an ONNX file: `window` float32 [N, W, C] of raw values → `score` float32 [N], `contributions`
 * float32 [N, C] (shares, sum 1). Scaling and window features are in the graph, so whoever runs it hands in the
 * numbers as the PLC gave them. `scoreWindow` is the same formula in double precision.
 */
export const mahalanobisOnnx = (detector: Detector, name: string, inputs: readonly string[]): Uint8Array =>
  scorerOnnx(mahalanobisScorer(detector), name, inputs);

export const mahalanobisScorer = (detector: Detector): Scorer => ({
  windowRows: detector.windowRows,
  channels: detector.centre.length,
  score: (window) => scoreWindow(detector, window),
  draw: (graph, window) => drawMahalanobis(detector, graph, window),
});

function drawMahalanobis(detector: Detector, graph: GraphWriter, window: string): Drawn {
  const channels = detector.centre.length;
  const width = 2 * channels;
  const over = { axes: [1] };

  const centred = graph.node('Sub', [window, graph.floats('centre', [channels], detector.centre)], 'centred');
  const divided = graph.node('Div', [centred, graph.floats('scale', [channels], detector.scale)], 'divided');
  const lo = graph.floats('lo', [], [-reach]);
  const hi = graph.floats('hi', [], [reach]);
  const scaled = graph.node('Clip', [divided, lo, hi], 'scaled');

  const level = graph.node('ReduceMean', [scaled], 'level', { ...over, keepdims: 0 });
  const levelWide = graph.node('ReduceMean', [scaled], 'level_wide', { ...over, keepdims: 1 });
  const away = graph.node('Sub', [scaled, levelWide], 'away');
  const squared = graph.node('Mul', [away, away], 'squared');
  const variance = graph.node('ReduceMean', [squared], 'variance', { ...over, keepdims: 0 });
  const granted = graph.node('Add', [variance, graph.floats('stillness', [], [stillness ** 2])], 'granted');
  const logged = graph.node('Log', [granted], 'logged');
  const spread = graph.node('Mul', [logged, graph.floats('half', [], [0.5])], 'log_spread');
  const features = graph.node('Concat', [level, spread], 'features', { axis: 1 });

  const shifted = graph.node('Sub', [features, graph.floats('location', [width], detector.location)], 'shifted');
  const z = graph.node('Mul', [shifted, graph.floats('weight', [width], detector.weight)], 'z');
  const precision = graph.floats('precision', [width, width], detector.precision.flat());
  const pulled = graph.node('MatMul', [z, precision], 'pulled');
  const parts = graph.node('Mul', [z, pulled], 'parts');

  const along = graph.integers('along_features', [1]);
  const total = graph.node('ReduceSum', [parts, along], 'total', { keepdims: 0 });
  const positive = graph.node('Relu', [total], 'positive');
  const perFeature = graph.node(
    'Div',
    [positive, graph.floats('dimensions', [], [detector.dimensions])],
    'per_feature',
  );
  const score = graph.node('Sqrt', [perFeature], 'distance');

  const fold = Array.from({ length: width * channels }, (_, i) =>
    Math.floor(i / channels) % channels === i % channels ? 1 : 0,
  );
  const folded = graph.node('MatMul', [parts, graph.floats('fold', [width, channels], fold)], 'folded');
  const kept = graph.node('Relu', [folded], 'kept');
  const sum = graph.node('ReduceSum', [kept, along], 'kept_sum', { keepdims: 1 });
  const divisor = graph.node('Max', [sum, graph.floats('tiny', [], [1e-30])], 'divisor');
  return { score, contributions: graph.node('Div', [kept, divisor], 'shares') };
}
