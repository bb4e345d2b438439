import type { MutantReport } from './mutant.ts';

export interface MutantsReport {
  readonly planted: number;
  readonly found: number;
  /** Seeds on which the shipped code broke something; 0, or the checkers or the code are wrong. */
  readonly shippedFails: number;
  readonly seeds: number;
  /** False when it was ended before all were hunted. */
  readonly isComplete: boolean;
  readonly mutants: readonly MutantReport[];
}

export function summarize(mutants: readonly MutantReport[], wanted: number): MutantsReport {
  const sum = (of: (report: MutantReport) => number): number => mutants.reduce((n, report) => n + of(report), 0);
  return {
    planted: mutants.length,
    found: sum(({ found }) => (found ? 1 : 0)),
    shippedFails: sum(({ shippedFails }) => shippedFails.length),
    seeds: sum(({ seeds }) => seeds),
    isComplete: mutants.length === wanted,
    mutants,
  };
}

export const isGood = (report: MutantsReport): boolean =>
  report.isComplete && report.found === report.planted && report.shippedFails === 0;

/** A table for people, and beneath it what is not as it should be. */
export function readable(report: MutantsReport): string {
  const { planted, found, shippedFails, seeds, isComplete, mutants } = report;
  const rows = mutants.map((mutant) => [
    mutant.part,
    mutant.name,
    mutant.found ? 'found' : 'NOT FOUND',
    mutant.story === null ? (mutant.seed === null ? '' : String(mutant.seed)) : 'story',
    mutant.story === null ? `${mutant.hits} of ${mutant.seeds}` : '',
    mutant.invariant ?? '',
  ]);
  const table = [['part', 'taken out', '', 'seed', 'seeds', 'what was broken'], ...rows];
  const widths = table[0]!.map((_, column) => Math.max(...table.map((cells) => cells[column]!.length)));
  const lines = table.map((cells) =>
    cells
      .map((cell, column) => cell.padEnd(widths[column]!))
      .join('  ')
      .trimEnd(),
  );
  lines.push('', `${found} of ${planted} found${isComplete ? '' : ', ended early'}`);
  lines.push(
    shippedFails === 0
      ? `the code as it ships passed the same ${seeds} seeds`
      : `THE CODE AS IT SHIPS broke something on ${shippedFails} of the same ${seeds} seeds:`,
  );
  for (const { name, part, shippedFails: fails } of mutants) {
    for (const { seed, invariant, text } of fails.slice(0, 3)) {
      lines.push(`  ${part}, ${name}, seed ${seed}: ${invariant}: ${text}`);
    }
  }
  const missed = mutants.filter((mutant) => !mutant.found);
  if (missed.length > 0) lines.push('', 'not found; more seeds may, or the checkers have a gap:');
  for (const { command } of missed) lines.push(`  ${command} --seeds 10000`);
  return `${lines.join('\n')}\n`;
}
