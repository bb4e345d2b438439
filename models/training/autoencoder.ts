import type { Random } from '../../agent/base/random.ts';
import { ok } from '../../agent/base/result.ts';
import { type Layer, trainNetwork } from './dense-network.ts';
import { windowKind } from './window-kind.ts';

type AutoencoderSettings = {
  readonly bottleneck: number;
  readonly epochs: number;
  readonly learningRate: number;
};

/** Widest hidden layer: a window has few features, and an edge box trains on one core. */
const widestLayer = 48;

/**
 * A small network that learns to write healthy features down in fewer numbers and to read them back. What it cannot
 * read back is strange: score = √(mean (z − ẑ)²). It follows bent relations between channels that principal components
 * cannot, and wants more healthy rows for it.
 */
export const autoencoder = windowKind<AutoencoderSettings>({
  name: 'autoencoder',
  does: 'a small dense network that squeezes healthy windows and reads them back; what it cannot read back is strange',
  settings: {
    bottleneck: {
      kind: 'number',
      default: 0.3,
      min: 0.02,
      max: 0.9,
      means: 'width of the narrow layer, as a share of the features',
    },
    epochs: { kind: 'number', default: 60, min: 1, max: 1000, whole: true, means: 'passes over the training windows' },
    learningRate: { kind: 'number', default: 0.005, min: 0.00001, max: 0.1, means: 'step of the optimiser (Adam)' },
  },
  windows: { windowRows: 12, features: 'mean-spread', scale: 'held-out' },
  recommends: { driftAllowance: 1.4, raise: '45 of 60', clear: '60' },
  fit(z, active, { bottleneck, epochs, learningRate }, { random }) {
    const features = active.length;
    const hidden = Math.min(widestLayer, Math.max(4, Math.round(0.75 * features)));
    const narrow = Math.min(hidden, Math.max(1, Math.round(bottleneck * features)));
    const layers = trainNetwork(z, [features, hidden, narrow, hidden, features], {
      epochs,
      learningRate,
      random: random.fork('autoencoder') as Random,
    });
    return ok({
      score(vector) {
        const back = layers.reduce((values, layer) => forward(layer, values), vector);
        const parts = vector.map((value, i) => (value - (back[i] ?? 0)) ** 2);
        return { value: Math.sqrt(parts.reduce((a, b) => a + b, 0) / features), parts };
      },
      draw(graph, vectors) {
        const back = layers.reduce((values, { inputs, outputs, weights, bias, tanh }, l) => {
          const product = graph.node(
            'MatMul',
            [values, graph.floats(`w${l}`, [inputs, outputs], weights)],
            `product${l}`,
          );
          const sum = graph.node('Add', [product, graph.floats(`b${l}`, [outputs], bias)], `sum${l}`);
          return tanh ? graph.node('Tanh', [sum], `layer${l}`) : sum;
        }, vectors);
        const off = graph.node('Sub', [vectors, back], 'off');
        const parts = graph.node('Mul', [off, off], 'off_squared');
        const mean = graph.node('ReduceMean', [parts], 'mean_square', { axes: [1], keepdims: 0 });
        return { score: graph.node('Sqrt', [mean], 'error'), parts };
      },
    });
  },
});

function forward({ inputs, outputs, weights, bias, tanh }: Layer, values: Float64Array): Float64Array {
  const out = Float64Array.from(bias);
  for (let i = 0; i < inputs; i++) {
    const value = values[i] ?? 0;
    for (let o = 0; o < outputs; o++) out[o] = (out[o] ?? 0) + value * (weights[i * outputs + o] ?? 0);
  }
  return tanh ? out.map(Math.tanh) : out;
}
