import type { Result } from '../../agent/base/result.ts';
import { err, ok } from '../../agent/base/result.ts';
import { type ModelProblem, problem } from '../problem.ts';
import { autoencoder } from './autoencoder.ts';
import { ensembleOf } from './ensemble.ts';
import { isolationForest } from './isolation-forest.ts';
import type { Kind } from './kind.ts';
import { levelShift } from './level-shift.ts';
import { nearestReference } from './nearest.ts';
import { principalComponents } from './principal-components.ts';
import { windowZ } from './window-z.ts';
import { windowedMahalanobis } from './windowed-mahalanobis.ts';

const single: readonly Kind[] = [
  windowedMahalanobis,
  principalComponents,
  windowZ,
  levelShift,
  nearestReference,
  isolationForest,
  autoencoder,
];

/** Every kind that `millwright model train --kind` knows; the first is the default. */
export const kinds: readonly Kind[] = [...single, ensembleOf(single)];

export const defaultKind = windowedMahalanobis.name;

export function kindNamed(name: string): Result<Kind, ModelProblem> {
  const kind = kinds.find((one) => one.name === name);
  if (kind !== undefined) return ok(kind);
  return err(
    problem('option-invalid', `there is no kind "${name}"; there are ${kinds.map((one) => one.name).join(', ')}`),
  );
}
