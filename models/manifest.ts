import { z } from 'zod';
import type { Result } from '../agent/base/result.ts';
import { err, ok } from '../agent/base/result.ts';
import { type ModelProblem, problem } from './problem.ts';

const finite = z.number().finite();
const name = z.string().min(1).max(120);

/** The most that one model may hold: rows × channels of a window bound memory and time of every score. */
export const limits = {
  windowRows: 512,
  channels: 64,
  goldenVectors: 32,
  manifestBytes: 4_000_000,
  onnxBytes: 16_000_000,
} as const;

/** Rising edges, and the share of values in each bin: up to and with the first edge, …, above the last one. */
export const histogramSchema = z.strictObject({
  edges: z.array(finite).min(1).max(9),
  shares: z.array(z.number().min(0).max(1)).min(2).max(10),
});

/** What every manifest says, of graphs that were made here and of others (`foreign/manifest.ts`). */
export const commonFields = {
  millwrightModel: z.literal(1),
  name,
  version: z.string().min(1).max(60),
  /** In the order of the channels of `window`. `unit` undefined: not told. */
  inputs: z
    .array(z.strictObject({ name, unit: z.string().max(40).optional() }))
    .min(1)
    .max(limits.channels),
  window: z.strictObject({
    rows: z.number().int().min(1).max(limits.windowRows),
    /** Milliseconds between rows, in the time of the source. */
    everyMs: z.number().positive().max(86_400_000),
    /** A longer silence than this between two rows starts the window afresh. */
    maxGapMs: z.number().positive(),
  }),
  /** What the site file may write at `raise` and `clear`, in scores. */
  recommendedDwell: z.strictObject({ raise: z.string(), clear: z.string() }),
  onnx: z.strictObject({
    file: z.literal('model.onnx'),
    sha256: z.string().regex(/^[0-9a-f]{64}$/),
    bytes: z.number().int().positive(),
  }),
  /** Healthy range of each input, for people and for the watch over whether the world is still the same. */
  distribution: z.array(
    z.strictObject({
      name,
      min: finite,
      median: finite,
      max: finite,
      deviation: finite,
      /** Share of the training rows between its deciles: what the drift watch compares with. */
      histogram: histogramSchema.optional(),
      /** Why this input does not count, when it does not. */
      leftOut: z.string().optional(),
    }),
  ),
} as const;

/**
 * What stands beside `model.onnx`: what the model eats, what its score means, and how to tell that it is the one that
 * was trained. It is the contract between whoever trains and whoever scores.
 */
export const manifestSchema = z.strictObject({
  ...commonFields,
  /** How it was fitted (`training/kinds.ts`). Scoring does not depend on it: the graph is the model. */
  kind: z.string().regex(/^[a-z][a-z0-9-]{0,59}$/),
  /** The kind's knobs as they were at training. */
  settings: z.record(z.string().max(60), z.union([finite, z.string().max(1000)])).optional(),
  threshold: z.strictObject({
    /** A window is anomalous when its score is above this. */
    value: finite.positive(),
    /** One clause for people: where the number comes from. */
    method: z.string().min(1).max(300),
    quantile: finite.positive(),
    falseAlarmRate: z.number().gt(0).lt(1),
    driftAllowance: z.number().positive(),
    heldOutWindows: z.number().int().positive(),
    /** How they were held out. */
    heldOut: z.string().max(300).optional(),
  }),
  golden: z
    .array(z.strictObject({ what: z.string(), window: z.array(finite), score: finite, tolerance: finite.positive() }))
    .min(1)
    .max(limits.goldenVectors),
  trainedFrom: z.strictObject({
    /** File name only; where it lay is nobody's business. */
    file: z.string(),
    rows: z.number().int().positive(),
    sha256: z.string().optional(),
  }),
});

export type Manifest = z.infer<typeof manifestSchema>;

/** What is wrong with a manifest as its schema tells it, each mistake with its path; the first ten. */
export const malformed = (error: z.ZodError): ModelProblem => {
  const told = error.issues.slice(0, 10).map(({ path, message }) => `${path.join('.') || '(top)'}: ${message}`);
  return problem('manifest-malformed', `manifest.json: ${told.join('; ')}`);
};

/** What no schema can say: golden windows have the window's size, and no input is named twice. */
export function disagreements(
  manifest: Pick<Manifest, 'window' | 'inputs'> & {
    readonly golden: readonly { readonly what: string; readonly window: readonly number[] }[];
  },
): string[] {
  const { window, inputs, golden } = manifest;
  const cells = window.rows * inputs.length;
  const wrong = golden
    .filter((one) => one.window.length !== cells)
    .map(
      (one) =>
        `golden "${one.what}" holds ${one.window.length} numbers, ${window.rows} rows × ${inputs.length} inputs need ${cells}`,
    );
  const names = inputs.map((input) => input.name);
  const twice = names.find((one, i) => names.indexOf(one) !== i);
  return twice === undefined ? wrong : [...wrong, `input "${twice}" is named twice`];
}

/** Parses a manifest's text; every mistake is named with its path. */
export function parseManifest(text: string): Result<Manifest, ModelProblem> {
  let raw: unknown;
  try {
    raw = JSON.parse(text);
  } catch (cause) {
    return err(problem('manifest-malformed', `manifest.json is not JSON: ${(cause as Error).message}`));
  }
  const parsed = manifestSchema.safeParse(raw);
  if (!parsed.success) return err(malformed(parsed.error));
  const wrong = disagreements(parsed.data);
  if (wrong.length > 0) return err(problem('manifest-malformed', `manifest.json: ${wrong.join('; ')}`));
  return ok(parsed.data);
}
