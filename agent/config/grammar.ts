import type { Result } from '../base/result.ts';
import { err, ok } from '../base/result.ts';
import { parseTimetable } from '../base/timetable.ts';
import type { Dwell } from '../core/health/check.ts';
import type { Over } from '../core/health/over-window.ts';
import type { Quantity } from './quantity.ts';
import { parseDuration, parseQuantity } from './quantity.ts';

/** The small texts inside the site file. Each parser gives a value or a sentence that says what was expected. */

/** `above 7.1 mm/s`, `below 2 bar`. */
export function parseLimit(text: unknown): Result<{ side: 'above' | 'below'; quantity: Quantity }, string> {
  if (typeof text !== 'string') return err(`${JSON.stringify(text)} is not a limit: say above or below and a quantity`);
  const match = /^\s*(above|below)\s+(.+)$/.exec(text);
  if (match === null) {
    const sign = /^\s*(>=?|<=?)\s*(.+)$/.exec(text);
    if (sign !== null) return err(`write "${sign[1]!.startsWith('>') ? 'above' : 'below'} ${sign[2]}"`);
    return err(`"${text}" is not a limit: say "above ${text}" or "below ${text}"`);
  }
  const quantity = parseQuantity(match[2]);
  if (!quantity.ok) return err(quantity.error);
  return ok({ side: match[1] as 'above' | 'below', quantity: quantity.value });
}

/** `3`, `3 of 5`, `30s`. */
export function parseDwell(value: unknown): Result<Dwell, string> {
  const form = 'say a count (3), k of n (3 of 5) or a time (30s)';
  if (typeof value === 'number' || (typeof value === 'string' && /^\s*\d+\s*$/.test(value))) {
    const n = Number(value);
    return Number.isInteger(n) && n >= 1 && n <= 1000 ? ok({ kind: 'count', n }) : err(`${n} is no count: ${form}`);
  }
  if (typeof value === 'string') {
    const of = /^\s*(\d+)\s+of\s+(\d+)\s*$/.exec(value);
    if (of !== null) {
      const [k, n] = [Number(of[1]), Number(of[2])];
      return k >= 1 && k <= n && n <= 64 ? ok({ kind: 'of', k, n }) : err(`"${value}": k of n needs 1 ≤ k ≤ n ≤ 64`);
    }
    const ms = parseDuration(value);
    if (ms.ok) return ok({ kind: 'time', ms: ms.value });
  }
  return err(`${JSON.stringify(value)} is no dwell: ${form}`);
}

/** `3 per 1d`. */
export function parseBudget(value: unknown): Result<{ count: number; perMs: number }, string> {
  const match = typeof value === 'string' ? /^\s*(\d+)\s+per\s+(.+)$/.exec(value) : null;
  if (match === null) return err(`${JSON.stringify(value)} is no budget: say for example "3 per 1d"`);
  const per = parseDuration(match[2]);
  if (!per.ok) return err(per.error);
  const count = Number(match[1]);
  if (count < 1 || count > 1000) return err(`a budget of ${count} is not between 1 and 1000`);
  if (per.value < 1000) return err('a budget counts per 1s at least');
  return ok({ count, perMs: per.value });
}

/** `5%` of the limit; as fraction, 0 ≤ x < 1. */
export function parseDeadband(value: unknown): Result<number, string> {
  const quantity = parseQuantity(value);
  if (!quantity.ok || quantity.value.unit?.name !== '%') {
    return err(`${JSON.stringify(value)} is no deadband: say a share of the limit, for example 5%`);
  }
  const share = quantity.value.value / 100;
  return share >= 0 && share < 1 ? ok(share) : err('a deadband is from 0% to below 100%');
}

export interface Scale {
  readonly rawLo: number;
  readonly rawHi: number;
  readonly lo: number;
  readonly hi: number;
  readonly unit: string | undefined;
}

/** `5530..27648 -> 0..10 bar`. */
export function parseScale(value: unknown): Result<Scale, string> {
  const number = '([+-]?\\d+(?:\\.\\d+)?)';
  const form = new RegExp(
    `^\\s*${number}\\s*\\.\\.\\s*${number}\\s*->\\s*${number}\\s*\\.\\.\\s*${number}\\s*(\\S*)\\s*$`,
  );
  const match = typeof value === 'string' ? form.exec(value) : null;
  if (match === null) return err(`${JSON.stringify(value)} is no scale: say for example "0..27648 -> 0..10 bar"`);
  const [rawLo, rawHi, lo, hi] = [Number(match[1]), Number(match[2]), Number(match[3]), Number(match[4])];
  if (rawLo === rawHi) return err('the raw range of a scale must not be empty');
  const unit = match[5] === '' ? undefined : match[5]!;
  if (unit !== undefined && !parseQuantity(`1 ${unit}`).ok) return err(`"${unit}" is not a unit that is known here`);
  return ok({ rawLo, rawHi, lo, hi, unit });
}

/** `5m mean`, `10m rate per h`. */
export function parseOver(value: unknown): Result<Over, string> {
  const form = 'say a time and mean, min, max, range, median, stddev or rate: 5m mean, 1h rate per h';
  const match =
    typeof value === 'string'
      ? /^\s*(\S+(?:\s+(?:ms|s|min|h|d))?)\s+(mean|min|max|range|median|stddev|rate)(?:\s+per\s+(s|min|h|d))?\s*$/.exec(
          value,
        )
      : null;
  const [, time, what, per] = match ?? [];
  const ms = match === null ? undefined : parseDuration(time);
  if (ms?.ok !== true) return err(`${JSON.stringify(value)} is no window: ${form}`);
  if (ms.value < 100 || ms.value > 604_800_000) return err(`a window is from 100ms to 7d, not ${time}`);
  if (per !== undefined && what !== 'rate') return err(`only a rate is per something: ${form}`);
  const perMs = parseDuration(`1 ${per ?? 's'}`);
  return ok({ ms: ms.value, what: what as Over['what'], perMs: perMs.ok ? perMs.value : 1_000 });
}

/** `daily 02:00`, `mon-fri 06:00`, `every 5m`: the schedule runner's own grammar, at least a second apart. */
export function parseTimes(value: unknown): Result<string, string> {
  if (typeof value !== 'string') return err(`${JSON.stringify(value)} is no time: say for example "daily 02:00"`);
  const table = parseTimetable(value);
  return table.ok ? ok(value.trim()) : err(table.error);
}

/** `host:port` or `[v6]:port`. */
export function parseHostPort(value: unknown): Result<{ host: string; port: number }, string> {
  const match =
    typeof value === 'string' ? /^(?:\[([0-9a-fA-F:]+)\]|([^\s:[\]/]+)):(\d{1,5})$/.exec(value.trim()) : null;
  if (match === null) return err(`${JSON.stringify(value)} is no address: say host:port`);
  const port = Number(match[3]);
  if (port > 65_535) return err(`${port} is not a port`);
  return ok({ host: (match[1] ?? match[2])!, port });
}
