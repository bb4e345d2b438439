import { err, ok } from '../../agent/base/result.ts';
import { problem } from '../problem.ts';
import { principalAxes, quadraticDetector } from './quadratic.ts';
import { windowKind } from './window-kind.ts';

type ComponentSettings = { readonly variance: number; readonly statistic: string };

/**
 * Principal components of healthy windows. T² asks how far a window lies along the axes that healthy windows use, Q
 * how far off them: √(T²/k) and √(Q/θ), θ what healthy windows leave over, so that healthy is about 1 in both.
 * `both` is their root mean square, the combined index of Yue and Qin (2001). (Jackson and Mudholkar, 1979.)
 */
export const principalComponents = windowKind<ComponentSettings>({
  name: 'pca',
  does: 'principal components of healthy windows: too far along their axes (T²), off them (Q), or both',
  settings: {
    variance: {
      kind: 'number',
      default: 0.9,
      min: 0.1,
      max: 0.9999,
      means: 'share of the healthy variance that the kept components explain',
    },
    statistic: {
      kind: 'choice',
      default: 'both',
      among: ['t2', 'q', 'both'],
      means: 'T² along the kept components, Q off them, or both in one',
    },
  },
  windows: { windowRows: 12, features: 'mean-spread', scale: 'held-out' },
  recommends: { driftAllowance: 1.4, raise: '45 of 60', clear: '60' },
  fit(z, active, { variance, statistic }) {
    const axes = principalAxes(z, active, 0);
    const total = axes.reduce((sum, axis) => sum + axis.variance, 0);
    let explained = 0;
    let count = 0;
    while (count < axes.length - 1 && explained < variance * total) explained += axes[count++]?.variance ?? 0;
    const kept = axes.slice(0, Math.max(1, count));
    const left = axes.slice(kept.length);
    if (left.length === 0 && statistic !== 't2') {
      return err(problem('option-invalid', 'one feature alone leaves nothing off its axis; set statistic=t2'));
    }
    const leftOver = left.reduce((sum, axis) => sum + axis.variance, 0);
    const half = statistic === 'both' ? Math.SQRT1_2 : 1;
    const along = kept.map((one) => one.axis.map((value) => (half * value) / Math.sqrt(one.variance * kept.length)));
    const off = left.map((one) => one.axis.map((value) => (half * value) / Math.sqrt(leftOver)));
    return ok(
      quadraticDetector(active.length, [...(statistic === 'q' ? [] : along), ...(statistic === 't2' ? [] : off)]),
    );
  },
});
