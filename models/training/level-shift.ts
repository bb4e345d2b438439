import type { Result } from '../../agent/base/result.ts';
import { err, ok } from '../../agent/base/result.ts';
import { type LevelShift, levelShiftScorer } from '../onnx/level-shift-graph.ts';
import { type ModelProblem, problem } from '../problem.ts';
import { foldsSetting, type HeldOutScore, type Kind, type KindFit } from './kind.ts';
import { leastChanges } from './least-change.ts';
import { conformalQuantile, deviation, mean, median, robustDeviation } from './statistics.ts';

type LevelShiftSettings = {
  readonly levelRows: number;
  readonly windowRows: number;
  readonly limit: number;
  readonly leastChange: number;
  readonly leastChangeOf: string;
  readonly wander: number;
  readonly cap: number;
  readonly spreadWeight: number;
  readonly folds: number;
};

/** Rows of a block when wander is told from noise. */
const blockRows = 20;
/** However much an input wandered, it is granted no more than so many of its deviations: else it could never be seen. */
const mostWander = 10;
/** Rows are cut at so many of their deviations while fitting, so that one spike does not set an allowance. */
const fitCap = 8;
/** A log-spread's healthy deviation is taken to be at least this: a third more or less movement is ordinary. */
const smallestLogSpread = 0.3;
/** Movement is cut later than levels: rows that swing far to both sides are what it looks for. */
const movementCaps = 2;

const number = (value: number, min: number, max: number, means: string) => ({
  kind: 'number' as const,
  default: value,
  min,
  max,
  means,
});

/**
 * The level of every input in units of what it may wander: its *allowance*. The score is the largest one; each input
 * is looked at by itself, so that the alarm says which.
 *
 * What minutes of training show is not how far a healthy input goes in the hours after. The allowance adds up, as
 * squares, what is known of that:
 * - the deviation of its level in training, at least what its noise alone gives, times its wander: how much more the
 *   means of blocks differ than noise would make them, over `wander`. A motor's temperature, whose blocks differ a
 *   hundred times more, gets ten times the allowance; a steady flow gets one. So nobody has to leave out by hand the
 *   inputs that drift, and a jump of them is seen still;
 * - the smallest change that means anything to people, a share of the level (`leastChange`, per input by
 *   `leastChangeOf`). A vibration that is one percent larger is no news, however steady it was in training.
 *
 * A row counts for at most `cap` allowances: one spike does not make an alarm, and after a great fault the level comes
 * back as fast as after a small one. Beside levels the score sees movement: the log-spread of a longer window.
 *
 * No correlations are used; an input that drags another along is two inputs here.
 */
export const levelShift: Kind<LevelShiftSettings> = {
  name: 'level-shift',
  does: 'how far the level of each input has moved, in units of what it may wander; and whether it shakes or froze',
  settings: {
    levelRows: {
      ...number(8, 1, 256, 'rows whose mean is the level; fewer see it sooner, more see less'),
      whole: true,
    },
    windowRows: {
      ...number(20, 2, 512, 'rows of the window whose movement is judged, at least levelRows'),
      whole: true,
    },
    limit: number(3.25, 0.5, 100, 'allowances that are not strange yet, whatever held-out windows say'),
    leastChange: number(0.004, 0, 1, 'changes below this share of the level are granted to every input'),
    leastChangeOf: {
      kind: 'text',
      default: '',
      means: 'the same for single inputs, e.g. "Vibration 0.02, Flow 0.005"',
    },
    wander: number(8, 1, 1e6, 'block means that differ so many times more than noise would make them are wander'),
    cap: number(12, 1, 1e6, 'allowances that one row counts for at most'),
    spreadWeight: number(0.4, 0, 10, 'how much movement counts beside level; 0: not at all'),
    folds: foldsSetting,
  },
  recommends: { driftAllowance: 1, raise: '3 of 4', clear: '4' },
  fit(rows, settings, { inputs, falseAlarmRate }) {
    const least = leastChanges(settings.leastChange, settings.leastChangeOf, inputs);
    return least.ok ? fitLevelShift(rows, settings, least.value, falseAlarmRate) : least;
  },
};

