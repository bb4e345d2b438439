import { type FaultKind, faultKinds } from './faults.ts';

/** What one observer of one episode said, against what was the matter. */
export interface Judgement {
  readonly observer: number;
  /** Minimal explanation, as statement keys (`gone:3`); empty for a bystander. */
  readonly expected: readonly string[];
  readonly said: readonly string[];
  /** A statement that is not in the explanation stood this long at most, milliseconds. */
  readonly wrongMs: number;
  readonly wrongKey: string;
  /** From the first observable change until the set was right for good; undefined when it was not at the deadline. */
  readonly verdictMs: number | undefined;
  /** The same from the fault's onset. */
  readonly sinceOnsetMs: number | undefined;
}

/** Longest time that a wrong statement may stand. */
export const wrongAtMostMs = 500;

export const isRight = (j: Judgement): boolean =>
  j.wrongMs < wrongAtMostMs && j.expected.join(' ') === j.said.join(' ');

export const classes = [...faultKinds, 'mixed', 'nothing'] as const;
export type ScoredClass = (typeof classes)[number];

const classOf = (key: string): FaultKind => key.split(':')[0] as FaultKind;

/** Under which classes a judgement counts: each that was to be stated, `mixed` when there are several, or `nothing`. */
function scoredAs({ expected }: Judgement): ScoredClass[] {
  if (expected.length === 0) return ['nothing'];
  const kinds = [...new Set(expected.map(classOf))];
  return kinds.length > 1 ? [...kinds, 'mixed'] : kinds;
}

interface ClassScore {
  episodes: number;
  judgements: number;
  right: number;
  /** Sum over episodes of the share of observers that were right. */
  rightShare: number;
  episodesAllRight: number;
  readonly verdictMs: number[];
  readonly sinceOnsetMs: number[];
}

/** Which one it was: with the seed, enough to play it again. */
export interface Episode {
  readonly world: number;
  readonly episode: number;
  readonly fault: string;
  /** Virtual time at which it began, milliseconds. */
  readonly onset: number;
}

export interface Miss extends Episode {
  readonly observer: number;
  readonly expected: string;
  readonly said: string;
  readonly wrong: string;
}

/** A right verdict that took long, so that a tail can be looked into. */
export interface Slow extends Episode {
  readonly class: ScoredClass;
  readonly observer: number;
  readonly expected: string;
  readonly verdictMs: number;
}

/** Tallies; a plain value, so that several processes can add theirs up. */
export interface Tally {
  readonly classes: Record<ScoredClass, ClassScore>;
  /** [what was the matter][what was said] → how often, per statement. */
  readonly confusion: Record<string, Record<string, number>>;
  episodes: number;
  judgements: number;
  right: number;
  rightShare: number;
  /** No probe of the observer was touched in time: not judged. */
  unobservable: number;
  unobservableEpisodes: number;
  /** A connection was being made again over whole wires, and the path was called failed: true and false, so not judged. */
  redialled: number;
  /** From healing until nothing was stated anywhere. */
  readonly recoveryMs: number[];
  neverRecovered: number;
  readonly misses: Miss[];
  missesDropped: number;
  /** Slowest first, of each class some. */
  slowest: Slow[];
  agentSeconds: number;
  events: number;
  cpuSeconds: number;
}

export function emptyTally(): Tally {
  const score = (): ClassScore => ({
    episodes: 0,
    judgements: 0,
    right: 0,
    rightShare: 0,
    episodesAllRight: 0,
    verdictMs: [],
    sinceOnsetMs: [],
  });
  return {
    classes: Object.fromEntries(classes.map((name) => [name, score()])) as Record<ScoredClass, ClassScore>,
    confusion: {},
    episodes: 0,
    judgements: 0,
    right: 0,
    rightShare: 0,
    unobservable: 0,
    unobservableEpisodes: 0,
    redialled: 0,
    recoveryMs: [],
    neverRecovered: 0,
    misses: [],
    missesDropped: 0,
    slowest: [],
    agentSeconds: 0,
    events: 0,
    cpuSeconds: 0,
  };
}

const maxMisses = 200;
const slowestOfEach = 12;

const slowestOf = (all: readonly Slow[]): Slow[] => {
  const left = new Map<ScoredClass, number>();
  return [...all]
    .sort((a, b) => b.verdictMs - a.verdictMs)
    .filter((each) => {
      left.set(each.class, (left.get(each.class) ?? slowestOfEach) - 1);
      return left.get(each.class)! >= 0;
    });
};

