import type { Result } from '../../agent/base/result.ts';
import { err, ok } from '../../agent/base/result.ts';
import { type ModelProblem, problem } from '../problem.ts';

/**
 * The smallest change of each input that means anything, as a share of its level, 0..1: `usual` for all but those that
 * `exceptions` names, e.g. `Vibration 0.02, Flow 0.005`; a semicolon separates as
 * well, for where the comma is taken. Every mistake is told.
 */
export function leastChanges(
  usual: number,
  exceptions: string,
  inputs: readonly string[],
): Result<readonly number[], ModelProblem> {
  const shares = inputs.map(() => usual);
  const wrong: string[] = [];
  for (const text of exceptions.split(/[,;]/).map((part) => part.trim())) {
    if (text === '') continue;
    const [, name = '', written = ''] = /^(\S+)\s+(\S+)$/.exec(text) ?? [];
    const at = inputs.indexOf(name);
    const share = Number(written);
    if (name === '' || !(share >= 0 && share <= 1)) {
      wrong.push(`"${text}": expected an input and a share from 0 to 1, e.g. "${inputs[0] ?? 'Flow'} 0.02"`);
    } else if (at < 0) {
      wrong.push(`"${name}" is no input; there are ${inputs.join(', ')}`);
    } else {
      shares[at] = share;
    }
  }
  return wrong.length > 0 ? err(problem('option-invalid', `leastChangeOf ${wrong.join('; ')}`)) : ok(shares);
}
