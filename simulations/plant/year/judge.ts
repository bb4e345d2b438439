import { type FaultName, faultCatalogue, type MachineName } from '../faults.ts';
import type { Raised } from './alarm-record.ts';
import type { AssetYear } from './hall-year.ts';

/** What became of one fault. Leads in days before failure; 0: not found in time. */
export interface JudgedFault {
  readonly hall: string;
  readonly machine: MachineName;
  readonly fault: FaultName;
  readonly kind: string;
  readonly lifeDays: number;
  readonly modelLeadDays: number;
  readonly thresholdLeadDays: number;
}

export interface YearFigures {
  readonly assets: number;
  readonly faults: readonly JudgedFault[];
  /** By the detectors: faults found before failure. */
  readonly found: number;
  readonly foundByThreshold: number;
  readonly medianLeadDays: number;
  readonly thresholdMedianLeadDays: number;
  /** Median lead over the threshold rule's median lead. */
  readonly leadRatio: number;
  readonly assetMonths: number;
  /** Alarms of detectors that no fault of the asset explains, per month in which a model judged a healthy asset. */
  readonly falsePerAssetMonth: number;
  /** Of these, with a fault at work on another machine of the hall that supplies this one. Counted all the same. */
  readonly falseAlarms: number;
  readonly consequences: number;
  readonly thresholdFalseAlarms: number;
}

/** Whose fault can rightly be felt where. */
const suppliers: Record<MachineName, readonly MachineName[]> = {
  'pump-skid': [],
  press: ['pump-skid', 'compressor', 'conveyor'],
  conveyor: ['press'],
  oven: ['pump-skid', 'conveyor', 'press'],
  compressor: ['press', 'conveyor'],
};

const dayMinutes = 1440;

/**
 * The first alarm that began after the onset counts: one that stood already is a false one that was right by chance, and
 * one that a person dismissed found nothing. An alarm that begins between onset and repair is not false; every other one
 * is, whatever else is wrong in the hall.
 */
export function judgeYear(assets: readonly AssetYear[]): YearFigures {
  const lead = ({ planned }: AssetYear, alarms: readonly Raised[]): number => {
    const first = alarms.find(({ from, dismissed }) => !dismissed && from > planned.onset && from < planned.failure);
    return first === undefined ? 0 : (planned.failure - first.from) / dayMinutes;
  };
  const falseOnes = ({ planned }: AssetYear, alarms: readonly Raised[]): readonly Raised[] =>
    alarms.filter(({ from }) => from <= planned.onset || from > planned.repairedAt);
  const faults = assets.map((asset): JudgedFault => {
    const { fault, onset, failure } = asset.planned;
    return {
      hall: asset.hall,
      machine: asset.machine,
      fault,
      kind: faultCatalogue[fault].kind,
      lifeDays: (failure - onset) / dayMinutes,
      modelLeadDays: lead(asset, asset.model),
      thresholdLeadDays: lead(asset, asset.threshold),
    };
  });
  const explained = (asset: AssetYear, { from }: Raised): boolean =>
    assets.some(
      (other) =>
        other.hall === asset.hall &&
        suppliers[asset.machine].includes(other.machine) &&
        from > other.planned.onset &&
        from <= other.planned.repairedAt,
    );
  const wrong = assets.flatMap((asset) => falseOnes(asset, asset.model).map((alarm) => ({ asset, alarm })));
  const assetMonths = assets.reduce((sum, { healthyMonths }) => sum + healthyMonths, 0);
  const medianLead = median(faults.map(({ modelLeadDays }) => modelLeadDays));
  const thresholdMedian = median(faults.map(({ thresholdLeadDays }) => thresholdLeadDays));
  return {
    assets: assets.length,
    faults,
    found: faults.filter(({ modelLeadDays }) => modelLeadDays > 0).length,
    foundByThreshold: faults.filter(({ thresholdLeadDays }) => thresholdLeadDays > 0).length,
    medianLeadDays: medianLead,
    thresholdMedianLeadDays: thresholdMedian,
    leadRatio: medianLead / Math.max(1e-9, thresholdMedian),
    assetMonths,
    falsePerAssetMonth: wrong.length / assetMonths,
    falseAlarms: wrong.length,
    consequences: wrong.filter(({ asset, alarm }) => explained(asset, alarm)).length,
    thresholdFalseAlarms: assets.reduce((sum, asset) => sum + falseOnes(asset, asset.threshold).length, 0),
  };
}

function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = sorted.length >> 1;
  return sorted.length % 2 === 1 ? sorted[middle]! : ((sorted[middle - 1] ?? 0) + (sorted[middle] ?? 0)) / 2;
}
