import { attributeType, elementType, modelProto } from './schema.ts';

/** A dimension: a fixed size, or a name for a free one. */
export type Dimension = number | string;

export interface TensorSpec {
  readonly name: string;
  readonly shape: readonly Dimension[];
}

/** An attribute's value: a whole number or a list of them; fractions and texts say what they are. */
export type Attribute =
  | number
  | readonly number[]
  | { readonly float: number }
  | { readonly floats: readonly number[] }
  | { readonly string: string }
  | { readonly strings: readonly string[] };

interface Parts {
  readonly nodes: object[];
  readonly constants: object[];
  readonly domains: Set<string>;
}

/** Versions of operator sets that we write in. */
const opsets: Readonly<Record<string, number>> = { '': 17, 'ai.onnx.ml': 3 };

/** Collects nodes and constants of one graph, then writes the file. Opset 17, IR version 8. */
export class GraphWriter {
  readonly #parts: Parts;
  readonly #prefix: string;

  constructor(parts: Parts = { nodes: [], constants: [], domains: new Set(['']) }, prefix = '') {
    this.#parts = parts;
    this.#prefix = prefix;
  }

  /** The same graph, every name given out with `prefix` before it: parts drawn twice do not collide. */
  within(prefix: string): GraphWriter {
    return new GraphWriter(this.#parts, `${this.#prefix}${prefix}.`);
  }

  /** Adds a float32 constant and returns its name. */
  floats(name: string, shape: readonly number[], values: ArrayLike<number>): string {
    const bytes = new Uint8Array(values.length * 4);
    const view = new DataView(bytes.buffer);
    for (let i = 0; i < values.length; i++) view.setFloat32(i * 4, values[i] ?? 0, true);
    return this.#constant(name, shape, elementType.float32, bytes);
  }

  /** Adds an int64 constant vector and returns its name. */
  integers(name: string, values: readonly number[]): string {
    const bytes = new Uint8Array(values.length * 8);
    const view = new DataView(bytes.buffer);
    values.forEach((value, i) => {
      view.setBigInt64(i * 8, BigInt(value), true);
    });
    return this.#constant(name, [values.length], elementType.int64, bytes);
  }

  #constant(name: string, shape: readonly number[], dataType: number, rawData: Uint8Array): string {
    const full = this.#prefix + name;
    this.#parts.constants.push({ name: full, dims: [...shape], dataType, rawData });
    return full;
  }

  /** Adds one operation with one output and returns the output's name. */
  node(
    opType: string,
    inputs: readonly string[],
    output: string,
    attributes: Readonly<Record<string, Attribute>> = {},
    domain = '',
  ): string {
    return this.nodes(opType, inputs, [output], attributes, domain)[0] ?? output;
  }

  /** The same with several outputs. */
  nodes(
    opType: string,
    inputs: readonly string[],
    outputs: readonly string[],
    attributes: Readonly<Record<string, Attribute>> = {},
    domain = '',
  ): readonly string[] {
    const output = outputs.map((name) => this.#prefix + name);
    this.#parts.domains.add(domain);
    this.#parts.nodes.push({
      opType,
      name: `${output[0]}:${opType}`,
      input: [...inputs],
      output,
      ...(domain === '' ? {} : { domain }),
      attribute: Object.entries(attributes).map(([name, value]) => ({ name, ...attributeOf(value) })),
    });
    return output;
  }

  finish(
    name: string,
    inputs: readonly TensorSpec[],
    outputs: readonly TensorSpec[],
    metadata: Readonly<Record<string, string>>,
  ): Uint8Array {
    const info = ({ name, shape }: TensorSpec) => ({
      name,
      type: {
        tensorType: {
          elemType: elementType.float32,
          shape: { dim: shape.map((size) => (typeof size === 'number' ? { dimValue: size } : { dimParam: size })) },
        },
      },
    });
    return modelProto
      .encode(
        modelProto.create({
          irVersion: 8,
          producerName: 'millwright',
          opsetImport: [...this.#parts.domains].map((domain) => ({ domain, version: opsets[domain] ?? 1 })),
          graph: {
            name,
            node: this.#parts.nodes,
            initializer: this.#parts.constants,
            input: inputs.map(info),
            output: outputs.map(info),
          },
          metadataProps: Object.entries(metadata).map(([key, value]) => ({ key, value })),
        }),
      )
      .finish();
  }
}

function attributeOf(value: Attribute): object {
  if (typeof value === 'number') return { i: value, type: attributeType.int };
  if ('float' in value) return { f: value.float, type: attributeType.float };
  if ('floats' in value) return { floats: [...value.floats], type: attributeType.floats };
  if ('string' in value) return { s: bytesOf(value.string), type: attributeType.string };
  if ('strings' in value) return { strings: value.strings.map(bytesOf), type: attributeType.strings };
  return { ints: [...value], type: attributeType.ints };
}

const bytesOf = (text: string): Uint8Array => new TextEncoder().encode(text);
