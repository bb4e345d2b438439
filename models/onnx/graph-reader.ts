import protobuf from 'protobufjs/minimal.js';
import type { Result } from '../../agent/base/result.ts';
import { err, ok } from '../../agent/base/result.ts';
import { type ModelProblem, problem } from '../problem.ts';
import { dangerOf } from './graph-safety.ts';
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
  /** Which kind of value it is; only tensors have elements and a shape. */
  container: 'tensor' | 'sequence' | 'map' | 'other';
}

/** An input or output as the file tells it, whatever its type. */
export interface ValueFacts {
  readonly name: string;
  /** `float32`, `int64` …; of a sequence or a map its container: those are never fetched. */
  readonly type: string;
  readonly shape: readonly Dimension[];
}

/** The same as `GraphShape`, with types: what graphs of other makers have. */
export interface GraphFacts {
  readonly irVersion: number;
  readonly opset: number;
  readonly inputs: readonly ValueFacts[];
  readonly outputs: readonly ValueFacts[];
}

/** TensorProto.DataType. */
const typeNames: Readonly<Record<number, string>> = {
  1: 'float32',
  2: 'uint8',
  3: 'int8',
  4: 'uint16',
  5: 'int16',
  6: 'int32',
  7: 'int64',
  8: 'string',
  9: 'bool',
  10: 'float16',
  11: 'float64',
  12: 'uint32',
  13: 'uint64',
  16: 'bfloat16',
};

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
  const read = readRaw(bytes);
  if (!read.ok) return read;
  const raw = read.value;
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

/** Inputs and outputs of any type, for graphs that others made; constants listed among the inputs are left out. */
export function readGraphFacts(bytes: Uint8Array): Result<GraphFacts, ModelProblem> {
  const read = readRaw(bytes);
  if (!read.ok) return read;
  const { irVersion, opset, inputs, outputs, constants } = read.value;
  const facts = ({ name, shape, elementType, container }: ValueInfo): ValueFacts => ({
    name,
    type: container === 'tensor' ? (typeNames[elementType] ?? `type ${elementType}`) : container,
    shape,
  });
  return ok({
    irVersion,
    opset,
    inputs: inputs.filter(({ name }) => !constants.has(name)).map(facts),
    outputs: outputs.map(facts),
  });
}

function readRaw(bytes: Uint8Array): Result<RawGraph, ModelProblem> {
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
  const danger = dangerOf(bytes);
  if (danger !== undefined) return err(problem('graph-refused', danger));
  return ok(raw);
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
  const info: ValueInfo = { name: '', elementType: 0, shape: [], container: 'other' };
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
  const tensor = () => {
    info.container = 'tensor';
    nested(reader, {
      1: () => {
        info.elementType = reader.int32();
      },
      2: shape,
    });
  };
  const skipped = (container: 'sequence' | 'map') => () => {
    info.container = container;
    nested(reader, {});
  };
  const type = () => nested(reader, { 1: tensor, 4: skipped('sequence'), 5: skipped('map') });
  nested(reader, {
    1: () => {
      info.name = reader.string();
    },
    2: type,
  });
  return info;
}

/** `float32[N,12,6]`. */
export const shapeText = (shape: readonly Dimension[], type = 'float32'): string => `${type}[${shape.join(',')}]`;

/** Whether two shapes agree: sizes must be equal, a free dimension agrees with another free one only. */
export const shapesAgree = (a: readonly Dimension[], b: readonly Dimension[]): boolean =>
  a.length === b.length &&
  a.every((size, i) => {
    const other = b[i];
    return typeof size === 'number' || typeof other === 'number' ? size === other : true;
  });
