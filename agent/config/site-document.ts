import type { Node, Pair } from 'yaml';
import { isAlias, isMap, isScalar, isSeq, LineCounter, parseDocument, visit } from 'yaml';
import type { Result } from '../base/result.ts';
import { err, ok } from '../base/result.ts';
import type { Problem, ProblemCode } from './problem.ts';

/** Keys and list positions from the root. */
export type Path = readonly (string | number)[];

export interface Place {
  readonly line: number;
  readonly column: number;
}

/** A parsed file that still knows where everything stands. */
export interface SourceDocument {
  readonly file: string;
  /** Plain JavaScript values, keys in the order of the file. */
  readonly value: unknown;
  /** Where a key or its value stands; of what is missing, the nearest thing around it. `offset` is into a one-line text. */
  locate(path: Path, at: 'key' | 'value', offset?: number): Place;
  problem(path: Path, code: ProblemCode, message: string, more?: ProblemMore): Problem;
}

export interface ProblemMore {
  readonly at?: 'key' | 'value';
  readonly offset?: number;
  readonly severity?: 'error' | 'warning';
  readonly remedy?: string;
}

/** A site of hundreds of boxes takes some 100 kB. */
export const maxBytes = 1024 * 1024;

const conditionKeys = 'when|only-if|crit-when|warn-when|verify|expect|where|stop-if|formula';
const proseKeys = new Set(['cause', 'consequence', 'response', 'about', 'why', 'text', 'link']);
const yaml11Words = new Set(['on', 'off', 'yes', 'no', 'y', 'n', 'true', 'false', 'null', '~', '']);

/**
 * Reads YAML 1.2 (core schema) and tells, in the words of the person who wrote it, the slips that YAML itself either
 * swallows or explains badly: a `!` that became a tag, a comma that split a text, a `>` that began a block, a text
 * that ended at a `#`. Of true YAML errors only the first is told: what follows one is mostly its echo.
 */
