import { describe, expect, it } from 'vitest';
import { skab } from '../../../models/evaluation/skab.ts';
import { folderOf, skabLike } from '../../support/benchmark-folders.ts';

const path = 'valve1/0.csv';
const [head = '', ...rows] = skabLike()[path] ?? [];

async function judged(lines: readonly string[], header = head) {
  const opened = await skab.open(await folderOf({ [path]: [header, ...lines] }));
  if (!opened.ok) throw new Error(opened.error.message);
  const told = await opened.value.judge(path);
  if (!told.ok) throw new Error(told.error.message);
  return told.value;
}

describe('skab: one made-up series whose flow sinks from row 440 to 500', () => {
  it('judged → raised within ten rows, cleared within fifteen, quiet otherwise', async () => {
    const anomalous = (await judged(rows)).flatMap(({ anomaly }, i) => (anomaly ? [i] : []));
    expect(anomalous[0]).toBeGreaterThanOrEqual(440);
    expect(anomalous[0]).toBeLessThan(450);
    expect(anomalous.at(-1)).toBeGreaterThanOrEqual(500);
    expect(anomalous.at(-1)).toBeLessThan(515);
    expect(anomalous.length).toBe((anomalous.at(-1) ?? 0) - (anomalous[0] ?? 0) + 1);
  });

  it('fifteen healthy rows before the fault cut out → the fault is judged as before, at its new place', async () => {
    const [whole, moved] = [await judged(rows), await judged([...rows.slice(0, 402), ...rows.slice(417)])];
    expect(moved.slice(425)).toEqual(whole.slice(440));
  });

  it('every third row lost after the training rows → found and cleared still', async () => {
    const kept = rows.flatMap((row, i) => (i < 400 || i % 3 > 0 ? [{ row, i }] : []));
    const told = await judged(kept.map(({ row }) => row));
    const anomalous = told.flatMap(({ anomaly }, at) => (anomaly ? [kept[at]?.i ?? 0] : []));
    expect(anomalous[0]).toBeGreaterThanOrEqual(440);
    expect(anomalous[0]).toBeLessThan(455);
    expect(anomalous.at(-1)).toBeLessThan(525);
  });

  it('accelerometers under other names, a value missing → judged still', async () => {
    const renamed = head.replaceAll('Accelerometer', 'Vibration');
    const gap = rows.map((row, i) => (i === 450 ? row.replace(/;[^;]*/, ';') : row));
    const told = await judged(gap, renamed);
    expect(told[450]?.score).toBe(0);
    expect(told.slice(455, 495).every(({ anomaly }) => anomaly)).toBe(true);
  });
});
