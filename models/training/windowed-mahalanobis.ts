import { ok } from '../../agent/base/result.ts';
import { mahalanobisScorer } from '../onnx/mahalanobis-graph.ts';
import { foldsSetting, type Kind, windowRowsSetting } from './kind.ts';
import { fitDefaults, fitMahalanobis } from './mahalanobis.ts';

type MahalanobisSettings = {
  readonly windowRows: number;
  readonly shrinkage: number;
  readonly folds: number;
};

/** See mahalanobis.ts for the formula and the traps that its fit minds. */
export const windowedMahalanobis: Kind<MahalanobisSettings> = {
  name: 'windowed-mahalanobis',
  does: 'distance of a window (mean and log-spread of every input) from healthy windows, with their correlations',
  settings: {
    windowRows: windowRowsSetting(fitDefaults.windowRows),
    shrinkage: {
      kind: 'number',
      default: fitDefaults.shrinkage,
      min: 0.001,
      max: 1,
      means: 'how much of the correlation is given up for the identity; more is calmer with few rows',
    },
    folds: foldsSetting,
  },
  recommends: { driftAllowance: fitDefaults.driftAllowance, raise: '45 of 60', clear: '60' },
  fit(rows, settings) {
    const fit = fitMahalanobis(rows, { ...fitDefaults, ...settings });
    if (!fit.ok) return fit;
    const { detector, heldOut, still } = fit.value;
    return ok({
      scorer: mahalanobisScorer(detector),
      heldOut: heldOut.map((value, i) => ({ row: i + detector.windowRows - 1, value })),
      heldOutHow: `${settings.folds} contiguous parts, a window's width left free on both sides`,
      still,
      spread: detector.scale,
    });
  },
};
