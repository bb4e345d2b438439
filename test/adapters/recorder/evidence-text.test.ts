import { createHash } from 'node:crypto';
import { setImmediate as turn } from 'node:timers/promises';
import { gunzipSync, gzipSync } from 'node:zlib';
import { describe, expect, it } from 'vitest';
import { evidenceHead, evidenceTail, packText, seriesText } from '../../../agent/adapters/recorder/evidence-text.ts';
import type { NamedColumns } from '../../../agent/adapters/recorder/excerpt.ts';
import { Portion } from '../../../agent/adapters/recorder/portion.ts';
import { sliceMs, Turns } from '../../../agent/adapters/recorder/turns.ts';
import { Random } from '../../../agent/base/random.ts';

const head = {
  id: 'a-1',
  agent: 'box "7"',
  site: 'hall',
  subject: 'wear.press',
  occurrence: 'b-1',
  thing: 'press',
  from: 1_700_000_000_000,
  to: 1_700_000_720_000,
};

function seriesOf(name: string, unit: string | undefined, count: number): NamedColumns {
  const random = new Random(4, name);
  const odd = [Number.NaN, Number.POSITIVE_INFINITY, -0, 1e-300, 12];
  const values = Float64Array.from({ length: count }, (_, i) => (i % 50 < 5 ? (odd[i % 50] ?? 0) : random.normal()));
  const times = Float64Array.from({ length: count }, (_, i) => head.from + i * 17.5);
  return { name, unit, columns: { times, values, qualities: Uint8Array.from({ length: count }, (_, i) => i % 3) } };
}

function* textOf(series: readonly NamedColumns[]): Generator<string, void> {
  yield evidenceHead(head);
  for (const [i, one] of series.entries()) {
    if (i > 0) yield ',';
    yield* seriesText(one);
  }
  yield evidenceTail;
}

/** The whole in one go, as it was always written. */
const inOneGo = (series: readonly NamedColumns[]): string =>
  JSON.stringify({
    v: 1,
    ...head,
    series: series.map(({ name, unit, columns: { times, values, qualities } }) => ({
      name,
      unit,
      samples: Array.from(times, (time, i) => [time, Number.isFinite(values[i]) ? values[i] : null, qualities[i]]),
    })),
  });

describe('evidence in slices', () => {
  it.each([
    ['no series', []],
    ['a series without samples', [seriesOf('a', 'bar', 0)]],
    ['one sample', [seriesOf('a', undefined, 1)]],
    ['a whole step, and one more', [seriesOf('a', 'bar', 256), seriesOf('b "quoted"', 'µm', 257)]],
    ['forty thousand samples', Array.from({ length: 24 }, (_, i) => seriesOf(`press/s${i}`, 'mm/s', 1_666))],
  ])('%s → byte for byte what one go makes: text, hash and gzip', async (_, series) => {
    const turns = new Turns();
    const packed = await packText(textOf(series), turns, new AbortController().signal);
    const text = inOneGo(series);
    expect(gunzipSync(packed?.data ?? new Uint8Array()).toString('utf8')).toBe(text);
    expect(packed?.sha256).toBe(createHash('sha256').update(text).digest('hex'));
    expect(Buffer.from(packed?.data ?? []).equals(gzipSync(text, { level: 3 }))).toBe(true);
    turns.close();
  });

  it('a step that throws → rejected with it; ended in the middle → undefined, at once', async () => {
    const turns = new Turns();
    function* broken(): Generator<string, void> {
      yield 'something';
      throw new Error('the disk is damaged');
    }
    await expect(packText(broken(), turns, new AbortController().signal)).rejects.toThrow('the disk is damaged');
    function* endless(): Generator<string, void> {
      for (;;) yield 'x'.repeat(10_000);
    }
    const ending = new AbortController();
    const packing = packText(endless(), turns, ending.signal);
    for (let i = 0; i < 5; i++) await turn();
    ending.abort();
    turns.close();
    expect(await packing).toBeUndefined();
    expect(await packText(endless(), turns, ending.signal)).toBeUndefined();
  });
});

describe('turns', () => {
  it('two jobs of many steps → one slice in one turn of the loop, in turn, none longer than its time', async () => {
    const clock = { now: 0 };
    const turns = new Turns(() => clock.now);
    const slices: string[] = [];
    let inTurn = 0;
    let most = 0;
    function* job(name: string): Generator<undefined, string> {
      for (let step = 0; step < 12; step++) {
        clock.now += 1;
        if (step % sliceMs === 0) {
          slices.push(name);
          most = Math.max(most, ++inTurn);
        }
        yield;
      }
      return name;
    }
    let going = true;
    const watch = (async () => {
      while (going) {
        await turn();
        inTurn = 0;
      }
    })();
    const done = await Promise.all([turns.run(job('a')), turns.run(job('b'))]);
    going = false;
    await watch;
    expect(done).toEqual([{ value: 'a' }, { value: 'b' }]);
    expect(slices).toEqual(['a', 'b', 'a', 'b', 'a', 'b']);
    expect(most).toBe(1);
    turns.close();
  });

  it('a slice that a slow disk held for 60 ms → the loop has as long before the next', async () => {
    const clock = { now: 0 };
    const turns = new Turns(() => clock.now);
    await turns.turn(() => (clock.now += 60));
    const began = performance.now();
    await turns.turn(() => {});
    expect(performance.now() - began).toBeGreaterThan(50);
    turns.close();
  });

  it('closed → whoever waits hears it, and so does whoever comes later', async () => {
    const turns = new Turns();
    const waiting = [turns.turn(() => 1), turns.turn(() => 2)];
    turns.close();
    expect(await Promise.all([...waiting, turns.turn(() => 3)])).toEqual([undefined, undefined, undefined]);
  });
});

describe('portion', () => {
  it.each([
    ['quick ones → stays at the most', [[8, 1]], 8],
    ['twice too long → half', [[8, 8]], 4],
    ['far too long → never below the least', [[8, 800]], 2],
    [
      'a rest that was quick → says nothing',
      [
        [8, 8],
        [1, 0.1],
      ],
      4,
    ],
    [
      'just within → stays',
      [
        [8, 8],
        [4, 3],
      ],
      4,
    ],
    [
      'well within → grows again, a quarter at a time',
      [
        [8, 8],
        [4, 1],
        [5, 1],
      ],
      7,
    ],
    ['nothing done → says nothing', [[0, 100]], 8],
  ] as const)('%s', (_, goes, size) => {
    const portion = new Portion({ least: 2, most: 8, aimMs: 4 });
    for (const [n, ms] of goes) portion.took(n, ms);
    expect(portion.size).toBe(size);
  });
});
