import { EigenvalueDecomposition, Matrix } from 'ml-matrix';
import type { VectorDetector } from './window-kind.ts';

/**
 * score = |zA|, with A [F, R]: every distance that is a quadratic form of the features (Mahalanobis, T², Q) is this
 * with its own A. In this form, and not as zᵀPz, nothing large cancels in 32 bits.
 */
export function quadraticDetector(features: number, axes: readonly (readonly number[])[]): VectorDetector {
  const rank = axes.length;
  /** [F][R] flat. */
  const a = new Float64Array(features * rank);
  axes.forEach((axis, r) => {
    for (let i = 0; i < features; i++) a[i * rank + r] = Math.fround(axis[i] ?? 0);
  });
  return {
    score(z) {
      const y = new Float64Array(rank);
      for (let i = 0; i < features; i++) {
        const value = z[i] ?? 0;
        if (value !== 0) for (let r = 0; r < rank; r++) y[r] = (y[r] ?? 0) + value * (a[i * rank + r] ?? 0);
      }
      let total = 0;
      for (const value of y) total += value * value;
      const parts = z.map((value, i) => {
        let pulled = 0;
        for (let r = 0; r < rank; r++) pulled += (a[i * rank + r] ?? 0) * (y[r] ?? 0);
        return value * pulled;
      });
      return { value: Math.sqrt(total), parts };
    },
    draw(graph, z) {
      const matrix = graph.floats('axes', [features, rank], a);
      const y = graph.node('MatMul', [z, matrix], 'along_axes');
      const squares = graph.node('Mul', [y, y], 'squares');
      const total = graph.node('ReduceSum', [squares, graph.integers('over_axes', [1])], 'total', { keepdims: 0 });
      const score = graph.node('Sqrt', [total], 'distance');
      const turned = graph.node('Transpose', [matrix], 'axes_turned', { perm: [1, 0] });
      const pulled = graph.node('MatMul', [y, turned], 'pulled');
      return { score, parts: graph.node('Mul', [z, pulled], 'parts') };
    },
  };
}

/** Principal axes of the features' correlation: variances, largest first, with their axes [F]. */
export interface PrincipalAxis {
  readonly variance: number;
  readonly axis: readonly number[];
}

/**
 * Axes of the correlation between active features, `shrinkage` of it given up for the identity, so that every variance
 * is at least that. Inactive features lie on no axis.
 */
export function principalAxes(
  z: readonly Float64Array[],
  active: readonly boolean[],
  shrinkage: number,
): readonly PrincipalAxis[] {
  const members = active.flatMap((is, i) => (is ? [i] : []));
  const centred = members.map((i) => {
    const values = z.map((vector) => vector[i] ?? 0);
    const middle = values.reduce((a, b) => a + b, 0) / values.length;
    const spread = Math.sqrt(values.reduce((sum, value) => sum + (value - middle) ** 2, 0) / values.length);
    return spread > 1e-9 ? values.map((value) => (value - middle) / spread) : undefined;
  });
  const correlation = Matrix.eye(members.length);
  for (let i = 0; i < members.length; i++) {
    for (let j = 0; j < i; j++) {
      const a = centred[i];
      const b = centred[j];
      if (a === undefined || b === undefined) continue;
      let sum = 0;
      for (let r = 0; r < a.length; r++) sum += (a[r] ?? 0) * (b[r] ?? 0);
      const value = ((1 - shrinkage) * sum) / a.length;
      correlation.set(i, j, value);
      correlation.set(j, i, value);
    }
  }
  const { realEigenvalues, eigenvectorMatrix } = new EigenvalueDecomposition(correlation, { assumeSymmetric: true });
  return realEigenvalues
    .map((variance, r) => {
      const axis = new Array<number>(active.length).fill(0);
      members.forEach((i, at) => {
        axis[i] = eigenvectorMatrix.get(at, r);
      });
      return { variance: Math.max(variance, smallestVariance), axis };
    })
    .sort((a, b) => b.variance - a.variance);
}

/** Below this 32 bits hold no difference between two features. */
const smallestVariance = 1e-6;
