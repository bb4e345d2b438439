import type { Result } from '../../agent/base/result.ts';
import { err, ok } from '../../agent/base/result.ts';
import type { GraphWriter } from '../onnx/graph-writer.ts';
import { type ModelProblem, problem } from '../problem.ts';
import {
  type Drawn,
  type FitContext,
  type Kind,
  type KindFit,
  type Scorer,
  type Settings,
  settingsOf,
} from './kind.ts';
import { conformalQuantile } from './statistics.ts';

type EnsembleSettings = { readonly members: string; readonly combine: string };

/** A scorer in units of its own limit: 1 is where it would raise by itself. */
interface Member {
  readonly scorer: Scorer;
  readonly limit: number;
}

const mostMembers = 8;
/** How strongly the strangest member's shares outweigh the others'; a smooth choice, so that near ties do not jump. */
const sharpness = 8;

/**
 * Several kinds on the same rows, each in units of its own limit, so that they can be held against each other.
 * `combine=max`: any member may raise; the false-alarm rate is split between them (Bonferroni), and the limit is 1.
 * `combine=mean`: they have to agree; the limit is the quantile of the held-out mean.
 */
export const ensembleOf = (kinds: readonly Kind[]): Kind<EnsembleSettings> => ({
  name: 'ensemble',
  does: 'several kinds at once, each in units of its own limit: the strangest counts, or their mean',
  settings: {
    members: {
      kind: 'text',
      default: 'windowed-mahalanobis + window-z + nearest',
      means: 'kinds with their knobs, e.g. window-z + pca(statistic=q, variance=0.95)',
    },
    combine: {
      kind: 'choice',
      default: 'max',
      among: ['max', 'mean'],
      means: 'any member may raise, or they have to agree',
    },
  },
  recommends: { driftAllowance: 1.4, raise: '45 of 60', clear: '60' },
  fit(rows, { members: text, combine }, context) {
    const wanted = parseMembers(text, kinds);
    if (!wanted.ok) return wanted;
    const share = combine === 'max' ? context.falseAlarmRate / wanted.value.length : context.falseAlarmRate;
    const fits: KindFit[] = [];
    for (const [i, { kind, settings }] of wanted.value.entries()) {
      const own: FitContext = { ...context, random: context.random.fork(`member ${i}`), falseAlarmRate: share };
      const fit = kind.fit(rows, settings, own);
      if (!fit.ok) return err(problem(fit.error.code, `member ${kind.name}: ${fit.error.message}`));
      fits.push(fit.value);
    }
    const members = fits.map(({ scorer, heldOut, limit }): Member => {
      const quantile = conformalQuantile(
        heldOut.map(({ value }) => value),
        share,
      );
      return { scorer, limit: Math.fround(Math.max(limit?.value ?? quantile, 1e-6)) };
    });
    const byRow = fits.map(({ heldOut }) => new Map(heldOut.map(({ row, value }) => [row, value])));
    const heldOut = [...(byRow[0]?.keys() ?? [])]
      .filter((row) => byRow.every((scores) => scores.has(row)))
      .map((row) => {
        const ratios = members.map(({ limit }, m) => (byRow[m]?.get(row) ?? 0) / limit);
        return { row, value: combined(ratios, combine) };
      });
    if (heldOut.length === 0) {
      return err(problem('data-too-short', 'no row was held out by every member; give more rows or shorter windows'));
    }
    const [first] = fits;
    return ok({
      scorer: ensembleScorer(members, combine),
      heldOut,
      heldOutHow: `by each member for itself; ${first?.heldOutHow ?? ''}`.slice(0, 300),
      ...(combine === 'max'
        ? {
            limit: {
              value: 1,
              how: `each member's own limit at a share of ${share.toPrecision(3)}; ${first?.limit?.how ?? 'conformal quantile of held-out healthy windows'}`,
            },
          }
        : {}),
      still: first?.still ?? [],
      spread: first?.spread ?? [],
    });
  },
});

const combined = (ratios: readonly number[], combine: string): number =>
  combine === 'max' ? Math.max(...ratios) : ratios.reduce((a, b) => a + b, 0) / ratios.length;

