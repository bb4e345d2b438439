import { describe, expect, test } from 'vitest';
import { faultList, listedFaults } from '../../../simulations/plant/fault-list.ts';
import { type FaultName, faultCatalogue, faultKinds, type MachineName } from '../../../simulations/plant/faults.ts';
import { Hall } from '../../../simulations/plant/hall.ts';

const readAll = (hall: Hall): Record<MachineName, Record<string, number>> => ({
  'pump-skid': hall.pump.read(),
  press: hall.press.read(),
  conveyor: hall.conveyor.read(),
  oven: hall.oven.read(),
  compressor: hall.compressor.read(),
});

/** Per signal: how far a hall with this fault reads from its healthy twin, in deviations of the healthy one. */
function shown(fault: FaultName): Map<string, number> {
  const [ill, well] = [new Hall('twins'), new Hall('twins')];
  ill.faults.set(fault, true);
  const { machine } = faultCatalogue[fault];
  const healthy: Record<string, number>[] = [];
  const apart = new Map<string, number>();
  for (let second = 0; second < 900; second++) {
    for (const hall of [ill, well]) hall.step(1);
    if (second < 600) continue;
    const [a, b] = [readAll(ill)[machine], readAll(well)[machine]];
    healthy.push(b);
    for (const [name, value] of Object.entries(b)) {
      apart.set(name, (apart.get(name) ?? 0) + Math.abs((a[name] ?? 0) - value) / 300);
    }
  }
  for (const [name, distance] of apart) {
    const values = healthy.map((row) => row[name] ?? 0);
    const mean = values.reduce((sum, value) => sum + value, 0) / values.length;
    const deviation = Math.sqrt(values.reduce((sum, value) => sum + (value - mean) ** 2, 0) / values.length);
    apart.set(name, distance / Math.max(1e-9, deviation));
  }
  return apart;
}

const counters: readonly string[] = ['Strokes', 'parts'];
const onTheWire: readonly string[] = ['PLC stop', 'late answers', 'wrong byte order'];
const inTheHall = listedFaults().filter(({ kind }) => !onTheWire.includes(kind));

describe('faults', () => {
  test.each(inTheHall.map(({ name, signals }) => [name, signals] as const))(
    '%s → seen in the signals that the ground truth names, and in no other of its machine',
    (name, signals) => {
      const apart = shown(name);
      // Half a deviation, standing for ever, is what a mean over minutes shows clearly.
      for (const signal of signals) expect(apart.get(signal), signal).toBeGreaterThan(0.5);
      const others = [...apart].filter(([signal]) => !signals.includes(signal as never) && !counters.includes(signal));
      for (const [signal, distance] of others) expect(distance, signal).toBeLessThan(0.5);
      expect(Math.max(...signals.map((signal) => apart.get(signal) ?? 0))).toBeGreaterThan(0.9);
    },
  );

  test('a compressor without enough air → the press clamps weaker; no fault of the press', () => {
    const hall = new Hall(1);
    for (let i = 0; i < 120; i++) hall.step(1);
    const before = hall.press.read()['Clamp.Force'];
    hall.faults.set('compressor-air-leak', true);
    for (let i = 0; i < 300; i++) hall.step(1);
    expect(hall.compressor.read()['motor-speed']).toBeGreaterThan(2_900);
    expect(hall.press.read()['Clamp.Force']).toBeLessThan(before * 0.95);
  });

  test('a jammed belt → no blanks: the press turns and presses nothing, and the oven needs less heat', () => {
    const hall = new Hall(1);
    for (let i = 0; i < 600; i++) hall.step(1);
    const duty = hall.oven.read()['Heater.Duty'];
    hall.faults.set('conveyor-jam', true);
    for (let i = 0; i < 5; i++) hall.step(1);
    const strokes = hall.press.strokes;
    for (let i = 0; i < 900; i++) hall.step(1);
    expect(hall.press.strokes - strokes).toBeLessThan(5);
    expect(hall.press.read()['Bearing.RMS']).toBeGreaterThan(1.5);
    expect(hall.oven.read()['Heater.Duty']).toBeLessThan(duty - 10);
  });

  test('steps of a minute → the same place as steps of a tenth of a second', () => {
    const [fine, coarse] = [new Hall('steps'), new Hall('steps')];
    for (let i = 0; i < 36_000; i++) fine.step(0.1, { air: 30, load: 0.8 });
    for (let i = 0; i < 60; i++) coarse.step(60, { air: 30, load: 0.8 });
    const [a, b] = [readAll(fine), readAll(coarse)];
    for (const [machine, readings] of Object.entries(a)) {
      for (const [name, value] of Object.entries(readings)) {
        if (name === 'parts' || name === 'Strokes') continue;
        const other = b[machine as MachineName][name] ?? 0;
        expect(Math.abs(other - value), `${machine} ${name}`).toBeLessThanOrEqual(
          Math.max(0.02, Math.abs(value) * 0.02),
        );
      }
    }
  });
});

describe('list of faults', () => {
  test('every kind that the catalogue knows → stands for at least one fault', () => {
    expect(faultKinds.filter((kind) => !listedFaults().some((fault) => fault.kind === kind))).toEqual([]);
  });

  test('json → parses, with machine, kind and signals; readable → names every fault', () => {
    const { faults } = JSON.parse(faultList(true)) as { faults: Record<string, unknown>[] };
    expect(faults).toHaveLength(listedFaults().length);
    expect(faults.find(({ name }) => name === 'pump-cavitation')).toMatchObject({
      machine: 'pump-skid',
      kind: 'cavitation',
      signals: expect.arrayContaining(['VolumeFlowRateRMS']),
    });
    const text = faultList(false);
    for (const { name } of listedFaults()) expect(text).toContain(name);
  });
});
