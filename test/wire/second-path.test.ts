import { describe, expect, test } from 'vitest';
import type { DirectMessage } from '../../agent/core/input.ts';
import { calledForMs, doubtAfterMs, isForDatagrams, perSecond, SecondPath } from '../../agent/wire/second-path.ts';

const ping = { kind: 'ping', seq: 1, digestVersion: 0, updates: [] } as DirectMessage;
const ack = { kind: 'ack', seq: 1, digestVersion: 0, updates: [] } as DirectMessage;

describe('second path', () => {
  test('answers come at once → never used, however much is said', () => {
    const path = new SecondPath();
    for (let now = 0; now < 10_000; now += 100) {
      expect(path.takes(now, ping)).toBe(false);
      path.heard(now + 3, false);
      expect(path.takes(now + 50, ack)).toBe(false);
    }
  });

  test('an answer of ours that nobody answers → no doubt: only questions are owed a word', () => {
    const path = new SecondPath();
    path.takes(0, ack);
    expect(path.takes(5_000, ack)).toBe(false);
  });

  test('a question without a word over the stream → used from then on, until the stream speaks', () => {
    const path = new SecondPath();
    path.takes(0, ping);
    expect(path.takes(doubtAfterMs - 1, ping)).toBe(false);
    expect(path.takes(doubtAfterMs, ack)).toBe(true);
    path.heard(60, true);
    expect(path.takes(60 + calledForMs, ack)).toBe(true);
    path.heard(700, false);
    expect(path.takes(701, ping)).toBe(false);
  });

  test('called beside the stream → answers beside it for a while', () => {
    const path = new SecondPath();
    path.heard(100, true);
    expect(path.takes(100 + calledForMs - 1, ack)).toBe(true);
    expect(path.takes(100 + calledForMs, ack)).toBe(false);
  });

  test('a peer that does not read, and a flood for it → so many a second and no more', () => {
    const path = new SecondPath();
    let taken = 0;
    for (let now = 0; now < 2_000; now += 0.1) if (path.takes(now, ping)) taken++;
    expect(taken).toBeGreaterThan(perSecond);
    expect(taken).toBeLessThan(2.5 * perSecond);
  });

  test('greetings, leases and bulk → never', () => {
    const kinds = ['hello', 'sync', 'checkpoint', 'claim', 'lease-request'] as const;
    expect(kinds.filter((kind) => isForDatagrams({ kind } as unknown as DirectMessage))).toEqual([]);
  });
});