function fitLevelShift(
  rows: readonly (readonly number[])[],
  settings: LevelShiftSettings,
  least: readonly number[],
  falseAlarmRate: number,
): Result<KindFit, ModelProblem> {
  const { windowRows, levelRows, limit, folds } = settings;
  if (levelRows > windowRows) {
    return err(problem('option-invalid', `levelRows ${levelRows}: at most windowRows, ${windowRows}`));
  }
  const needed = Math.max(4 * blockRows, windowRows * (folds + 3));
  if (rows.length < needed) {
    return err(
      problem(
        'data-too-short',
        `${rows.length} healthy rows; windows of ${windowRows} rows in ${folds} parts need at least ${needed}`,
      ),
    );
  }
  const channels = rows[0]?.length ?? 0;
  // The graph computes in 32 bit; a channel whose movement does not survive that must not be trained on.
  const columns = Array.from({ length: channels }, (_, c) => rows.map((row) => Math.fround(row[c] ?? 0)));
  const spread = columns.map(deviation);
  const moves = columns.map((column, c) => (spread[c] ?? 0) > Math.max(1e-30, 1e-6 * Math.abs(median(column))));
  const still = moves.flatMap((value, c) => (value ? [] : [c]));
  if (still.length === channels) {
    return err(problem('nothing-varies', 'no channel changes in the training rows; there is nothing to learn from'));
  }
  /** Fits on stretches of rows that follow each other. */
  const build = (stretches: readonly Stretch[]): LevelShift => {
    const each = columns.map((column, c) => {
      const parts = stretches.map(({ from, to }) => column.slice(from, to));
      return moves[c] ? channelOf(parts, settings, least[c] ?? 0) : channelLeftOut;
    });
    return {
      windowRows,
      levelRows,
      cap: settings.cap,
      location: each.map(({ location }) => location),
      inverse: each.map(({ inverse }) => inverse),
      movementInverse: each.map(({ movementInverse }) => movementInverse),
      movementCap: movementCaps * settings.cap,
      calm: each.map(({ calm }) => calm),
      spreadWeight: each.map(({ spreadWeight }) => spreadWeight),
    };
  };

  const flat = Float32Array.from(rows.flat());
  const heldOut: HeldOutScore[] = [];
  for (let k = 0; k < folds; k++) {
    const from = Math.floor((k * rows.length) / folds);
    const to = Math.floor(((k + 1) * rows.length) / folds);
    const judge = levelShiftScorer(build(around(from, to, rows.length, windowRows)));
    for (let last = from + windowRows - 1; last < to; last++) {
      const window = flat.subarray((last - windowRows + 1) * channels, (last + 1) * channels);
      heldOut.push({ row: last, value: judge.score(window).value });
    }
  }
  const asked = conformalQuantile(
    heldOut.map(({ value }) => value),
    falseAlarmRate,
  );
  return ok({
    scorer: levelShiftScorer(build([{ from: 0, to: rows.length }])),
    heldOut,
    heldOutHow: `${folds} contiguous parts, a window's width left free on both sides`,
    limit: {
      value: Math.max(limit, asked),
      how: `${limit} allowances, or the conformal quantile of held-out healthy windows where that is more`,
    },
    still,
    spread: spread.map((value, c) => (moves[c] ? value : 1)),
  });
}

interface Stretch {
  readonly from: number;
  readonly to: number;
}

/** The rows that are not held out, a gap left free beside those that are; stretches too short to learn from dropped. */
const around = (from: number, to: number, rows: number, gap: number): readonly Stretch[] =>
  [
    { from: 0, to: from - gap },
    { from: to + gap, to: rows },
  ].filter((stretch) => stretch.to - stretch.from >= Math.max(blockRows, gap));

interface Channel {
  readonly location: number;
  /** One over the allowance. */
  readonly inverse: number;
  readonly movementInverse: number;
  /** Healthy log-spread. */
  readonly calm: number;
  readonly spreadWeight: number;
}

const channelLeftOut: Channel = { location: 0, inverse: 0, movementInverse: 0, calm: 0, spreadWeight: 0 };

function channelOf(parts: readonly (readonly number[])[], settings: LevelShiftSettings, least: number): Channel {
  const { levelRows, windowRows, wander, cap } = settings;
  const all = parts.flat();
  const centre = median(all);
  const scale = Math.max(deviation(all), 1e-6 * Math.abs(centre), 1e-30);
  const scaled = parts.map((part) => part.map((value) => clip((value - centre) / scale, fitCap)));

  const levels = scaled.flatMap((part) => windowsIn(part, levelRows).map(mean));
  const blocks = scaled.flatMap(blocksIn);
  const noise = mean(blocks.map((block) => deviation(block) ** 2));
  const excess = deviation(blocks.map(mean)) ** 2 / Math.max(1e-9, noise / blockRows);
  const own =
    Math.max(deviation(levels), Math.sqrt(noise / levelRows)) * clip(Math.max(1, excess / wander), mostWander);
  const granted = (least * Math.abs(centre)) / scale;
  const allowance = Math.hypot(own, granted) * scale;
  const location = Math.fround(centre + median(levels) * scale);
  const inverse = Math.fround(1 / allowance);
  const movementInverse = Math.fround(1 / Math.max(allowance, Math.sqrt(noise) * scale));

  const movements = parts.flatMap((part) => {
    const units = part.map((value) => clip((value - location) * movementInverse, movementCaps * cap));
    return windowsIn(units, windowRows).map((window) => 0.5 * Math.log(deviation(window) ** 2 + 1));
  });
  const usual = Math.max(deviation(movements), robustDeviation(movements), smallestLogSpread);
  return {
    location,
    inverse,
    movementInverse,
    calm: Math.fround(median(movements)),
    spreadWeight: Math.fround(settings.spreadWeight / usual),
  };
}

const clip = (value: number, most: number): number => Math.min(most, Math.max(-most, value));

const windowsIn = (values: readonly number[], rows: number): readonly (readonly number[])[] =>
  Array.from({ length: Math.max(0, values.length - rows + 1) }, (_, i) => values.slice(i, i + rows));

/** Whole blocks, counted from the end: the newest rows are the ones to keep. */
const blocksIn = (values: readonly number[]): readonly (readonly number[])[] => {
  const count = Math.floor(values.length / blockRows);
  const first = values.length - count * blockRows;
  return Array.from({ length: count }, (_, b) => values.slice(first + b * blockRows, first + (b + 1) * blockRows));
};
