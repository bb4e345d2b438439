import { err, ok, type Result } from './result.ts';
import { type WallTime, wallTime } from './time.ts';

/** Times of the site file's one grammar, as far as starting something needs them. */
export type Timetable =
  /** On these days of the week (0 is Sunday) at this minute of the local day. */
  | { readonly kind: 'days'; readonly days: readonly number[]; readonly minute: number }
  /** Every so often, counted from the epoch, so that every box agrees on the slots. */
  | { readonly kind: 'every'; readonly ms: number };

const dayNames = ['sun', 'mon', 'tue', 'wed', 'thu', 'fri', 'sat'];
const everyUnits: Readonly<Record<string, number>> = { s: 1_000, m: 60_000, h: 3_600_000 };
const grammar = 'write "daily 02:00", "mon-fri 06:00", "sat,sun 10:00" or "every 5m"';

/** `daily 02:00`, `mon-fri 06:00-14:00` (its beginning counts), `sat,sun 10:00`, `every 5m`. */
export function parseTimetable(text: string): Result<Timetable, string> {
  const every = /^every ([1-9]\d{0,4})([smh])$/.exec(text.trim());
  if (every !== null) return ok({ kind: 'every', ms: Number(every[1]) * (everyUnits[every[2] ?? ''] ?? 1_000) });
  const match = /^([a-z,-]{3,40}) (\d\d):(\d\d)(?:-\d\d:\d\d)?$/.exec(text.trim());
  if (match === null) return err(`"${text}" is not a time: ${grammar}`);
  const [, names = '', hour = '', minute = ''] = match;
  if (Number(hour) > 23 || Number(minute) > 59) return err(`there is no ${hour}:${minute} on the clock`);
  const days = new Set<number>();
  for (const part of names.split(',')) {
    const [from = '', to = from, more] = part === 'daily' ? ['sun', 'sat'] : part.split('-');
    const first = dayNames.indexOf(from);
    const last = dayNames.indexOf(to);
    if (first < 0 || last < 0 || more !== undefined) return err(`"${part}" names no days: ${grammar}`);
    for (let day = first; ; day = (day + 1) % 7) {
      days.add(day);
      if (day === last) break;
    }
  }
  return ok({ kind: 'days', days: [...days].sort((a, b) => a - b), minute: Number(hour) * 60 + Number(minute) });
}

const dayMs = 86_400_000;

/** A stretch of local time on days of the week: from one minute of the day to another, over midnight if that is less. */
export interface TimeWindow {
  readonly days: readonly number[];
  readonly from: number;
  readonly to: number;
}

/** `sun 06:00-10:00`, `daily 22:00-02:00` (until two of the next day). */
export function parseWindow(text: string): Result<TimeWindow, string> {
  const form = 'write "sun 06:00-10:00", "mon-fri 22:00-02:00" or "daily 02:00-03:00"';
  const end = /-(\d\d):(\d\d)$/.exec(text.trim());
  if (end === null) return err(`"${text}" has no end: ${form}`);
  const table = parseTimetable(text);
  if (!table.ok) return err(table.error.replace(grammar, form));
  if (table.value.kind !== 'days') return err(`"${text}" has no days: ${form}`);
  const to = Number(end[1]) * 60 + Number(end[2]);
  if (Number(end[1]) > 24 || Number(end[2]) > 59 || to > 1_440) {
    return err(`there is no ${end[1]}:${end[2]} on the clock`);
  }
  if (to === table.value.minute) return err(`"${text}" ends when it begins: ${form}`);
  return ok({ days: table.value.days, from: table.value.minute, to });
}

/** Day of the week of a midnight in UTC, 0 is Sunday; the epoch was a Thursday. */
const weekday = (midnight: number): number => (((midnight / dayMs + 4) % 7) + 7) % 7;

/**
 * Whether a moment lies within a window, by the clock on the wall of a zone: in the hour that daylight saving time
 * shows twice it lies within both times, and what it skips is not missed by anybody.
 */
export class Windows {
  readonly #window: TimeWindow;
  readonly #local: Intl.DateTimeFormat;

  /** @param zone IANA name; an unknown one throws RangeError. */
  constructor(window: TimeWindow, zone: string) {
    this.#window = window;
    this.#local = localFormat(zone);
  }

