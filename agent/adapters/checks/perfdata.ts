import type { PerfDatum } from '../../core/health/check.ts';

/**
 * Performance data of monitoring plugins, as their development guidelines define it ("Performance data", "Plugin
 * output for Nagios", "Threshold and ranges"): items `'label'=value[unit];[warn];[crit];[min];[max]`, parted by
 * blanks; labels may be quoted, a quote in a quoted label is doubled; a value `U` is one that could not be had.
 */
export interface PerfParse {
  readonly items: readonly PerfDatum[];
  /** Pieces that are not performance data; a plugin's mistake, dropped. */
  readonly rejected: number;
}

/** More items than this in one output are dropped: a plugin for a switch with 48 ports has some 400. */
const mostItems = 1_000;
const longestLabel = 200;

const number = /^[-+]?(?:\d+(?:[.,]\d*)?|[.,]\d+)(?:[eE][-+]?\d+)?/;

/** Parses one or more lines of performance data. Never throws; linear in the text's length. */
export function parsePerfdata(text: string): PerfParse {
  const items: PerfDatum[] = [];
  let rejected = 0;
  let at = 0;
  while (at < text.length && items.length < mostItems) {
    if (isBlank(text, at)) {
      at++;
      continue;
    }
    const label = readLabel(text, at);
    const end = endOfItem(text, label?.next ?? at);
    const item = label === undefined ? undefined : readItem(label.label, text.slice(label.next, end));
    if (item === undefined) rejected++;
    else items.push(item);
    at = end;
  }
  return { items, rejected };
}

const isBlank = (text: string, at: number): boolean => /\s/.test(text[at] ?? '');

function endOfItem(text: string, from: number): number {
  let end = from;
  while (end < text.length && !isBlank(text, end)) end++;
  return end;
}

/** The label at `at`, and where its value begins (after the `=`). */
function readLabel(text: string, at: number): { label: string; next: number } | undefined {
  if (text[at] === "'") {
    let label = '';
    let i = at + 1;
    for (; i < text.length; i++) {
      if (text[i] !== "'") label += text[i];
      else if (text[i + 1] === "'") {
        label += "'";
        i++;
      } else break;
      if (label.length > longestLabel) return undefined;
    }
    if (text[i] !== "'" || text[i + 1] !== '=' || label === '') return undefined;
    return { label, next: i + 2 };
  }
  // Looked for within this piece only: over the whole text, many pieces without one would cost quadratic time.
  const piece = text.slice(at, endOfItem(text, at));
  const equals = piece.indexOf('=');
  if (equals <= 0 || equals > longestLabel) return undefined;
  const label = piece.slice(0, equals);
  return label.includes("'") ? undefined : { label, next: at + equals + 1 };
}

function readItem(label: string, text: string): PerfDatum | undefined {
  const [head = '', warn = '', crit = '', min = '', max = '', ...more] = text.split(';');
  if (more.some((field) => field !== '')) return undefined;
  const undetermined = head === 'U';
  const digits = undetermined ? 'U' : (number.exec(head)?.[0] ?? '');
  if (digits === '') return undefined;
  const unit = head.slice(digits.length);
  if (/[\d;'"=]/.test(unit) || unit.length > 16) return undefined;
  const value = undetermined ? undefined : numberOf(digits);
  if (!undetermined && value === undefined) return undefined;
  return {
    label,
    value,
    unit,
    warn: rangeText(warn),
    crit: rangeText(crit),
    min: numberOf(min),
    max: numberOf(max),
  };
}

/** Some plugins print a decimal comma under a foreign locale; the meaning is plain. */
function numberOf(text: string): number | undefined {
  if (text === '' || number.exec(text)?.[0] !== text) return undefined;
  const value = Number(text.replace(',', '.'));
  return Number.isFinite(value) ? value : undefined;
}

const rangeText = (text: string): string | undefined => (parseRange(text) === undefined ? undefined : text);

/** A threshold range. Values outside [start, end] alert; with `inside` those within, ends included. */
export interface PerfRange {
  readonly start: number;
  readonly end: number;
  readonly inside: boolean;
}

/** `10` (0 to 10) · `10:` (10 to infinity) · `~:10` (minus infinity to 10) · `10:20` · `@10:20`, alerts within. */
export function parseRange(text: string): PerfRange | undefined {
  const inside = text.startsWith('@');
  const bare = inside ? text.slice(1) : text;
  if (bare === '') return undefined;
  const colon = bare.indexOf(':');
  const startText = colon < 0 ? '' : bare.slice(0, colon);
  const endText = colon < 0 ? bare : bare.slice(colon + 1);
  const start = startText === '~' ? Number.NEGATIVE_INFINITY : startText === '' ? 0 : numberOf(startText);
  const end = endText === '' && colon >= 0 ? Number.POSITIVE_INFINITY : numberOf(endText);
  if (start === undefined || end === undefined || start > end) return undefined;
  return { start, end, inside };
}

/** Whether a value is alerted on by a range. */
export const alerts = (range: PerfRange, value: number): boolean =>
  range.inside === (value >= range.start && value <= range.end);

/** What a plugin printed, taken apart. */
export interface PluginOutput {
  /** First line without its performance data: what people read. */
  readonly text: string;
  readonly longText: string;
  readonly perf: PerfParse;
}

/**
 * The first line may carry performance data after a `|`. Lines after it are long text, up to a second `|`; all that
 * follows is more performance data.
 */
export function parsePluginOutput(output: string): PluginOutput {
  const normal = output.replaceAll('\r\n', '\n');
  const lineEnd = normal.indexOf('\n');
  const first = lineEnd < 0 ? normal : normal.slice(0, lineEnd);
  const rest = lineEnd < 0 ? '' : normal.slice(lineEnd + 1);
  const [text, firstPerf] = splitAtBar(first);
  const [longText, morePerf] = splitAtBar(rest);
  return { text: text.trim(), longText: longText.trimEnd(), perf: parsePerfdata(`${firstPerf}\n${morePerf}`) };
}

function splitAtBar(text: string): [before: string, behind: string] {
  const bar = text.indexOf('|');
  return bar < 0 ? [text, ''] : [text.slice(0, bar), text.slice(bar + 1)];
}
