import { expect, test } from 'vitest';
import { agentTopics, allowed, coordinatorTopics, covers, parseTopic } from '../../agent/wire/topics.ts';

test.each([
  ['mw/1/s/a1/log', 'mw/1/s/a1/log', true],
  ['mw/1/s/a1/log', 'mw/1/s/a10/log', false],
  ['mw/1/s/a1/#', 'mw/1/s/a10/log', false],
  ['mw/1/s/#', 'mw/1/s/a/cmd/stop', true],
  ['mw/1/s/#', 'mw/1/s', true],
  ['mw/1/s/#', 'mw/1/other/a/log', false],
  ['mw/1/s/a/cmd/+', 'mw/1/s/a/cmd/+', true],
  ['mw/1/s/a/cmd/+', 'mw/1/s/a/cmd/#', false],
  ['mw/1/s/a/cmd/x', 'mw/1/s/a/cmd/+', false],
  ['mw/1/s/a/cmd/+', 'mw/1/s/a/cmd', false],
  ['mw/1/s/a/cmd/+', 'mw/1/s/a/cmd/x/y', false],
  ['#', '$SYS/broker', false],
  ['+/#', '$share/g/mw/1/s/a/log', false],
  ['mw/1/s/#', '#', false],
  ['mw/1/s/#', '', false],
])('topics: %s covers %s → %s', (pattern, asked, expected) => {
  expect(covers(pattern, asked)).toBe(expected);
});

test('topics: what an agent uses is what it may use, and no more', () => {
  const mine = agentTopics('demo', 'a1');
  const theirs = agentTopics('demo', 'a10');
  const { publish, subscribe } = allowed('demo', 'a1', 'agent');
  const may = (patterns: readonly string[], topic: string) => patterns.some((p) => covers(p, topic));
  for (const topic of [
    mine.presence,
    mine.info,
    mine.health,
    mine.log,
    mine.summary('press/poll'),
    mine.alarm('x.y'),
  ]) {
    expect(may(publish, topic), topic).toBe(true);
  }
  const { presence, acked, listens } = coordinatorTopics('demo');
  for (const topic of [mine.acked, mine.commands, presence]) expect(may(subscribe, topic), topic).toBe(true);
  for (const topic of [theirs.log, presence, acked('a1'), `mw/1/demo/a1/cmd/stop`, 'mw/1/demo/a1/log/more']) {
    expect(may(publish, topic), topic).toBe(false);
  }
  for (const topic of [theirs.acked, theirs.commands, 'mw/1/demo/#', 'mw/1/demo/coordinator/acked/+', '#', mine.log]) {
    expect(may(subscribe, topic), topic).toBe(false);
  }
  const coordinator = allowed('demo', 'coordinator', 'coordinator');
  for (const filter of listens) expect(may(coordinator.subscribe, filter), filter).toBe(true);
  // The coordinator does not hear its own acknowledgements.
  expect(may(listens, acked('a1'))).toBe(false);
});

test.each([
  ['mw/1/demo/a1/log', { site: 'demo', owner: 'a1', leaf: 'log', rest: undefined }],
  ['mw/1/demo/a1/cmd/stop', { site: 'demo', owner: 'a1', leaf: 'cmd', rest: 'stop' }],
  ['mw/2/demo/a1/log', undefined],
  ['mw/1/demo//log', undefined],
  ['mw/1/demo/a1/log/x/y', undefined],
  [`mw/1/demo/${'a'.repeat(65)}/log`, undefined],
  ['spBv1.0/g/NBIRTH/n', undefined],
  ['', undefined],
])('topics: %s taken apart', (topic, expected) => {
  expect(parseTopic(topic)).toEqual(expected);
});
