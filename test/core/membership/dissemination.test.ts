import { expect, test } from 'vitest';
import { ByteBudget } from '../../../agent/base/byte-budget.ts';
import { crowd, Dissemination, fullCopies } from '../../../agent/core/membership/dissemination.ts';
import type { MemberUpdate } from '../../../agent/core/membership/member.ts';
import { lan } from '../../../agent/core/membership/options.ts';

const say = (member: number, more: Partial<MemberUpdate> = {}): MemberUpdate => ({
  member,
  state: 'alive',
  bootCounter: 1,
  incarnation: 0,
  origin: member,
  ...more,
});

test('dissemination: an update → sent 4·⌈log10(N+1)⌉ times, then forgotten', () => {
  for (const [size, times] of [
    [5, 4],
    [50, 8],
    [1000, 16],
  ] as const) {
    const queue = new Dissemination(size, lan);
    queue.enqueue(say(1));
    let sent = 0;
    while (queue.take(16).length > 0) sent++;
    expect(sent).toBe(times);
    expect(queue.length).toBe(0);
  }
});

test('dissemination: news → goes before what was sent already, and everything gets its turn', () => {
  const queue = new Dissemination(5, lan);
  queue.enqueue(say(1));
  queue.enqueue(say(2));
  expect(queue.take(1).map((u) => u.member)).toEqual([2]);
  queue.enqueue(say(3));
  expect([1, 2, 3, 4].flatMap(() => queue.take(1).map((u) => u.member))).toEqual([3, 1, 2, 3]);
});

test('dissemination: a newer statement about a member → replaces the older; confirmations by others stand beside it', () => {
  const queue = new Dissemination(50, lan);
  queue.enqueue(say(1));
  queue.enqueue(say(1, { state: 'suspect', origin: 2 }));
  queue.enqueue(say(1, { state: 'suspect', origin: 3 }));
  queue.enqueue(say(1, { state: 'suspect', origin: 3 }));
  expect(queue.length).toBe(2);
  expect(new Set(queue.take(16).map((u) => `${u.state} by ${u.origin}`))).toEqual(
    new Set(['suspect by 2', 'suspect by 3']),
  );
  queue.enqueue(say(1, { incarnation: 1 }));
  expect(queue.take(16)).toEqual([say(1, { incarnation: 1 })]);
});

test('dissemination: one message never holds an update twice', () => {
  const queue = new Dissemination(5, lan);
  for (let member = 0; member < 3; member++) queue.enqueue(say(member));
  for (let i = 0; i < 3; i++)
    expect(
      queue
        .take(16)
        .map((u) => u.member)
        .sort(),
    ).toEqual([0, 1, 2]);
});

test('dissemination: more news than it holds → bounded, what was sent gives way first', () => {
  const queue = new Dissemination(5, lan);
  queue.enqueue(say(0));
  queue.take(1);
  for (let origin = 0; origin < 500; origin++) queue.enqueue(say(1, { state: 'suspect', origin }));
  expect(queue.length).toBeLessThanOrEqual(64);
  expect(queue.take(64).some((u) => u.member === 0)).toBe(false);
});

const signature = new Uint8Array(64);

test('dissemination: a signed update alone → three times in full, then its numbers, as often as any', () => {
  const queue = new Dissemination(50, lan);
  const signed = { ...say(3), signature };
  queue.enqueue(signed);
  const copies = Array.from({ length: 20 }, () => queue.take(16)).flat();
  expect(copies.length).toBe(lan.retransmitMult * 2);
  expect(copies.slice(0, fullCopies)).toEqual([signed, signed, signed]);
  for (const copy of copies.slice(fullCopies)) expect(copy).toEqual(say(3));
});

test('dissemination: more signed updates than a message holds → each once in full, then by numbers', () => {
  const queue = new Dissemination(100, lan);
  for (let member = 0; member <= crowd; member++) queue.enqueue({ ...say(member), signature });
  const first = [...queue.take(16), ...queue.take(1)];
  expect(new Set(first.map((u) => u.member)).size).toBe(crowd + 1);
  expect(first.every((u) => u.signature !== undefined)).toBe(true);
  expect(queue.take(16).every((u) => u.signature === undefined)).toBe(true);
});

test('dissemination: a signed confirmation beside an accusation → in full while there is room, never by numbers', () => {
  const queue = new Dissemination(100, lan);
  for (const origin of [1, 2]) queue.enqueue({ ...say(9, { state: 'suspect', origin }), signature });
  const copies = Array.from({ length: 30 }, () => queue.take(16)).flat();
  const of = (origin: number) => copies.filter((u) => u.origin === origin);
  expect(of(1).length).toBe(lan.retransmitMult * 3);
  expect(of(2)).toHaveLength(fullCopies);
  expect(of(2).every((u) => u.signature !== undefined)).toBe(true);
  expect(queue.length).toBe(0);
});

test('byte budget: spent faster than it fills → in debt, and the debt is bounded', () => {
  const budget = new ByteBudget(1_000);
  budget.spend(0, 5_000);
  expect(budget.available(0)).toBe(-1_000);
  expect(budget.available(1_500)).toBe(500);
  expect(budget.available(60_000)).toBe(1_000);
});
