import { readdirSync, statSync } from 'node:fs';
import { join } from 'node:path';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { blockSamples, pack, settled, unpack } from '../../../agent/adapters/recorder/block.ts';
import { excerpt, excerptBytes } from '../../../agent/adapters/recorder/excerpt.ts';
import { openRecording, Recorder } from '../../../agent/adapters/recorder/recorder.ts';
import { Random } from '../../../agent/base/random.ts';
import { temporaryFolder } from '../../support/temporary-folder.ts';

const sizeOf = (dir: string): number => readdirSync(dir).reduce((sum, name) => sum + statSync(join(dir, name)).size, 0);

describe('block', () => {
  it('any samples in order of time → come back bit by bit', () => {
    const sample = fc.record({ step: fc.nat(86_400_000), value: fc.double(), quality: fc.integer({ min: 0, max: 2 }) });
    fc.assert(
      fc.property(fc.nat(2e12), fc.array(sample, { maxLength: blockSamples }), (start, samples) => {
        let time = start;
        const times = samples.map(({ step }) => (time += step));
        const values = samples.map(({ value }) => value);
        const qualities = samples.map(({ quality }) => quality);
        const back = unpack(times[0] ?? 0, samples.length, pack({ times, values, qualities }, samples.length));
        expect(
          back && {
            t: [...Array.from(back.times)],
            v: [...Array.from(back.values)],
            q: [...Array.from(back.qualities)],
          },
        ).toEqual({
          t: times,
          v: values,
          q: qualities,
        });
      }),
      { numRuns: 100 },
    );
  });

  it('samples that wait in memory → read as they will come back from their block', () => {
    const sample = fc.record({
      step: fc.double({ min: -10, max: 9e7, noNaN: true }),
      value: fc.double(),
      quality: fc.integer({ min: 0, max: 2 }),
    });
    fc.assert(
      fc.property(
        fc.double({ min: 0, max: 2e12, noNaN: true }),
        fc.array(sample, { minLength: 1, maxLength: blockSamples }),
        (start, samples) => {
          let time = start;
          const columns = {
            times: samples.map(({ step }) => (time += step)),
            values: samples.map(({ value }) => value),
            qualities: samples.map(({ quality }) => quality),
          };
          const count = samples.length;
          expect(settled(columns, count)).toEqual(unpack(columns.times[0] ?? 0, count, pack(columns, count)));
        },
      ),
      { numRuns: 100 },
    );
  });

  it('garbage from a damaged disk → no block, no throw, no flood', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 400 }), fc.integer({ min: -1, max: 1e9 }), (bytes, count) => {
        const back = unpack(0, count, bytes);
        expect(back === undefined || back.times.length <= blockSamples).toBe(true);
      }),
      { numRuns: 200 },
    );
  });

  it('a tag at 1 Hz → a few bytes a sample', () => {
    const random = new Random(1, 'tag');
    const times = Array.from({ length: blockSamples }, (_, i) => 1.7e12 + i * 1_000);
    const values = times.map(() => Math.round(2_000 + 20 * random.normal()) / 100);
    const bytes = pack({ times, values, qualities: new Uint8Array(blockSamples) }, blockSamples).length;
    expect(bytes / blockSamples).toBeLessThan(9);
  });
});

