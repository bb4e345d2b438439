import type { Random } from '../../agent/base/random.ts';
import { ok } from '../../agent/base/result.ts';
import { windowKind } from './window-kind.ts';

type ForestSettings = { readonly trees: number; readonly sample: number };

/** A tree flat: node i splits `feature[i]` at `threshold[i]` (left when ≤), or is a leaf (`feature[i]` = −1). */
interface Tree {
  readonly feature: number[];
  readonly threshold: number[];
  readonly left: number[];
  readonly right: number[];
  /** Of leaves: depth plus what further splitting of its points would take. */
  readonly length: number[];
  /** Of leaves: per feature, the bits by which its splits narrowed the point down. */
  readonly bits: (ReadonlyMap<number, number> | undefined)[];
}

/**
 * Random cuts isolate a strange window sooner than a healthy one. With h the mean path length over all trees and c(n)
 * what n healthy points take, score = c(n)/h: about 1 when healthy, rarely above 3, because cuts lie within the range
 * seen in training. It rises with the published 2^(−h/c(n)). (Liu, Ting and Zhou, 2008.)
 *
 * The graph is one TreeEnsembleRegressor (ai.onnx.ml): its targets are the path length and each feature's bits.
 */
export const isolationForest = windowKind<ForestSettings>({
  name: 'isolation-forest',
  does: 'how few random cuts isolate a row from healthy ones; needs no scale, sees no small shifts',
  settings: {
    trees: { kind: 'number', default: 100, min: 1, max: 500, whole: true, means: 'more are steadier and slower' },
    sample: {
      kind: 'number',
      default: 256,
      min: 8,
      max: 4096,
      whole: true,
      means: 'healthy windows that one tree sees',
    },
  },
  // Trees want points that are drawn apart; windows that overlap are not. So rows are judged, and scores averaged.
  windows: { windowRows: 1, features: 'mean', smoothRows: 12, scale: 'plain' },
  // Its scores end near 3: a factor that suits distances would put the limit out of their reach.
  recommends: { driftAllowance: 1.1, raise: '45 of 60', clear: '60' },
  fit(z, active, { trees: wanted, sample }, { random }) {
    const features = active.length;
    const usable = active.flatMap((is, i) => (is ? [i] : []));
    const size = Math.min(sample, z.length);
    const points = z.map((vector) => Float32Array.from(vector));
    const trees = Array.from({ length: wanted }, (_, t) =>
      grow(drawn(points, size, random.fork(`sample ${t}`)), usable, random.fork(`tree ${t}`)),
    );
    const typical = Math.max(pathLength(size), 1e-3);
    return ok({
      // A value within rounding of a cut may take the other branch in 32 bits.
      tolerance: 0.02,
      score(vector) {
        const point = Float32Array.from(vector);
        const parts = new Float64Array(features);
        let total = 0;
        for (const tree of trees) {
          const leaf = leafOf(tree, point);
          total += tree.length[leaf] ?? 0;
          for (const [feature, bits] of tree.bits[leaf] ?? []) parts[feature] = (parts[feature] ?? 0) + bits;
        }
        return { value: typical / Math.max(total / trees.length, 1e-3), parts };
      },
      draw(graph, vectors) {
        const out = graph.node(
          'TreeEnsembleRegressor',
          [vectors],
          'forest',
          forestAttributes(trees, features),
          'ai.onnx.ml',
        );
        const column = (name: string, from: number, to: number) =>
          graph.node(
            'Slice',
            [
              out,
              graph.integers(`${name}_from`, [from]),
              graph.integers(`${name}_to`, [to]),
              graph.integers(`${name}_axis`, [1]),
            ],
            name,
          );
        const total = graph.node(
          'Reshape',
          [column('total_wide', 0, 1), graph.integers('total_shape', [-1])],
          'total_length',
        );
        const mean = graph.node('Div', [total, graph.floats('trees', [], [trees.length])], 'mean_length');
        const least = graph.node('Max', [mean, graph.floats('least_length', [], [1e-3])], 'length_above_zero');
        const score = graph.node('Div', [graph.floats('typical', [], [typical]), least], 'inverse_length');
        return { score, parts: column('bits', 1, features + 1) };
      },
    });
  },
});

/** c(n): mean path length of an unsuccessful search in a binary search tree of n points. */
function pathLength(n: number): number {
  if (n <= 1) return 0;
  if (n === 2) return 1;
  return 2 * (Math.log(n - 1) + 0.5772156649) - (2 * (n - 1)) / n;
}

