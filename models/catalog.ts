import { createHash } from 'node:crypto';
import { open } from 'node:fs/promises';
import { isAbsolute, join, relative, resolve, sep } from 'node:path';
import type { Result } from '../agent/base/result.ts';
import { err, ok } from '../agent/base/result.ts';
import { disagreements } from './foreign/agreement.ts';
import { type ForeignManifest, isForeign, parseForeign } from './foreign/manifest.ts';
import { foreignThreshold, openForeign } from './foreign/session.ts';
import { limits, type Manifest, parseManifest } from './manifest.ts';
import { readGraph, readGraphFacts, shapesAgree, shapeText } from './onnx/graph-reader.ts';
import type { TensorSpec } from './onnx/graph-writer.ts';
import { openSession, type ScoringSession } from './onnx/session.ts';
import { type ModelProblem, problem } from './problem.ts';

/** Of a model of our own making, or of one that others made. */
export type AnyManifest = Manifest | ForeignManifest;

/** Whether a graph that others made lies beside the manifest. */
export const isForeignManifest = (manifest: AnyManifest): manifest is ForeignManifest => isForeign(manifest);

/** The score above which a window is anomalous; undefined for a model that gives no score. */
export const thresholdOf = (manifest: AnyManifest): number | undefined =>
  isForeignManifest(manifest) ? foreignThreshold(manifest) : manifest.threshold.value;

/** A model whose files agree with each other; it has not run yet. */
export interface CheckedModel {
  readonly manifest: AnyManifest;
  readonly onnx: Uint8Array;
  /** Of the manifest's own bytes, where it was read from a file. */
  readonly manifestSha256?: string | undefined;
}

export interface LoadedModel extends CheckedModel {
  readonly session: ScoringSession;
}

export interface CheckOptions {
  /** sha256 that somebody else promises (the site file), hex. */
  readonly sha256?: string | undefined;
  /** The same of the manifest. */
  readonly manifestSha256?: string | undefined;
  /** Bigger files are refused before they are read. */
  readonly maxBytes?: number;
}

/**
 * Models by folder: `<root>/<file>/{manifest.json,model.onnx}`. `check` reads both files within limits and holds them
 * against each other without running anything; `load` also opens a session and scores the golden vectors.
 */
export class Catalog {
  readonly #root: string;

  constructor(root: string) {
    this.#root = resolve(root);
  }