describe('recorder', () => {
  it('written without end → the files never exceed the bytes that were allowed, the newest samples stay', async () => {
    const dir = await temporaryFolder();
    const bytes = 5 * 1024 * 1024;
    const recorder = new Recorder(dir, { bytes });
    const random = new Random(2, 'noise');
    let largest = 0;
    // Noise of full precision: nothing to compress, eight bytes a sample and more. Some 5 MB are offered.
    for (let second = 0; second < 9_000; second++) {
      const now = 1.7e12 + second * 1_000;
      for (let series = 0; series < 60; series++) recorder.take(`m/s${series}`, now, random.float(), 0, now);
      if (second % 300 !== 0) continue;
      recorder.tick(now);
      largest = Math.max(largest, sizeOf(dir));
    }
    recorder.flush();
    largest = Math.max(largest, sizeOf(dir));
    expect(largest).toBeLessThanOrEqual(bytes);
    expect(largest).toBeGreaterThan(bytes / 2);
    const { oldest = 0, dropped, trouble } = recorder.stats();
    expect(dropped).toBe(0);
    expect(trouble).toBeUndefined();
    expect(oldest).toBeGreaterThan(1.7e12 + 1_000_000);
    const last = recorder.read('m/s7', 0, Number.POSITIVE_INFINITY, 10);
    expect(last.times[9]).toBe(1.7e12 + 8_999_000);
    recorder.close();
  });

  it('five hundred tags that fall due together → written in slices of eight, all of them; a stop between loses none', async () => {
    const dir = await temporaryFolder();
    const recorder = new Recorder(dir);
    const db = openRecording(dir)!;
    const stored = (): number => Number(db.prepare('SELECT count(*) AS n FROM block').get()?.['n']);
    const begin = 1_700_000_000_000;
    for (let i = 0; i < 500; i++) recorder.take(`press/t${i}`, begin, i, 0, begin);
    expect(recorder.tick(begin + 29_000)).toBe(false);
    expect(stored()).toBe(0);
    let rounds = 0;
    for (let second = 30; stored() < 240; second++, rounds++) {
      let more = recorder.tick(begin + second * 1_000);
      for (let before = stored(); more; before = stored()) {
        more = recorder.slice();
        expect(stored() - before).toBeLessThanOrEqual(8);
      }
    }
    // One and a half times what falls due in a second: the rest of them drift apart.
    expect(rounds).toBe(10);
    recorder.tick(begin + 41_000);
    db.close();
    recorder.close();
    const after = openRecording(dir)!;
    expect(after.prepare('SELECT count(DISTINCT series) AS n FROM block').get()?.['n']).toBe(500);
    after.close();
  });

  it('a slow disk → slices of two blocks instead of eight, and every block is written; quick again → eight again', async () => {
    const clock = { now: 0, stepMs: 30 };
    const dir = await temporaryFolder();
    const recorder = new Recorder(dir, {}, () => (clock.now += clock.stepMs));
    const begin = 1_700_000_000_000;
    let sample = 0;
    const round = (): number[] => {
      const at = begin + sample++ * 31_000;
      for (let i = 0; i < 100; i++) recorder.take(`press/t${i}`, at, i, 0, at);
      const sizes: number[] = [];
      // Rounds of a second until all that waited is there.
      for (let second = 31; sizes.reduce((sum, size) => sum + size, 0) < 100 && second < 80; second++) {
        const now = at + second * 1_000;
        const written = () => Number(db.prepare('SELECT count(*) AS n FROM block WHERE at_ms = ?').get(now)?.['n']);
        let before = 0;
        for (let more = true, first = true; more; first = false) {
          more = first ? recorder.tick(now) : recorder.slice();
          const after = written();
          if (after > before) sizes.push(after - before);
          before = after;
        }
      }
      return sizes;
    };
    const db = openRecording(dir)!;
    const slow = round();
    expect(slow.reduce((sum, size) => sum + size, 0)).toBe(100);
    expect(slow.every((size) => size === 2)).toBe(true);
    clock.stepMs = 0.1;
    const quick = round();
    expect(quick.reduce((sum, size) => sum + size, 0)).toBe(100);
    expect(Math.max(...quick)).toBe(8);
    db.close();
    recorder.close();
  });

  it('a log that grows → brought into the file in a slice of its own, before a commit has to; then it begins anew', async () => {
    const dir = await temporaryFolder();
    const recorder = new Recorder(dir, { bytes: 16 * 1024 * 1024 });
    const random = new Random(3, 'log');
    const [file, log] = [join(dir, 'recorder.db'), join(dir, 'recorder.db-wal')];
    let now = 1_700_000_000_000;
    const round = (): void => {
      for (let second = 0; second < 30; second++) {
        now += 1_000;
        for (let i = 0; i < 100; i++) recorder.take(`press/t${i}`, now, random.normal(), 0, now);
      }
      for (let more = recorder.tick(now); more; ) more = recorder.slice();
    };
    // Less than what a commit would bring in by itself.
    const began = statSync(file).size;
    while (statSync(file).size === began) round();
    const whole = statSync(log).size;
    expect(whole).toBeLessThan(384 * 4_200);
    round();
    expect(statSync(log).size).toBeLessThanOrEqual(whole);
    recorder.close();
  });

  it('agent dies without warning → all but the last flush is there in the next life', async () => {
    const dir = await temporaryFolder();
    const first = new Recorder(dir, { flushMs: 5_000 });
    for (let second = 0; second < 60; second++) {
      const now = 1.7e12 + second * 1_000;
      first.take('press/rms', now, second, 0, now);
      first.tick(now);
    }
    // Not closed: what a kill leaves behind.
    const next = new Recorder(dir);
    const { values } = next.read('press/rms', 0, Number.POSITIVE_INFINITY, 1_000);
    expect(values.length).toBeGreaterThanOrEqual(54);
    expect(Array.from(values).slice(0, 3)).toEqual([0, 1, 2]);
    next.close();
  });

  it('old samples → go, whatever the device’s clock says', async () => {
    const recorder = new Recorder(await temporaryFolder(), { ageMs: 60_000, flushMs: 1 });
    recorder.take('a/x', 1_000, 1, 0, 1.7e12);
    recorder.tick(1.7e12 + 10);
    recorder.take('a/y', 1_000, 1, 0, 1.7e12 + 50_000);
    recorder.tick(1.7e12 + 50_010);
    recorder.tick(1.7e12 + 90_000);
    expect(recorder.read('a/x', 0, 1e13, 10).times.length).toBe(0);
    expect(recorder.read('a/y', 0, 1e13, 10).times.length).toBe(1);
    recorder.close();
  });

  it('evidence → has its own share: the oldest goes for the newest, the ring stays', async () => {
    const dir = await temporaryFolder();
    const recorder = new Recorder(dir, { bytes: 8 * 1024 * 1024 });
    recorder.take('a/x', 1_000, 1, 0, 1);
    recorder.flush();
    const data = new Uint8Array(400_000).map((_, i) => (i * 7919) & 255);
    for (let n = 0; n < 30; n++) {
      const row = {
        subject: 's',
        occurrence: `${n}`,
        thing: 'a',
        from: n,
        to: n,
        series: ['a/x'],
        state: 'kept' as const,
      };
      expect(recorder.putEvidence({ ...row, id: `e${n}`, sha256: 'ab', bytes: data.length }, data)).toBe(true);
    }
    const kept = recorder.evidence();
    expect(kept.length * data.length).toBeLessThanOrEqual(0.4 * 8 * 1024 * 1024);
    expect(kept[0]?.id).toBe('e29');
    expect(recorder.evidenceData('e29')).toEqual(data);
    expect(recorder.read('a/x', 0, 1e13, 10).times.length).toBe(1);
    expect(sizeOf(dir)).toBeLessThanOrEqual(8 * 1024 * 1024);
    recorder.close();
  });

  it('more series than allowed → the surplus is counted, the rest recorded', async () => {
    const recorder = new Recorder(await temporaryFolder(), { series: 2 });
    for (const name of ['a', 'b', 'c']) recorder.take(name, 1, 1, 0, 1);
    expect(recorder.stats()).toMatchObject({ series: 2, dropped: 1 });
    recorder.close();
  });
});

describe('excerpt', () => {
  it('whatever was recorded → at most 8 kB, and a spike of one sample is in it', () => {
    const times = Array.from({ length: 7_200 }, (_, i) => i * 100);
    const values = times.map((_, i) => (i === 5_001 ? 99 : Math.sin(i)));
    const columns = { times, values, qualities: new Uint8Array(times.length) };
    const series = Array.from({ length: 24 }, (_, n) => ({
      name: `press-7/signal-with-a-name-${n}`,
      unit: 'mm/s',
      columns,
    }));
    const text = excerpt(series, 0, 720_000);
    expect(Buffer.byteLength(text)).toBeLessThanOrEqual(excerptBytes);
    const { curves } = JSON.parse(text);
    expect(curves.length).toBeGreaterThan(2);
    expect(curves[0].points).toContainEqual([500.1, 99]);
  });
});
