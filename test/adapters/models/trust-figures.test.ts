import { describe, expect, it } from 'vitest';
import { DriftWatch, type HealthyInput } from '../../../agent/adapters/models/drift-watch.ts';
import { Agreement, Tally } from '../../../agent/adapters/models/tally.ts';
import { Random } from '../../../agent/base/random.ts';
import { deviation, histogram, median } from '../../../models/training/statistics.ts';

const hours = 3_600_000;

describe('false alarms of a model', () => {
  it('windows above that nobody confirms within eight hours → their share, once enough are settled', () => {
    const tally = new Tally();
    let now = 0;
    // A window every ten seconds for a day; each twentieth is above.
    for (let i = 0; i < 8_640; i++) tally.add((now += 10_000), i % 20 === 0, false);
    const { rate, windows } = tally.falseAlarms(now);
    expect(rate).toBeCloseTo(0.05, 3);
    // The last nine hours may still be confirmed.
    expect(windows).toBeGreaterThan(360 * 14);
    expect(windows).toBeLessThan(360 * 17);
    expect(tally.totals).toEqual({ windows: 8_640, above: 432 });
  });

  it('a check of the same thing follows hours later → what the model saw before was right', () => {
    const tally = new Tally();
    let now = 0;
    for (let i = 0; i < 8_640; i++) tally.add((now += 10_000), false, false);
    for (let i = 0; i < 5 * 360; i++) tally.add((now += 10_000), true, false);
    tally.confirm(now);
    for (let i = 0; i < 8_640; i++) tally.add((now += 10_000), false, false);
    expect(tally.falseAlarms(now).rate).toBe(0);
  });

  it('nobody ever confirms → counts against it', () => {
    const tally = new Tally();
    let now = 0;
    for (let i = 0; i < 5 * 360; i++) tally.add((now += 10_000), true, false);
    for (let i = 0; i < 9 * 360; i++) tally.add((now += 10_000), false, false);
    for (let i = 0; i < 2 * 360; i++) tally.add((now += 10_000), false, false);
    expect(tally.falseAlarms(now).rate).toBeGreaterThan(0.6);
  });

  it('too few windows → no rate is told', () => {
    const tally = new Tally();
    for (let i = 0; i < 100; i++) tally.add(i * 60_000, true, false);
    expect(tally.falseAlarms(24 * hours).rate).toBeUndefined();
  });

  it('years of windows → a bounded record that comes back as it was', () => {
    const tally = new Tally();
    for (let i = 0; i < 20_000; i++) tally.add(i * hours, i % 2 === 0, false);
    const state = JSON.parse(JSON.stringify(tally.state()));
    expect(state.stretches.length).toBe(56);
    expect(new Tally(undefined, state).state()).toEqual(tally.state());
  });
});

describe('two models side by side', () => {
  it('same windows in any order → counted once both have spoken', () => {
    const agreement = new Agreement();
    for (const [end, shadow, above] of [
      [1, false, true],
      [2, false, false],
      [1, true, true],
      [2, true, true],
      [3, true, false],
      [3, false, false],
      [4, false, true],
      [4, true, false],
      [5, true, true],
    ] as const) {
      agreement.judge(end, shadow, above);
    }
    expect(agreement.state()).toEqual({ both: 1, neither: 1, onlyIncumbent: 1, onlyShadow: 1 });
    expect(agreement.share).toEqual({ windows: 4, agreement: 0.5 });
  });
});

describe('drift watch', () => {
  const random = new Random(8, 'drift');
  const trained = Array.from({ length: 3_000 }, () => 20 + 2 * random.normal());
  const steps = trained.map((value) => Math.round(value / 4));
  const healthy = (values: number[], name: string, withBins = true): HealthyInput => ({
    name,
    median: median(values),
    deviation: deviation(values),
    ...(withBins ? { histogram: histogram(values) } : {}),
  });
  const options = { periodMs: 86_400_000, rows: 1_000, looks: 2, psi: 0.25, shift: 3 };
  /** Days of rows, one a minute; which days changed the state. */
  const days = (watch: DriftWatch, count: number, row: () => number[], from = 0) => {
    const changed: number[] = [];
    for (let minute = 0; minute <= count * 1_440; minute++) {
      if (watch.take((from * 1_440 + minute) * 60_000, row())) changed.push(Math.round(minute / 1_440));
    }
    return changed;
  };

  it('same population for ten days, also of few values → nothing moved', () => {
    const watch = new DriftWatch([healthy(trained, 'a'), healthy(steps, 'b'), healthy(trained, 'c', false)], options);
    const fresh = () => 20 + 2 * random.normal();
    expect(days(watch, 10, () => [fresh(), Math.round(fresh() / 4), fresh()])).toEqual([]);
    expect(watch.moved).toBe(false);
    expect(watch.last.every(({ psi }) => psi === undefined || psi < 0.1)).toBe(true);
  });

  it('one input by two deviations → said once, after two days, with its name; and gone again', () => {
    const watch = new DriftWatch([healthy(trained, 'a'), healthy(trained, 'b')], options);
    const fresh = () => 20 + 2 * random.normal();
    expect(days(watch, 5, () => [fresh(), fresh() + 4])).toEqual([2]);
    expect(watch.last.map(({ moved }) => moved)).toEqual([false, true]);
    expect(watch.last[1]?.shift).toBeCloseTo(2, 0);
    expect(days(watch, 5, () => [fresh(), fresh()], 6)).toEqual([2]);
    expect(watch.moved).toBe(false);
  });

  it('wider, not higher → the index sees what no mean shows', () => {
    const watch = new DriftWatch([healthy(trained, 'a')], options);
    days(watch, 3, () => [20 + 8 * random.normal()]);
    expect(watch.moved).toBe(true);
    expect(Math.abs(watch.last[0]?.shift ?? 9)).toBeLessThan(0.5);
  });

  it('a thousand times the rows → the record does not grow; another manifest’s record is not taken', () => {
    const watch = new DriftWatch([healthy(trained, 'a')], options);
    for (let i = 0; i < 50_000; i++) watch.take(i * 100, [i % 50]);
    const state = watch.state();
    expect(JSON.stringify(state).length).toBeLessThan(500);
    expect(new DriftWatch([healthy(trained, 'a')], options, state).state()).toEqual(state);
    const other = new DriftWatch([healthy(trained, 'a'), healthy(trained, 'b')], options, state);
    expect(other.state().rows).toBe(0);
  });
});