  holds(at: WallTime): boolean {
    const wall = wallAt(this.#local, at);
    const day = weekday(Math.floor(wall / dayMs) * dayMs);
    const minute = (wall % dayMs) / 60_000;
    const { days, from, to } = this.#window;
    if (from < to) return days.includes(day) && minute >= from && minute < to;
    return (days.includes(day) && minute >= from) || (days.includes((day + 6) % 7) && minute < to);
  }
}

/**
 * Slots of a timetable in a zone: the instants at which it is due, one per local day that it names. Daylight saving
 * time gives each such day exactly one slot: a local time that the clock skips is due at the moment of the skip, one
 * that the clock shows twice is due the first time.
 */
export class Slots {
  readonly #table: Timetable;
  readonly #local: Intl.DateTimeFormat;

  /** @param zone IANA name, e.g. `Europe/Berlin`; an unknown one throws RangeError. */
  constructor(table: Timetable, zone: string) {
    this.#table = table;
    this.#local = localFormat(zone);
  }

  /** The first slot strictly after `at`. */
  next(at: WallTime): WallTime {
    if (this.#table.kind === 'every') return wallTime((Math.floor(at / this.#table.ms) + 1) * this.#table.ms);
    const today = this.#localDay(at);
    for (let ahead = -1; ahead <= 9; ahead++) {
      const slot = this.#slotOn(today + ahead * dayMs);
      if (slot !== undefined && slot > at) return wallTime(slot);
    }
    return wallTime(Number.POSITIVE_INFINITY);
  }

  /** The last slot at or before `at`. */
  last(at: WallTime): WallTime {
    if (this.#table.kind === 'every') return wallTime(Math.floor(at / this.#table.ms) * this.#table.ms);
    const today = this.#localDay(at);
    for (let ago = -1; ago <= 9; ago++) {
      const slot = this.#slotOn(today - ago * dayMs);
      if (slot !== undefined && slot <= at) return wallTime(slot);
    }
    return wallTime(Number.NEGATIVE_INFINITY);
  }

  /** Local wall clock at an instant, told as if it were UTC, in whole seconds. */
  #wallAt(utc: number): number {
    return wallAt(this.#local, utc);
  }

  #localDay(utc: number): number {
    return Math.floor(this.#wallAt(utc) / dayMs) * dayMs;
  }

  /** The slot on a local day (its midnight told as UTC), if the timetable names that weekday. */
  #slotOn(day: number): number | undefined {
    if (this.#table.kind !== 'days' || !this.#table.days.includes(weekday(day))) return undefined;
    const wanted = day + this.#table.minute * 60_000;
    const offset = (utc: number) => this.#wallAt(utc) - Math.floor(utc / 1_000) * 1_000;
    const before = offset(wanted - dayMs);
    const behind = offset(wanted + dayMs);
    const candidates = [wanted - before, wanted - behind].filter((utc) => utc + offset(utc) === wanted);
    if (candidates.length > 0) return Math.min(...candidates);
    // Skipped by the clock: the change lies between the two readings; find the second at which it happens.
    let lo = wanted - Math.max(before, behind) - 7_200_000;
    let hi = wanted - Math.min(before, behind) + 7_200_000;
    while (hi - lo > 1_000) {
      const middle = Math.floor((lo + hi) / 2_000) * 1_000;
      if (offset(middle) === before) lo = middle;
      else hi = middle;
    }
    return hi;
  }
}

const localFormat = (timeZone: string): Intl.DateTimeFormat =>
  new Intl.DateTimeFormat('en-US', {
    timeZone,
    calendar: 'gregory',
    numberingSystem: 'latn',
    hourCycle: 'h23',
    year: 'numeric',
    month: 'numeric',
    day: 'numeric',
    hour: 'numeric',
    minute: 'numeric',
    second: 'numeric',
  });

function wallAt(local: Intl.DateTimeFormat, utc: number): number {
  const parts: Record<string, number> = {};
  for (const { type, value } of local.formatToParts(utc)) parts[type] = Number(value);
  const { year = 0, month = 1, day = 1, hour = 0, minute = 0, second = 0 } = parts;
  return Date.UTC(year, month - 1, day, hour, minute, second);
}
