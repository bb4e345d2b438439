import { expect, test } from 'vitest';
import { type AskController, createPlcProbe } from '../../../agent/adapters/checks/plc.ts';
import type { ControllerFact } from '../../../agent/adapters/plc/source.ts';
import { err, ok } from '../../../agent/base/result.ts';

const asked = (question: 'mode' | 'scan' | 'program' | 'service', ask: AskController | undefined, expect?: string) =>
  createPlcProbe({ kind: 'plc', source: 3, question, expect }, ask);
const says =
  (...facts: ControllerFact[]): AskController =>
  async () =>
    ok(facts.length > 1 ? facts.shift()! : facts[0]!);

test.each([
  ['run', 'RUN', 'ok'],
  ['stop', 'STOP', 'crit'],
  ['between', 'starting (warm)', 'warn'],
] as const)('mode %s → %s is %s', async (mode, text, status) => {
  expect(await asked('mode', says({ is: 'mode', mode, text }))()).toMatchObject({ status, text });
});

test('scan time and service level → values for limits', async () => {
  expect(await asked('scan', says({ is: 'scan', ms: 12, text: 'x' }))()).toMatchObject({
    status: undefined,
    value: 12,
  });
  expect(await asked('service', says({ is: 'service', level: 180, text: 'x' }))()).toMatchObject({ value: 180 });
});

test('a program → compared with the first one seen, or with the one that is expected', async () => {
  const program = (hash: string): ControllerFact => ({ is: 'program', hash: hash.repeat(64), text: '3 blocks' });
  const first = asked('program', says(program('a'), program('a'), program('b')));
  expect((await first()).status).toBe('ok');
  expect((await first()).status).toBe('ok');
  expect(await first()).toMatchObject({
    status: 'crit',
    text: 'another program than when watching began: bbbbbbbbbbbbbbbb and not aaaaaaaaaaaaaaaa',
  });
  expect((await asked('program', says(program('a')), 'aaaaaaaa')()).status).toBe('ok');
  expect((await asked('program', says(program('a')), 'bbbbbbbb')()).status).toBe('crit');
});

test('no answer, or no such device here → unknown, with the reason', async () => {
  expect(await asked('mode', async () => err('not connected'))()).toMatchObject({
    status: 'unknown',
    text: 'not connected',
  });
  expect(await asked('mode', undefined)()).toMatchObject({ status: 'unknown' });
});
