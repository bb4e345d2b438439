import type { Drawn, Scorer, WindowScore } from '../training/kind.ts';
import type { GraphWriter } from './graph-writer.ts';

/** What a fit of levels leaves behind; per channel [C], all of it exact in 32 bit. */
export interface LevelShift {
  /** W, rows of the window whose movement is judged. */
  readonly windowRows: number;
  /** The last so many rows of it make the level. */
  readonly levelRows: number;
  /** A row counts for at most so many allowances. */
  readonly cap: number;
  /** Healthy level, in the channel's unit. */
  readonly location: readonly number[];
  /** One over the allowance; 0 takes the channel out. */
  readonly inverse: readonly number[];
  /** One over the unit of movement: the allowance, or the noise of single rows where that is more; 0 as above. */
  readonly movementInverse: readonly number[];
  /** A row counts for at most so many of these. */
  readonly movementCap: number;
  /** Healthy log-spread of a window in that unit, ½·ln(variance + 1). */
  readonly calm: readonly number[];
  /** Score per unit of log-spread away from `calm`. */
  readonly spreadWeight: readonly number[];
}

/**
 * With u = clip((x − location) · inverse, ±cap) and m the same in units of movement: score = max over channels of
 * |mean of the last levelRows u| and weight · |½ ln(variance of all m + 1) − calm|. A channel's share goes with the
 * square of its own larger one.
 */
export const levelShiftScorer = (fit: LevelShift): Scorer => ({
  windowRows: fit.windowRows,
  channels: fit.location.length,
  score: (window) => scoreLevelShift(fit, window),
  draw: (graph, window) => drawLevelShift(fit, graph, window),
});

function scoreLevelShift(fit: LevelShift, window: ArrayLike<number>): WindowScore {
  const channels = fit.location.length;
  const each = fit.location.map((location, c) => {
    let recent = 0;
    let sum = 0;
    const movements = new Float64Array(fit.windowRows);
    for (let r = 0; r < fit.windowRows; r++) {
      const away = (window[r * channels + c] ?? 0) - location;
      const moved = clip(away * (fit.movementInverse[c] ?? 0), fit.movementCap);
      movements[r] = moved;
      sum += moved;
      if (r >= fit.windowRows - fit.levelRows) recent += clip(away * (fit.inverse[c] ?? 0), fit.cap);
    }
    const middle = sum / fit.windowRows;
    let squares = 0;
    for (const moved of movements) squares += (moved - middle) ** 2;
    const movement = 0.5 * Math.log(squares / fit.windowRows + 1) - (fit.calm[c] ?? 0);
    return Math.max(Math.abs(recent / fit.levelRows), (fit.spreadWeight[c] ?? 0) * Math.abs(movement));
  });
  const total = each.reduce((sum, value) => sum + value * value, 0);
  return {
    value: each.reduce((most, value) => Math.max(most, value), 0),
    contributions: each.map((value) => (total > 0 ? (value * value) / total : 0)),
  };
}

const clip = (value: number, most: number): number => Math.min(most, Math.max(-most, value));

function drawLevelShift(fit: LevelShift, graph: GraphWriter, window: string): Drawn {
  const channels = fit.location.length;
  const rows = { axes: [1] };
  const row = (name: string, values: readonly number[]) => graph.floats(name, [channels], values);
  const away = graph.node('Sub', [window, row('location', fit.location)], 'away');
  const inUnits = (name: string, inverse: readonly number[], most: number) => {
    const units = graph.node('Mul', [away, row(`${name}_inverse`, inverse)], `${name}_units`);
    const caps = [graph.floats(`${name}_lowest`, [], [-most]), graph.floats(`${name}_highest`, [], [most])];
    return graph.node('Clip', [units, ...caps], `${name}_capped`);
  };
  const units = inUnits('level', fit.inverse, fit.cap);
  const moved = inUnits('movement', fit.movementInverse, fit.movementCap);

  const slice = [[fit.windowRows - fit.levelRows], [fit.windowRows], [1]].map((value, i) =>
    graph.integers(['first', 'end', 'along_rows'][i] ?? '', value),
  );
  const recent = graph.node('Slice', [units, ...slice], 'recent');
  const level = graph.node('ReduceMean', [recent], 'level', { ...rows, keepdims: 0 });
  const levelSize = graph.node('Abs', [level], 'level_size');

  const middle = graph.node('ReduceMean', [moved], 'middle', { ...rows, keepdims: 1 });
  const offs = graph.node('Sub', [moved, middle], 'offs');
  const squared = graph.node('Mul', [offs, offs], 'squared');
  const variance = graph.node('ReduceMean', [squared], 'variance', { ...rows, keepdims: 0 });
  const granted = graph.node('Add', [variance, graph.floats('one', [], [1])], 'granted');
  const logged = graph.node('Log', [granted], 'logged');
  const spread = graph.node('Mul', [logged, graph.floats('half', [], [0.5])], 'log_spread');
  const movement = graph.node('Sub', [spread, row('calm', fit.calm)], 'movement');
  const movementSize = graph.node('Abs', [movement], 'movement_size');
  const weighted = graph.node('Mul', [movementSize, row('spread_weight', fit.spreadWeight)], 'weighted');

  const each = graph.node('Max', [levelSize, weighted], 'each');
  const score = graph.node('ReduceMax', [each], 'largest', { ...rows, keepdims: 0 });
  const parts = graph.node('Mul', [each, each], 'parts');
  const sum = graph.node('ReduceSum', [parts, graph.integers('along_channels', [1])], 'sum', { keepdims: 1 });
  const divisor = graph.node('Max', [sum, graph.floats('tiny', [], [1e-30])], 'divisor');
  return { score, contributions: graph.node('Div', [parts, divisor], 'shares') };
}
