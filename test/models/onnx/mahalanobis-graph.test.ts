import { execFile } from 'node:child_process';
import { existsSync } from 'node:fs';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { readGraph } from '../../../models/onnx/graph-reader.ts';
import { mahalanobisOnnx } from '../../../models/onnx/mahalanobis-graph.ts';
import { openSession } from '../../../models/onnx/session.ts';
import { fitDefaults, fitMahalanobis, scoreWindow } from '../../../models/training/mahalanobis.ts';
import { pumpRows } from '../../support/pump-recording.ts';
import { temporaryFolder } from '../../support/temporary-folder.ts';

const fit = fitMahalanobis(pumpRows({ rows: 300, seed: 'graph' }), fitDefaults);
if (!fit.ok) throw new Error(fit.error.message);
const { detector } = fit.value;
const onnx = mahalanobisOnnx(detector, 'pump', ['a', 'b', 'c']);
const cells = detector.windowRows * 3;

const debianPython = '/usr/bin/python3';
const hasChecker = existsSync('/usr/lib/python3/dist-packages/onnx');
if (!hasChecker) process.stderr.write('skipped: the official ONNX checker needs the Debian package python3-onnx\n');

describe('mahalanobis graph', () => {
  it('windows near and far, one or several at once → ONNX Runtime agrees with the plain formula', async () => {
    const opened = await openSession(onnx, detector.windowRows, 3);
    if (!opened.ok) throw new Error(opened.error.message);
    const session = opened.value;
    const spread = fc.oneof(
      fc.double({ min: -3, max: 3, noNaN: true }),
      fc.double({ min: -1e5, max: 1e5, noNaN: true }),
    );
    const window = fc
      .array(spread, { minLength: cells, maxLength: cells })
      .map((values) => values.map((v, i) => (detector.centre[i % 3] ?? 0) + v * (detector.scale[i % 3] ?? 1)));
    await fc.assert(
      fc.asyncProperty(fc.array(window, { minLength: 1, maxLength: 3 }), async (windows) => {
        const flat = Float32Array.from(windows.flat());
        const { scores, contributions } = await session.run(flat, windows.length);
        expect(scores.length).toBe(windows.length);
        windows.forEach((_window, n) => {
          const expected = scoreWindow(detector, flat.slice(n * cells, (n + 1) * cells));
          expect(Math.abs((scores[n] ?? Number.NaN) - expected.value)).toBeLessThanOrEqual(
            1e-4 + 1e-3 * expected.value,
          );
          expected.contributions.forEach((share, c) => {
            expect(contributions[n * 3 + c]).toBeCloseTo(share, 2);
          });
        });
      }),
      { numRuns: 200 },
    );
    await session.release();
  });

  it('file read back → opset 17, the shapes that the manifest will be held against', () => {
    expect(readGraph(onnx)).toEqual({
      ok: true,
      value: {
        irVersion: 8,
        opset: 17,
        inputs: [{ name: 'window', shape: ['N', 12, 3] }],
        outputs: [
          { name: 'score', shape: ['N'] },
          { name: 'contributions', shape: ['N', 3] },
        ],
      },
    });
  });

  it('garbage, cut and changed bytes → a reader that answers, never throws', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 400 }), fc.nat(onnx.length), (noise, cut) => {
        for (const bytes of [noise, onnx.slice(0, cut), Uint8Array.from([...onnx.slice(0, cut), ...noise])]) {
          const read = readGraph(bytes);
          if (!read.ok) expect(read.error.message.length).toBeGreaterThan(5);
        }
      }),
    );
    expect(readGraph(new TextEncoder().encode('not a model at all'))).toMatchObject({ ok: false });
  });

  it.skipIf(!hasChecker)('official checker (Debian python3-onnx), full shape inference → no complaint', async () => {
    const path = join(await temporaryFolder(), 'model.onnx');
    await writeFile(path, onnx);
    const program = 'import onnx,sys; onnx.checker.check_model(onnx.load(sys.argv[1]), full_check=True); print("fine")';
    const { stdout } = await promisify(execFile)(debianPython, ['-c', program, path], { timeout: 30_000 });
    expect(stdout.trim()).toBe('fine');
  });
});
