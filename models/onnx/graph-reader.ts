import protobuf from 'protobufjs/minimal.js';
import type { Result } from '../../agent/base/result.ts';
import { err, ok } from '../../agent/base/result.ts';
import { type ModelProblem, problem } from '../problem.ts';
import type { Dimension, TensorSpec } from './graph-writer.ts';

/** What can be told of an ONNX file without running it. */
export interface GraphShape {
  readonly irVersion: number;
  readonly opset: number;
  readonly inputs: readonly TensorSpec[];
  readonly outputs: readonly TensorSpec[];
}

interface ValueInfo {
  name: string;
  elementType: number;
  shape: Dimension[];
}

interface RawGraph {
  irVersion: number;
  opset: number;
  found: boolean;
  readonly inputs: ValueInfo[];
  readonly outputs: ValueInfo[];
  readonly constants: Set<string>;
}

const float32 = 1;

/**
 * Reads inputs and outputs; only float32 tensors are known here. The caller has bounded the size of `bytes`.
 *
 * Walks the few fields that matter by hand (numbers as in schema.ts): every agent that has a model in its site file
 * does this at start, and the reflecting reader of the writer's schema would cost each of them some ten megabytes.
 */
export function readGraph(bytes: Uint8Array): Result<GraphShape, ModelProblem> {
  const raw: RawGraph = { irVersion: 0, opset: 0, found: false, inputs: [], outputs: [], constants: new Set() };
  try {
    const reader = protobuf.Reader.create(bytes);
    eachField(reader, reader.len, {
      1: () => {
        raw.irVersion = integer(reader);
      },
      7: () => {
        raw.found = true;
        readGraphProto(reader, raw);
      },
      8: () => {
        const [domain, version] = readOpset(reader);
        if (domain === '') raw.opset = version;
      },
    });
  } catch (cause) {
    return err(
      problem('graph-malformed', `not an ONNX file: ${cause instanceof Error ? cause.message : String(cause)}`),
    );
  }
  if (!raw.found) return err(problem('graph-malformed', 'not an ONNX file: it holds no graph'));
  const inputs = raw.inputs.filter(({ name }) => !raw.constants.has(name));
  const odd = [...inputs, ...raw.outputs].find(({ elementType }) => elementType !== float32);
  if (odd !== undefined) {
    return err(
      problem(
        'shape-mismatch',
        `${odd.name || '(unnamed)'} is no float32 tensor (element type ${odd.elementType || 'none'})`,
      ),
    );
  }
  const spec = ({ name, shape }: ValueInfo): TensorSpec => ({ name, shape });
  return ok({ irVersion: raw.irVersion, opset: raw.opset, inputs: inputs.map(spec), outputs: raw.outputs.map(spec) });
}

type Fields = Readonly<Record<number, () => void>>;

/** Calls the field's function with the reader at its value; skips what is not named. */
function eachField(reader: protobuf.Reader, end: number, fields: Fields): void {
  if (end > reader.len) throw new RangeError('a field reaches beyond the end');
  while (reader.pos < end) {
    const tag = reader.uint32();
    const take = fields[tag >>> 3];
    if (take === undefined) reader.skipType(tag & 7);
    else take();
  }
  if (reader.pos !== end) throw new RangeError('a field reaches beyond its message');
}

const nested = (reader: protobuf.Reader, fields: Fields): void => {
  const length = reader.uint32();
  eachField(reader, reader.pos + length, fields);
};

const integer = (reader: protobuf.Reader): number => Number(reader.int64());

function readGraphProto(reader: protobuf.Reader, raw: RawGraph): void {
  nested(reader, {
    5: () => raw.constants.add(readTensorName(reader)),
    11: () => raw.inputs.push(readValueInfo(reader)),
    12: () => raw.outputs.push(readValueInfo(reader)),
  });
}

function readOpset(reader: protobuf.Reader): readonly [domain: string, version: number] {
  let domain = '';
  let version = 0;
  nested(reader, {
    1: () => {
      domain = reader.string();
    },
    2: () => {
      version = integer(reader);
    },
  });
  return [domain, version];
}

function readTensorName(reader: protobuf.Reader): string {
  let name = '';
  nested(reader, {
    8: () => {
      name = reader.string();
    },
  });
  return name;
}

function readValueInfo(reader: protobuf.Reader): ValueInfo {
  const info: ValueInfo = { name: '', elementType: 0, shape: [] };
  const dimension = () => {
    let size: Dimension = '?';
    nested(reader, {
      1: () => {
        size = integer(reader);
      },
      2: () => {
        size = reader.string();
      },
    });
    info.shape.push(size);
  };
  const shape = () => nested(reader, { 1: dimension });
  const tensor = () =>
    nested(reader, {
      1: () => {
        info.elementType = reader.int32();
      },
      2: shape,
    });
  const type = () => nested(reader, { 1: tensor });
  nested(reader, {
    1: () => {
      info.name = reader.string();
    },
    2: type,
  });
  return info;
}

/** `float32[N,12,6]`. */
export const shapeText = (shape: readonly Dimension[]): string => `float32[${shape.join(',')}]`;

/** Whether two shapes agree: sizes must be equal, a free dimension agrees with another free one only. */
export const shapesAgree = (a: readonly Dimension[], b: readonly Dimension[]): boolean =>
  a.length === b.length &&
  a.every((size, i) => {
    const other = b[i];
    return typeof size === 'number' || typeof other === 'number' ? size === other : true;
  });
