import type { z } from 'zod';
import { err, ok, type Result } from '../base/result.ts';

/**
 * The content of a signed document: UTF-8, JSON, of a format that this release reads, of the shape that it should have.
 * Whose word it is was verified before; errors name a kind and the reason in words.
 */
export function readDocument<T>(
  payload: Uint8Array,
  schema: z.ZodType<T>,
  newestFormat: number,
): Result<T, readonly [kind: 'wrong-shape' | 'newer-format', text: string]> {
  let raw: unknown;
  try {
    raw = JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(payload));
  } catch {
    return err(['wrong-shape', 'the payload is no JSON']);
  }
  const { format } = (raw ?? {}) as { format?: unknown };
  if (typeof format === 'number' && format > newestFormat) {
    return err(['newer-format', `it has format ${format}, this release reads ${newestFormat}: update this box first`]);
  }
  const shape = schema.safeParse(raw);
  if (shape.success) return ok(shape.data);
  const issue = shape.error.issues[0];
  return err(['wrong-shape', `${issue?.path.join('/') ?? ''}: ${issue?.message ?? 'unreadable'}`.slice(0, 300)]);
}
