import type { Random } from '../../agent/base/random.ts';
import type { Result } from '../../agent/base/result.ts';
import { err, ok } from '../../agent/base/result.ts';
import type { GraphWriter } from '../onnx/graph-writer.ts';
import { type ModelProblem, problem } from '../problem.ts';

/** One knob of a kind: what it may be, and what turning it does, in one sentence for people. */
export type Setting =
  | {
      readonly kind: 'number';
      readonly default: number;
      readonly min: number;
      readonly max: number;
      /** Only whole numbers. */
      readonly whole?: true;
      readonly means: string;
    }
  | { readonly kind: 'choice'; readonly default: string; readonly among: readonly string[]; readonly means: string }
  | { readonly kind: 'text'; readonly default: string; readonly means: string };

/** Values of a kind's knobs, complete. */
export type Settings = Readonly<Record<string, number | string>>;

export interface WindowScore {
  /** At least 0; larger is stranger. */
  readonly value: number;
  /** Per channel [C], at least 0, sum 1 (all 0 where nothing is strange). */
  readonly contributions: readonly number[];
}

/** What a fit leaves behind: one formula, written twice, once in double precision and once as a graph. */
export interface Scorer {
  /** W, rows of one window. */
  readonly windowRows: number;
  /** C, values per row. */
  readonly channels: number;
  /** Share by which the graph's score may deviate from the formula's; default 0.001, what 32 bits leave. */
  readonly tolerance?: number | undefined;
  /** Score of one window of W·C raw values, row by row. The graph must agree with it. */
  score(window: ArrayLike<number>): WindowScore;
  /**
   * Draws the formula: `window` names a float32 tensor [N, W, C]; returns the names of `score` [N] and `contributions`
   * [N, C].
   */
  draw(graph: GraphWriter, window: string): Drawn;
}

export interface Drawn {
  readonly score: string;
  readonly contributions: string;
}

/** A healthy window's score by a fit that did not see its rows. `row`: the window's last row among the training rows. */
export interface HeldOutScore {
  readonly row: number;
  readonly value: number;
}

export interface KindFit {
  readonly scorer: Scorer;
  readonly heldOut: readonly HeldOutScore[];
  /** How they were held out, one clause, for the manifest. */
  readonly heldOutHow: string;
  /** Channels that never moved in training and therefore cannot be judged, by position. */
  readonly still: readonly number[];
  /**
   * A limit that the kind sets by itself, before the drift allowance, where a quantile of its held-out scores is not
   * the right one; `how` is one clause for the manifest.
   */
  readonly limit?: { readonly value: number; readonly how: string } | undefined;
  /** Typical deviation of each channel, above zero [C]: what "far" means for a golden window. */
  readonly spread: readonly number[];
}

export interface FitContext {
  readonly random: Random;
  /** Names of the channels [C]. */
  readonly inputs: readonly string[];
  /** Share of healthy windows that may lie above the limit, 0..0.5. */
  readonly falseAlarmRate: number;
}

/**
 * A way to tell strange windows from healthy ones. A fit is a pure function of rows, settings and seed: no clock, no
 * row number, no label enters, and the same rows give the same bytes.
 */
export interface Kind<S extends Settings = Settings> {
  /** In lower case with dashes; stands in the manifest. */
  readonly name: string;
  /** What it sees, one sentence for people. */
  readonly does: string;
  readonly settings: { readonly [K in keyof S]: Setting };
  /**
   * What goes well with it unless somebody says otherwise. `driftAllowance`: factor on the conformal quantile, at
   * least 1. Few minutes of training have not seen the drift of the next hours: held-out rows come from the same
   * minutes, so their quantile is too low for later. `raise` and `clear`: dwell in scores, as the site file takes it.
   */
  readonly recommends: { readonly driftAllowance: number; readonly raise: string; readonly clear: string };
  /** `rows`: healthy rows [rows][C], finite numbers in time order. */
  fit(rows: readonly (readonly number[])[], settings: S, context: FitContext): Result<KindFit, ModelProblem>;
}

/** Rows per window: every kind that looks at windows has this knob under the name `windowRows`. */
export const windowRowsSetting = (value: number, max = 512): Setting => ({
  kind: 'number',
  default: value,
  min: 1,
  max,
  whole: true,
  means: 'rows per window; longer sees smaller shifts, later',
});

export const foldsSetting: Setting = {
  kind: 'number',
  default: 5,
  min: 2,
  max: 50,
  whole: true,
  means: 'contiguous parts of the training rows; each is judged once by a fit on the others',
};

/** Fills in defaults and checks what was given; every mistake is named, with what was expected. */
export function settingsOf<S extends Settings>(
  kind: Kind<S>,
  given: Readonly<Record<string, number | string | undefined>>,
): Result<S, ModelProblem> {
  const wrong: string[] = [];
  const known = Object.keys(kind.settings);
  for (const [name, value] of Object.entries(given)) {
    if (value !== undefined && !known.includes(name)) {
      wrong.push(`${kind.name} has no setting "${name}"; it has ${known.join(', ')}`);
    }
  }
  const values: Record<string, number | string> = {};
  for (const [name, setting] of Object.entries(kind.settings) as [string, Setting][]) {
    const value = given[name] ?? setting.default;
    const complaint = complaintAbout(setting, value);
    if (complaint !== undefined) wrong.push(`${name} ${value}: ${complaint}`);
    values[name] = setting.kind === 'number' ? Number(value) : value;
  }
  return wrong.length > 0 ? err(problem('option-invalid', wrong.join('; '))) : ok(values as S);
}

function complaintAbout(setting: Setting, value: number | string): string | undefined {
  switch (setting.kind) {
    case 'number': {
      const number = typeof value === 'string' && value.trim() === '' ? Number.NaN : Number(value);
      if (number >= setting.min && number <= setting.max && (!setting.whole || Number.isInteger(number)))
        return undefined;
      return `expected ${setting.whole ? 'a whole number ' : ''}from ${setting.min} to ${setting.max}`;
    }
    case 'choice':
      return setting.among.includes(String(value)) ? undefined : `expected one of ${setting.among.join(', ')}`;
    case 'text':
      return String(value).length <= 1000 ? undefined : 'expected at most 1000 characters';
  }
}
