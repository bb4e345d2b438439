import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';

/** What is frozen: the parameters, the threshold rule in them, the detector, and the physics. */
export const frozenFiles = [
  'parameters.json',
  'calendar.ts',
  'growth.ts',
  'inputs.ts',
  'hall-year.ts',
  'threshold-rule.ts',
  'alarm-record.ts',
  'judge.ts',
  '../../../test/bench/senses/year/model-watch.ts',
  '../../../models/training/rising.ts',
  '../hall.ts',
  '../machine.ts',
  '../surroundings.ts',
  '../pump-skid.ts',
  '../press.ts',
  '../conveyor.ts',
  '../oven.ts',
  '../compressor.ts',
  '../sensor-faults.ts',
] as const;

/** sha256 over the frozen files, in that order. */
export function freezeHash(): string {
  const hash = createHash('sha256');
  for (const file of frozenFiles)
    hash
      .update(file)
      .update('\0')
      .update(readFileSync(new URL(file, import.meta.url)));
  return hash.digest('hex');
}

/** What was frozen, when, and the seeds that were drawn afterwards. */
export interface Frozen {
  readonly sha256: string;
  readonly at: string;
  readonly judgedSeeds: readonly number[];
}

export const frozen = (): Frozen => JSON.parse(readFileSync(new URL('./frozen.json', import.meta.url), 'utf8'));
