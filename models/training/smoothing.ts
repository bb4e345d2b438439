import type { GraphWriter } from '../onnx/graph-writer.ts';
import type { Drawn, Scorer } from './kind.ts';

/**
 * Mean of the last `rows` scores of another scorer, within one graph: its window spans W + rows − 1 rows, and every
 * window of W rows in it is scored. What drives the scores shows in the shares: each window's count by its score.
 */
export function smoothed(scorer: Scorer, rows: number): Scorer {
  if (rows <= 1) return scorer;
  const { channels } = scorer;
  const width = scorer.windowRows;
  return {
    windowRows: width + rows - 1,
    channels,
    tolerance: scorer.tolerance,
    score(window) {
      const flat = Float32Array.from(window);
      const shares = new Array<number>(channels).fill(0);
      let total = 0;
      for (let s = 0; s < rows; s++) {
        const { value, contributions } = scorer.score(flat.subarray(s * channels, (s + width) * channels));
        total += value;
        contributions.forEach((share, c) => {
          shares[c] = (shares[c] ?? 0) + value * share;
        });
      }
      const sum = shares.reduce((a, b) => a + b, 0);
      return { value: total / rows, contributions: shares.map((share) => (sum > 0 ? share / sum : 0)) };
    },
    draw: (graph, window) => drawSmoothed(scorer, rows, graph, window),
  };
}

function drawSmoothed(scorer: Scorer, rows: number, graph: GraphWriter, window: string): Drawn {
  const { channels, windowRows: width } = scorer;
  // [N, S, W, C], so that the scores of one window stand side by side.
  const pieces =
    width === 1
      ? window
      : graph.node(
          'Concat',
          Array.from({ length: rows }, (_, s) => {
            const piece = graph.node(
              'Slice',
              [
                window,
                graph.integers(`from${s}`, [s]),
                graph.integers(`to${s}`, [s + width]),
                graph.integers(`axis${s}`, [1]),
              ],
              `piece${s}`,
            );
            return graph.node('Unsqueeze', [piece, graph.integers(`at${s}`, [1])], `piece_wide${s}`);
          }),
          'pieces',
          { axis: 1 },
        );
  const flat = graph.node('Reshape', [pieces, graph.integers('piece_shape', [-1, width, channels])], 'piece_windows');
  const inner = scorer.draw(graph.within('w'), flat);
  const scores = graph.node('Reshape', [inner.score, graph.integers('score_shape', [-1, rows])], 'scores');
  const score = graph.node('ReduceMean', [scores], 'smooth', { axes: [1], keepdims: 0 });
  const shares = graph.node(
    'Reshape',
    [inner.contributions, graph.integers('share_shape', [-1, rows, channels])],
    'all_shares',
  );
  const along = graph.integers('along', [1]);
  const tall = graph.node('Unsqueeze', [scores, graph.integers('last', [2])], 'scores_tall');
  const weighed = graph.node('Mul', [shares, tall], 'weighed');
  const summed = graph.node('ReduceSum', [weighed, along], 'summed', { keepdims: 0 });
  const total = graph.node('ReduceSum', [summed, along], 'total_share', { keepdims: 1 });
  const divisor = graph.node('Max', [total, graph.floats('least', [], [1e-30])], 'share_divisor');
  return { score, contributions: graph.node('Div', [summed, divisor], 'smooth_shares') };
}
