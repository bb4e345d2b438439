import { mkdir, readdir, writeFile } from 'node:fs/promises';
import { dirname, join, relative, sep } from 'node:path';
import type { Result } from '../../agent/base/result.ts';
import { err, ok } from '../../agent/base/result.ts';
import { type ModelProblem, problem } from '../problem.ts';

/** What is said of one row. `score` is finite; larger is stranger. `anomaly` is the decision, dwell and all. */
export interface Prediction {
  /** As written in the series; the row's number, from 0, where a dataset has no clock. */
  readonly timestamp: string;
  readonly score: number;
  readonly anomaly: boolean;
}

/**
 * A public benchmark with the one configuration that we run on all of its series. Whatever it says of a row depends on
 * that row and those before it, and on rows that the benchmark gives to learn from. Labels are not read: their
 * columns are dropped by name, their files are never opened.
 */
export interface Dataset {
  readonly name: string;
  /** What its folder looks like, for whoever gave another one. */
  readonly layout: string;
  /** Finds the series and learns what they share. */
  open(folder: string): Promise<Result<Judge, ModelProblem>>;
}

export interface Judge {
  /** Paths below the folder, sorted. */
  readonly series: readonly string[];
  /** One prediction per row of the series, in order, rows that it learned from included. */
  judge(series: string): Promise<Result<readonly Prediction[], ModelProblem>>;
  close(): Promise<void>;
}

const maxSeries = 10_000;

/** CSV files below the folder whose path does not hold any of `except`, sorted. */
export async function seriesIn(
  folder: string,
  except: readonly string[] = [],
): Promise<Result<readonly string[], ModelProblem>> {
  let paths: string[];
  try {
    const entries = await readdir(folder, { recursive: true, withFileTypes: true });
    paths = entries
      .filter((entry) => entry.name.endsWith('.csv') && (entry.isFile() || entry.isSymbolicLink()))
      .map((entry) => relative(folder, join(entry.parentPath, entry.name)))
      .filter((path) => !except.some((part) => path.includes(part)))
      .sort();
  } catch (cause) {
    return err(problem('data-unreadable', `${folder} cannot be read (${(cause as NodeJS.ErrnoException).code})`));
  }
  if (paths.length === 0) return err(problem('data-too-short', `${folder} holds no series (*.csv)`));
  if (paths.length > maxSeries) {
    return err(problem('data-too-large', `${folder} holds ${paths.length} series, at most ${maxSeries} are judged`));
  }
  return ok(paths);
}

/** Writes `timestamp,score,is_anomaly` at the series' own path below `out`. */
export async function writePredictions(
  out: string,
  series: string,
  predictions: readonly Prediction[],
): Promise<Result<undefined, ModelProblem>> {
  const path = join(out, ...series.split(sep));
  const lines = predictions.map(({ timestamp, score, anomaly }) => `${timestamp},${score},${anomaly ? 1 : 0}`);
  try {
    await mkdir(dirname(path), { recursive: true });
    await writeFile(path, `timestamp,score,is_anomaly\n${lines.join('\n')}\n`);
  } catch (cause) {
    return err(problem('write-failed', `${path} cannot be written (${(cause as NodeJS.ErrnoException).code})`));
  }
  return ok(undefined);
}
