import { describe, expect, test } from 'vitest';
import { Random } from '../../../../agent/base/random.ts';
import { machineNames } from '../../../../simulations/plant/faults.ts';
import { Calendar } from '../../../../simulations/plant/year/calendar.ts';
import { freezeHash, frozen } from '../../../../simulations/plant/year/freeze.ts';
import { levelAt, type PlannedFault, planFaults } from '../../../../simulations/plant/year/growth.ts';
import { type AssetYear, hallYear } from '../../../../simulations/plant/year/hall-year.ts';
import { judgeYear } from '../../../../simulations/plant/year/judge.ts';
import { yearParameters } from '../../../../simulations/plant/year/parameters.ts';
import { ModelWatch } from './model-watch.ts';
import { yearTable } from './readable.ts';

const given = yearParameters();
const day = 1440;

test('parameters, threshold rule, detector and physics → what was frozen before the judged seeds were drawn', () => {
  // A change here is allowed: then the figures are to be judged anew, on seeds that are drawn afterwards.
  expect(freezeHash()).toBe(frozen().sha256);
});

describe('calendar', () => {
  test('a year → summer and winter, all products, and a line that stands for its weekends and changeovers', () => {
    const calendar = new Calendar(given, new Random('calendar'));
    const loads = new Set<number>();
    let [least, most, running] = [Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY, 0];
    for (let minute = 0; minute < 364 * day; minute++) {
      const now = calendar.minute(minute);
      least = Math.min(least, now.air);
      most = Math.max(most, now.air);
      if (now.running) running++;
      loads.add(Math.round(now.load * 10));
    }
    expect(most - least).toBeGreaterThan(15);
    expect(loads.size).toBeGreaterThan(2);
    const planned = (calendar.shift.days / 7) * ((calendar.shift.to - calendar.shift.from) / 24);
    expect(running / (364 * day)).toBeGreaterThan(planned * 0.85);
    expect(running / (364 * day)).toBeLessThan(planned);
  });
});

describe('faults that grow', () => {
  test('every plan → each machine fails once, by a fault of its own, after the learning and before the end', () => {
    for (let seed = 0; seed < 200; seed++) {
      const plan = planFaults(given, machineNames, new Random(seed, 'plan'));
      expect(plan.map(({ machine }) => machine)).toEqual([...machineNames]);
      for (const { onset, failure, repairedAt } of plan) {
        expect(onset).toBeGreaterThanOrEqual(given.detector.learnDays * day);
        expect(failure).toBeGreaterThan(onset);
        expect(repairedAt).toBeLessThan(given.days * day);
      }
    }
  });

  test('level → 0 until the onset, 1 at the failure, and most of it late', () => {
    const planned = planFaults(given, machineNames, new Random(1, 'plan'))[0]!;
    expect(levelAt(planned, planned.onset)).toBe(0);
    expect(levelAt(planned, planned.failure)).toBe(1);
    const half = levelAt(planned, (planned.onset + planned.failure) / 2);
    expect(half).toBeGreaterThan(0);
    expect(half).toBeLessThan(0.35);
  });
});

describe('judge', () => {
  const planned: PlannedFault = {
    fault: 'press-bearing-wear',
    machine: 'press',
    onset: 100 * day,
    failure: 140 * day,
    repairedAt: 142 * day,
    growth: 4,
  };
  const asset = (from: readonly number[], threshold: readonly number[], dismissed = false): AssetYear => ({
    hall: 'a',
    machine: 'press',
    planned,
    model: from.map((at) => ({ from: at * day, to: undefined, dismissed })),
    threshold: threshold.map((at) => ({ from: at * day, to: undefined, dismissed: false })),
    healthyMonths: 10,
    trainings: 1,
    inspections: 0,
  });

  test('the first alarm between onset and failure → the lead; alarms of a healthy machine → false', () => {
    const figures = judgeYear([asset([50, 120, 130], [134])]);
    expect(figures).toMatchObject({ found: 1, medianLeadDays: 20, thresholdMedianLeadDays: 6, falseAlarms: 1 });
    expect(figures.falsePerAssetMonth).toBeCloseTo(0.1);
    expect(figures.leadRatio).toBeCloseTo(20 / 6);
    expect(yearTable(figures, 1)).toContain('press-bearing-wear');
  });

  test.each([
    ['an alarm from before the onset', asset([99], [])],
    ['an alarm after the failure', asset([141], [])],
    ['an alarm that a person dismissed', asset([120], [], true)],
    ['no alarm', asset([], [])],
  ])('%s → the fault was not found', (_name, one) => {
    expect(judgeYear([one])).toMatchObject({ found: 0, medianLeadDays: 0 });
  });
});

test('some weeks of a hall with a quick fault → learnt, watched, found', async () => {
  const quick = Object.keys(given.faults.days).map((name) => [name, [8, 10]] as const);
  const weeks = {
    ...given,
    days: 30,
    shifts: [{ name: 'all week', days: 7, from: 0, to: 24 }],
    faults: { ...given.faults, firstDay: 10, days: Object.fromEntries(quick) },
    detector: { ...given.detector, learnDays: 8 },
  };
  const assets = await hallYear(weeks, 'weeks', (inputs, isIll) => new ModelWatch(inputs, weeks, isIll));
  expect(assets).toHaveLength(machineNames.length);
  for (const { trainings, healthyMonths } of assets) {
    expect(trainings).toBeGreaterThan(0);
    expect(healthyMonths).toBeGreaterThan(0);
  }
  expect(judgeYear(assets).found).toBeGreaterThanOrEqual(3);
}, 120_000);
