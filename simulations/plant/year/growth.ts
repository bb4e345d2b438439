import type { Random } from '../../../agent/base/random.ts';
import { type FaultName, faultCatalogue, type MachineName } from '../faults.ts';
import type { YearParameters } from './parameters.ts';

/** One fault of one asset: from nothing at its onset to failure. Minutes of the year. */
export interface PlannedFault {
  readonly fault: FaultName;
  readonly machine: MachineName;
  readonly onset: number;
  readonly failure: number;
  readonly growth: number;
  readonly repairedAt: number;
}

/** Each asset of a hall fails once, by a fault of its kind, at a time that nobody knows. */
export function planFaults(given: YearParameters, machines: readonly MachineName[], random: Random): PlannedFault[] {
  const { firstDay, growth, days } = given.faults;
  const candidates = Object.keys(days) as FaultName[];
  return machines.map((machine) => {
    const own = candidates.filter((name) => faultCatalogue[name].machine === machine);
    const fault = own[random.below(own.length)]!;
    const life = random.between(...(days[fault] ?? [30, 60]));
    const onset = Math.round(random.between(firstDay, given.days - life - 5) * 1440);
    const failure = onset + Math.round(life * 1440);
    const repairedAt = failure + Math.round(random.between(...given.repairHours) * 60);
    return { fault, machine, onset, failure, repairedAt, growth: random.between(...growth) };
  });
}

/**
 * How far a fault has come, 0..1: (eᵏˣ − 1)/(eᵏ − 1) over the share x of its life. Damage feeds on itself, so most
 * of it comes late; the exponential is the usual model of bearings and cracks (Gebraeel et al., IIE Transactions 37,
 * 2005).
 */
export function levelAt({ onset, failure, growth }: PlannedFault, minute: number): number {
  if (minute <= onset) return 0;
  const share = Math.min(1, (minute - onset) / (failure - onset));
  return Math.expm1(growth * share) / Math.expm1(growth);
}
