import { classes, type Miss, type Slow, type Tally } from './score.ts';

export interface ClassSummary {
  readonly episodes: number;
  readonly judgements: number;
  /** Share of observers that were right. */
  readonly accuracy: number;
  /** The same with every episode weighing alike, however many could observe it. */
  readonly accuracyByEpisode: number;
  readonly episodesAllRight: number;
  /** From the first observable change, one observer per episode, milliseconds. */
  readonly verdict: { readonly p50Ms: number | null; readonly p99Ms: number | null };
  /** From the fault's onset. */
  readonly sinceOnset: { readonly p50Ms: number | null; readonly p99Ms: number | null };
}

export interface VerdictReport {
  readonly agents: number;
  readonly seed: number;
  readonly wanted: number;
  readonly isComplete: boolean;
  readonly isGood: boolean;
  readonly overall: {
    readonly episodes: number;
    readonly judgements: number;
    readonly accuracy: number;
    readonly accuracyByEpisode: number;
    readonly p50Ms: number | null;
    readonly p99Ms: number | null;
  };
  readonly classes: Readonly<Record<string, ClassSummary>>;
  readonly confusion: Tally['confusion'];
  readonly excluded: {
    readonly unobservableJudgements: number;
    readonly unobservableEpisodes: number;
    readonly redialledJudgements: number;
  };
  readonly recovery: { readonly p50Ms: number | null; readonly p99Ms: number | null; readonly never: number };
  readonly misses: readonly Miss[];
  readonly missesDropped: number;
  readonly slowest: readonly Slow[];
  readonly agentSeconds: number;
  readonly events: number;
  readonly cpuSeconds: number;
}

/** At least this share right in each class, and overall. */
const inEach = 0.99;
const inAll = 0.995;
/** In each class, and overall. */
const p99AtMostMs = 2_000;

export function summarize(
  tally: Tally,
  about: { readonly agents: number; readonly seed: number; readonly wanted: number },
): VerdictReport {
  const asked = classes.map((name) => [name, tally.classes[name]] as const).filter(([, entry]) => entry.episodes > 0);
  const summaries = asked.map(([name, entry]): [string, ClassSummary] => [
    name,
    {
      episodes: entry.episodes,
      judgements: entry.judgements,
      accuracy: entry.right / entry.judgements,
      accuracyByEpisode: entry.rightShare / entry.episodes,
      episodesAllRight: entry.episodesAllRight,
      verdict: { p50Ms: quantile(entry.verdictMs, 0.5), p99Ms: quantile(entry.verdictMs, 0.99) },
      sinceOnset: { p50Ms: quantile(entry.sinceOnsetMs, 0.5), p99Ms: quantile(entry.sinceOnsetMs, 0.99) },
    },
  ]);
  // What there was to be said; that nothing was said where nothing was the matter takes no time.
  const times = asked.flatMap(([name, entry]) => (name === 'nothing' || name === 'mixed' ? [] : entry.verdictMs));
  const overall = {
    episodes: tally.episodes,
    judgements: tally.judgements,
    accuracy: tally.right / tally.judgements,
    accuracyByEpisode: tally.rightShare / tally.episodes,
    p50Ms: quantile(times, 0.5),
    p99Ms: quantile(times, 0.99),
  };
  return {
    ...about,
    isComplete: classes.every((name) => tally.classes[name].episodes >= about.wanted),
    isGood:
      summaries.every(([, { accuracy, accuracyByEpisode }]) => Math.min(accuracy, accuracyByEpisode) >= inEach) &&
      Math.min(overall.accuracy, overall.accuracyByEpisode) >= inAll &&
      summaries.every(([, { verdict }]) => (verdict.p99Ms ?? 0) <= p99AtMostMs) &&
      (overall.p99Ms ?? 0) <= p99AtMostMs,
    overall,
    classes: Object.fromEntries(summaries),
    confusion: tally.confusion,
    excluded: {
      unobservableJudgements: tally.unobservable,
      unobservableEpisodes: tally.unobservableEpisodes,
      redialledJudgements: tally.redialled,
    },
    recovery: {
      p50Ms: quantile(tally.recoveryMs, 0.5),
      p99Ms: quantile(tally.recoveryMs, 0.99),
      never: tally.neverRecovered,
    },
    misses: tally.misses,
    missesDropped: tally.missesDropped,
    slowest: tally.slowest,
    agentSeconds: Math.round(tally.agentSeconds),
    events: tally.events,
    cpuSeconds: Math.round(tally.cpuSeconds * 10) / 10,
  };
}

export function quantile(samples: readonly number[], q: number): number | null {
  if (samples.length === 0) return null;
  const sorted = Float64Array.from(samples).sort();
  return Math.round(sorted[Math.min(sorted.length - 1, Math.ceil(q * sorted.length) - 1)]!);
}

const percent = (share: number): string => `${(100 * share).toFixed(2)} %`;

/** The same for people. */
export function readable(report: VerdictReport): string {
  const lines = [
    `verdicts of ${report.agents} agents, seed ${report.seed}: ${report.overall.episodes} episodes, ${report.overall.judgements} judgements`,
    '',
    'class        episodes  observers     right  by episode   p50 ms   p99 ms',
  ];
  for (const [name, entry] of Object.entries(report.classes)) {
    lines.push(
      [
        name.padEnd(12),
        String(entry.episodes).padStart(8),
        String(entry.judgements).padStart(10),
        percent(entry.accuracy).padStart(9),
        percent(entry.accuracyByEpisode).padStart(11),
        String(entry.verdict.p50Ms ?? '–').padStart(8),
        String(entry.verdict.p99Ms ?? '–').padStart(8),
      ].join(' '),
    );
  }
  const { overall } = report;
  lines.push(
    `overall ${percent(overall.accuracy)} of judgements, ${percent(overall.accuracyByEpisode)} by episode, p50 ${overall.p50Ms} ms, p99 ${overall.p99Ms} ms`,
    '',
    'what was the matter → what was said',
  );
  for (const [row, columns] of Object.entries(report.confusion)) {
    const said = Object.entries(columns).sort(([, a], [, b]) => b - a);
    lines.push(`  ${row.padEnd(12)} ${said.map(([column, n]) => `${column} ${n}`).join(', ')}`);
  }
  const { excluded, recovery } = report;
  lines.push(
    '',
    `not judged: ${excluded.unobservableJudgements} observers whose probes the fault never touched in time (${excluded.unobservableEpisodes} episodes), ${excluded.redialledJudgements} whose connection was being made again`,
    `nothing stated any more after healing: p50 ${recovery.p50Ms} ms, p99 ${recovery.p99Ms} ms, never ${recovery.never}`,
  );
  for (const miss of report.misses.slice(0, 10)) {
    lines.push(
      `  wrong: world ${miss.world} episode ${miss.episode} (${miss.fault}): agent ${miss.observer} said [${miss.said}] instead of [${miss.expected}]${miss.wrong === '' ? '' : `; ${miss.wrong}`}`,
    );
  }
  return `${lines.join('\n')}\n`;
}
