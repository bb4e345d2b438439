import { describe, expect, it } from 'vitest';
import { PlantStates } from '../../../agent/adapters/models/plant-states.ts';
import { instant, wallTime } from '../../../agent/base/time.ts';
import type { Quality, SignalSpec } from '../../../agent/core/health/signal.ts';

const signal = (duty: number, states?: ReadonlyMap<number, string>) =>
  ({ duty, freshMs: 5_000, states }) as unknown as SignalSpec;
const names = new Map([
  [0, 'stopped'],
  [1, 'running'],
]);
const onlyIn = [{ state: 1, states: ['running'] }];

/** A flow (signal 0) and the plant's state (signal 1), of one device or of two. */
function pump(device: 'one' | 'two') {
  const states = new PlantStates(onlyIn, [0], [signal(0), signal(device === 'one' ? 0 : 1, names)]);
  const say = (code: number, sourceTime: number, receiveTime: number, quality: Quality = 'good') =>
    states.take({
      signal: 1,
      value: code,
      quality,
      sourceTime: wallTime(sourceTime),
      receiveTime: instant(receiveTime),
    });
  const at = (time: number, now: number) => states.at(time, instant(now)).kind;
  return { states, say, at };
}

describe('the plant’s state at the time of a row', () => {
  it('one device → by its own stamps: a row that closes late belongs to the state it was measured in', () => {
    const { say, at, states } = pump('one');
    say(0, 1_000, 10);
    say(1, 9_000, 8_010);
    expect(at(8_500, 8_020)).toBe('out');
    expect(at(9_000, 8_020)).toBe('in');
    say(0, 20_000, 19_010);
    expect(at(19_500, 19_500)).toBe('in');
    expect(states.at(20_500, instant(19_600))).toEqual({ kind: 'out', why: 'while stopped' });
  });

  it('another device, whose clock is an hour off → what was heard last', () => {
    const { say, at } = pump('two');
    say(1, 3_600_000, 10);
    expect(at(1_000, 20)).toBe('in');
    say(0, 3_601_000, 1_010);
    expect(at(1_900, 1_020)).toBe('out');
  });

  it('never heard, bad, stale, a code without a name → nobody knows', () => {
    const { say, at } = pump('one');
    expect(at(1_000, 0)).toBe('unknown');
    say(1, 1_000, 0);
    expect(at(1_000, 5_000)).toBe('in');
    expect(at(1_000, 5_001)).toBe('unknown');
    say(1, 7_000, 6_000, 'bad');
    expect(at(7_000, 6_000)).toBe('unknown');
    say(9, 8_000, 7_000);
    expect(at(8_000, 7_000)).toBe('unknown');
    say(1, 9_000, 8_000);
    expect(at(9_000, 8_000)).toBe('in');
  });

  it('a clock that is set back → what was known is forgotten; changes without end → a few are kept', () => {
    const { say, at } = pump('one');
    say(0, 50_000, 10);
    say(1, 1_000, 20);
    expect(at(1_500, 30)).toBe('in');
    for (let i = 0; i < 1_000; i++) say(i % 2, 2_000 + i, 100 + i);
    expect(at(2_999, 1_200)).toBe('in');
    expect(at(2_000, 1_200)).toBe('unknown');
  });
});
