import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import type { DutyRunner } from '../../../agent/adapters/duty-runners/runner.ts';
import { createScheduleRunner } from '../../../agent/adapters/duty-runners/schedule.ts';
import { wallTime } from '../../../agent/base/time.ts';
import { parseTimetable, Slots } from '../../../agent/base/timetable.ts';
import type { Checkpoint } from '../../../agent/core/duties/duty.ts';
import type { SitePlan } from '../../../agent/core/site-plan.ts';
import { dutyOf, Inbox, silent } from './doubles.ts';

const at = (iso: string) => wallTime(Date.parse(iso));
const iso = (ms: number) => new Date(ms).toISOString();

function slotsOf(text: string, zone = 'Europe/Berlin'): Slots {
  const table = parseTimetable(text);
  if (!table.ok) throw new Error(table.error);
  return new Slots(table.value, zone);
}

/** The next `n` slots after an instant. */
function series(slots: Slots, from: string, n: number): string[] {
  const found: string[] = [];
  for (let now = at(from); found.length < n; ) {
    now = slots.next(now);
    found.push(iso(now));
  }
  return found;
}

describe('timetable', () => {
  test.each([
    ['daily 02:00', { kind: 'days', days: [0, 1, 2, 3, 4, 5, 6], minute: 120 }],
    ['mon-fri 06:00-14:00', { kind: 'days', days: [1, 2, 3, 4, 5], minute: 360 }],
    ['fri-mon 23:59', { kind: 'days', days: [0, 1, 5, 6], minute: 1439 }],
    ['sat,sun 10:30', { kind: 'days', days: [0, 6], minute: 630 }],
    ['sun 06:00-10:00', { kind: 'days', days: [0], minute: 360 }],
    ['every 5m', { kind: 'every', ms: 300_000 }],
  ])('"%s" → its days and minute', (text, value) => {
    expect(parseTimetable(text)).toEqual({ ok: true, value });
  });

  test.each(['daily', 'daily 2:00', 'daily 24:00', 'monday 02:00', 'mon-tue-wed 02:00', 'every 0m', '0 2 * * *', ''])(
    '"%s" → refused with a hint',
    (text) => {
      expect(parseTimetable(text)).toMatchObject({ ok: false });
    },
  );

  test('daily in Berlin in winter and summer → the same local hour', () => {
    expect(series(slotsOf('daily 02:00'), '2026-01-10T12:00:00Z', 2)).toEqual([
      '2026-01-11T01:00:00.000Z',
      '2026-01-12T01:00:00.000Z',
    ]);
    expect(series(slotsOf('daily 02:00'), '2026-07-10T12:00:00Z', 1)).toEqual(['2026-07-11T00:00:00.000Z']);
  });

  test('spring: 02:30 is skipped by the clock on 29 March → due at the skip, once, and at 02:30 the day after', () => {
    expect(series(slotsOf('daily 02:30'), '2026-03-28T12:00:00Z', 2)).toEqual([
      '2026-03-29T01:00:00.000Z',
      '2026-03-30T00:30:00.000Z',
    ]);
  });

  test('autumn: 02:30 comes twice on 25 October → due the first time only', () => {
    expect(series(slotsOf('daily 02:30'), '2026-10-24T12:00:00Z', 2)).toEqual([
      '2026-10-25T00:30:00.000Z',
      '2026-10-26T01:30:00.000Z',
    ]);
  });

  test('autumn: 03:00, after the hour that comes twice → standard time', () => {
    expect(series(slotsOf('daily 03:00'), '2026-10-24T12:00:00Z', 1)).toEqual(['2026-10-25T02:00:00.000Z']);
  });

  test('a whole year of every minute-of-day that a change touches → one slot per local day, in order', () => {
    for (const time of ['00:00', '01:59', '02:00', '02:59', '03:00', '23:59']) {
      const slots = slotsOf(`daily ${time}`);
      const year = series(slots, '2025-12-31T23:30:00Z', 365).map((text) => Date.parse(text));
      const gaps = year.slice(1).map((slot, i) => (slot - (year[i] ?? 0)) / 3_600_000);
      expect(Math.min(...gaps)).toBeGreaterThanOrEqual(22.9);
      expect(Math.max(...gaps)).toBeLessThanOrEqual(25.1);
    }
  });

  test('last is the inverse of next', () => {
    for (const text of ['daily 02:30', 'mon-fri 06:00', 'sun 23:00', 'every 7m']) {
      const slots = slotsOf(text);
      for (let hour = 0; hour < 24 * 20; hour += 7) {
        const now = wallTime(Date.parse('2026-10-15T00:10:00Z') + hour * 3_600_000);
        const last = slots.last(now);
        expect(last).toBeLessThanOrEqual(now);
        expect(slots.last(last)).toBe(last);
        expect(slots.next(wallTime(last - 1))).toBe(last);
        expect(slots.next(last)).toBeGreaterThan(now);
      }
    }
  });

  test('weekdays at the other end of the world → local days count, not UTC', () => {
    // Monday 06:00 in Auckland is Sunday evening in UTC.
    expect(series(slotsOf('mon 06:00', 'Pacific/Auckland'), '2026-07-04T00:00:00Z', 1)).toEqual([
      '2026-07-05T18:00:00.000Z',
    ]);
  });
});

