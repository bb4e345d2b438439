import { spread } from '../report.ts';
import { px, ticks } from './markup.ts';

const width = 560;
const height = 190;
const left = 34;
const bottom = 26;
const top = 18;

/** How figures are spread, with the median and the 99th percentile marked; the same bins in any size of campaign. */
export function histogram(samples: readonly number[], name: string): string {
  if (samples.length === 0) return '<p class="soft">Nothing of the kind happened.</p>';
  const { p50Ms, p99Ms, maxMs } = spread(samples);
  const steps = ticks(maxMs!, 8);
  const end = Math.max(maxMs!, steps.at(-1)! + (steps.at(-1)! >= maxMs! ? 0 : (steps[1] ?? maxMs!)));
  const bins = 32;
  const counts = new Array<number>(bins).fill(0);
  for (const ms of samples) {
    const bin = Math.min(bins - 1, Math.floor((ms / end) * bins));
    counts[bin] = counts[bin]! + 1;
  }
  const most = Math.max(...counts);
  const x = (ms: number): number => left + ((width - left - 12) * ms) / end;
  const y = (count: number): number => height - bottom - ((height - bottom - top) * count) / most;
  const parts: string[] = [];
  for (const count of ticks(most, 3).filter((n) => Number.isInteger(n))) {
    parts.push(
      `<line x1="${left}" x2="${width - 12}" y1="${px(y(count))}" y2="${px(y(count))}" stroke="var(--grid)"/><text class="axis" x="${left - 6}" y="${px(y(count) + 4)}" text-anchor="end">${count}</text>`,
    );
  }
  for (const ms of ticks(end, 6))
    parts.push(
      `<text class="axis" x="${px(x(ms))}" y="${height - 8}" text-anchor="middle">${ms >= 1000 ? `${Number((ms / 1000).toFixed(2))} s` : `${Number(ms.toFixed(1))} ms`}</text>`,
    );
  counts.forEach((count, bin) => {
    if (count === 0) return;
    const [from, to] = [x((bin * end) / bins), x(((bin + 1) * end) / bins)];
    parts.push(
      `<rect class="bin" x="${px(from + 0.5)}" y="${px(y(count))}" width="${px(to - from - 1)}" height="${px(height - bottom - y(count))}" fill="var(--bar)" rx="1"><title>${count} between ${Math.round((bin * end) / bins)} and ${Math.round(((bin + 1) * end) / bins)} ms</title></rect>`,
    );
  });
  const marks: readonly (readonly [string, number])[] = [
    ['p50', p50Ms!],
    ['p99', p99Ms!],
  ];
  for (const [mark, ms] of marks) {
    // Two marks on one spot are one mark.
    if (mark === 'p99' && x(p99Ms!) - x(p50Ms!) < 26) continue;
    const anchor = x(ms) > width - 40 ? 'end' : 'middle';
    parts.push(
      `<line x1="${px(x(ms))}" x2="${px(x(ms))}" y1="${top - 2}" y2="${height - bottom}" stroke="var(--ink)" stroke-dasharray="3 3"/><text x="${px(x(ms))}" y="${top - 6}" text-anchor="${anchor}" style="font-size:11.5px">${mark}</text>`,
    );
  }
  return `<svg viewBox="0 0 ${width} ${height}" role="img" aria-label="${name}">${parts.join('')}</svg>`;
}
