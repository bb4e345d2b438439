import fc from 'fast-check';
import { expect, test } from 'vitest';
import { type AlarmRegister, foldAlarm } from '../../coordinator/alarms/alarm-fold.ts';

const register = (change: Partial<AlarmRegister> = {}): AlarmRegister => {
  const state = change.state ?? 'on';
  return { reporter: 'edge-1', term: 1, state, lastGood: state === 'bad' ? 'on' : state, occurrence: 'o1', ...change };
};
const on = (occurrence: string, change: Partial<AlarmRegister> = {}) => register({ occurrence, ...change });
const off = (occurrence: string, change: Partial<AlarmRegister> = {}) =>
  register({ occurrence, state: 'off', ...change });
const state = (registers: AlarmRegister[], acks: string[] = []) => foldAlarm(registers, new Set(acks)).state;

// The process part of ISA-18.2's table, as far as nothing is latched: state, what happened, next state.
test.each([
  ['NORM', 'on', [on('o1')], [], 'UNACK'],
  ['UNACK', 'off', [off('o1')], [], 'RTNUN'],
  ['UNACK', 'acknowledge', [on('o1')], ['o1'], 'ACKED'],
  ['ACKED', 'off', [off('o1')], ['o1'], 'NORM'],
  ['RTNUN', 'acknowledge', [off('o1')], ['o1'], 'NORM'],
  ['RTNUN', 'on: a new occurrence', [on('o2')], [], 'UNACK'],
  ['NORM', 'on: a new occurrence, the last one acknowledged', [on('o2')], ['o1'], 'UNACK'],
] as const)('alarm: %s and %s', (_from, _input, registers, acks, expected) => {
  expect(state([...registers], [...acks])).toBe(expected);
});

test('alarm: taken over by a higher term → the old reporter neither holds nor clears it', () => {
  expect(state([on('o1', { reporter: 'edge-1', term: 1 }), off('o1', { reporter: 'edge-2', term: 2 })], ['o1'])).toBe(
    'NORM',
  );
  expect(state([off('o1', { reporter: 'edge-1', term: 1 }), on('o1', { reporter: 'edge-2', term: 2 })])).toBe('UNACK');
});

test('alarm: two reporters of one term disagree → it stands', () => {
  const folded = foldAlarm([off('o1', { reporter: 'edge-1' }), on('o2', { reporter: 'edge-2' })], new Set(['o1']));
  expect(folded).toMatchObject({ state: 'UNACK', occurrence: 'o2', reporter: 'edge-2' });
});

test('alarm: its only reporter cannot judge any more → the last known state stands, marked blind', () => {
  expect(foldAlarm([register({ state: 'bad', lastGood: 'on' })], new Set())).toMatchObject({
    state: 'UNACK',
    blind: true,
  });
  expect(foldAlarm([register({ state: 'bad', lastGood: 'off' })], new Set(['o1']))).toMatchObject({
    state: 'NORM',
    blind: true,
  });
});

test('alarm: blind reporter of a higher term → a good one of a lower term speaks', () => {
  const folded = foldAlarm([register({ state: 'bad', term: 5, reporter: 'edge-2' }), on('o1', { term: 4 })], new Set());
  expect(folded).toMatchObject({ state: 'UNACK', reporter: 'edge-1', blind: false });
});

test('alarm: registers and acknowledgements in any order → one result', () => {
  const arbitrary = fc.uniqueArray(
    fc.record({
      reporter: fc.constantFrom('edge-1', 'edge-2', 'edge-3', 'edge-4'),
      term: fc.integer({ min: 1, max: 3 }),
      state: fc.constantFrom('on' as const, 'off' as const, 'bad' as const),
      lastGood: fc.constantFrom('on' as const, 'off' as const),
      occurrence: fc.constantFrom('o1', 'o2', 'o3'),
    }),
    { selector: (r) => r.reporter, minLength: 1 },
  );
  fc.assert(
    fc.property(arbitrary, fc.array(fc.constantFrom('o1', 'o2', 'o3')), fc.integer(), (registers, acks, seed) => {
      // As the store keeps them: a good state is its own last good one.
      const rows = registers.map((r) => ({ ...r, lastGood: r.state === 'bad' ? r.lastGood : r.state }));
      const shuffled = rows
        .map((r, i) => [Math.sin(seed + i), r] as const)
        .sort((a, b) => a[0] - b[0])
        .map(([, r]) => r);
      expect(foldAlarm(shuffled, new Set([...acks].reverse()))).toEqual(foldAlarm(rows, new Set(acks)));
    }),
    { numRuns: 10_000 },
  );
});
