import { machineNames } from '../../../../simulations/plant/faults.ts';
import { type AssetYear, hallYear } from '../../../../simulations/plant/year/hall-year.ts';
import { judgeYear, type YearFigures } from '../../../../simulations/plant/year/judge.ts';
import { yearParameters } from '../../../../simulations/plant/year/parameters.ts';
import { ModelWatch } from './model-watch.ts';

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
    years.push(...(await hallYear(given, seed, (inputs, isIll) => new ModelWatch(inputs, given, isIll))));
    onHall(done + 1, halls.length);
  }
  return judgeYear(years);
}

export const passes = (figures: YearFigures): boolean =>
  figures.found === figures.faults.length && figures.leadRatio >= yearAims.leadRatio;
