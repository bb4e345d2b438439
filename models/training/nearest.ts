import { ok } from '../../agent/base/result.ts';
import { windowKind } from './window-kind.ts';

type NearestSettings = { readonly neighbours: number; readonly references: number };

/**
 * Distance to the nearest healthy windows on record: score = the mean distance to the k nearest references, per root
 * of the number of features. It needs no shape of what is healthy: several ways of running may lie far apart.
 * (Ramaswamy, Rastogi and Shim, 2000.)
 */
export const nearestReference = windowKind<NearestSettings>({
  name: 'nearest',
  does: 'distance to the nearest healthy windows on record; for machines with several ways of running',
  settings: {
    neighbours: {
      kind: 'number',
      default: 3,
      min: 1,
      max: 50,
      whole: true,
      means: 'nearest references whose distance is averaged',
    },
    references: {
      kind: 'number',
      default: 256,
      min: 16,
      max: 2048,
      whole: true,
      means: 'healthy windows kept, evenly over the training rows; memory and time grow with it',
    },
  },
  windows: { windowRows: 12, features: 'mean-spread', scale: 'held-out' },
  recommends: { driftAllowance: 1.4, raise: '45 of 60', clear: '60' },
  fit(z, active, { neighbours, references }) {
    const features = active.length;
    const count = Math.min(references, z.length);
    const k = Math.min(neighbours, count);
    const kept = Array.from({ length: count }, (_, i) =>
      Float64Array.from(z[Math.floor((i * z.length) / count)] ?? [], Math.fround),
    );
    const root = Math.sqrt(features);
    return ok({
      score(vector) {
        const distances = kept.map((reference, at) => {
          let sum = 0;
          for (let i = 0; i < features; i++) sum += ((vector[i] ?? 0) - (reference[i] ?? 0)) ** 2;
          return { at, distance: Math.sqrt(sum) };
        });
        distances.sort((a, b) => a.distance - b.distance || a.at - b.at);
        const near = distances.slice(0, k);
        const nearest = kept[near[0]?.at ?? 0];
        return {
          value: near.reduce((sum, { distance }) => sum + distance, 0) / k / root,
          parts: vector.map((value, i) => (value - (nearest?.[i] ?? 0)) ** 2),
        };
      },
      draw(graph, vectors) {
        const all = graph.floats(
          'references',
          [count, features],
          kept.flatMap((reference) => [...reference]),
        );
        const wide = graph.node('Unsqueeze', [vectors, graph.integers('second', [1])], 'wide');
        const away = graph.node('Sub', [wide, all], 'away_from_all');
        const squared = graph.node('Mul', [away, away], 'away_squared');
        const sums = graph.node('ReduceSum', [squared, graph.integers('over_features', [2])], 'sums', { keepdims: 0 });
        const distances = graph.node('Sqrt', [sums], 'distances');
        const [near = '', at = ''] = graph.nodes('TopK', [distances, graph.integers('k', [k])], ['near', 'near_at'], {
          axis: 1,
          largest: 0,
          sorted: 1,
        });
        const mean = graph.node('ReduceMean', [near], 'mean_distance', { axes: [1], keepdims: 0 });
        const score = graph.node('Div', [mean, graph.floats('root', [], [root])], 'distance');
        const first = graph.node(
          'Slice',
          [at, graph.integers('first', [0]), graph.integers('second_at', [1]), graph.integers('of_axis', [1])],
          'nearest_at',
        );
        const flat = graph.node('Reshape', [first, graph.integers('flat_at', [-1])], 'nearest_index');
        const nearest = graph.node('Gather', [all, flat], 'nearest', { axis: 0 });
        const off = graph.node('Sub', [vectors, nearest], 'off');
        return { score, parts: graph.node('Mul', [off, off], 'off_squared') };
      },
    });
  },
});