function drawn(points: readonly Float32Array[], size: number, random: Random): Float32Array[] {
  const order = points.map((_, i) => i);
  for (let i = 0; i < size; i++) {
    const j = i + random.below(order.length - i);
    [order[i], order[j]] = [order[j] ?? 0, order[i] ?? 0];
  }
  return order.slice(0, size).map((i) => points[i] ?? new Float32Array());
}

function grow(points: readonly Float32Array[], usable: readonly number[], random: Random): Tree {
  const tree: Tree = { feature: [], threshold: [], left: [], right: [], length: [], bits: [] };
  const deepest = Math.ceil(Math.log2(Math.max(2, points.length)));
  const add = (members: readonly Float32Array[], depth: number, bits: ReadonlyMap<number, number>): number => {
    const node = tree.feature.length;
    tree.feature.push(-1);
    tree.threshold.push(0);
    tree.left.push(0);
    tree.right.push(0);
    tree.length.push(0);
    tree.bits.push(undefined);
    const cut = depth < deepest && members.length > 1 ? cutOf(members, usable, random) : undefined;
    if (cut === undefined) {
      tree.length[node] = Math.fround(depth + pathLength(members.length));
      tree.bits[node] = bits;
      return node;
    }
    const { feature, threshold } = cut;
    tree.feature[node] = feature;
    tree.threshold[node] = threshold;
    const [low, high] = [true, false].map((left) =>
      members.filter((point) => (point[feature] ?? 0) <= threshold === left),
    ) as [Float32Array[], Float32Array[]];
    const gained = (side: readonly Float32Array[]) =>
      new Map(bits).set(feature, Math.fround((bits.get(feature) ?? 0) + Math.log2(members.length / side.length)));
    tree.left[node] = add(low, depth + 1, gained(low));
    tree.right[node] = add(high, depth + 1, gained(high));
    return node;
  };
  add(points, 0, new Map());
  return tree;
}

/** A feature that varies among the points, and a cut that leaves some on either side; a few tries, then a leaf. */
function cutOf(members: readonly Float32Array[], usable: readonly number[], random: Random) {
  for (let attempt = 0; attempt < 8; attempt++) {
    const feature = usable[random.below(usable.length)] ?? 0;
    let low = Number.POSITIVE_INFINITY;
    let high = Number.NEGATIVE_INFINITY;
    for (const point of members) {
      low = Math.min(low, point[feature] ?? 0);
      high = Math.max(high, point[feature] ?? 0);
    }
    const threshold = Math.fround(random.between(low, high));
    if (low <= threshold && threshold < high) return { feature, threshold };
  }
  return undefined;
}

function leafOf(tree: Tree, point: Float32Array): number {
  let node = 0;
  for (let feature = tree.feature[0] ?? -1; feature >= 0; feature = tree.feature[node] ?? -1) {
    node = ((point[feature] ?? 0) <= (tree.threshold[node] ?? 0) ? tree.left : tree.right)[node] ?? 0;
  }
  return node;
}

function forestAttributes(trees: readonly Tree[], features: number) {
  const nodes = trees.flatMap((tree, t) => tree.feature.map((feature, i) => ({ tree, t, i, feature })));
  const branch = (of: 'left' | 'right') => nodes.map(({ tree, i, feature }) => (feature < 0 ? 0 : (tree[of][i] ?? 0)));
  const targets = nodes
    .filter(({ feature }) => feature < 0)
    .flatMap(({ tree, t, i }) => [
      { t, i, target: 0, weight: tree.length[i] ?? 0 },
      ...[...(tree.bits[i] ?? [])].map(([feature, bits]) => ({ t, i, target: feature + 1, weight: bits })),
    ]);
  return {
    n_targets: features + 1,
    aggregate_function: { string: 'SUM' },
    post_transform: { string: 'NONE' },
    nodes_treeids: nodes.map(({ t }) => t),
    nodes_nodeids: nodes.map(({ i }) => i),
    nodes_featureids: nodes.map(({ feature }) => Math.max(0, feature)),
    nodes_modes: { strings: nodes.map(({ feature }) => (feature < 0 ? 'LEAF' : 'BRANCH_LEQ')) },
    nodes_values: { floats: nodes.map(({ tree, i }) => tree.threshold[i] ?? 0) },
    nodes_truenodeids: branch('left'),
    nodes_falsenodeids: branch('right'),
    target_treeids: targets.map(({ t }) => t),
    target_nodeids: targets.map(({ i }) => i),
    target_ids: targets.map(({ target }) => target),
    target_weights: { floats: targets.map(({ weight }) => weight) },
  };
}
