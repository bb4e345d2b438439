import { describe, expect, it } from 'vitest';
import { faultKinds } from '../../../simulations/verdicts/faults.ts';
import { MutantCore, verdictMutants } from '../../../simulations/verdicts/mutants.ts';
import { type EpisodeKind, runTrial } from '../../../simulations/verdicts/run.ts';
import { addUp, emptyTally, isRight, type Judgement, score } from '../../../simulations/verdicts/score.ts';
import { summarize } from '../../../simulations/verdicts/summary.ts';

/**
 * Of small sites: fifteen agents behind three switches, so that a run is quick. One seed proves little and hangs on every
 * detail of the traces, so several are added up; each has one episode of each kind.
 */
const trial = (
  kinds: readonly EpisodeKind[],
  seeds: readonly number[],
  more: Partial<Parameters<typeof runTrial>[0]> = {},
) => addUp(seeds.map((seed) => runTrial({ seed, agents: 15, episodes: 1, kinds, ...more })));
const seedsTo = (last: number) => Array.from({ length: last }, (_, i) => i + 1);

describe('verdicts on trial', () => {
  it('a dozen seeds, an episode of each kind → nearly all observers right, in time, and all is taken back after healing', () => {
    const seeds = seedsTo(12);
    const report = summarize(trial([...faultKinds, 'mixed', 'nothing'], seeds), { agents: 15, seed: 1, wanted: 12 });
    const misses = JSON.stringify(report.misses);
    expect(report.isComplete).toBe(true);
    // Over sixty seeds it was 99.97 %, the worst of them 99.2 %. One whole episode of the hundred may go wrong here, two
    // may not.
    expect(report.overall.accuracy, misses).toBeGreaterThan(0.985);
    expect(report.overall.accuracyByEpisode, misses).toBeGreaterThan(0.985);
    for (const [kind, { accuracy }] of Object.entries(report.classes))
      expect([kind, accuracy > 0.9]).toEqual([kind, true]);
    expect(report.overall.p99Ms).toBeLessThan(2_500);
    expect(report.recovery.never).toBe(0);
    for (const kind of faultKinds) expect(report.confusion[kind]?.[kind], kind).toBeGreaterThanOrEqual(seeds.length);
  });

  it('the same seed → the same figures, and those of another one differ', () => {
    const once = trial(['gone', 'link'], [7]);
    expect(trial(['gone', 'link'], [7])).toEqual(once);
    expect(trial(['gone', 'link'], [8])).not.toEqual(once);
  });

  it.each([
    ['no verification', ['nothing'], 0.25],
    ['a path is blamed at once', ['nothing'], 0.25],
    ['silence of a few is silence of all', ['gone'], 0.05],
  ] as const)('a core in which %s → found wrong where the shipped one is right', (mutant, kinds, loss) => {
    const [seeds, losses] = [seedsTo(6), [loss]];
    const shipped = trial(kinds, seeds, { losses });
    const broken = trial(kinds, seeds, {
      losses,
      core: (parts, spy) => new MutantCore(parts, spy, verdictMutants[mutant]),
    });
    expect(shipped.right / shipped.judgements).toBeGreaterThan(0.98);
    expect(broken.right / broken.judgements).toBeLessThan(shipped.right / shipped.judgements - 0.03);
  });

  it('what took longest is told, with where to find it: some of each class, the slowest first', () => {
    const { slowest, classes } = trial(['gone', 'link'], seedsTo(4));
    const gone = slowest.filter((each) => each.class === 'gone').map(({ verdictMs }) => verdictMs);
    expect(gone).toEqual([...classes.gone.verdictMs].sort((a, b) => b - a).slice(0, 12));
    expect(slowest.every(({ world, fault }) => world === 1 && fault !== '')).toBe(true);
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
