import { execFileSync, spawnSync } from 'node:child_process';
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { Random } from '../../../agent/base/random.ts';
import { Catalog } from '../../../models/catalog.ts';
import { type WrapRequest, wrapCommand } from '../../../models/foreign/command.ts';
import { inspectCommand } from '../../../models/inspect.ts';
import { sklearnClassifier, sklearnOutliers, torchForecast } from '../../support/foreign-graphs.ts';
import { temporaryFolder } from '../../support/temporary-folder.ts';

const python = '/usr/bin/python3';
const hasChecker = spawnSync(python, ['-c', 'import onnx']).status === 0;

function listen() {
  const said = { out: '', error: '' };
  return {
    said,
    voice: {
      out: (text: string) => {
        said.out += text;
      },
      error: (text: string) => {
        said.error += text;
      },
    },
  };
}

async function wrap(onnx: Uint8Array, options: Omit<WrapRequest, 'onnx' | 'out'>) {
  const folder = await temporaryFolder();
  const file = join(folder, 'given.onnx');
  await writeFile(file, onnx);
  const out = join(folder, 'wrapped');
  const { said, voice } = listen();
  const code = await wrapCommand({ onnx: file, out, ...options }, voice);
  return { code, said, out, folder, load: () => new Catalog(folder).load('wrapped') };
}

async function loaded(wrapped: Awaited<ReturnType<typeof wrap>>) {
  expect(wrapped.said.error).toBe('');
  expect(wrapped.code).toBe(0);
  const model = await wrapped.load();
  if (!model.ok) throw new Error(model.error.message);
  return model.value;
}

