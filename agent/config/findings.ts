import type { Problem, ProblemCode } from './problem.ts';
import type { Path, ProblemMore, SourceDocument } from './site-document.ts';

/** Where something was written, and through which type it came to its thing. */
export interface Origin {
  readonly path: Path;
  readonly type: string | undefined;
  readonly thing: string;
  /** `but` replaces single values; their place is the exception, not the type. */
  readonly overrides: ReadonlyMap<string, Path>;
}

interface Finding {
  readonly problem: Problem;
  readonly type: string | undefined;
  readonly things: Set<string>;
}

/** Collects mistakes and tells each once: a slip in a type is one slip, also when ten presses are made from it. */
export class Findings {
  readonly #document: SourceDocument;
  readonly #found = new Map<string, Finding>();
  readonly #sizes = new Map<string, number>();

  constructor(document: SourceDocument) {
    this.#document = document;
  }

  /** How many things a type has, for "in 3 of 10 presses". */
  typeSize(type: string, count: number): void {
    this.#sizes.set(type, count);
  }

  at(path: Path, code: ProblemCode, message: string, more: ProblemMore = {}): void {
    this.#add(this.#document.problem(path, code, message, more), undefined, undefined);
  }

  of(origin: Origin, below: Path, code: ProblemCode, message: string, more: ProblemMore = {}): void {
    let path: Path = [...origin.path, ...below];
    let throughType = origin.type;
    for (let length = below.length; length > 0; length--) {
      const replaced = origin.overrides.get(below.slice(0, length).join('/'));
      if (replaced !== undefined) {
        path = [...replaced, ...below.slice(length)];
        throughType = undefined;
        break;
      }
    }
    this.#add(this.#document.problem(path, code, message, more), throughType, origin.thing);
  }

  add(problems: readonly Problem[]): void {
    for (const problem of problems) this.#add(problem, undefined, undefined);
  }

  #add(problem: Problem, type: string | undefined, thing: string | undefined): void {
    const told = type === undefined ? problem.message : '';
    const key = `${problem.line}:${problem.column}:${problem.path}:${problem.code}:${told}`;
    const known = this.#found.get(key);
    if (known === undefined) {
      this.#found.set(key, { problem, type, things: new Set(thing === undefined ? [] : [thing]) });
    } else if (thing !== undefined) known.things.add(thing);
  }

  /** By place; errors and warnings together. */
  problems(): readonly Problem[] {
    return [...this.#found.values()]
      .map(({ problem, type, things }) => {
        if (type === undefined || things.size < 2) return problem;
        const all = this.#sizes.get(type) ?? things.size;
        const share = all > things.size ? `${things.size} of ${all}` : `${things.size}`;
        return { ...problem, message: `${problem.message} (in ${share} ${plural(type)})` };
      })
      .sort((a, b) => a.line - b.line || a.column - b.column);
  }
}

const plural = (word: string): string =>
  /(s|x|ch|sh)$/.test(word) ? `${word}es` : /[^aeiou]y$/.test(word) ? `${word.slice(0, -1)}ies` : `${word}s`;
