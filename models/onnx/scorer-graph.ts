import type { Scorer } from '../training/kind.ts';
import { GraphWriter } from './graph-writer.ts';

/**
 * A scorer as an ONNX file: `window` float32 [N, W, C] of raw values → `score` float32 [N], `contributions` float32
 * [N, C] (shares, sum 1). Scaling and features are in the graph, so whoever runs it hands in the numbers as the PLC
 * gave them.
 */
export function scorerOnnx(scorer: Scorer, name: string, inputs: readonly string[]): Uint8Array {
  const graph = new GraphWriter();
  const { windowRows, channels } = scorer;
  const drawn = scorer.draw(graph.within('m'), 'window');
  graph.node('Identity', [drawn.score], 'score');
  graph.node('Identity', [drawn.contributions], 'contributions');
  return graph.finish(
    name,
    [{ name: 'window', shape: ['N', windowRows, channels] }],
    [
      { name: 'score', shape: ['N'] },
      { name: 'contributions', shape: ['N', channels] },
    ],
    { inputs: JSON.stringify(inputs) },
  );
}
