import { z } from 'zod';
import type { Result } from '../../agent/base/result.ts';
import { err, ok } from '../../agent/base/result.ts';
import { commonFields, disagreements, limits, malformed } from '../manifest.ts';
import { type ModelProblem, problem } from '../problem.ts';

const finite = z.number().finite();
const tensor = z.string().min(1).max(200);
const column = z.number().int().min(0).max(4095);

/** `kind` in the manifest of a graph that somebody else made. */
export const foreignKind = 'foreign';

/**
 * How the window lies in the graph's input tensor, N windows of W rows and C inputs: `rows-inputs` [N, W, C],
 * `inputs-rows` [N, C, W] (convolutions as PyTorch writes them), `flat` [N, W·C], row after row. A model that looks at
 * one row at a time (scikit-learn) is `flat` with W = 1.
 */
export const layouts = ['rows-inputs', 'inputs-rows', 'flat'] as const;
export type Layout = (typeof layouts)[number];

/**
 * Manifest of a graph that was not made here, written by hand or by `millwright model wrap`: how to speak to the graph,
 * and which of its outputs mean what. Outputs that it does not name are never computed, so that sequences of maps
 * (scikit-learn's ZipMap) do no harm.
 */
export const foreignSchema = z.strictObject({
  ...commonFields,
  kind: z.literal(foreignKind),
  graph: z.strictObject({
    input: tensor,
    type: z.enum(['float32', 'float64']),
    layout: z.enum(layouts),
  }),
  outputs: z
    .strictObject({
      /** How strange a window is. `anomalous`: on which side of the threshold. */
      score: z.strictObject({ tensor, column, anomalous: z.enum(['above', 'below']) }).optional(),
      /**
       * What a window is: of a label (whole number or text) per window, or of one number per class, of which the
       * largest counts. `labels`: what the graph says (a number as text; the column), and the name that conditions use.
       */
      class: z
        .strictObject({
          tensor,
          from: z.enum(['labels', 'columns']),
          labels: z.record(z.string().max(60), z.string().min(1).max(60)),
        })
        .optional(),
      /** What will be, as a number with its unit. Outside `min` … `max` it is not believed. */
      forecast: z
        .strictObject({
          tensor,
          column,
          unit: z.string().min(1).max(40),
          min: finite.optional(),
          max: finite.optional(),
        })
        .optional(),
    })
    .refine((outputs) => Object.values(outputs).some((one) => one !== undefined), {
      error: 'at least one of score, class and forecast must be named',
    }),
  /** In the graph's own numbers. Wanted with a score, senseless without. */
  threshold: z
    .strictObject({
      value: finite,
      method: z.string().max(200),
      /** Share of healthy windows beyond it, where a recording was at hand to tell. */
      falseAlarmRate: z.number().min(0).max(1).optional(),
      healthyWindows: z.number().int().min(0).optional(),
    })
    .optional(),
  golden: z
    .array(
      z.strictObject({
        what: z.string().max(120),
        window: z.array(finite),
        score: finite.optional(),
        class: z.string().max(60).optional(),
        forecast: finite.optional(),
        tolerance: finite.positive(),
      }),
    )
    .min(1)
    .max(limits.goldenVectors),
  trainedFrom: z.strictObject({ file: z.string(), rows: z.number().int().min(0) }),
});

export type ForeignManifest = z.infer<typeof foreignSchema>;

/** Whether a parsed JSON value means to be such a manifest. */
export const isForeign = (value: unknown): boolean =>
  typeof value === 'object' && value !== null && (value as { kind?: unknown }).kind === foreignKind;

/** Judges a manifest; every mistake is named with its path. */
export function parseForeign(raw: unknown): Result<ForeignManifest, ModelProblem> {
  const parsed = foreignSchema.safeParse(raw);
  if (!parsed.success) return err(malformed(parsed.error));
  const manifest = parsed.data;
  const wrong = disagreements(manifest);
  const { score, class: classes } = manifest.outputs;
  if (score !== undefined && manifest.threshold === undefined) wrong.push('outputs.score needs a threshold');
  if (score === undefined && manifest.threshold !== undefined) wrong.push('threshold without outputs.score');
  if (classes !== undefined) {
    const said = Object.values(classes.labels);
    if (said.length === 0) wrong.push('outputs.class.labels is empty: say what each label means');
    if (said.length > 64) wrong.push(`outputs.class.labels has ${said.length} entries, at most 64`);
    const columns = Object.keys(classes.labels);
    if (classes.from === 'columns' && columns.some((key) => !/^\d{1,4}$/.test(key))) {
      wrong.push('outputs.class.labels: with columns, the keys are column numbers from 0');
    }
  }
  if (wrong.length > 0) return err(problem('manifest-malformed', `manifest.json: ${wrong.join('; ')}`));
  return ok(manifest);
}