export function readDocument(file: string, text: string): Result<SourceDocument, readonly Problem[]> {
  const at = (line: number, column: number, code: ProblemCode, message: string, path = ''): Problem => ({
    severity: 'error',
    file,
    line,
    column,
    path,
    code,
    message,
  });
  if (Buffer.byteLength(text) > maxBytes) {
    return err([at(1, 1, 'too-large', `the file is larger than ${maxBytes} bytes`)]);
  }
  const lines = new LineCounter();
  const document = parseDocument(text, {
    version: '1.2',
    schema: 'core',
    prettyErrors: false,
    lineCounter: lines,
    keepSourceTokens: false,
  });
  const place = (offset: number): Place => {
    const { line, col } = lines.linePos(offset);
    return { line: Math.max(1, line), column: Math.max(1, col) };
  };

  const trap = document.errors[0] ?? document.warnings[0];
  if (trap !== undefined) {
    const found = explainYaml(text, lines, document.warnings[0]?.pos[0], trap.pos[0], trap.code, trap.message);
    const { line, column } = place(found.offset);
    return err([at(line, column, found.code, found.message, pathAt(document.contents, found.offset))]);
  }

  const problems: Problem[] = [];
  const complain = (node: Node | null, path: string, code: ProblemCode, message: string) => {
    const { line, column } = place(node?.range?.[0] ?? 0);
    problems.push(at(line, column, code, message, path));
  };
  visit(document, {
    Alias(_, node, ancestors) {
      complain(
        node,
        pathOf(ancestors as readonly unknown[]),
        'yaml-alias',
        'Aliases (*name) are not used here: write a type',
      );
    },
    Pair(_, pair, ancestors) {
      const key = pair.key as Node | null;
      const path = pathOf([...(ancestors as readonly unknown[]), pair]);
      if (!isScalar(key)) {
        complain(
          key,
          path,
          'yaml-comma',
          'This is no key: a text with a comma, or with [ or {, wants quotes or a line of its own',
        );
        return;
      }
      const name = String(key.value ?? '');
      if (yaml11Words.has(name.toLowerCase()) || typeof key.value === 'boolean') {
        complain(
          key,
          path,
          'yaml-key',
          `Key "${key.source ?? name}" is read as true or false by other YAML readers: choose another name`,
        );
      }
      const value = pair.value as Node | null;
      const parent = ancestors.at(-1);
      if (value === null || (isScalar(value) && value.value === null && (value.source ?? '') === '')) {
        const inFlow = isMap(parent) && parent.flow === true;
        complain(
          key,
          path,
          'yaml-empty',
          inFlow
            ? `Key "${name}" has no value: a comma split your text; quote it`
            : `Key "${name}" has no value: give it one or take it out ({} is an empty map)`,
        );
      } else if (isScalar(value) && typeof value.value === 'string') {
        const comment = value.comment;
        const plain = value.type === 'PLAIN';
        if (plain && proseKeys.has(name) && typeof comment === 'string' && /^\S/.test(comment)) {
          const last = value.value.split(/\s+/).at(-1);
          complain(value, path, 'yaml-comment', `Text after "#" is a comment; the ${name} ends at "${last}": quote it`);
        } else if (value.type === 'BLOCK_FOLDED' && (name === 'crit' || name === 'warn')) {
          complain(
            value,
            path,
            'yaml-block',
            `"${name}: >" starts a text block in YAML: write "above ${value.value.trim()}"`,
          );
        }
      }
    },
  });
  if (problems.length > 0) return err(problems);
  if (!isMap(document.contents))
    return err([at(1, 1, 'shape', 'The file is no map of keys: its first line is "millwright: 1"')]);

  const root = document.contents as Node;
  const locate = (path: Path, which: 'key' | 'value', offset = 0): Place => {
    let node: Node | null = root;
    let key: Node | null = null;
    let whole = true;
    for (const step of path) {
      const pair: Pair | undefined = isMap(node)
        ? (node.items.find((item) => isScalar(item.key) && String(item.key.value) === String(step)) as Pair | undefined)
        : undefined;
      if (pair !== undefined) {
        key = pair.key as Node;
        node = pair.value as Node | null;
      } else if (isSeq(node) && typeof step === 'number' && node.items[step] !== undefined) {
        node = node.items[step] as Node;
        key = node;
      } else {
        whole = false;
        break;
      }
    }
    const target = which === 'value' && whole ? node : key;
    let start = target?.range?.[0] ?? 0;
    if (offset > 0 && isScalar(target) && whole) {
      const oneLine = !text.slice(start, target.range?.[1] ?? start).includes('\n');
      if (oneLine) start += offset + (target.type === 'PLAIN' ? 0 : 1);
    }
    return place(start);
  };
  return ok({
    file,
    value: document.toJS({ maxAliasCount: 0 }) as unknown,
    locate,
    problem(path, code, message, more = {}) {
      const { line, column } = locate(path, more.at ?? 'value', more.offset ?? 0);
      return {
        severity: more.severity ?? 'error',
        file,
        line,
        column,
        path: path.join('/'),
        code,
        message,
        ...(more.remedy === undefined ? {} : { remedy: more.remedy }),
      };
    },
  });
}

