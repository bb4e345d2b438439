import { attributeType, elementType, modelProto } from './schema.ts';

/** A dimension: a fixed size, or a name for a free one. */
export type Dimension = number | string;

export interface TensorSpec {
  readonly name: string;
  readonly shape: readonly Dimension[];
}

/** Collects nodes and constants of one graph, then writes the file. Opset 17, IR version 8. */
export class GraphWriter {
  readonly #nodes: object[] = [];
  readonly #constants: object[] = [];

  /** Adds a float32 constant and returns its name. */
  floats(name: string, shape: readonly number[], values: readonly number[]): string {
    const bytes = new Uint8Array(values.length * 4);
    const view = new DataView(bytes.buffer);
    values.forEach((value, i) => {
      view.setFloat32(i * 4, value, true);
    });
    this.#constants.push({ name, dims: [...shape], dataType: elementType.float32, rawData: bytes });
    return name;
  }

  /** Adds an int64 constant vector and returns its name. */
  integers(name: string, values: readonly number[]): string {
    const bytes = new Uint8Array(values.length * 8);
    const view = new DataView(bytes.buffer);
    values.forEach((value, i) => {
      view.setBigInt64(i * 8, BigInt(value), true);
    });
    this.#constants.push({ name, dims: [values.length], dataType: elementType.int64, rawData: bytes });
    return name;
  }

  /** Adds one operation with one output and returns the output's name. Attributes are integers or lists of them. */
  node(
    opType: string,
    inputs: readonly string[],
    output: string,
    attributes: Readonly<Record<string, number | readonly number[]>> = {},
  ): string {
    this.#nodes.push({
      opType,
      name: `${output}:${opType}`,
      input: [...inputs],
      output: [output],
      attribute: Object.entries(attributes).map(([name, value]) =>
        typeof value === 'number'
          ? { name, i: value, type: attributeType.int }
          : { name, ints: [...value], type: attributeType.ints },
      ),
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
          opsetImport: [{ domain: '', version: 17 }],
          graph: {
            name,
            node: this.#nodes,
            initializer: this.#constants,
            input: inputs.map(info),
            output: outputs.map(info),
          },
          metadataProps: Object.entries(metadata).map(([key, value]) => ({ key, value })),
        }),
      )
      .finish();
  }
}
