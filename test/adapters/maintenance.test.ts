import { expect, test } from 'vitest';
import { createMaintenanceClock } from '../../agent/adapters/maintenance.ts';
import { wallTime } from '../../agent/base/time.ts';
import { parseWindow, Windows } from '../../agent/base/timetable.ts';
import type { Input } from '../../agent/core/input.ts';

const holds = (text: string, zone: string, at: string): boolean => {
  const window = parseWindow(text);
  if (!window.ok) throw new Error(window.error);
  return new Windows(window.value, zone).holds(wallTime(Date.parse(at)));
};

test.each([
  // A Sunday, in Berlin an hour ahead of UTC.
  ['sun 06:00-10:00', 'Europe/Berlin', '2026-01-18T04:59:59Z', false],
  ['sun 06:00-10:00', 'Europe/Berlin', '2026-01-18T05:00:00Z', true],
  ['sun 06:00-10:00', 'Europe/Berlin', '2026-01-18T08:59:59Z', true],
  ['sun 06:00-10:00', 'Europe/Berlin', '2026-01-18T09:00:00Z', false],
  ['sun 06:00-10:00', 'Europe/Berlin', '2026-01-19T06:00:00Z', false],
  // Over midnight it belongs to the day on which it began.
  ['fri 22:00-02:00', 'UTC', '2026-01-16T23:00:00Z', true],
  ['fri 22:00-02:00', 'UTC', '2026-01-17T01:59:00Z', true],
  ['fri 22:00-02:00', 'UTC', '2026-01-17T22:30:00Z', false],
  ['mon-fri 00:00-24:00', 'UTC', '2026-01-16T23:59:59Z', true],
  // The hour that the clock shows twice lies within both times.
  ['sun 02:00-03:00', 'Europe/Berlin', '2026-10-25T00:30:00Z', true],
  ['sun 02:00-03:00', 'Europe/Berlin', '2026-10-25T01:30:00Z', true],
  ['sun 02:00-03:00', 'Europe/Berlin', '2026-10-25T02:30:00Z', false],
])('%s in %s at %s → %s', (text, zone, at, expected) => {
  expect(holds(text, zone, at)).toBe(expected);
});

test.each(['sun 06:00', 'every 5m', 'sun 25:00-26:00', 'sun 06:00-06:00', 'nonday 06:00-07:00', ''])(
  '"%s" → is no window',
  (text) => {
    expect(parseWindow(text).ok).toBe(false);
  },
);

test('a window that begins and ends → told once each; a doubtful clock is told as doubt', () => {
  const said: Input[] = [];
  const maintenance = [{ id: 'weekly', things: [3], at: 'daily 06:00-07:00', why: 'service' }];
  const clock = createMaintenanceClock({ maintenance }, 'UTC', (input) => void said.push(input));
  const at = (time: string, trusted = true) => clock.read(wallTime(Date.parse(`2026-01-16T${time}Z`)), trusted);
  for (const time of ['05:59:58', '05:59:59', '06:00:00', '06:30:00']) at(time);
  at('06:30:01', false);
  at('07:00:00');
  expect(said).toEqual(
    ['off', 'on', 'unknown', 'off'].map((state) => ({ kind: 'maintenance-changed', window: 0, state })),
  );
});
