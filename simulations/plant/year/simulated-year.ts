import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { machineNames } from '../faults.ts';
import { type AssetYear, hallYear } from './hall-year.ts';
import { judgeYear, type YearFigures } from './judge.ts';
import { yearParameters } from './parameters.ts';

/** Aims of the product; `must` decides the exit code. */
export const yearAims = { leadRatio: 2, falsePerAssetMonth: 1 } as const;

/** A year of `assets` machines (five to a hall) per seed, all figures pooled. `onHall` hears of every hall that is through. */
export async function simulatedYear(
  seeds: readonly number[],
  assets: number,
  onHall: (done: number, of: number) => void = () => {},
): Promise<YearFigures> {
  const given = yearParameters();
  const halls = seeds.flatMap((seed) =>
    Array.from({ length: Math.ceil(assets / machineNames.length) }, (_, hall) => `${seed}/${hall}`),
  );
  const years: AssetYear[] = [];
  for (const [done, seed] of halls.entries()) {
    years.push(...(await hallYear(given, seed)));
    onHall(done + 1, halls.length);
  }
  return judgeYear(years);
}

export const passes = (figures: YearFigures): boolean =>
  figures.found === figures.faults.length && figures.leadRatio >= yearAims.leadRatio;

/** What is frozen: the parameters, the threshold rule in them, and the physics that they are put into. */
export const frozenFiles = [
  'parameters.json',
  'calendar.ts',
  'growth.ts',
  'inputs.ts',
  'hall-year.ts',
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
