import { describe, expect, it } from 'vitest';
import { RowMaker } from '../../../models/streaming/row-maker.ts';

describe('rows of a stream', () => {
  it('readings of one period → one row with their mean, told by the first reading of the next', () => {
    const rows = new RowMaker(1_000);
    expect(rows.take(10_100, 1)).toEqual({ row: undefined, hole: false });
    expect(rows.take(10_900, 3)).toEqual({ row: undefined, hole: false });
    expect(rows.take(11_000, 9)).toEqual({ row: { time: 11_000, mean: 2 }, hole: false });
  });

  it('a silence of a few periods → no rows for them; of many, or a clock set back → a hole', () => {
    const rows = new RowMaker(1_000);
    rows.take(0, 1);
    expect(rows.take(4_000, 2)).toEqual({ row: { time: 1_000, mean: 1 }, hole: false });
    expect(rows.take(20_000, 3)).toEqual({ row: { time: 5_000, mean: 2 }, hole: true });
    expect(rows.take(3_000, 4)).toEqual({ row: { time: 21_000, mean: 3 }, hole: true });
  });

  it('a reading of a closed period → left out and counted', () => {
    const rows = new RowMaker(1_000);
    rows.take(5_000, 1);
    rows.take(6_000, 2);
    expect(rows.take(5_500, 100)).toEqual({ row: undefined, hole: false });
    expect(rows.late).toBe(1);
    expect(rows.take(7_000, 0).row).toEqual({ time: 7_000, mean: 2 });
  });
});
