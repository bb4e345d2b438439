import { execFile } from 'node:child_process';
import { existsSync } from 'node:fs';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { startModel } from '../../../models/catalog.ts';
import { readGraph } from '../../../models/onnx/graph-reader.ts';
import { kinds } from '../../../models/training/kinds.ts';
import { type TrainOptions, trainFromRows } from '../../../models/training/train.ts';
import { windowsOf } from '../../../models/training/window-features.ts';
import { pumpRows } from '../../support/pump-recording.ts';
import { temporaryFolder } from '../../support/temporary-folder.ts';

const inputs = ['Vibration', 'Current', 'VolumeFlow'];
const rows = pumpRows({ rows: 300, seed: 'kinds' });
const [centre, scale] = [
  [0.027, 1.2, 32],
  [0.001, 0.025, 0.05],
];

// The made-up flow sinks by one percent: by default little more than what means nothing to people.
const small = { epochs: 20, trees: 40, leastChange: 0.001 };
/** Every kind as it is, and the ways of cutting features and smoothing that change what is drawn. */
const variants: readonly (readonly [what: string, options: Partial<TrainOptions>])[] = [
  ...kinds.map(({ name, settings }) => {
    const own = Object.entries(small).filter(([knob]) => knob in settings);
    return [name, { kind: name, settings: Object.fromEntries(own) }] as const;
  }),
  ['pca, T² alone', { kind: 'pca', settings: { statistic: 't2' } }],
  ['pca, Q alone, lagged rows', { kind: 'pca', settings: { statistic: 'q', features: 'rows', windowRows: 4 } }],
  ['rows one by one, smoothed', { settings: { windowRows: 1, features: 'mean', smoothRows: 7, scale: 'plain' } }],
  ['spreads alone, smoothed windows', { kind: 'window-z', settings: { features: 'spread', smoothRows: 4 } }],
  [
    'ensemble that agrees, of different windows',
    { kind: 'ensemble', settings: { members: 'window-z(windowRows=6) + pca(smoothRows=3)', combine: 'mean' } },
  ],
];
const trained = new Map(
  variants.map(([what, options]) => [what, trainFromRows(rows, inputs, { name: 'pump', everyMs: 1_000, ...options })]),
);
const modelOf = (what: string) => {
  const result = trained.get(what);
  if (result === undefined || !result.ok) throw new Error(`${what}: ${result?.error.message}`);
  return result.value;
};
const names = variants.map(([what]) => what);

const debianPython = '/usr/bin/python3';
const hasChecker = existsSync('/usr/lib/python3/dist-packages/onnx');
if (!hasChecker) process.stderr.write('skipped: the official ONNX checker needs the Debian package python3-onnx\n');

