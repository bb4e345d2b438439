import { describe, expect, test } from 'vitest';
import { type FaultName, faultNames } from '../../../simulations/plant/faults.ts';
import { Hall } from '../../../simulations/plant/hall.ts';
import { bearingLimit } from '../../../simulations/plant/register-map.ts';

/** Steps the hall by tenths of a second and reads all machines each time. */
function run(hall: Hall, seconds: number) {
  const rows = [];
  for (let i = 0; i < seconds * 10; i++) {
    hall.step(0.1);
    rows.push({ pump: hall.pump.read(), press: hall.press.read(), conveyor: hall.conveyor.read() });
  }
  return rows;
}
const mean = (numbers: readonly number[]): number => numbers.reduce((sum, n) => sum + n, 0) / numbers.length;

describe('the hall', () => {
  test('same seed → same values; another seed → others', () => {
    const [a, b, c] = [run(new Hall(1), 5), run(new Hall(1), 5), run(new Hall(2), 5)];
    expect(a).toEqual(b);
    expect(a).not.toEqual(c);
  });

  test('an hour of healthy running → the bearing stays in zone A to B, far from the limit, and every value is finite', () => {
    const rows = run(new Hall('health'), 3600);
    const rms = rows.map((row) => row.press['Bearing.RMS']);
    expect(rms.reduce((least, value) => Math.min(least, value))).toBeGreaterThan(1.5);
    expect(rms.reduce((most, value) => Math.max(most, value))).toBeLessThan(4.5);
    const all = rows.flatMap((row) => Object.values(row).flatMap((machine) => Object.values(machine)));
    expect(all.every(Number.isFinite)).toBe(true);
  });

  test('bearing wear → over the limit within 3 s, for good; repaired → healthy again at once', () => {
    const hall = new Hall(1);
    run(hall, 10);
    hall.faults.set('press-bearing-wear', true);
    const worn = run(hall, 20).map((row) => row.press['Bearing.RMS']);
    const first = worn.findIndex((rms) => rms > bearingLimit);
    expect(first).toBeGreaterThan(0);
    expect(first).toBeLessThan(30);
    expect(worn.slice(30).every((rms) => rms > bearingLimit)).toBe(true);
    hall.faults.set('press-bearing-wear', false);
    expect(run(hall, 5).every((row) => row.press['Bearing.RMS'] < 4.5)).toBe(true);
  });

  test.each<[FaultName, (row: ReturnType<typeof run>[number]) => number, 'rises' | 'falls', number]>([
    ['press-oil-leak', (row) => row.press['Oil.Raw'], 'falls', 0.5],
    ['pump-cavitation', (row) => row.pump.Accelerometer1RMS, 'rises', 2],
    ['pump-valve-closed', (row) => row.pump.VolumeFlowRateRMS, 'falls', 0.3],
    ['conveyor-jam', (row) => row.conveyor.speed, 'falls', 0.1],
  ])('fault %s → its sensor %s', (fault, sensor, direction, factor) => {
    const hall = new Hall(4);
    const before = mean(run(hall, 30).map(sensor));
    hall.faults.set(fault, true);
    run(hall, 30);
    const after = mean(run(hall, 30).map(sensor));
    if (direction === 'rises') expect(after).toBeGreaterThan(before * factor);
    else expect(after).toBeLessThan(before * factor);
  });

  test('a stuck sensor → repeats one value, and only that sensor', () => {
    const hall = new Hall(4);
    hall.faults.set('pump-pressure-stuck', true);
    const rows = run(hall, 10).slice(5);
    expect(new Set(rows.map((row) => row.pump.Pressure)).size).toBe(1);
    expect(new Set(rows.map((row) => row.pump.Current)).size).toBeGreaterThan(10);
  });

  test('the machines hang together: no cooling water → hot oil; a standing press → an empty belt', () => {
    const hall = new Hall(1);
    run(hall, 60);
    const oil = hall.press.read()['Oil.In'];
    hall.pump.state = 'stopped';
    run(hall, 300);
    expect(hall.press.read()['Oil.In']).toBeGreaterThan(oil + 10);
    const load = hall.conveyor.read().load;
    hall.press.state = 'estop';
    run(hall, 120);
    expect(hall.press.read()['Bearing.RMS']).toBeLessThan(1);
    expect(hall.conveyor.read().load).toBeLessThan(load / 2);
  });

  test('every fault of the catalogue → can be set and taken back', () => {
    const hall = new Hall(1);
    for (const fault of faultNames) {
      hall.faults.set(fault, true, 0.5);
      run(hall, 12);
      expect(hall.faults.level(fault)).toBe(0.5);
      hall.faults.set(fault, false);
      expect(hall.faults.level(fault)).toBe(0);
    }
  });
});
