import { ok } from '../../agent/base/result.ts';
import { windowKind } from './window-kind.ts';

/**
 * The strangest single feature, in units of its healthy spread: score = max |z|. It knows no correlations, so it needs
 * few rows, is not thrown by a channel that drags others along, and says plainly which channel it is.
 */
export const windowZ = windowKind<Record<never, never>>({
  name: 'window-z',
  does: 'the strangest single mean or log-spread of a window, in units of its healthy spread',
  settings: {},
  windows: { windowRows: 12, features: 'mean-spread', scale: 'held-out' },
  recommends: { driftAllowance: 1.4, raise: '45 of 60', clear: '60' },
  fit: () =>
    ok({
      score(z) {
        const value = z.reduce((most, one) => Math.max(most, Math.abs(one)), 0);
        // Squares, so that the one that made the score has most of the share.
        return { value, parts: z.map((one) => one * one) };
      },
      draw(graph, z) {
        const sizes = graph.node('Abs', [z], 'sizes');
        const score = graph.node('ReduceMax', [sizes], 'largest', { axes: [1], keepdims: 0 });
        return { score, parts: graph.node('Mul', [z, z], 'squares') };
      },
    }),
});