/** Counts one episode. */
export function score(tally: Tally, judgements: readonly Judgement[], about: Episode): void {
  tally.episodes++;
  const perClass = new Map<ScoredClass, Judgement[]>();
  for (const judgement of judgements) {
    for (const name of scoredAs(judgement)) perClass.set(name, [...(perClass.get(name) ?? []), judgement]);
    confuse(tally, judgement);
    tally.judgements++;
    if (isRight(judgement)) tally.right++;
    else if (tally.misses.length < maxMisses) {
      tally.misses.push({
        ...about,
        observer: judgement.observer,
        expected: judgement.expected.join(' '),
        said: judgement.said.join(' '),
        wrong:
          judgement.wrongMs >= wrongAtMostMs ? `${judgement.wrongKey} for ${Math.round(judgement.wrongMs)} ms` : '',
      });
    } else tally.missesDropped++;
  }
  for (const [name, group] of perClass) {
    const entry = tally.classes[name];
    const right = group.filter(isRight).length;
    entry.episodes++;
    entry.judgements += group.length;
    entry.right += right;
    entry.rightShare += right / group.length;
    if (right === group.length) entry.episodesAllRight++;
    // One observer per episode, in turn: else the many who see a crash drown the two who see a failed path.
    const one = group[entry.episodes % group.length]!;
    if (one.verdictMs !== undefined) {
      entry.verdictMs.push(one.verdictMs);
      const { observer, verdictMs } = one;
      tally.slowest.push({ ...about, class: name, observer, expected: one.expected.join(' '), verdictMs });
    }
    if (one.sinceOnsetMs !== undefined) entry.sinceOnsetMs.push(one.sinceOnsetMs);
  }
  if (tally.slowest.length > 4 * slowestOfEach * classes.length) tally.slowest = slowestOf(tally.slowest);
  if (judgements.length > 0) tally.rightShare += judgements.filter(isRight).length / judgements.length;
}

/** Statement by statement: the same one, another one instead, or nothing; and what was said though nothing was the matter. */
function confuse(tally: Tally, { expected, said }: Judgement): void {
  const add = (row: string, column: string) => {
    tally.confusion[row] ??= {};
    tally.confusion[row][column] = (tally.confusion[row][column] ?? 0) + 1;
  };
  const extra = said.filter((key) => !expected.includes(key));
  for (const key of expected) {
    if (said.includes(key)) add(classOf(key), classOf(key));
    else {
      const instead = extra.shift();
      const sameClass = instead !== undefined && classOf(instead) === classOf(key);
      add(classOf(key), instead === undefined ? 'nothing' : sameClass ? 'other subject' : classOf(instead));
    }
  }
  for (const key of extra) add('nothing', classOf(key));
  if (expected.length === 0 && said.length === 0) add('nothing', 'nothing');
}

export function addUp(tallies: readonly Tally[]): Tally {
  const sum = emptyTally();
  for (const tally of tallies) {
    for (const name of classes) {
      const [into, from] = [sum.classes[name], tally.classes[name]];
      for (const key of ['episodes', 'judgements', 'right', 'rightShare', 'episodesAllRight'] as const) {
        into[key] += from[key];
      }
      for (const ms of from.verdictMs) into.verdictMs.push(ms);
      for (const ms of from.sinceOnsetMs) into.sinceOnsetMs.push(ms);
    }
    for (const [row, columns] of Object.entries(tally.confusion)) {
      for (const [column, n] of Object.entries(columns)) {
        sum.confusion[row] ??= {};
        sum.confusion[row][column] = (sum.confusion[row][column] ?? 0) + n;
      }
    }
    for (const key of scalars) sum[key] += tally[key];
    for (const ms of tally.recoveryMs) sum.recoveryMs.push(ms);
    sum.slowest = slowestOf([...sum.slowest, ...tally.slowest]);
    for (const miss of tally.misses) {
      if (sum.misses.length < maxMisses) sum.misses.push(miss);
      else sum.missesDropped++;
    }
  }
  return sum;
}

const scalars = [
  'episodes',
  'judgements',
  'right',
  'rightShare',
  'unobservable',
  'unobservableEpisodes',
  'redialled',
  'neverRecovered',
  'missesDropped',
  'agentSeconds',
  'events',
  'cpuSeconds',
] as const;
