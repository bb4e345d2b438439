import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { SignalWindow, type WindowRow } from '../../../agent/adapters/models/signal-window.ts';
import { instant, wallTime } from '../../../agent/base/time.ts';
import type { Quality, Sample } from '../../../agent/core/health/signal.ts';

const input = (signal: number, change = {}) => ({
  signal,
  acceptUncertain: false,
  freshMs: 3_000,
  everyMs: 1_000,
  ...change,
});
const create = (change = {}) =>
  new SignalWindow({ inputs: [input(0), input(1)], everyMs: 1_000, maxGapMs: 10_000, ...change });
const sample = (
  signal: number,
  source: number,
  value: number,
  receive = source,
  quality: Quality = 'good',
): Sample => ({
  signal,
  value,
  quality,
  sourceTime: wallTime(source),
  receiveTime: instant(receive),
});
const feed = (window: SignalWindow, samples: readonly Sample[]) => {
  const out: WindowRow[] = [];
  for (const one of samples) window.take(one, out);
  return out.map(({ time, values }) => [time, ...values]);
};

describe('signal window', () => {
  it('all inputs with the same stamp → a row at once', () => {
    expect(
      feed(create(), [sample(0, 1_000, 1), sample(1, 1_000, 2), sample(0, 2_000, 3), sample(1, 2_000, 4)]),
    ).toEqual([
      [1_000, 1, 2],
      [2_000, 3, 4],
    ]);
  });

  it('subscription that delivers tag by tag, much faster than time → the same rows, in order', () => {
    const times = Array.from({ length: 20 }, (_, i) => 1_000 * (i + 1));
    const batches = [...times.map((t) => sample(0, t, t, 50)), ...times.map((t) => sample(1, t, -t, 51))];
    expect(feed(create(), batches)).toEqual(times.map((t) => [t, t, -t]));
  });

  it('any order in which tags are interleaved → the same rows', () => {
    const times = Array.from({ length: 12 }, (_, i) => 1_000 * (i + 1));
    const queues = [times.map((t) => sample(0, t, t, 5)), times.map((t) => sample(1, t, -t, 5))];
    fc.assert(
      fc.property(fc.array(fc.nat(1), { minLength: 24, maxLength: 24 }), (turns) => {
        const left = queues.map((queue) => [...queue]);
        const order = turns.map((turn) => left[turn]?.shift() ?? left[1 - turn]?.shift()) as Sample[];
        expect(feed(create(), order)).toEqual(times.map((t) => [t, t, -t]));
      }),
    );
  });

  it('stamps that jitter within half a period → one row', () => {
    expect(
      feed(create(), [sample(0, 1_000, 1), sample(1, 1_180, 2), sample(0, 1_950, 3), sample(1, 2_210, 4)]),
    ).toEqual([
      [1_000, 1, 2],
      [1_950, 3, 4],
    ]);
  });

  it('input that did not change and is told again as alive → keeps its value', () => {
    const window = create();
    const rows = feed(window, [
      sample(0, 1_000, 1),
      sample(1, 1_000, 2),
      sample(1, 1_000, 2, 6_000),
      sample(0, 6_100, 5),
      sample(0, 7_100, 6, 8_000),
    ]);
    // The second row waited 1.5 s for its other input, then took the held value.
    expect(rows).toEqual([
      [1_000, 1, 2],
      [6_100, 5, 2],
    ]);
  });

  it('input that fell silent for longer than it is fresh → rows are left out, not invented', () => {
    const window = create();
    const rows = feed(window, [
      sample(0, 1_000, 1),
      sample(1, 1_000, 2),
      ...[2, 3, 4, 5, 6, 7, 8, 9].map((s) => sample(0, s * 1_000, s)),
    ]);
    expect(rows).toEqual([
      [1_000, 1, 2],
      [2_000, 2, 2],
      [3_000, 3, 2],
      [4_000, 4, 2],
    ]);
    expect(window.counts.skipped).toBeGreaterThan(1);
  });

  it.each([
    ['bad quality', sample(1, 2_000, 2, 2_000, 'bad')],
    ['not a number', sample(1, 2_000, Number.NaN)],
    ['uncertain, which this signal does not accept', sample(1, 2_000, 2, 2_000, 'uncertain')],
  ])('%s → that row is left out, the next good one counts', (_name, spoilt) => {
    const window = create();
    const samples = [
      sample(0, 1_000, 1),
      sample(1, 1_000, 1),
      sample(0, 2_000, 2),
      spoilt,
      sample(0, 3_000, 3),
      sample(1, 3_000, 3),
    ];
    expect(feed(window, samples)).toEqual([
      [1_000, 1, 1],
      [3_000, 3, 3],
    ]);
    expect(window.counts.skipped).toBe(1);
  });

  it('uncertain quality that the signal accepts → counts', () => {
    const window = create({ inputs: [input(0), input(1, { acceptUncertain: true })] });
    expect(feed(window, [sample(0, 1_000, 1), sample(1, 1_000, 2, 1_000, 'uncertain')])).toEqual([[1_000, 1, 2]]);
  });

  it('recording that begins years earlier than the last value → begins afresh', () => {
    const window = create();
    const now = 1_800_000_000_000;
    const old = 1_583_000_000_000;
    const samples = [sample(0, now, 1), sample(1, now, 1)];
    for (let i = 0; i < 10; i++) samples.push(sample(0, old + i * 1_000, i, now), sample(1, old + i * 1_000, i, now));
    const expected = Array.from({ length: 10 }, (_, i) => [old + i * 1_000, i, i]);
    expect(feed(window, samples)).toEqual([[now, 1, 1], ...expected]);
    expect(window.counts.resets).toBe(1);
  });

  it('tags that step back to a recording one after the other → the first batch is lost, nothing after it', () => {
    const window = create();
    const now = 1_800_000_000_000;
    const old = 1_583_000_000_000;
    const batch = (signal: number, from: number) =>
      Array.from({ length: 10 }, (_, i) => sample(signal, old + (from + i) * 1_000, from + i, now));
    const rows = feed(window, [
      ...[sample(0, now, 1), ...batch(0, 0), sample(1, now, 1), ...batch(1, 0)],
      ...[...batch(0, 10), ...batch(1, 10)],
    ]);
    expect(rows).toEqual(Array.from({ length: 10 }, (_, i) => [old + (10 + i) * 1_000, 10 + i, 10 + i]));
    expect(window.counts.resets).toBe(2);
  });

  it('same sample twice, or one that comes after its row → no second row', () => {
    const window = create();
    const twice = [
      sample(0, 1_000, 1),
      sample(1, 1_000, 2),
      sample(0, 1_000, 1),
      sample(1, 1_000, 2),
      sample(0, 1_100, 9),
    ];
    expect(feed(window, twice)).toEqual([[1_000, 1, 2]]);
    expect(window.counts.late).toBe(1);
  });

  it('signals that come ten times as fast as rows → about one row per period', () => {
    const samples = Array.from({ length: 100 }, (_, i) => [sample(0, i * 100, i), sample(1, i * 100, i)]).flat();
    const rows = feed(create({ inputs: [input(0, { everyMs: 100 }), input(1, { everyMs: 100 })] }), samples);
    expect(rows.length).toBeGreaterThanOrEqual(10);
    expect(rows.length).toBeLessThanOrEqual(11);
  });

  it('one input that never says anything → waiting rows stay bounded', () => {
    const window = create({ maxPending: 16, settleMs: 1e9 });
    const rows = feed(
      window,
      Array.from({ length: 1_000 }, (_, i) => sample(0, i * 1_000, i)),
    );
    expect(rows).toEqual([]);
    expect(window.counts.skipped).toBe(1_000 - 16);
  });

  it('one signal at two inputs → both get it', () => {
    expect(feed(create({ inputs: [input(0), input(0)] }), [sample(0, 1_000, 7)])).toEqual([[1_000, 7, 7]]);
  });
});
