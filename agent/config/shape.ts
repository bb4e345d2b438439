import { z } from 'zod';
import { nearest } from '../base/nearest.ts';
import type { Problem } from './problem.ts';
import type { Path, SourceDocument } from './site-document.ts';

/**
 * Checks a document against its schema and goes on: what is wrong is reported, taken out of a copy, and the rest is
 * parsed, so that the compiler can find the mistakes of meaning in the same run. `removed` names what was taken out,
 * so that nobody complains that it is missing.
 */
export function checkShape<S extends z.ZodType>(
  document: SourceDocument,
  schema: S,
  missing: (path: Path, key: string) => { message: string; stand: unknown; severity?: 'warning' } | undefined,
): {
  readonly value: z.infer<S> | undefined;
  readonly problems: readonly Problem[];
  readonly removed: ReadonlySet<string>;
} {
  const problems: Problem[] = [];
  const removed = new Set<string>();
  const copy = structuredClone(document.value);
  // Each round repairs every issue that zod shows; unions and records can hide some behind others.
  for (let round = 0; round < 8; round++) {
    const parsed = schema.safeParse(copy);
    if (parsed.success) return { value: parsed.data, problems, removed };
    // Misspelt keys first: what was meant is then no longer missing.
    const issues = parsed.error.issues
      .filter((issue) => issue.path.every((step) => typeof step !== 'symbol'))
      .sort((a, b) => Number(b.code === 'unrecognized_keys') - Number(a.code === 'unrecognized_keys'));
    const wasRenamed = new Set<string>();
    const laterAt = new Set(issues.filter((issue) => isLater(issue)).map((issue) => issue.path.slice(0, -1).join('/')));
    for (const issue of issues) {
      const path = issue.path as Path;
      if (issue.code === 'unrecognized_keys') {
        const known = keysAt(schema, path);
        for (const key of issue.keys) {
          const near = nearest(key, known);
          const hint = near === undefined ? '' : `: did you mean "${near}"?`;
          const remedy = near === undefined && known.length <= 24 ? { remedy: `known here: ${known.join(', ')}` } : {};
          problems.push(
            document.problem([...path, key], 'unknown-key', `Unknown key "${key}"${hint}`, { at: 'key', ...remedy }),
          );
          if (near !== undefined && !has(copy, [...path, near])) {
            put(copy, [...path, near], get(copy, [...path, key]));
            wasRenamed.add([...path, near].join('/'));
          }
          drop(copy, [...path, key]);
          removed.add([...path, key].join('/'));
        }
        continue;
      }
      if (path.length === 0) {
        problems.push(document.problem([], 'shape', issue.message));
        return { value: undefined, problems, removed };
      }
      // An item of a list goes by the name of its list.
      const key = String(path.findLast((step) => typeof step === 'string') ?? path.at(-1));
      if (isLater(issue)) {
        problems.push(document.problem(path, 'later', issue.message, { at: 'key' }));
        drop(copy, path);
        removed.add(path.join('/'));
        continue;
      }
      if (wasRenamed.has(path.join('/'))) continue;
      if (!has(copy, path)) {
        const parent = path.slice(0, -1);
        if (removed.has(parent.join('/'))) continue;
        const known = missing(parent, key);
        // Where a later word stands, it explains what is missing beside it.
        if (!removed.has(path.join('/')) && !laterAt.has(parent.join('/')) && !wasRemovedBelow(removed, parent)) {
          problems.push(
            document.problem(parent, 'missing', known?.message ?? `"${key}" is missing here`, {
              at: 'key',
              ...(known?.severity === undefined ? {} : { severity: known.severity }),
            }),
          );
        }
        if (known !== undefined) put(copy, path, known.stand);
        else {
          drop(copy, parent);
          removed.add(parent.join('/'));
        }
        continue;
      }
      // Somebody may have written the secret itself where its place belongs: it is not repeated into logs.
      const secret = /secret|password|token|key/.test(key);
      const shown = secret ? 'What stands here' : (JSON.stringify(get(copy, path)) ?? '');
      problems.push(
        document.problem(
          path,
          'shape',
          `${shown.length > 60 ? `${shown.slice(0, 57)}…` : shown} does not fit "${key}": ${plain(issue)}`,
        ),
      );
      drop(copy, path);
      removed.add(path.join('/'));
    }
  }
  return { value: undefined, problems, removed };
}

const isLater = (issue: z.core.$ZodIssue): boolean => issue.code === 'invalid_type' && issue.expected === 'never';

const wasRemovedBelow = (removed: ReadonlySet<string>, parent: Path): boolean => {
  const prefix = `${parent.join('/')}/`;
  for (const path of removed) if (path.startsWith(prefix) && !path.slice(prefix.length).includes('/')) return true;
  return false;
};

function plain(issue: z.core.$ZodIssue): string {
  if (issue.code === 'invalid_type' && issue.message.startsWith('Invalid input')) {
    const words: Readonly<Record<string, string>> = {
      string: 'a text',
      object: 'a map of keys',
      record: 'a map of keys',
      array: 'a list',
      int: 'a whole number',
      number: 'a number',
      boolean: 'true or false',
    };
    return `expected ${words[issue.expected] ?? issue.expected}`;
  }
  if (issue.code === 'invalid_value' && issue.message.startsWith('Invalid')) {
    return `expected ${issue.values.map(String).join(', ')}`;
  }
  return issue.message;
}

/** Keys that a strict object of the schema knows at this path. */
export function keysAt(schema: z.ZodType, path: Path): readonly string[] {
  const found = new Set<string>();
  for (const at of schemasAt(schema, path)) {
    if (at instanceof z.ZodObject) for (const key of Object.keys(at.shape)) found.add(key);
  }
  return [...found];
}

/** The schemas that may stand at this path: more than one below a union. */
export function schemasAt(schema: z.ZodType, path: Path): readonly z.ZodType[] {
  let here: z.ZodType[] = open(schema);
  for (const step of path) {
    here = here.flatMap((at) => {
      if (at instanceof z.ZodObject) {
        const next = (at.shape as Record<string, z.ZodType>)[String(step)];
        return next === undefined ? [] : open(next);
      }
      if (at instanceof z.ZodRecord) return open(at.valueType as z.ZodType);
      if (at instanceof z.ZodArray) return open(at.element as z.ZodType);
      return [];
    });
  }
  return here;
}

function open(schema: z.ZodType): z.ZodType[] {
  if (schema instanceof z.ZodOptional) return open(schema.unwrap() as z.ZodType);
  if (schema instanceof z.ZodUnion) return (schema.options as readonly z.ZodType[]).flatMap(open);
  return [schema];
}

type Box = Record<string, unknown>;

function get(root: unknown, path: Path): unknown {
  let at = root;
  for (const step of path) at = (at as Box | undefined)?.[step];
  return at;
}

function has(root: unknown, path: Path): boolean {
  const parent = get(root, path.slice(0, -1));
  return typeof parent === 'object' && parent !== null && Object.hasOwn(parent, String(path.at(-1)));
}

function put(root: unknown, path: Path, value: unknown): void {
  const parent = get(root, path.slice(0, -1));
  if (typeof parent === 'object' && parent !== null) (parent as Box)[path.at(-1)!] = value;
}

function drop(root: unknown, path: Path): void {
  const parent = get(root, path.slice(0, -1));
  if (Array.isArray(parent)) parent.splice(Number(path.at(-1)), 1);
  else if (typeof parent === 'object' && parent !== null) delete (parent as Box)[String(path.at(-1))];
}
