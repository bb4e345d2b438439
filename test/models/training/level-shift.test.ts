import { describe, expect, it } from 'vitest';
import { Random } from '../../../agent/base/random.ts';
import { settingsOf } from '../../../models/training/kind.ts';
import { levelShift } from '../../../models/training/level-shift.ts';
import { trainFromRows } from '../../../models/training/train.ts';

const inputs = ['Flow', 'Warmth', 'Shaking'];

interface Made {
  readonly rows?: number;
  /** Added to one channel from a row on. */
  readonly moved?: { readonly channel: number; readonly by: number; readonly from: number; readonly to?: number };
}

/** A steady flow, a warmth that wanders, a vibration. */
function made(seed: string, { rows = 400, moved }: Made = {}): number[][] {
  const random = new Random(seed, 'level-shift');
  let warmth = 60;
  return Array.from({ length: rows }, (_, i) => {
    warmth += 0.05 * random.normal();
    const row = [32 + 0.4 * random.normal(), warmth + 0.05 * random.normal(), 0.03 + 0.0004 * random.normal()];
    if (moved !== undefined && i >= moved.from && i < (moved.to ?? rows)) row[moved.channel]! += moved.by;
    return row;
  });
}

function fitOf(rows: number[][], given: Record<string, number | string> = {}) {
  const settings = settingsOf(levelShift, given);
  if (!settings.ok) throw new Error(settings.error.message);
  const fit = levelShift.fit(rows, settings.value, { random: new Random('test'), inputs, falseAlarmRate: 0.01 });
  if (!fit.ok) throw new Error(fit.error.message);
  return fit.value;
}

const { scorer, heldOut, limit } = fitOf(made('train'));
const windowAt = (rows: readonly number[][], last: number) => rows.slice(last - scorer.windowRows + 1, last + 1).flat();
const scoreAt = (rows: readonly number[][], last: number) => scorer.score(windowAt(rows, last));

describe('level shift: what it sees', () => {
  it('a flow that sinks by 4 % → above the limit within eight rows, the flow named', () => {
    const rows = made('fault', { moved: { channel: 0, by: -1.3, from: 200 } });
    const { value, contributions } = scoreAt(rows, 207);
    expect(value).toBeGreaterThan(limit?.value ?? Number.NaN);
    expect(Math.max(...contributions)).toBe(contributions[0]);
    expect(contributions.reduce((a, b) => a + b, 0)).toBeCloseTo(1, 9);
    expect(scoreAt(rows, 199).value).toBeLessThan(limit?.value ?? 0);
  });

  it('a warmth that goes on wandering for as long as training took → no alarm; one that jumps → seen', () => {
    const calm = made('later', { rows: 800 });
    const own = fitOf(calm.slice(0, 400));
    const above = Array.from({ length: 380 }, (_, i) => own.scorer.score(windowAt(calm, 420 + i - 1)));
    const share = above.filter(({ value }) => value > (own.limit?.value ?? 0)).length / above.length;
    expect(share).toBeLessThan(0.05);
    const jumped = made('train', { moved: { channel: 1, by: 60, from: 200 } });
    expect(scoreAt(jumped, 210).contributions[1]).toBeGreaterThan(0.8);
    expect(scoreAt(jumped, 210).value).toBeGreaterThan(limit?.value ?? 0);
  });

  it('a great fault that ends → good again as soon as a small one', () => {
    const after = [1.5, 1500].map((by) => {
      const rows = made('fault', { moved: { channel: 0, by: -by, from: 100, to: 200 } });
      return Array.from({ length: 40 }, (_, i) => scoreAt(rows, 200 + i).value).findIndex((v) => v < 3.25);
    });
    expect(after[1]).toBeLessThanOrEqual(8);
    expect((after[1] ?? 0) - (after[0] ?? 0)).toBeLessThanOrEqual(5);
  });

  it('one row far off → no alarm by itself', () => {
    const rows = made('spike', { moved: { channel: 0, by: 1e6, from: 200, to: 201 } });
    expect(scoreAt(rows, 204).value).toBeLessThan(limit?.value ?? 0);
  });

  it('a vibration that shakes ten times as much about its level → seen', () => {
    const random = new Random('shake');
    const rows = made('shake').map(([flow = 0, warmth = 0, shaking = 0], i) => [
      flow,
      warmth,
      i < 200 ? shaking : 0.03 + 0.01 * (i % 2 === 0 ? 1 : -1) + 0.0004 * random.normal(),
    ]);
    expect(scoreAt(rows, 230).contributions[2]).toBeGreaterThan(0.8);
    expect(scoreAt(rows, 230).value).toBeGreaterThan(limit?.value ?? 0);
  });
});

describe('level shift: the fit', () => {
  it('held-out windows of healthy rows → at most the wanted share above the limit, which is never below the floor', () => {
    const above = heldOut.filter(({ value }) => value > (limit?.value ?? 0)).length / heldOut.length;
    expect(heldOut.length).toBeGreaterThan(250);
    expect(above).toBeLessThanOrEqual(0.01);
    expect(limit?.value).toBeGreaterThanOrEqual(3.25);
    expect(fitOf(made('train'), { limit: 6 }).limit?.value).toBe(6);
    const asked = fitOf(made('train'), { limit: 0.5 }).limit?.value ?? 0;
    expect(asked).toBeGreaterThan(1.5);
    expect(heldOut.some(({ value }) => value === asked)).toBe(true);
  });

  it('the least change of an input raised → its allowance grows, the others stay', () => {
    const rows = made('fault', { moved: { channel: 0, by: -1.3, from: 200 } });
    const tolerant = fitOf(made('train'), { leastChangeOf: 'Flow 0.05' }).scorer;
    expect(tolerant.score(windowAt(rows, 210)).value).toBeLessThan(limit?.value ?? 0);
    const jumped = made('train', { moved: { channel: 1, by: 60, from: 200 } });
    expect(tolerant.score(windowAt(jumped, 210)).value).toBeCloseTo(scoreAt(jumped, 210).value, 9);
  });

  it('a channel that never moves, training too short, odd settings → left out, or refused in words', () => {
    const frozen = made('train').map(([flow = 0, warmth = 0]) => [flow, warmth, 7]);
    expect(fitOf(frozen).still).toEqual([2]);
    const refused = (rows: number[][], set: Record<string, string | number>) => {
      const trained = trainFromRows(rows, inputs, { name: 'm', kind: 'level-shift', everyMs: 1000, settings: set });
      return trained.ok ? '' : trained.error.message;
    };
    expect(refused(made('train', { rows: 100 }), {})).toMatch(/100 healthy rows; .* need at least 160/);
    expect(refused(made('train'), { levelRows: 30 })).toMatch(/levelRows 30: at most windowRows, 20/);
    const odd = refused(made('train'), { leastChangeOf: 'Flow, Speed 0.1, Warmth 2' });
    expect(odd).toMatch(/"Flow": expected an input and a share/);
    expect(odd).toMatch(/"Speed" is no input; there are Flow, Warmth, Shaking/);
    expect(odd).toMatch(/"Warmth 2": expected/);
  });
});
