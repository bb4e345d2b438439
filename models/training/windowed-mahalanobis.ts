import { ok } from '../../agent/base/result.ts';
import type { Setting } from './kind.ts';
import { principalAxes, quadraticDetector } from './quadratic.ts';
import { windowKind } from './window-kind.ts';

/** How much of the correlation is given up for the identity. */
export const shrinkageSetting = (value: number): Setting => ({
  kind: 'number',
  default: value,
  min: 0,
  max: 1,
  means: 'how much of the correlation is given up for the identity; more is calmer with few rows',
});

/**
 * Distance of a window from healthy windows, in units of their own spread: with z the standardised features and P the
 * inverse of their shrunk correlation, score = √(zᵀ P z / D), D the number of features that count. Healthy is about 1.
 * (Mahalanobis, 1936; on process data, Hotelling's T², 1947.)
 *
 * Few windows that overlap carry little about correlations; a tenth given up keeps the inverse calm and the joint view
 * alive (Ledoit and Wolf, 2004, set it by formula for independent rows, which these are not).
 */
export const windowedMahalanobis = windowKind<{ readonly shrinkage: number }>({
  name: 'windowed-mahalanobis',
  does: 'distance of a window (mean and log-spread of every input) from healthy windows, with their correlations',
  settings: { shrinkage: shrinkageSetting(0.1) },
  windows: { windowRows: 12, features: 'mean-spread', scale: 'held-out' },
  recommends: { driftAllowance: 1.4, raise: '45 of 60', clear: '60' },
  fit(z, active, { shrinkage }) {
    const axes = principalAxes(z, active, shrinkage);
    const count = Math.max(1, axes.length);
    return ok(
      quadraticDetector(
        active.length,
        axes.map(({ variance, axis }) => axis.map((value) => value / Math.sqrt(variance * count))),
      ),
    );
  },
});
