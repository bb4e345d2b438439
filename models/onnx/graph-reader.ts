import type { Result } from '../../agent/base/result.ts';
import { err, ok } from '../../agent/base/result.ts';
import { type ModelProblem, problem } from '../problem.ts';
import type { Dimension, TensorSpec } from './graph-writer.ts';
import { elementType, modelProto } from './schema.ts';

/** What can be told of an ONNX file without running it. */
export interface GraphShape {
  readonly irVersion: number;
  readonly opset: number;
  readonly inputs: readonly TensorSpec[];
  readonly outputs: readonly TensorSpec[];
}

interface RawValue {
  name?: string;
  type?: { tensorType?: { elemType?: number; shape?: { dim?: { dimValue?: number; dimParam?: string }[] } } };
}
interface RawModel {
  irVersion?: number;
  opsetImport?: { domain?: string; version?: number }[];
  graph?: { input?: RawValue[]; output?: RawValue[]; initializer?: { name?: string }[] };
}

/** Reads inputs and outputs; only float32 tensors are known here. The caller has bounded the size of `bytes`. */
export function readGraph(bytes: Uint8Array): Result<GraphShape, ModelProblem> {
  let raw: RawModel;
  try {
    raw = modelProto.toObject(modelProto.decode(bytes), { longs: Number, defaults: false }) as RawModel;
  } catch (cause) {
    return err(
      problem('graph-malformed', `not an ONNX file: ${cause instanceof Error ? cause.message : String(cause)}`),
    );
  }
  const graph = raw.graph;
  if (graph === undefined) return err(problem('graph-malformed', 'not an ONNX file: it holds no graph'));
  const constants = new Set((graph.initializer ?? []).map(({ name }) => name));
  const tensors = (values: RawValue[]): TensorSpec[] | string => {
    const specs: TensorSpec[] = [];
    for (const value of values) {
      const tensor = value.type?.tensorType;
      if (tensor?.elemType !== elementType.float32) {
        return `${value.name ?? '?'} is not a float32 tensor (element type ${tensor?.elemType ?? 'none'})`;
      }
      const shape = (tensor.shape?.dim ?? []).map((dim): Dimension => dim.dimValue ?? dim.dimParam ?? '?');
      specs.push({ name: value.name ?? '', shape });
    }
    return specs;
  };
  const inputs = tensors((graph.input ?? []).filter(({ name }) => !constants.has(name)));
  const outputs = tensors(graph.output ?? []);
  if (typeof inputs === 'string') return err(problem('shape-mismatch', inputs));
  if (typeof outputs === 'string') return err(problem('shape-mismatch', outputs));
  return ok({
    irVersion: raw.irVersion ?? 0,
    opset: raw.opsetImport?.find(({ domain }) => (domain ?? '') === '')?.version ?? 0,
    inputs,
    outputs,
  });
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
