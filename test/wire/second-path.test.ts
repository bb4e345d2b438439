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
      path.heard();
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
    path.called(60, ack);
    expect(path.takes(60 + calledForMs, ack)).toBe(true);
    path.heard();
    expect(path.takes(701, ping)).toBe(false);
  });

  test('called beside the stream → answers beside it for a while', () => {
    const path = new SecondPath();
    path.called(100, ping);
    expect(path.takes(100 + calledForMs - 1, ack)).toBe(true);
    expect(path.takes(100 + calledForMs, ack)).toBe(false);
  });

  test('answered beside the stream → no call: nobody asked', () => {
    const path = new SecondPath();
    path.called(100, ack);
    expect(path.takes(101, ack)).toBe(false);
  });

  test('two who ask each other twenty times a second, and one hiccup → quiet again as soon as the streams speak', () => {
    const [a, b] = [new SecondPath(), new SecondPath()];
    let datagrams = 0;
    const ask = (now: number, asker: SecondPath, asked: SecondPath, arrives: boolean): void => {
      if (asker.takes(now, ping)) {
        datagrams++;
        asked.called(now, ping);
      }
      if (!arrives) return;
      asked.heard();
      if (asked.takes(now + 1, ack)) {
        datagrams++;
        asker.called(now + 1, ack);
      }
      asker.heard();
    };
    for (let now = 0; now < 200; now += 50) ask(now, a, b, false);
    expect(datagrams).toBeGreaterThan(0);
    for (let now = 200; now < 400; now += 50) {
      ask(now, a, b, true);
      ask(now + 25, b, a, true);
    }
    datagrams = 0;
    for (let now = 400; now < 2_000; now += 50) {
      ask(now, a, b, true);
      ask(now + 25, b, a, true);
    }
    expect(datagrams).toBe(0);
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
