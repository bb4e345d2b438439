import type { ChecksFigures } from './checks.ts';
import type { ScoreFigures } from './score.ts';
import type { TagFigures } from './tags.ts';

export interface Judged {
  readonly what: string;
  readonly measured: number;
  readonly limit: number;
  readonly unit: string;
  readonly ok: boolean;
}

/** The figures beside what they must be. A model that did not score at all costs nothing, so that is a miss, too. */
export function judge({
  score,
  tags,
  checks,
}: {
  readonly score: ScoreFigures | undefined;
  readonly tags: readonly TagFigures[];
  readonly checks: ChecksFigures | undefined;
}): readonly Judged[] {
  const judged: Judged[] = [];
  const atMost = (what: string, measured: number, limit: number, unit: string): void => {
    judged.push({ what, measured, limit, unit, ok: measured <= limit });
  };
  if (score !== undefined) {
    atMost(`one window of ${score.window} scored, p99`, score.p99Ms, 0.3, 'ms');
    atMost('… over a bare call of ONNX Runtime, p50', score.ratioP50, 1.3, 'times');
    atMost('… over a bare call of ONNX Runtime, p99', score.ratioP99, 1.3, 'times');
  }
  for (const one of tags) {
    const what = `${one.tags} tags at 1 Hz (${one.protocol}) and ${one.models} models`;
    atMost(`${what}: models that do not score`, one.models - one.scoring, 0, '');
    atMost(`${what}: added CPU`, one.addedCpuPercent, 10, '% of a core');
    atMost(`${what}: added memory`, one.addedPssMb, 60, 'MB PSS');
  }
  if (checks !== undefined) {
    atMost(
      `${checks.checks} checks in ${checks.intervalMs / 1000} s: busiest second over the mean`,
      checks.busiestOverMean,
      2,
      'times',
    );
  }
  return judged;
}
