import { Random } from '../../../agent/base/random.ts';
import { Compressor } from '../compressor.ts';
import { Conveyor } from '../conveyor.ts';
import { type MachineName, machineNames } from '../faults.ts';
import { Hall } from '../hall.ts';
import type { Machine } from '../machine.ts';
import { Oven } from '../oven.ts';
import { Press } from '../press.ts';
import { PumpSkid } from '../pump-skid.ts';
import type { AlarmRecord, Raised } from './alarm-record.ts';
import { Calendar } from './calendar.ts';
import { levelAt, type PlannedFault, planFaults } from './growth.ts';
import { modelInputs, readHall } from './inputs.ts';
import type { YearParameters } from './parameters.ts';
import { ThresholdRule } from './threshold-rule.ts';

/** One asset's year, as it was and as the two watchers saw it. */
export interface AssetYear {
  readonly hall: string;
  readonly machine: MachineName;
  readonly planned: PlannedFault;
  readonly model: readonly Raised[];
  readonly threshold: readonly Raised[];
  /** Calendar months with a model, without those of the asset's own fault. */
  readonly healthyMonths: number;
  readonly trainings: number;
  /** How often a person went to look. */
  readonly inspections: number;
}

const properties: Record<MachineName, readonly string[]> = {
  'pump-skid': PumpSkid.properties,
  press: Press.properties,
  conveyor: Conveyor.properties,
  oven: Oven.properties,
  compressor: Compressor.properties,
};

/** Who watches one asset by its rows, beside the threshold rule. */
export interface Watch {
  readonly alarm: AlarmRecord;
  /** It has learnt, and judges. */
  readonly judges: boolean;
  readonly trainings: number;
  readonly inspections: number;
  /** One row of the asset's model inputs, minutes of the year; called in order. */
  take(minute: number, row: number[]): Promise<void>;
  /** The asset was overhauled: the same machine, a little different. */
  serviced(minute: number): Promise<void>;
  /** The asset broke down and a new one stands there. */
  replaced(minute: number): Promise<void>;
  stop(): Promise<void>;
}

/** `isIll` says what a person sees who goes there. */
export type OpenWatch = (inputs: readonly string[], isIll: (minute: number) => boolean) => Watch;

/** One hall of five assets through its year, in virtual time. The same seed gives the same year. */
export async function hallYear(
  given: YearParameters,
  seed: string,
  openWatch: OpenWatch,
): Promise<readonly AssetYear[]> {
  const random = new Random(seed, 'year');
  const hall = new Hall(`${seed}/hall`);
  const machines: Record<MachineName, Machine> = {
    'pump-skid': hall.pump,
    press: hall.press,
    conveyor: hall.conveyor,
    oven: hall.oven,
    compressor: hall.compressor,
  };
  const calendar = new Calendar(given, random.fork('calendar'));
  const character = random.fork('traits');
  const plan = planFaults(given, machineNames, random.fork('faults'));
  const assets = machineNames.map((machine, i) => {
    machines[machine].traits.draw(properties[machine], given.traits.made, character);
    const inputs = Object.entries(modelInputs[machine]);
    const names = inputs.map(([name]) => name);
    const rule = new ThresholdRule(given.threshold.limits[machine], given.threshold);
    const planned = plan[i]!;
    return {
      machine,
      planned,
      formulas: inputs.map(([, formula]) => formula),
      rule,
      tags: rule.tags,
      model: openWatch(names, (minute) => minute < planned.failure && levelAt(planned, minute) > given.faults.visible),
      sums: new Float64Array(names.length),
      tagSums: new Float64Array(rule.tags.length),
    };
  });

  const { stepSeconds, rowMinutes, graceMinutes, maintenance } = given;
  const servicedAt = Math.round(random.between(0.6, 1) * maintenance.everyDays);
  const healthy = new Map(machineNames.map((machine) => [machine, 0]));
  let started = 0;
  let summed = 0;
  for (let minute = 0; minute < given.days * 1440; minute++) {
    const now = calendar.minute(minute);
    const day = Math.floor(minute / 1440);
    const service = day >= servicedAt && (day - servicedAt) % maintenance.everyDays === 0;
    const serviced = service && (minute % 1440) / 60 < maintenance.dayHours;
    if (minute % 1440 === 0) {
      const { wanderPerDay, wanderDays } = given.traits;
      for (const machine of machineNames) {
        machines[machine].traits.wander(properties[machine], wanderPerDay, wanderDays, character);
      }
    }
    let allRun = now.running && !serviced;
    for (const asset of assets) {
      const { planned, machine, model } = asset;
      const own = minute > planned.onset && minute <= planned.repairedAt;
      if (model.judges && !own) healthy.set(machine, healthy.get(machine)! + 1);
      const broken = minute >= planned.failure && minute < planned.repairedAt;
      if (broken) allRun = false;
      if (minute > planned.onset && minute < planned.failure) {
        hall.faults.hold(planned.fault, levelAt(planned, minute));
      } else if (minute === planned.failure) {
        hall.faults.set(planned.fault, false);
      }
      const overhauled = minute === planned.repairedAt;
      if (overhauled || (service && minute % 1440 === 0)) {
        machines[machine].traits.draw(properties[machine], given.traits.overhaul, character);
        if (overhauled) await model.replaced(minute);
        else await model.serviced(minute);
      }
    }
    for (const machine of machineNames) machines[machine].state = allRun ? 'running' : 'stopped';
    hall.step(stepSeconds, now);
    if (!allRun) {
      started = minute + 1;
      summed = 0;
      for (const { sums, tagSums } of assets) {
        sums.fill(0);
        tagSums.fill(0);
      }
      continue;
    }
    if (minute - started < graceMinutes) continue;
    const readings = readHall(hall);
    summed++;
    for (const { machine, formulas, sums, tags, tagSums } of assets) {
      for (let i = 0; i < formulas.length; i++) sums[i]! += formulas[i]!(readings);
      for (let i = 0; i < tags.length; i++) tagSums[i]! += readings[machine][tags[i]!]!;
    }
    if (summed < rowMinutes) continue;
    for (const { model, rule, sums, tagSums } of assets) {
      rule.take(
        minute,
        Array.from(tagSums, (sum) => sum / summed),
      );
      await model.take(
        minute,
        Array.from(sums, (sum) => sum / summed),
      );
      sums.fill(0);
      tagSums.fill(0);
    }
    summed = 0;
  }
  for (const { model } of assets) await model.stop();
  return assets.map(({ machine, planned, model, rule }) => ({
    hall: seed,
    machine,
    planned,
    model: model.alarm.raised,
    threshold: rule.alarm.raised,
    healthyMonths: healthy.get(machine)! / (30.4 * 1440),
    trainings: model.trainings,
    inspections: model.inspections,
  }));
}