describe('foreign graphs', () => {
  it.skipIf(!hasChecker)('test graphs → the official checker takes them', async () => {
    const folder = await temporaryFolder();
    const graphs = { sklearnClassifier, sklearnOutliers, torchForecast };
    for (const [name, make] of Object.entries(graphs)) await writeFile(join(folder, `${name}.onnx`), make());
    const files = Object.keys(graphs).map((name) => join(folder, `${name}.onnx`));
    const program = 'import onnx,sys\nfor f in sys.argv[1:]: onnx.checker.check_model(onnx.load(f))';
    execFileSync(python, ['-c', program, ...files]);
  });

  it('classifier with ZipMap → its labels become classes, the sequence of maps is never computed', async () => {
    const wrapped = await wrap(sklearnClassifier(), {
      inputs: 'vibration=mm/s,pressure=bar,flow',
      class: 'output_label',
      labels: '0=healthy,1=worn',
    });
    const { session, manifest } = await loaded(wrapped);
    expect(manifest.window.rows).toBe(1);
    const run = await session.run(Float32Array.from([9, 1, 1, 1, 1, 1]), 2);
    expect(run.classes).toEqual(['worn', 'healthy']);
    expect(run.scores[0]).toBeNaN();
    await session.release();
  });

  it('double inputs and a score that is strange below → turned over, and the guilty input named', async () => {
    const random = new Random(3, 'outliers');
    const lines = Array.from({ length: 300 }, (_, i) => `${i},${10 + random.normal()},${20 + random.normal()}`);
    const folder = await temporaryFolder();
    const data = join(folder, 'healthy.csv');
    await writeFile(data, `time,a,b\n${lines.join('\n')}\n`);
    const wrapped = await wrap(sklearnOutliers(), { inputs: 'a=°C,b=bar', score: 'scores', below: '-6', data });
    const { session, manifest } = await loaded(wrapped);
    const { scores, contributions } = await session.run(Float32Array.from([10, 20, 10.5, 40]), 2);
    expect(scores[0]).toBeCloseTo(0);
    expect(scores[1]).toBeCloseTo(20.5, 3);
    expect(contributions[3]).toBeGreaterThan(0.9);
    expect('healthyWindows' in (manifest.threshold ?? {})).toBe(true);
    await session.release();
    const { said, voice } = listen();
    expect(await inspectCommand({ model: wrapped.out }, voice)).toBe(0);
    expect(said.out).toMatch(/anomalous below -6/);
    expect(said.out).toMatch(/of 300 healthy windows lie beyond it/);
    expect(said.out).toMatch(/it cannot see/);
  });

  it('threshold by rate → that share of healthy windows lies beyond it, as stated', async () => {
    const random = new Random(4, 'outliers');
    const rows = Array.from({ length: 500 }, (_, i) => `${i},${10 + random.normal()},${20 + random.normal()}`);
    const folder = await temporaryFolder();
    const data = join(folder, 'healthy.csv');
    await writeFile(data, `time,a,b\n${rows.join('\n')}\n`);
    const wrapped = await wrap(sklearnOutliers(), { inputs: 'a,b', score: 'scores', below: 'rate', rate: 0.02, data });
    const manifest = JSON.parse(await readFile(join(wrapped.out, 'manifest.json'), 'utf8'));
    expect(manifest.threshold.value).toBeLessThan(-2);
    expect(manifest.threshold.falseAlarmRate).toBeGreaterThan(0.01);
    expect(manifest.threshold.falseAlarmRate).toBeLessThanOrEqual(0.02);
    expect(manifest.threshold.healthyWindows).toBe(500);
  });

  it('PyTorch layout [N, C, W] → the window is laid out so, forecast and classes come of it', async () => {
    const wrapped = await wrap(torchForecast(), {
      inputs: 'wear=mm,load=%',
      forecast: 'hours',
      unit: 'h',
      believe: '0..200',
      class: 'logits',
      labels: '0=good,1=fair,2=bad',
    });
    const { session, manifest } = await loaded(wrapped);
    expect(manifest).toMatchObject({ window: { rows: 8 }, graph: { layout: 'inputs-rows' } });
    // Row by row: wear rises from 4 to 11 while the load is 99 all the time.
    const window = Float32Array.from({ length: 16 }, (_, i) => (i % 2 === 0 ? 4 + i / 2 : 99));
    const run = await session.run(window, 1);
    expect(run.forecasts?.[0]).toBeCloseTo(100 - 10 * 7.5, 3);
    expect(run.classes).toEqual(['bad']);
    // 100 h less 10 × 20 is below zero: not believed.
    expect((await session.run(new Float32Array(16).fill(20), 1)).forecasts).toEqual([undefined]);
    await session.release();
  });

  it('too little said → exit code 2, the graph shown, everything that is missing named at once', async () => {
    const { code, said } = await wrap(sklearnClassifier(), { class: 'output_label' });
    expect(code).toBe(2);
    expect(said.error).toMatch(/float_input float32\[N,3\]/);
    expect(said.error).toMatch(/output_probability \(sequence\) - not used/);
    expect(said.error).toMatch(/--inputs/);
    expect(said.error).toMatch(/--labels/);
  });

  it.each([
    ['number of inputs', { inputs: 'a,b', class: 'output_label', labels: '0=x' }, /does not go together/],
    [
      'output',
      { inputs: 'a,b,c', class: 'label_out', labels: '0=x' },
      /no output label_out .*it has output_label int64/,
    ],
    [
      'sequence as class',
      { inputs: 'a,b,c', class: 'output_probability', labels: '0=x' },
      /is a sequence: take the labels/,
    ],
    ['label as score', { inputs: 'a,b,c', score: 'output_label:3', above: '1' }, /has no column 3/],
  ])('wrong %s → refused with what the graph has', async (_what, options, message) => {
    const { code, said } = await wrap(sklearnClassifier(), options);
    expect(code).toBe(1);
    expect(said.error).toMatch(message);
  });

  it('manifest changed by hand → shapes of both are told, golden vectors catch the rest', async () => {
    const wrapped = await wrap(torchForecast(), { inputs: 'wear,load', forecast: 'hours', unit: 'h' });
    const path = join(wrapped.out, 'manifest.json');
    const manifest = JSON.parse(await readFile(path, 'utf8'));
    const put = (changed: object) => writeFile(path, JSON.stringify({ ...manifest, ...changed }));
    await put({ graph: { ...manifest.graph, layout: 'rows-inputs' } });
    const turned = await wrapped.load();
    expect(!turned.ok && turned.error.message).toMatch(/input float32\[batch,2,8\].*says input float32\[N,8,2\]/);
    await put({ golden: manifest.golden.map((one: object) => ({ ...one, forecast: 77 })) });
    expect(await wrapped.load()).toMatchObject({ ok: false, error: { code: 'golden-mismatch' } });
  });
});