describe('schedule runner', () => {
  beforeEach(() => {
    vi.useFakeTimers({ now: Date.parse('2026-05-04T10:00:00Z') });
  });
  const runners: DutyRunner[] = [];
  afterEach(async () => {
    for (const runner of runners.splice(0)) await runner.stopAll();
    vi.useRealTimers();
  });

  const duty = dutyOf({ kind: 'schedule', workflow: 0 }, 3, 'site/backup');
  function runnerWith(times = 'daily 14:00', zone = 'Europe/Berlin') {
    const inbox = new Inbox();
    const runner = createScheduleRunner({
      site: { plan: { workflows: [{ at: times }] } as unknown as SitePlan },
      deliver: inbox.deliver,
      clock: { wall: () => wallTime(Date.now()) },
      zone,
      log: silent,
    });
    runners.push(runner);
    const due = () => inbox.of('schedule-due').map((input) => iso(input.slot));
    const checkpoint = (): Checkpoint => {
      const { data } = inbox.of('checkpoint-taken').at(-1)!;
      return { duty: 3, term: 1, sequence: 1, takenAt: wallTime(0), data };
    };
    return { runner, inbox, due, checkpoint };
  }

  test('slot comes → due once, its checkpoint before it', () => {
    const { runner, inbox, due } = runnerWith();
    runner.start(duty, 1, undefined);
    vi.advanceTimersByTime(2 * 3_600_000 + 1_000);
    expect(due()).toEqual(['2026-05-04T12:00:00.000Z']);
    expect(inbox.inputs.map((input) => input.kind)).toEqual([
      'duty-started',
      'checkpoint-taken',
      'checkpoint-taken',
      'schedule-due',
    ]);
    vi.advanceTimersByTime(24 * 3_600_000);
    expect(due()).toHaveLength(2);
  });

  test('first start ever, today’s slot is past → not run', () => {
    vi.setSystemTime(Date.parse('2026-05-04T13:00:00Z'));
    const { runner, due } = runnerWith();
    runner.start(duty, 1, undefined);
    vi.advanceTimersByTime(3_600_000);
    expect(due()).toEqual([]);
  });

  test('takeover after the slot ran → not run again', () => {
    const first = runnerWith();
    first.runner.start(duty, 1, undefined);
    vi.advanceTimersByTime(3 * 3_600_000);
    expect(first.due()).toHaveLength(1);
    const second = runnerWith();
    second.runner.start(duty, 2, first.checkpoint());
    vi.advanceTimersByTime(3_600_000);
    expect(second.due()).toEqual([]);
  });

  test('takeover after three slots fell into the gap → the last of them runs, once', async () => {
    const first = runnerWith();
    first.runner.start(duty, 1, undefined);
    const checkpoint = first.checkpoint();
    await first.runner.stopAll();
    vi.setSystemTime(Date.parse('2026-05-06T13:00:00Z'));
    const second = runnerWith();
    second.runner.start(duty, 2, checkpoint);
    vi.advanceTimersByTime(3_600_000);
    expect(second.due()).toEqual(['2026-05-06T12:00:00.000Z']);
    const third = runnerWith();
    third.runner.start(duty, 3, second.checkpoint());
    expect(third.due()).toEqual([]);
  });

  test('wall clock is set back over a slot → the slot does not run twice', () => {
    const { runner, due } = runnerWith();
    runner.start(duty, 1, undefined);
    vi.advanceTimersByTime(2 * 3_600_000 + 60_000);
    vi.setSystemTime(Date.parse('2026-05-04T11:00:00Z'));
    vi.advanceTimersByTime(2 * 3_600_000);
    expect(due()).toEqual(['2026-05-04T12:00:00.000Z']);
  });

  test('checkpoint of a clock that was a year ahead, or garbage → the schedule still runs', () => {
    for (const data of [
      JSON.stringify({ v: 1, slot: Date.parse('2027-05-04T12:00:00Z') }),
      'garbage',
      '{"slot":"x"}',
    ]) {
      vi.setSystemTime(Date.parse('2026-05-04T10:00:00Z'));
      const { runner, due } = runnerWith();
      const bytes = new TextEncoder().encode(data);
      runner.start(duty, 1, { duty: 3, term: 1, sequence: 1, takenAt: wallTime(0), data: bytes });
      vi.advanceTimersByTime(3 * 3_600_000);
      expect(due()).toEqual(['2026-05-04T12:00:00.000Z']);
    }
  });

  test('box starts in 1970 and gets its time later → nothing missed is invented, the next slot runs', () => {
    vi.setSystemTime(60_000);
    const { runner, inbox, due } = runnerWith();
    runner.start(duty, 1, undefined);
    vi.advanceTimersByTime(40_000);
    expect(inbox.of('checkpoint-taken')).toEqual([]);
    vi.setSystemTime(Date.parse('2026-05-04T13:00:00Z'));
    vi.advanceTimersByTime(3_600_000);
    expect(due()).toEqual([]);
    vi.advanceTimersByTime(24 * 3_600_000);
    expect(due()).toEqual(['2026-05-05T12:00:00.000Z']);
  });

  test('zone that does not exist, workflow without times → duty failed, with the reason', () => {
    const { runner, inbox } = runnerWith('daily 14:00', 'Europe/Atlantis');
    runner.start(duty, 1, undefined);
    expect(inbox.of('duty-failed')[0]?.reason).toBe('there is no time zone "Europe/Atlantis"');
    const other = runnerWith('whenever');
    other.runner.start(duty, 1, undefined);
    expect(other.inbox.of('duty-failed')[0]?.reason).toContain('"whenever" is not a time');
  });

  test('stopped → nothing comes due', async () => {
    const { runner, due } = runnerWith();
    runner.start(duty, 1, undefined);
    await runner.stop(3);
    vi.advanceTimersByTime(24 * 3_600_000);
    expect(due()).toEqual([]);
  });
});
