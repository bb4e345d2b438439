import { err, ok, type Result } from '../../../base/result.ts';

/** A message longer than this is no measured value. */
export const longestMessage = 256 * 1024;

const words: Readonly<Record<string, boolean>> = { true: true, false: false, on: true, off: false };

/**
 * The value in a message: one number (or true, false, on, off), or what stands at a JSON pointer. A number written as text
 * is a number; anything else is refused with what stands there.
 */
export function readPayload(
  bytes: Uint8Array,
  pointer: readonly string[] | undefined,
): Result<number | boolean, string> {
  if (bytes.length > longestMessage) return err(`a message of ${bytes.length} bytes`);
  const text = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('utf8');
  if (pointer === undefined) return numberIn(text);
  let document: unknown;
  try {
    document = JSON.parse(text);
  } catch {
    return err('the message is no JSON');
  }
  for (const step of pointer) {
    if (typeof document !== 'object' || document === null || !Object.hasOwn(document, step))
      return err(`the message has no ${`/${pointer.join('/')}`.slice(0, 80)}`);
    document = (document as Record<string, unknown>)[step];
  }
  return numberIn(document);
}

function numberIn(value: unknown): Result<number | boolean, string> {
  if (typeof value === 'boolean') return ok(value);
  if (typeof value === 'number') return ok(value);
  if (typeof value === 'string') {
    const text = value.trim().slice(0, 64);
    const word = Object.hasOwn(words, text.toLowerCase()) ? words[text.toLowerCase()] : undefined;
    if (word !== undefined) return ok(word);
    if (/^[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?$/.test(text)) return ok(Number(text));
    return err(text === '' ? 'the message is empty' : `"${text.slice(0, 24)}" is no number`);
  }
  return err(`${value === null ? 'null' : Array.isArray(value) ? 'a list' : typeof value} is no number`);
}
