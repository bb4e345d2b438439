import type { Reason } from './streaming-detector.ts';

/**
 * A reason in words: "10 rows lie at 95.2 bar, above the range seen (60.1 to 88.4 bar)". `rowText` says how long a row
 * is, where that is known ("1 min").
 */
export function reasonText(reason: Reason, unit?: string): string {
  const figure = (value: number): string => `${Number(value.toPrecision(4))}`;
  const suffix = unit === undefined ? '' : ` ${unit}`;
  const [low, high] = reason.known;
  const what = reason.rows === 1 ? 'the value is' : `${reason.rows} rows lie at`;
  const range = `the range seen (${figure(low)} to ${figure(high)}${suffix})`;
  const level = `${what} ${figure(reason.level)}${suffix}`;
  if (reason.level > high) return `${level}, above ${range}`;
  if (reason.level < low) return `${level}, below ${range}`;
  if (reason.kind === 'level') return `${level}, where nothing was seen within ${range}`;
  return `${level} with a spread of ${figure(reason.spread ?? 0)}${suffix}, together not seen before`;
}
