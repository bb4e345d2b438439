import { describe, expect, it } from 'vitest';
import { faultKinds } from '../../../simulations/verdicts/faults.ts';
import { MutantCore, verdictMutants } from '../../../simulations/verdicts/mutants.ts';
import { type EpisodeKind, runTrial } from '../../../simulations/verdicts/run.ts';
import { addUp, emptyTally, isRight, type Judgement, score } from '../../../simulations/verdicts/score.ts';
import { summarize } from '../../../simulations/verdicts/summary.ts';

const seed = 7;
const command = `node simulations/verdicts/main.ts --seed ${seed}`;
/** Of small sites: fifteen agents behind three switches, so that a run is quick. */
const trial = (kinds: readonly EpisodeKind[], episodes: number, more: Partial<Parameters<typeof runTrial>[0]> = {}) =>
  runTrial({ seed, agents: 15, episodes, kinds, ...more });

describe('verdicts on trial', () => {
  it('some episodes of each kind → nearly all observers right, in time, and all is taken back after healing', () => {
    const tally = trial([...faultKinds, 'mixed', 'nothing'], 3);
    const report = summarize(tally, { agents: 15, seed, wanted: 3 });
    expect(report.isComplete).toBe(true);
    expect(report.overall.accuracy, `${command}: ${JSON.stringify(report.misses)}`).toBeGreaterThan(0.98);
    expect(report.overall.p99Ms).toBeLessThan(3_000);
    expect(report.recovery.never).toBe(0);
    for (const kind of faultKinds) expect(report.confusion[kind]?.[kind], kind).toBeGreaterThan(0);
  });

  it('the same seed → the same figures', () => {
    const once = trial(['gone', 'link'], 1);
    const again = trial(['gone', 'link'], 1);
    expect(again).toEqual(once);
  });

  it.each([
    ['no verification', ['nothing'], 0.25],
    ['a path is blamed at once', ['nothing'], 0.25],
    ['silence of a few is silence of all', ['gone'], 0.05],
  ] as const)('a core in which %s → found wrong where the shipped one is right', (mutant, kinds, loss) => {
    const losses = [loss];
    const shipped = trial(kinds, 4, { losses });
    const broken = trial(kinds, 4, {
      losses,
      core: (parts, spy) => new MutantCore(parts, spy, verdictMutants[mutant]),
    });
    expect(shipped.right / shipped.judgements).toBeGreaterThan(0.97);
    expect(broken.right / broken.judgements).toBeLessThan(shipped.right / shipped.judgements - 0.02);
  });
});

describe('the score', () => {
  const judgement = (change: Partial<Judgement>): Judgement => ({
    observer: 1,
    expected: ['gone:3'],
    said: ['gone:3'],
    wrongMs: 0,
    wrongKey: '',
    verdictMs: 900,
    sinceOnsetMs: 900,
    ...change,
  });
  const about = { world: 1, episode: 0, fault: '', onset: 0 };

  it.each([
    ['the very set', {}, true],
    ['too little', { said: [] }, false],
    ['too much', { said: ['gone:3', 'link:4'] }, false],
    ['another subject', { said: ['gone:4'] }, false],
    ['a wrong statement for 499 ms on the way', { wrongMs: 499 }, true],
    ['a wrong statement for 500 ms on the way', { wrongMs: 500 }, false],
  ])('%s → judged', (_, change, right) => {
    expect(isRight(judgement(change))).toBe(right);
  });

  it('mixed faults → count for each of their classes and for mixed; the confusion names what was said instead', () => {
    const tally = emptyTally();
    const expected = ['gone:3', 'link:4'];
    score(tally, [judgement({ expected, said: ['gone:3', 'segment:a'] })], about);
    score(tally, [judgement({ expected: [], said: [] }), judgement({ expected: [], said: ['i-am-cut'] })], about);
    expect(tally.classes.gone.judgements).toBe(1);
    expect(tally.classes.link.right).toBe(0);
    expect(tally.classes.mixed.episodes).toBe(1);
    expect(tally.confusion).toEqual({
      gone: { gone: 1 },
      link: { segment: 1 },
      nothing: { 'i-am-cut': 1, nothing: 1 },
    });
    expect(addUp([tally, tally]).judgements).toBe(2 * tally.judgements);
    expect(summarize(tally, { agents: 5, seed: 1, wanted: 1 }).isGood).toBe(false);
  });
});
