import { z } from 'zod';

/**
 * What a box tells of the minutes around an alarm: the event `evidence`, whose `detail.excerpt` is this as JSON, in at
 * most 8 kB. The whole stays on the box. It is told twice: `begun` with what led to it, `kept` when what followed is
 * there; `same` points to the evidence of another name that already holds the story.
 *
 * Times are the source's. A point is `[seconds from "from", value]`; a value of null was of bad quality. Of each stretch
 * of `step` seconds the smallest and the largest value are there, so a stretch without a point had no sample at all.
 */
const name = z.string().max(256);

export const evidenceCurveSchema = z.object({
  /** A signal as in the site file, or `score:` and a model. */
  name,
  unit: z.string().max(32).optional(),
  points: z.array(z.tuple([z.number(), z.number().nullable()])).max(1_000),
  /** Of a score: above it a window counts as bad. */
  threshold: z.number().optional(),
  /** Of a score: how much of it each signal explained when it was raised, 0..1. */
  shares: z.record(name, z.number().min(0).max(1)).optional(),
  /** Of a signal that a check looks at. */
  limits: z
    .array(z.object({ level: z.enum(['warn', 'crit']), side: z.enum(['above', 'below']), value: z.number() }))
    .max(16)
    .optional(),
  /** Median, and 1.48 × the median distance from it, over the first half of what led to it. */
  usual: z.tuple([z.number(), z.number().min(0)]).optional(),
  /** The last good value when it was raised. */
  raised: z.number().optional(),
});

export const excerptSchema = z.object({
  from: z.number(),
  to: z.number(),
  /** When it was raised; agents before this field leave it out, as they do `step`. */
  at: z.number().optional(),
  /** Seconds. */
  step: z.number().positive().optional(),
  curves: z.array(evidenceCurveSchema).max(64),
});

export type EvidenceCurve = z.infer<typeof evidenceCurveSchema>;
export type Excerpt = z.infer<typeof excerptSchema>;
export type EvidenceStage = 'begun' | 'same' | 'kept';

/** What the name of a score's curve begins with; the model follows. */
export const scorePrefix = 'score:';

/** Reads an excerpt; undefined for anything else. Never throws. */
export function readExcerpt(text: string): Excerpt | undefined {
  try {
    return excerptSchema.safeParse(JSON.parse(text)).data;
  } catch {
    return undefined;
  }
}
