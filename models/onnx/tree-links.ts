/** Attributes of a TreeEnsemble operator that link its nodes, by name. */
export interface TreeLinks {
  readonly numbers: Map<string, readonly number[]>;
  /** `nodes_modes`: whether each node is a leaf. */
  leaves: readonly boolean[];
}

/** Names of attributes that `treeDanger` needs. */
export const isTreeLink = (name: string): boolean =>
  /^nodes_(treeids|nodeids|truenodeids|falsenodeids|trueleafs|falseleafs)$/.test(name);

const leaf = new TextEncoder().encode('LEAF');

/** Whether a node's mode, as bytes, says that it is a leaf. A forest has a million of them: no text is made. */
export const isLeaf = (mode: Uint8Array): boolean => mode.length === 4 && mode.every((byte, i) => byte === leaf[i]);

/**
 * Whether a row may run in circles in a tree ensemble: then one score never ends. Links to a lower node of the same
 * tree are fine, shared ones too; a way back to a node above is not. Undefined: no circle.
 */
export function treeDanger({ numbers, leaves }: TreeLinks): string | undefined {
  const list = (name: string) => numbers.get(`nodes_${name}`) ?? [];
  const [yes, no] = [list('truenodeids'), list('falsenodeids')];
  const [trees, ids] = [list('treeids'), list('nodeids')];
  const byPosition = ids.length === 0 && trees.length === 0;
  if (no.length !== yes.length || (!byPosition && (ids.length !== yes.length || trees.length !== yes.length))) {
    return `${trees.length} tree ids, ${ids.length} node ids, ${yes.length} and ${no.length} links have to be as many`;
  }
  // Since ai.onnx.ml 5 a link is a position, and says beside it whether that is among the leaves.
  const [yesLeaf, noLeaf] = [list('trueleafs'), list('falseleafs')];
  const at = new Map<string, number>(byPosition ? [] : ids.map((id, i) => [`${trees[i]}/${id}`, i] as const));
  const below = (node: number): (number | undefined)[] =>
    byPosition
      ? [yesLeaf[node] ? undefined : yes[node], noLeaf[node] ? undefined : no[node]]
      : leaves[node] === true
        ? []
        : [at.get(`${trees[node]}/${yes[node]}`), at.get(`${trees[node]}/${no[node]}`)];

  // 0: not seen, 1: above the node at hand, 2: done. Without recursion: a tree may be deeper than the stack.
  const seen = new Uint8Array(yes.length);
  for (let root = 0; root < yes.length; root++) {
    const way: number[] = seen[root] === 0 ? [root] : [];
    while (way.length > 0) {
      const node = way.at(-1) ?? 0;
      if (seen[node] !== 0) {
        seen[node] = 2;
        way.pop();
        continue;
      }
      seen[node] = 1;
      for (const next of below(node)) {
        if (next === undefined || !(next >= 0 && next < yes.length)) continue;
        if (seen[next] === 1) return `a tree runs in a circle at node ${byPosition ? node : ids[node]}`;
        if (seen[next] === 0) way.push(next);
      }
    }
  }
  return undefined;
}
