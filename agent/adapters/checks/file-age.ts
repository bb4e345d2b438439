import { stat } from 'node:fs/promises';
import type { CheckObservation } from '../../core/health/check.ts';
import { codeOf, judged, measured, notKnown, type ProbeContext, reasonOf } from './probe.ts';

/** A file that is newer than now by more than this was written under another clock. */
const aheadMs = 60_000;

/**
 * Seconds since a file was last changed, by the box's wall clock. A missing file is bad: what should have been written
 * was not. For a folder the last change of its list of names counts.
 */
export async function fileAgeProbe(path: string, _context: ProbeContext): Promise<CheckObservation> {
  let ageMs: number;
  try {
    ageMs = Date.now() - (await stat(path)).mtimeMs;
  } catch (error) {
    if (codeOf(error) === 'ENOENT') return judged('crit', `${path} does not exist`);
    return notKnown(`${path}: ${reasonOf(error)}`);
  }
  if (ageMs < -aheadMs) return notKnown(`${path} is from the future: one of two clocks is wrong`);
  const age = Math.max(0, Math.round(ageMs / 1000));
  return measured(age, 's', 'age', `${path} is ${inWords(age)} old`);
}

function inWords(seconds: number): string {
  if (seconds < 120) return `${seconds} s`;
  if (seconds < 7_200) return `${Math.floor(seconds / 60)} min`;
  if (seconds < 172_800) return `${Math.floor(seconds / 3_600)} h`;
  return `${Math.floor(seconds / 86_400)} days`;
}
