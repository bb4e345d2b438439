import type { YearFigures } from '../../../../simulations/plant/year/judge.ts';
import { yearAims } from './simulated-year.ts';

/** The year for people: every fault, then the figures beside what they must be. */
export function yearTable(figures: YearFigures, cpuSeconds: number): string {
  const days = (value: number): string => (value === 0 ? '   never' : `${value.toFixed(1).padStart(6)} d`);
  const lines = [
    `${'fault'.padEnd(26)}${'life'.padStart(8)}${'model'.padStart(12)}${'threshold'.padStart(12)}   lead before failure`,
    ...[...figures.faults]
      .sort((a, b) => (a.fault < b.fault ? -1 : a.fault > b.fault ? 1 : 0))
      .map(
        ({ fault, lifeDays, modelLeadDays, thresholdLeadDays, hall }) =>
          `${fault.padEnd(26)}${days(lifeDays)}${days(modelLeadDays).padStart(12)}${days(thresholdLeadDays).padStart(12)}   hall ${hall}`,
      ),
    '',
    `found before failure     ${figures.found} of ${figures.faults.length} (must: all); by the threshold rule ${figures.foundByThreshold}`,
    `median lead              ${figures.medianLeadDays.toFixed(1)} d; threshold rule ${figures.thresholdMedianLeadDays.toFixed(1)} d: ` +
      `${figures.leadRatio.toFixed(2)} times (must: ${yearAims.leadRatio})`,
    `false alarms             ${figures.falseAlarms} in ${figures.assetMonths.toFixed(0)} asset-months: ${figures.falsePerAssetMonth.toFixed(3)} ` +
      `a month (aim: ${yearAims.falsePerAssetMonth}); ${figures.consequences} of them while a supplying machine was ill`,
    `of the threshold rule    ${figures.thresholdFalseAlarms} false alarms`,
    `cost                     ${cpuSeconds} CPU-seconds`,
  ];
  return `${lines.join('\n')}\n`;
}