function ensembleScorer(members: readonly Member[], combine: string): Scorer {
  const windowRows = Math.max(...members.map(({ scorer }) => scorer.windowRows));
  const channels = members[0]?.scorer.channels ?? 0;
  const power = combine === 'max' ? sharpness : 1;
  return {
    windowRows,
    channels,
    tolerance: Math.max(1e-3, ...members.map(({ scorer }) => scorer.tolerance ?? 1e-3)),
    score(window) {
      const flat = Float32Array.from(window);
      const scores = members.map(({ scorer, limit }) => {
        const { value, contributions } = scorer.score(flat.subarray((windowRows - scorer.windowRows) * channels));
        return { ratio: value / limit, contributions };
      });
      const largest = Math.max(...scores.map(({ ratio }) => ratio), 1e-30);
      const shares = new Array<number>(channels).fill(0);
      for (const { ratio, contributions } of scores) {
        const weight = (ratio / largest) ** power;
        contributions.forEach((share, c) => {
          shares[c] = (shares[c] ?? 0) + weight * share;
        });
      }
      const sum = shares.reduce((a, b) => a + b, 0);
      return {
        value: combined(
          scores.map(({ ratio }) => ratio),
          combine,
        ),
        contributions: shares.map((one) => (sum > 0 ? one / sum : 0)),
      };
    },
    draw: (graph, window) => drawEnsemble(members, combine, power, windowRows, graph, window),
  };
}

function drawEnsemble(
  members: readonly Member[],
  combine: string,
  power: number,
  windowRows: number,
  graph: GraphWriter,
  window: string,
): Drawn {
  const one = graph.integers('one', [1]);
  const drawn = members.map(({ scorer, limit }, m) => {
    const own = graph.within(`m${m}`);
    const begin = windowRows - scorer.windowRows;
    const last =
      begin === 0
        ? window
        : own.node(
            'Slice',
            [window, own.integers('from', [begin]), own.integers('to', [windowRows]), one],
            'last_rows',
          );
    const { score, contributions } = scorer.draw(own, last);
    const ratio = own.node('Div', [score, own.floats('limit', [], [limit])], 'ratio');
    return {
      ratio: own.node('Unsqueeze', [ratio, one], 'ratio_wide'),
      shares: own.node('Unsqueeze', [contributions, one], 'shares_wide'),
    };
  });
  const ratios = graph.node(
    'Concat',
    drawn.map(({ ratio }) => ratio),
    'ratios',
    { axis: 1 },
  );
  const shares = graph.node(
    'Concat',
    drawn.map((each) => each.shares),
    'member_shares',
    { axis: 1 },
  );
  const score = graph.node(combine === 'max' ? 'ReduceMax' : 'ReduceMean', [ratios], 'joint', {
    axes: [1],
    keepdims: 0,
  });
  const largest = graph.node('ReduceMax', [ratios], 'largest', { axes: [1], keepdims: 1 });
  const above = graph.node('Max', [largest, graph.floats('tiny', [], [1e-30])], 'largest_above_zero');
  const relative = graph.node('Div', [ratios, above], 'relative');
  const weights = graph.node('Pow', [relative, graph.floats('power', [], [power])], 'weights');
  const tall = graph.node('Unsqueeze', [weights, graph.integers('two', [2])], 'weights_tall');
  const weighed = graph.node('Mul', [shares, tall], 'weighed');
  const summed = graph.node('ReduceSum', [weighed, one], 'summed', { keepdims: 0 });
  const total = graph.node('ReduceSum', [summed, one], 'total', { keepdims: 1 });
  const divisor = graph.node('Max', [total, graph.floats('least', [], [1e-30])], 'divisor');
  return { score, contributions: graph.node('Div', [summed, divisor], 'joint_shares') };
}

/** `kind(knob=value, knob=value) + kind`; every mistake is named. */
function parseMembers(
  text: string,
  kinds: readonly Kind[],
): Result<readonly { readonly kind: Kind; readonly settings: Settings }[], ModelProblem> {
  const wrong: string[] = [];
  const members: { kind: Kind; settings: Settings }[] = [];
  for (const part of text.split('+').map((one) => one.trim())) {
    const [, name = '', knobs = ''] = /^([a-z0-9-]+)\s*(?:\(([^()]*)\))?$/.exec(part) ?? [];
    const kind = kinds.find((one) => one.name === name);
    if (kind === undefined) {
      wrong.push(
        `"${part}" is no member: expected kind or kind(knob=value), one of ${kinds.map((k) => k.name).join(', ')}`,
      );
      continue;
    }
    const given = knobs.split(',').flatMap((knob) => {
      const at = knob.indexOf('=');
      return knob.trim() === '' ? [] : [[knob.slice(0, Math.max(0, at)).trim(), knob.slice(at + 1).trim()] as const];
    });
    const settings = settingsOf(kind, Object.fromEntries(given));
    if (settings.ok) members.push({ kind, settings: settings.value });
    else wrong.push(settings.error.message);
  }
  if (members.length > mostMembers) wrong.push(`${members.length} members: at most ${mostMembers}`);
  return wrong.length > 0 ? err(problem('option-invalid', wrong.join('; '))) : ok(members);
}