describe('kinds of model', () => {
  it.each(names)('%s: windows near and far, one or several → ONNX Runtime agrees with the formula', async (what) => {
    const model = modelOf(what);
    const { scorer } = model;
    const started = await startModel('pump', model);
    if (!started.ok) throw new Error(started.error.message);
    const { session } = started.value;
    const cells = scorer.windowRows * 3;
    const spread = fc.oneof(
      fc.double({ min: -3, max: 3, noNaN: true }),
      fc.double({ min: -1e5, max: 1e5, noNaN: true }),
    );
    const window = fc
      .array(spread, { minLength: cells, maxLength: cells })
      .map((values) => values.map((v, i) => (centre?.[i % 3] ?? 0) + v * (scale?.[i % 3] ?? 1)));
    await fc.assert(
      fc.asyncProperty(fc.array(window, { minLength: 1, maxLength: 3 }), async (windows) => {
        const flat = Float32Array.from(windows.flat());
        const { scores, contributions } = await session.run(flat, windows.length);
        expect([scores.length, contributions.length]).toEqual([windows.length, windows.length * 3]);
        windows.forEach((_window, n) => {
          const expected = scorer.score(flat.slice(n * cells, (n + 1) * cells));
          const tolerance = scorer.tolerance ?? 1e-3;
          expect(Math.abs((scores[n] ?? Number.NaN) - expected.value)).toBeLessThanOrEqual(
            1e-4 + tolerance * expected.value,
          );
          expected.contributions.forEach((share, c) => {
            expect(Math.abs((contributions[n * 3 + c] ?? Number.NaN) - share)).toBeLessThan(10 * tolerance);
          });
        });
      }),
      { numRuns: 25 },
    );
    await session.release();
  });

  it.each(names)('%s: fresh healthy rows below the threshold, flow that sinks above it and named', (what) => {
    const { scorer, manifest } = modelOf(what);
    const judge = (options: Parameters<typeof pumpRows>[0]) =>
      [...windowsOf(pumpRows(options), scorer.windowRows)].map((window) => scorer.score(window));
    const { value: threshold } = manifest.threshold;
    const healthy = judge({ rows: 200, seed: 'fresh' });
    expect(healthy.filter(({ value }) => value > threshold).length / healthy.length).toBeLessThan(0.03);
    if (what.startsWith('spreads')) return;
    const faulty = judge({ rows: 60, seed: 'faulty', faultFrom: 10 }).slice(-20);
    expect(faulty.filter(({ value }) => value > threshold).length).toBeGreaterThan(16);
    const shares = faulty.map(({ contributions }) => contributions[2] ?? 0);
    expect(shares.reduce((a, b) => a + b, 0) / shares.length).toBeGreaterThan(0.4);
  });

  it.each(names)('%s: the same rows → the same bytes; shapes, dwell and false-alarm rate in the manifest', (what) => {
    const { onnx, manifest, scorer } = modelOf(what);
    const [, options] = variants.find(([name]) => name === what) ?? [];
    const again = trainFromRows(rows, inputs, { name: 'pump', everyMs: 1_000, ...options });
    expect(again.ok && again.value.manifest.onnx.sha256).toBe(manifest.onnx.sha256);
    expect(readGraph(onnx)).toMatchObject({
      ok: true,
      value: {
        irVersion: 8,
        opset: 17,
        inputs: [{ name: 'window', shape: ['N', scorer.windowRows, 3] }],
        outputs: [
          { name: 'score', shape: ['N'] },
          { name: 'contributions', shape: ['N', 3] },
        ],
      },
    });
    expect(manifest.threshold.method).toMatch(/held-out/);
    expect(manifest.threshold.heldOutWindows).toBeGreaterThan(200);
    expect(manifest.threshold.falseAlarmRate).toBe(0.01);
  });

  it('frozen channel → the spreads of its windows give it away', () => {
    const { scorer, manifest } = modelOf('spreads alone, smoothed windows');
    const frozen = pumpRows({ rows: 60, seed: 'frozen' }).map(([vibration, , flow]) => [
      vibration ?? 0,
      1.2,
      flow ?? 0,
    ]);
    const last = [...windowsOf(frozen, scorer.windowRows)].map((window) => scorer.score(window)).at(-1);
    expect(last?.value).toBeGreaterThan(manifest.threshold.value);
    expect(last?.contributions[1]).toBeGreaterThan(0.8);
  });

  it.skipIf(!hasChecker)(
    'official checker (Debian python3-onnx), full shape inference → no complaint about any',
    async () => {
      const folder = await temporaryFolder();
      const paths = await Promise.all(
        names.map(async (what, i) => {
          const path = join(folder, `${i}.onnx`);
          await writeFile(path, modelOf(what).onnx);
          return path;
        }),
      );
      const program =
        'import onnx,sys\nfor p in sys.argv[1:]: onnx.checker.check_model(onnx.load(p), full_check=True)\nprint("fine")';
      const { stdout } = await promisify(execFile)(debianPython, ['-c', program, ...paths], { timeout: 60_000 });
      expect(stdout.trim()).toBe('fine');
    },
  );
});

describe('settings of a kind', () => {
  const refusal = (options: Partial<TrainOptions>) => {
    const result = trainFromRows(rows, inputs, { name: 'pump', everyMs: 1_000, ...options });
    return result.ok ? 'trained' : result.error.message;
  };

  it('what is wrong → all of it, with what was expected', () => {
    expect(refusal({ kind: 'magic' })).toMatch(/no kind "magic"; there are windowed-mahalanobis, pca/);
    const text = refusal({ kind: 'pca', settings: { statistic: 'q2', folds: 1.5, colour: 3 }, falseAlarmRate: 2 });
    expect(text).toMatch(/no setting "colour"; it has windowRows/);
    expect(text).toMatch(/statistic q2: expected one of t2, q, both/);
    expect(text).toMatch(/folds 1.5: expected a whole number from 2 to 50/);
    expect(text).toMatch(/rate 2: expected/);
    expect(refusal({ raise: 'soon', clear: '3' })).toMatch(/raise soon: /);
  });

  it('members of an ensemble that are none → each named', () => {
    const text = refusal({ kind: 'ensemble', settings: { members: 'pca(statistic=z) + oracle + ensemble' } });
    expect(text).toMatch(/statistic z: expected one of/);
    expect(text).toMatch(/"oracle" is no member/);
    expect(text).toMatch(/"ensemble" is no member/);
  });

  it('more features than a fit can hold, too few rows for the smoothing → told, not tried', () => {
    expect(refusal({ settings: { features: 'rows', windowRows: 200 } })).toMatch(
      /600 features in a window.*at most 512/,
    );
    expect(refusal({ settings: { smoothRows: 100 } })).toMatch(/300 healthy rows.*need at least/);
  });
});
