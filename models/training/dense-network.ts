import type { Random } from '../../agent/base/random.ts';

/**
 * Why this is our own, 2026-11: what npm offers for training is either a framework (TensorFlow.js, some ten megabytes
 * and an own runtime), or has not been kept for years, or hides its weights, which the ONNX file needs. Three dense
 * layers and Adam are the hundred lines below.
 */
export interface Layer {
  readonly inputs: number;
  readonly outputs: number;
  /** [inputs][outputs] flat; 32-bit numbers, as the graph will have them. */
  readonly weights: Float64Array;
  readonly bias: Float64Array;
  /** The last layer is linear. */
  readonly tanh: boolean;
}

export interface NetworkOptions {
  readonly epochs: number;
  readonly learningRate: number;
  readonly random: Random;
}

const batchSize = 32;
/** Adam's own defaults (Kingma and Ba, 2015). */
const [beta1, beta2, epsilon] = [0.9, 0.999, 1e-8];
/** Gradients are cut here, so that one wild row cannot throw the network off. */
const steepest = 1;

/** Trains a network of dense layers to give back what goes in, by least squares. Deterministic for a seed. */
export function trainNetwork(
  rows: readonly Float64Array[],
  widths: readonly number[],
  { epochs, learningRate, random }: NetworkOptions,
): readonly Layer[] {
  const layers = widths.slice(1).map((outputs, l) => {
    const inputs = widths[l] ?? 1;
    // Glorot and Bengio, 2010: what goes through keeps its spread.
    const edge = Math.sqrt(6 / (inputs + outputs));
    const weights = Float64Array.from({ length: inputs * outputs }, () => random.between(-edge, edge));
    return { inputs, outputs, weights, bias: new Float64Array(outputs), tanh: l < widths.length - 2 };
  });
  const steps = layers.map((layer) => ({
    weights: adam(layer.weights, learningRate),
    bias: adam(layer.bias, learningRate),
  }));
  const gradients = layers.map((layer) => ({
    weights: new Float64Array(layer.weights.length),
    bias: new Float64Array(layer.outputs),
  }));
  const order = rows.map((_, i) => i);
  for (let epoch = 0; epoch < epochs; epoch++) {
    for (let i = order.length - 1; i > 0; i--) {
      const j = random.below(i + 1);
      [order[i], order[j]] = [order[j] ?? 0, order[i] ?? 0];
    }
    for (let start = 0; start < order.length; start += batchSize) {
      const batch = order.slice(start, start + batchSize);
      for (const one of gradients) {
        one.weights.fill(0);
        one.bias.fill(0);
      }
      for (const at of batch) addGradient(layers, rows[at] ?? new Float64Array(), gradients);
      layers.forEach((_, l) => {
        steps[l]?.weights(gradients[l]?.weights ?? new Float64Array(), batch.length);
        steps[l]?.bias(gradients[l]?.bias ?? new Float64Array(), batch.length);
      });
    }
  }
  return layers.map((layer) => ({
    ...layer,
    weights: layer.weights.map(Math.fround),
    bias: layer.bias.map(Math.fround),
  }));
}

/** Adds one row's gradient of ½·mean (out − in)² to `gradients`. */
function addGradient(
  layers: readonly Layer[],
  row: Float64Array,
  gradients: readonly { readonly weights: Float64Array; readonly bias: Float64Array }[],
): void {
  const seen: Float64Array[] = [row];
  for (const { inputs, outputs, weights, bias, tanh } of layers) {
    const values = seen.at(-1) ?? row;
    const out = Float64Array.from(bias);
    for (let i = 0; i < inputs; i++) {
      const value = values[i]!;
      for (let o = 0; o < outputs; o++) out[o]! += value * weights[i * outputs + o]!;
    }
    if (tanh) for (let o = 0; o < outputs; o++) out[o] = Math.tanh(out[o]!);
    seen.push(out);
  }
  let slope = (seen.at(-1) ?? row).map((value, i) =>
    Math.min(steepest, Math.max(-steepest, (value - row[i]!) / row.length)),
  );
  for (let l = layers.length - 1; l >= 0; l--) {
    const { inputs, outputs, weights, tanh } = layers[l]!;
    const [before, after] = [seen[l]!, seen[l + 1]!];
    if (tanh) for (let o = 0; o < outputs; o++) slope[o]! *= 1 - after[o]! ** 2;
    const { weights: ofWeights, bias: ofBias } = gradients[l]!;
    const next = new Float64Array(inputs);
    for (let i = 0; i < inputs; i++) {
      const value = before[i]!;
      let sum = 0;
      for (let o = 0; o < outputs; o++) {
        ofWeights[i * outputs + o]! += value * slope[o]!;
        sum += weights[i * outputs + o]! * slope[o]!;
      }
      next[i] = sum;
    }
    for (let o = 0; o < outputs; o++) ofBias[o]! += slope[o]!;
    slope = next;
  }
}

/** Returns a function that takes one step along a summed gradient over `count` rows. */
function adam(values: Float64Array, rate: number): (gradient: Float64Array, count: number) => void {
  const first = new Float64Array(values.length);
  const second = new Float64Array(values.length);
  let taken = 0;
  return (gradient, count) => {
    taken++;
    const [bias1, bias2] = [1 - beta1 ** taken, 1 - beta2 ** taken];
    for (let i = 0; i < values.length; i++) {
      const slope = gradient[i]! / count;
      first[i] = beta1 * first[i]! + (1 - beta1) * slope;
      second[i] = beta2 * second[i]! + (1 - beta2) * slope * slope;
      values[i]! -= (rate * (first[i]! / bias1)) / (Math.sqrt(second[i]! / bias2) + epsilon);
    }
  };
}
