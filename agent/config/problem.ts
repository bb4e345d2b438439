/** One mistake in a file that a person wrote, with the place where it stands and, where there is one, the cure. */
export interface Problem {
  readonly severity: 'error' | 'warning';
  readonly file: string;
  /** From 1. */
  readonly line: number;
  /** From 1, in characters. */
  readonly column: number;
  /** Keys from the root, joined by `/`: `types/press/checks/oil/crit`. Empty for the file as a whole. */
  readonly path: string;
  readonly code: ProblemCode;
  readonly message: string;
  readonly remedy?: string;
}

/**
 * Kinds of mistakes. `later` is a word of the language that this release knows and does not carry out yet; it is
 * refused by name, because a line that silently does nothing is the worst kind of configuration.
 */
export type ProblemCode =
  | 'unreadable'
  | 'too-large'
  | 'yaml'
  | 'yaml-tag'
  | 'yaml-comma'
  | 'yaml-block'
  | 'yaml-comment'
  | 'yaml-empty'
  | 'yaml-alias'
  | 'yaml-key'
  | 'duplicate'
  | 'unknown-key'
  | 'missing'
  | 'shape'
  | 'value'
  | 'name'
  | 'unit'
  | 'dimension'
  | 'reference'
  | 'state'
  | 'condition'
  | 'raw-signal'
  | 'idle-trap'
  | 'clash'
  | 'parameter'
  | 'exception'
  | 'no-why'
  | 'nobody'
  | 'circle'
  | 'voters'
  | 'response'
  | 'later';

/** `file:line:column path: message`, the way editors and people jump to it. */
export function formatProblem(problem: Problem): string {
  const place = `${problem.file}:${problem.line}:${problem.column}`;
  const path = problem.path === '' ? '' : ` ${problem.path}`;
  const grade = problem.severity === 'warning' ? 'warning: ' : '';
  const remedy = problem.remedy === undefined ? '' : ` (${problem.remedy})`;
  return `${place}${path}: ${grade}${problem.message}${remedy}`;
}

/** All of them, by place, one a line. */
export const formatProblems = (problems: readonly Problem[]): string => problems.map(formatProblem).join('\n');

export const hasErrors = (problems: readonly Problem[]): boolean => problems.some((p) => p.severity === 'error');
