import { createHash } from 'node:crypto';
import { mkdir, readFile, truncate, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { Catalog } from '../../models/catalog.ts';
import { writeModel } from '../../models/commands.ts';
import type { Manifest } from '../../models/manifest.ts';
import { trainFromRows } from '../../models/training/train.ts';
import { pumpRows } from '../support/pump-recording.ts';
import { temporaryFolder } from '../support/temporary-folder.ts';

const inputs = ['Vibration', 'Current', 'VolumeFlow'];
const trained = trainFromRows(pumpRows({ rows: 300, seed: 'catalog' }), inputs, { name: 'pump', everyMs: 1_000 });
if (!trained.ok) throw new Error(trained.error.message);
const model = trained.value;
const hash = (bytes: Uint8Array) => createHash('sha256').update(bytes).digest('hex');

async function catalogWith(change: (manifest: Manifest) => unknown = (m) => m, onnx = model.onnx) {
  const root = await temporaryFolder();
  await writeModel(join(root, 'pump/1'), { ...model, onnx });
  await writeFile(join(root, 'pump/1/manifest.json'), JSON.stringify(change(structuredClone(model.manifest))));
  return { root, catalog: new Catalog(root), file: join(root, 'pump/1/model.onnx') };
}

describe('catalog', () => {
  it('whole model → loads, and its golden vectors score as written', async () => {
    const { catalog } = await catalogWith();
    const loaded = await catalog.load('pump/1', { sha256: model.manifest.onnx.sha256 });
    if (!loaded.ok) throw new Error(loaded.error.message);
    const [golden] = loaded.value.manifest.golden;
    const { scores } = await loaded.value.session.run(Float32Array.from(golden?.window ?? []), 1);
    expect(scores[0]).toBeCloseTo(golden?.score ?? Number.NaN, 3);
    await loaded.value.session.release();
  });

  it('one byte changed → refused with both hashes', async () => {
    const { catalog, file } = await catalogWith();
    const bytes = await readFile(file);
    bytes[bytes.length >> 1] = (bytes[bytes.length >> 1] ?? 0) ^ 1;
    await writeFile(file, bytes);
    const result = await catalog.check('pump/1');
    expect(result).toMatchObject({ ok: false, error: { code: 'hash-mismatch' } });
    expect(!result.ok && result.error.message).toContain(hash(bytes));
    expect(!result.ok && result.error.message).toContain(model.manifest.onnx.sha256);
  });

  it('site file that promises another hash → refused, and says who promised', async () => {
    const { catalog } = await catalogWith();
    const result = await catalog.check('pump/1', { sha256: 'ab'.repeat(32) });
    expect(!result.ok && result.error.message).toMatch(/the site file promises abab/);
  });

  it('threshold raised on the box, files otherwise whole → the bundle’s hash of the manifest gives it away', async () => {
    const { root, catalog } = await catalogWith();
    const promised = hash(await readFile(join(root, 'pump/1/manifest.json')));
    expect((await catalog.check('pump/1', { manifestSha256: promised })).ok).toBe(true);
    const raised = { ...model.manifest, threshold: { ...model.manifest.threshold, value: 1e6 } };
    await writeFile(join(root, 'pump/1/manifest.json'), JSON.stringify(raised));
    const result = await catalog.check('pump/1', { manifestSha256: promised });
    expect(result).toMatchObject({ ok: false, error: { code: 'hash-mismatch' } });
    expect(!result.ok && result.error.message).toMatch(/manifest\.json has sha256 .*the signed bundle promises/);
  });

  it('other weights under a matching hash → the golden vectors give it away', async () => {
    const shifted = pumpRows({ rows: 300, seed: 'catalog' }).map((row) => row.map((value) => value * 1.001));
    const other = trainFromRows(shifted, inputs, { name: 'pump', everyMs: 1_000 });
    if (!other.ok) throw new Error(other.error.message);
    const altered = other.value.onnx;
    const { catalog } = await catalogWith((m) => ({ ...m, onnx: { ...m.onnx, sha256: hash(altered) } }), altered);
    expect((await catalog.check('pump/1')).ok).toBe(true);
    const result = await catalog.load('pump/1');
    expect(result).toMatchObject({ ok: false, error: { code: 'golden-mismatch' } });
    expect(!result.ok && result.error.message).toMatch(/scores [\d.]+, expected [\d.]+ ± /);
  });

  it('manifest with another number of rows → refused with both shapes', async () => {
    const { catalog } = await catalogWith((m) => ({
      ...m,
      window: { ...m.window, rows: 6 },
      golden: m.golden.map((one) => ({ ...one, window: one.window.slice(0, 18) })),
    }));
    const result = await catalog.check('pump/1');
    expect(result).toMatchObject({ ok: false, error: { code: 'shape-mismatch' } });
    expect(!result.ok && result.error.message).toContain('window float32[N,12,3]');
    expect(!result.ok && result.error.message).toContain('window float32[N,6,3]');
  });

  it('manifest with another number of inputs → refused with both shapes', async () => {
    const { catalog } = await catalogWith((m) => ({
      ...m,
      inputs: m.inputs.slice(0, 2),
      golden: m.golden.map((one) => ({ ...one, window: one.window.slice(0, 24) })),
    }));
    const result = await catalog.check('pump/1');
    expect(!result.ok && result.error.message).toContain('float32[N,12,2]');
  });

  it.each([
    ['unknown key', (m: Manifest) => ({ ...m, extra: 1 }), /extra/],
    ['no threshold', ({ threshold: _gone, ...m }: Manifest) => m, /threshold/],
    [
      'golden of another size',
      (m: Manifest) => ({ ...m, golden: [{ what: 'x', window: [1], score: 1, tolerance: 1 }] }),
      /need 36/,
    ],
    [
      'input twice',
      (m: Manifest) => ({ ...m, inputs: m.inputs.map(() => ({ name: 'same' })) }),
      /"same" is named twice/,
    ],
    ['window without bounds', (m: Manifest) => ({ ...m, window: { ...m.window, rows: 1e9 } }), /window\.rows/],
  ])('manifest with %s → refused with the place', async (_name, change, message) => {
    const { catalog } = await catalogWith(change);
    const result = await catalog.check('pump/1');
    expect(result).toMatchObject({ ok: false, error: { code: 'manifest-malformed' } });
    expect(!result.ok && result.error.message).toMatch(message);
  });

  it('huge file → refused unread', async () => {
    const { catalog, file } = await catalogWith();
    // A sparse terabyte: whoever reads it first runs out of memory or time.
    await truncate(file, 2 ** 40);
    const result = await catalog.check('pump/1');
    expect(result).toMatchObject({ ok: false, error: { code: 'model-too-large' } });
  });

  it('file that is no model, under a matching hash → refused', async () => {
    const noise = new TextEncoder().encode('hello');
    const { catalog } = await catalogWith((m) => ({ ...m, onnx: { ...m.onnx, sha256: hash(noise) } }), noise);
    expect(await catalog.check('pump/1')).toMatchObject({ ok: false, error: { code: 'graph-malformed' } });
  });

  it('missing folder, or a way out of the root → refused', async () => {
    const { root, catalog } = await catalogWith();
    await mkdir(join(root, 'inner'));
    expect(await catalog.check('pump/2')).toMatchObject({ ok: false, error: { code: 'model-missing' } });
    const inner = new Catalog(join(root, 'inner'));
    for (const way of ['../pump/1', join(root, 'pump/1')]) {
      const result = await inner.check(way);
      expect(!result.ok && result.error.message).toMatch(/outside the model folder/);
    }
  });
});
