import { modelProto } from '../../models/onnx/schema.ts';

type Attribute = readonly [
  name: string,
  value: number | { readonly floats: number[] } | { readonly ints: number[] } | { readonly text: string },
];
type Size = number | string;

const types = { float32: 1, int64: 7, string: 8, float64: 11 } as const;
type ElementType = keyof typeof types;

const tensor = (type: ElementType, shape: readonly Size[]) => ({
  tensorType: {
    elemType: types[type],
    shape: { dim: shape.map((size) => (typeof size === 'number' ? { dimValue: size } : { dimParam: size })) },
  },
});
const value = (name: string, type: object) => ({ name, type });

function attribute([name, said]: Attribute): object {
  if (typeof said === 'number') return { name, i: said, type: 2 };
  if ('floats' in said) return { name, floats: said.floats, type: 6 };
  if ('ints' in said) return { name, ints: said.ints, type: 7 };
  return { name, s: new TextEncoder().encode(said.text), type: 3 };
}

const node = (
  opType: string,
  input: string[],
  output: string[],
  attributes: readonly Attribute[] = [],
  domain = '',
) => ({ opType, name: `${output[0]}/${opType}`, input, output, attribute: attributes.map(attribute), domain });

function floats(name: string, dims: readonly number[], values: readonly number[]): object {
  return { name, dims, dataType: 1, rawData: new Uint8Array(Float32Array.from(values).buffer) };
}

function graph(parts: {
  name: string;
  producer: string;
  node: object[];
  initializer?: object[];
  input: object[];
  output: object[];
}): Uint8Array {
  const { name, producer, node, initializer = [], input, output } = parts;
  return modelProto
    .encode(
      modelProto.create({
        irVersion: 8,
        producerName: producer,
        opsetImport: [
          { domain: '', version: 17 },
          { domain: 'ai.onnx.ml', version: 3 },
        ],
        graph: { name, node, initializer, input, output },
      }),
    )
    .finish();
}

/**
 * A logistic regression over three inputs in the shape that skl2onnx gives it: one row in, the label as int64, and
 * probabilities as a sequence of maps, because ZipMap is there unless somebody switches it off. "Worn" (label 1) where
 * the first input is above 5.
 */
export function sklearnClassifier(): Uint8Array {
  return graph({
    name: 'LogisticRegression',
    producer: 'skl2onnx',
    node: [
      node(
        'LinearClassifier',
        ['float_input'],
        ['label', 'probability_tensor'],
        [
          ['classlabels_ints', { ints: [0, 1] }],
          ['coefficients', { floats: [-1, 0, 0, 1, 0, 0] }],
          ['intercepts', { floats: [5, -5] }],
          ['multi_class', 1],
          ['post_transform', { text: 'SOFTMAX' }],
        ],
        'ai.onnx.ml',
      ),
      node('Normalizer', ['probability_tensor'], ['probabilities'], [['norm', { text: 'L1' }]], 'ai.onnx.ml'),
      node('Cast', ['label'], ['output_label'], [['to', 7]]),
      node(
        'ZipMap',
        ['probabilities'],
        ['output_probability'],
        [['classlabels_int64s', { ints: [0, 1] }]],
        'ai.onnx.ml',
      ),
    ],
    input: [value('float_input', tensor('float32', ['N', 3]))],
    output: [
      value('output_label', tensor('int64', ['N'])),
      value('output_probability', {
        sequenceType: { elemType: { mapType: { keyType: 7, valueType: tensor('float32', []) } } },
      }),
    ],
  });
}

/**
 * An outlier detector over two double inputs, as skl2onnx writes an isolation forest: a label [N, 1] and a score
 * [N, 1] that is the lower the stranger a row is. Here simply minus the distance from (10, 20).
 */
export function sklearnOutliers(): Uint8Array {
  return graph({
    name: 'OutlierDetector',
    producer: 'skl2onnx',
    node: [
      node('Cast', ['X'], ['x'], [['to', 1]]),
      node('Sub', ['x', 'centre'], ['away']),
      node('Abs', ['away'], ['distances']),
      node('ReduceSum', ['distances', 'axes'], ['distance'], [['keepdims', 1]]),
      node('Neg', ['distance'], ['scores']),
      node('Sign', ['scores'], ['sign']),
      node('Cast', ['sign'], ['label'], [['to', 7]]),
    ],
    initializer: [
      floats('centre', [2], [10, 20]),
      { name: 'axes', dims: [1], dataType: 7, rawData: new Uint8Array(BigInt64Array.of(1n).buffer) },
    ],
    input: [value('X', tensor('float64', ['N', 2]))],
    output: [value('label', tensor('int64', ['N', 1])), value('scores', tensor('float32', ['N', 1]))],
  });
}

/**
 * A small convolution as PyTorch exports it: [batch, inputs, rows] with a free batch, one number out. Its forecast is
 * 100 h less ten times the mean of the first input over the window, plus three classes' logits beside it.
 */
export function torchForecast(rows = 8): Uint8Array {
  return graph({
    name: 'main_graph',
    producer: 'pytorch',
    node: [
      node('Conv', ['input', 'conv.weight', 'conv.bias'], ['features'], [['kernel_shape', { ints: [1] }]]),
      node(
        'ReduceMean',
        ['features'],
        ['pooled'],
        [
          ['axes', { ints: [2] }],
          ['keepdims', 0],
        ],
      ),
      node('Gemm', ['pooled', 'head.weight', 'head.bias'], ['hours'], [['transB', 1]]),
      node('Gemm', ['pooled', 'class.weight', 'class.bias'], ['logits'], [['transB', 1]]),
    ],
    initializer: [
      floats('conv.weight', [1, 2, 1], [1, 0]),
      floats('conv.bias', [1], [0]),
      floats('head.weight', [1, 1], [-10]),
      floats('head.bias', [1], [100]),
      floats('class.weight', [3, 1], [-1, 0, 1]),
      floats('class.bias', [3], [3, 1, -5]),
    ],
    input: [value('input', tensor('float32', ['batch', 2, rows]))],
    output: [value('hours', tensor('float32', ['batch', 1])), value('logits', tensor('float32', ['batch', 3]))],
  });
}
