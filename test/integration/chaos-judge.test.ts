import { describe, expect, it } from 'vitest';
import { type Effect, parseEffect } from '../../simulations/chaos/effect.ts';
import { judge, spread, takeovers } from '../../simulations/chaos/judge.ts';

const token = (counter: number): string => counter.toString(16).padStart(16, '0');

/** Effects every 10 ms from `from` to `to`. */
const work = (agent: string, counter: number, from: number, to: number, more: Partial<Effect> = {}): Effect[] => {
  const effects: Effect[] = [];
  for (let at = from; at <= to; at += 10) {
    effects.push({ at, duty: 'site/work', token: token(counter), session: `of ${agent}`, agent, life: from, ...more });
  }
  return effects;
};

const invariants = (effects: readonly Effect[]): string[] =>
  judge(effects).violations.map(({ invariant }) => invariant);

describe('the judge of effect logs', () => {
  it('one after another with rising tokens, logs in any order → nothing, and each tenure from its first to its last', () => {
    const { violations, tenures } = judge([...work('box-2', 2, 2_200, 3_000), ...work('box-1', 1, 0, 1_900)]);
    expect(violations).toEqual([]);
    expect(tenures).toMatchObject([
      { agent: 'box-1', from: 0, to: 1_900, effects: 191 },
      { agent: 'box-2', from: 2_200, to: 3_000 },
    ]);
  });

  it('two at once, if only for one effect → found', () => {
    expect(invariants([...work('box-1', 1, 0, 2_200), ...work('box-2', 2, 2_200, 3_000)])).toEqual(['one at a time']);
  });

  it('two of the same session at once, as after a restart that did not wait → found', () => {
    const again = work('box-1', 1, 900, 2_000, { session: 'of box-1' });
    expect(invariants([...work('box-1', 1, 0, 1_000), ...again])).toEqual(['one at a time']);
  });

  it('another one within a pause of the first → found, though no two effects stand side by side', () => {
    const paused = [...work('box-1', 1, 0, 100), ...work('box-1', 1, 900, 1_000, { life: 0 })];
    expect(invariants([...paused, ...work('box-2', 2, 400, 500)])).toEqual(['one at a time']);
  });

  it('an older token after a newer one → found, also long after', () => {
    expect(invariants([...work('box-1', 2, 0, 500), ...work('box-2', 1, 5_000, 5_500)])).toEqual([
      'tokens never go back',
    ]);
  });

  it('one token in two sessions → found', () => {
    expect(invariants([...work('box-1', 2, 0, 500), ...work('box-2', 2, 900, 1_500)])).toEqual([
      'a token belongs to one session',
    ]);
  });

  it('two duties → judged apart', () => {
    expect(invariants([...work('box-1', 5, 0, 900), ...work('box-2', 1, 0, 900, { duty: 'site/other' })])).toEqual([]);
  });

  it('a takeover → from the fault, and from the last effect of the old holder', () => {
    const { tenures } = judge([...work('box-1', 1, 0, 1_900), ...work('box-2', 2, 2_200, 3_000)]);
    expect(takeovers(tenures, 'box-1', 100)).toEqual([
      { duty: 'site/work', from: 'box-1', to: 'box-2', ms: 2_100, silentMs: 300 },
    ]);
    expect(takeovers(tenures, 'box-2', 2_500)).toEqual([]);
  });

  it('a line that is no effect → an error with the line, never a silent gap', () => {
    expect(parseEffect('12.500 site/work 0001000000000002 abcd box-1 77')).toEqual({
      at: 12.5,
      duty: 'site/work',
      token: '0001000000000002',
      session: 'abcd',
      agent: 'box-1',
      life: 77,
    });
    for (const line of ['', 'x', '12 site/work 1 abcd box-1 77', 'x site/work 0001000000000002 abcd box-1 77']) {
      expect(() => parseEffect(line)).toThrow('not an effect');
    }
  });

  it('percentiles → by nearest rank, null where there is nothing', () => {
    expect(spread([3, 1, 2])).toEqual({ samples: 3, p50Ms: 2, p99Ms: 3, maxMs: 3 });
    expect(spread([])).toEqual({ samples: 0, p50Ms: null, p99Ms: null, maxMs: null });
  });
});