  async check(file: string, options: CheckOptions = {}): Promise<Result<CheckedModel, ModelProblem>> {
    const folder = resolve(this.#root, file);
    const inside = relative(this.#root, folder);
    if (isAbsolute(file) || inside === '..' || inside.startsWith(`..${sep}`)) {
      return err(problem('model-missing', `${file} lies outside the model folder`));
    }
    const manifestText = await readWithin(join(folder, 'manifest.json'), `${file}/manifest.json`, limits.manifestBytes);
    if (!manifestText.ok) return manifestText;
    const manifestSha256 = createHash('sha256').update(manifestText.value).digest('hex');
    if (options.manifestSha256 !== undefined && options.manifestSha256 !== manifestSha256) {
      const told = `${file}/manifest.json has sha256 ${manifestSha256}, the signed bundle promises ${options.manifestSha256}`;
      return err(problem('hash-mismatch', told));
    }
    const manifest = parseAny(Buffer.from(manifestText.value).toString('utf8'));
    if (!manifest.ok) return err(problem(manifest.error.code, `${file}: ${manifest.error.message}`));
    const onnx = await readWithin(
      join(folder, 'model.onnx'),
      `${file}/model.onnx`,
      options.maxBytes ?? limits.onnxBytes,
    );
    if (!onnx.ok) return onnx;

    const found = createHash('sha256').update(onnx.value).digest('hex');
    for (const [who, promised] of [
      ['manifest', manifest.value.onnx.sha256],
      ['site file', options.sha256],
    ] as const) {
      if (promised !== undefined && promised.toLowerCase() !== found) {
        return err(problem('hash-mismatch', `${file}/model.onnx has sha256 ${found}, the ${who} promises ${promised}`));
      }
    }
    const mismatch = agreement(onnx.value, manifest.value);
    if (mismatch !== undefined) return err(problem(mismatch.code, `${file}/model.onnx: ${mismatch.message}`));
    return ok({ manifest: manifest.value, onnx: onnx.value, manifestSha256 });
  }

  async load(file: string, options: CheckOptions = {}): Promise<Result<LoadedModel, ModelProblem>> {
    const checked = await this.check(file, options);
    if (!checked.ok) return checked;
    return startModel(file, checked.value);
  }
}

/** Opens a session for a checked model and proves it on the golden vectors. */
export async function startModel(file: string, model: CheckedModel): Promise<Result<LoadedModel, ModelProblem>> {
  const { manifest, onnx } = model;
  const session = isForeignManifest(manifest)
    ? await openForeign(onnx, manifest)
    : await openSession(onnx, manifest.window.rows, manifest.inputs.length);
  if (!session.ok) return err(problem(session.error.code, `${file}: ${session.error.message}`));
  const sign = isForeignManifest(manifest) && manifest.outputs.score?.anomalous === 'below' ? -1 : 1;
  for (const golden of manifest.golden as readonly Golden[]) {
    let wrong: string | undefined;
    try {
      const run = await session.value.run(Float32Array.from(golden.window), 1);
      wrong =
        unlike('scores', golden.score, sign * (run.scores[0] ?? Number.NaN), golden.tolerance) ??
        unlike('forecasts', golden.forecast, run.forecasts?.[0], golden.tolerance);
      if (golden.class !== undefined && run.classes?.[0] !== golden.class) {
        wrong ??= `is of class ${run.classes?.[0] ?? 'none'}, expected ${golden.class}`;
      }
    } catch (cause) {
      await session.value.release();
      return err(problem('runtime-failed', `${file}: scoring failed: ${(cause as Error).message}`));
    }
    if (wrong !== undefined) {
      await session.value.release();
      return err(problem('golden-mismatch', `${file}: golden "${golden.what}" ${wrong}`));
    }
  }
  return ok({ manifest, onnx, session: session.value });
}

interface Golden {
  readonly what: string;
  readonly window: readonly number[];
  readonly score?: number | undefined;
  readonly class?: string | undefined;
  readonly forecast?: number | undefined;
  readonly tolerance: number;
}

const unlike = (
  verb: string,
  expected: number | undefined,
  found: number | undefined,
  tolerance: number,
): string | undefined =>
  expected === undefined || Math.abs((found ?? Number.NaN) - expected) <= tolerance
    ? undefined
    : `${verb} ${found}, expected ${expected} ± ${tolerance}`;

function parseAny(text: string): Result<AnyManifest, ModelProblem> {
  let raw: unknown;
  try {
    raw = JSON.parse(text);
  } catch {
    return parseManifest(text);
  }
  return isForeign(raw) ? parseForeign(raw) : parseManifest(text);
}

/** Where the graph and its manifest disagree, with both shapes; undefined: nowhere. */
export function agreement(onnx: Uint8Array, manifest: AnyManifest): ModelProblem | undefined {
  if (isForeignManifest(manifest)) {
    const facts = readGraphFacts(onnx);
    if (!facts.ok) return facts.error;
    const wrong = disagreements(facts.value, manifest);
    return wrong.length === 0 ? undefined : problem('shape-mismatch', wrong.join('; '));
  }
  const graph = readGraph(onnx);
  if (!graph.ok) return graph.error;
  const { inputs, outputs } = graph.value;
  const channels = manifest.inputs.length;
  const mismatch =
    compare('input', inputs, [{ name: 'window', shape: ['N', manifest.window.rows, channels] }]) ??
    compare('output', outputs, [
      { name: 'score', shape: ['N'] },
      { name: 'contributions', shape: ['N', channels] },
    ]);
  return mismatch === undefined ? undefined : problem('shape-mismatch', mismatch);
}

function compare(
  what: 'input' | 'output',
  found: readonly TensorSpec[],
  expected: readonly TensorSpec[],
): string | undefined {
  const text = (specs: readonly TensorSpec[]) =>
    specs.map(({ name, shape }) => `${name} ${shapeText(shape)}`).join(', ') || 'none';
  const agree =
    found.length === expected.length &&
    expected.every((spec) => {
      const other = found.find(({ name }) => name === spec.name);
      return other !== undefined && shapesAgree(other.shape, spec.shape);
    });
  return agree ? undefined : `the graph's ${what} is ${text(found)}, the manifest says ${text(expected)}`;
}

async function readWithin(path: string, shown: string, limit: number): Promise<Result<Uint8Array, ModelProblem>> {
  try {
    await using handle = await open(path, 'r');
    const { size } = await handle.stat();
    if (size > limit) {
      return err(problem('model-too-large', `${shown} has ${size} bytes, at most ${limit} are read`));
    }
    // The file may grow while we read: what was measured is all that is taken.
    const bytes = new Uint8Array(size);
    let filled = 0;
    while (filled < size) {
      const { bytesRead } = await handle.read(bytes, filled, size - filled, filled);
      if (bytesRead === 0) break;
      filled += bytesRead;
    }
    return ok(bytes.subarray(0, filled));
  } catch (cause) {
    const code = (cause as NodeJS.ErrnoException).code ?? String(cause);
    return err(problem('model-missing', `${shown} cannot be read (${code})`));
  }
}