function explainYaml(
  text: string,
  lines: LineCounter,
  warningAt: number | undefined,
  errorAt: number,
  code: string,
  message: string,
): { offset: number; code: ProblemCode; message: string } {
  const lineOf = (offset: number): { start: number; text: string } => {
    const { line } = lines.linePos(offset);
    const start = lines.lineStarts[Math.max(0, line - 1)] ?? 0;
    const end = text.indexOf('\n', start);
    return { start, text: text.slice(start, end === -1 ? undefined : end) };
  };
  const near = lineOf(warningAt ?? errorAt);

  const tag = /([\w-]+):\s*(!)\s*([\w]*)\s*(\(.*)?/.exec(near.text);
  if (tag !== null && (code === 'TAG_RESOLVE_FAILED' || warningAt !== undefined)) {
    const call = /!\s*([a-z_]+\((?:[^()]|\([^()]*\))*\))/.exec(near.text)?.[1];
    return {
      offset: near.start + near.text.indexOf('!', tag.index),
      code: 'yaml-tag',
      message: `\`${tag[1]}\` starts with "!", which YAML takes for a tag: write not(${call ?? '…'})`,
    };
  }
  const block = /\b(crit|warn):\s*([>|])\s*([^\n,}]*)/.exec(near.text);
  if (block !== null) {
    const rest = block[3]!.trim();
    return {
      offset: near.start + block.index + block[0].indexOf(block[2]!, block[1]!.length),
      code: 'yaml-block',
      message: `"${block[1]}: ${block[2]}" starts a text block in YAML: write "above ${rest === '' ? '…' : rest}"`,
    };
  }
  const condition = new RegExp(`[{,]\\s*(${conditionKeys}):\\s*(?!["'])([^}]*)`).exec(near.text);
  if (condition !== null && condition[2]!.includes(',')) {
    const first = condition[2]!.slice(0, condition[2]!.indexOf(','));
    const open = (first.match(/[([]/g) ?? []).length - (first.match(/[)\]]/g) ?? []).length;
    if (open > 0) {
      return {
        offset: near.start + condition.index + condition[0].indexOf(condition[1]!),
        code: 'yaml-comma',
        message: 'This condition has a comma inside { }: give it a line of its own',
      };
    }
  }
  // A comment inside { } swallows the closing bracket, so the complaint comes lines later.
  const before = text.slice(0, Math.min(text.length, errorAt + 1));
  const open = before.lastIndexOf('{');
  const cut = /([\w-]+):\s*(?!["'\s])([^,{}\n]*?)\s#\S/.exec(open < 0 ? '' : before.slice(open));
  if (cut !== null && /^(BAD_INDENT|MISSING_CHAR|UNEXPECTED_TOKEN|BAD_FLOW)/.test(code)) {
    return {
      offset: open + cut.index + cut[0].length - 2,
      code: 'yaml-comment',
      message: `Text after "#" is a comment; the ${cut[1]} ends at "${cut[2]!.trim().split(/\s+/).at(-1)}": quote it`,
    };
  }
  if (code === 'DUPLICATE_KEY') {
    const word = /^[^\s:,}]+/.exec(text.slice(errorAt))?.[0] ?? '';
    return { offset: errorAt, code: 'duplicate', message: `"${word}" is defined twice here: keep one` };
  }
  if (code === 'TAB_AS_INDENT') {
    return { offset: errorAt, code: 'yaml', message: 'A tab cannot indent in YAML: use spaces' };
  }
  return { offset: errorAt, code: 'yaml', message: `This is not YAML: ${message}` };
}

/** Path of the innermost map entry that holds this offset, for errors that come before any value exists. */
function pathAt(contents: unknown, offset: number): string {
  const path: string[] = [];
  let node = contents;
  for (let depth = 0; depth < 64; depth++) {
    if (isMap(node)) {
      const pair = [...node.items]
        .reverse()
        .find((item) => ((item.key as Node | null)?.range?.[0] ?? Number.POSITIVE_INFINITY) <= offset);
      if (pair === undefined || !isScalar(pair.key)) break;
      path.push(String(pair.key.value));
      node = pair.value;
    } else if (isSeq(node)) {
      const index = node.items.findLastIndex(
        (item) => ((item as Node | null)?.range?.[0] ?? Number.POSITIVE_INFINITY) <= offset,
      );
      if (index < 0) break;
      path.push(String(index));
      node = node.items[index];
    } else break;
  }
  return path.join('/');
}

function pathOf(ancestors: readonly unknown[]): string {
  const path: string[] = [];
  for (const [i, node] of ancestors.entries()) {
    if (isSeq(node)) {
      const child = ancestors[i + 1];
      if (child !== undefined) path.push(String(node.items.indexOf(child)));
    } else if (typeof node === 'object' && node !== null && 'key' in node && !isMap(node) && !isAlias(node)) {
      const key = (node as Pair).key;
      if (isScalar(key)) path.push(String(key.value));
    }
  }
  return path.join('/');
}
