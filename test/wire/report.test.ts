import fc from 'fast-check';
import { expect, test } from 'vitest';
import type { ReportBody } from '../../agent/core/reporting/report.ts';
import {
  decodeAck,
  decodeBody,
  decodeLog,
  decodePresence,
  encodeBody,
  encodeRecord,
  genesis,
  MAX_RECORD_BYTES,
} from '../../agent/wire/report.ts';

const stream = 'a'.repeat(32);
const wrap = (body: ReportBody, data = encodeBody(body)): Buffer =>
  Buffer.from(
    encodeRecord({
      type: body.type,
      id: '01HF7YAT00A8VTE7QRAAN24MWB',
      stream,
      seq: 1,
      prev: genesis(stream),
      boot: 'b1',
      ts: 1_700_000_000_000,
      u: 5,
      data,
    }),
  );

const w = 1_700_000_000_000 as never;
const bodies: ReportBody[] = [
  {
    type: 'alarm',
    alarmId: 'bearing-wear.press-7',
    thing: 'press-7',
    name: 'bearing-wear',
    state: 'on',
    term: 3,
    occurrence: 'b1-4',
    priority: 'high',
    cause: 'c',
    consequence: 'q',
    response: 'r',
    respondWithinMs: 1,
    firstSampleAt: w,
    since: w,
    evidence: 'e',
  },
  { type: 'run', run: 'r1', workflow: 'w', thing: 't', entry: 'intent', detail: { step: 1, ok: true, why: 'x' } },
  {
    type: 'incident',
    incident: 'i1',
    run: 'r1',
    workflow: 'w',
    thing: 't',
    symptom: 's',
    outcome: 'HEALED',
    reason: '',
    firstBadAt: w,
    conditionAt: w,
    healedAt: undefined,
    mttdMs: 100,
    mttaMs: undefined,
    mttrMs: undefined,
    relapse: false,
    steps: [{ name: 'restart', outcome: 'ok', detail: '', at: w }],
  },
  { type: 'event', name: 'n', subject: 's', severity: 'notice', text: 'Grüße, 你好', detail: {} },
  {
    type: 'check',
    check: 'c',
    thing: 't',
    status: 'crit',
    was: 'ok',
    flapping: false,
    value: 7.9,
    unit: 'mm/s',
    text: 'x',
  },
  {
    type: 'readings',
    tag: 'p/x',
    unit: undefined,
    rows: [
      [1, 2.5, 0],
      [2, null, 2],
    ],
  },
  { type: 'lines', duty: 'd', file: '/f', from: 0, to: 12, lines: ['a', 'b'] },
];

test.each(bodies.map((body) => [body.type, body] as const))(
  'report wire: body of type %s → comes back the same',
  (_type, body) => {
    const log = decodeLog(wrap(body));
    if (!log.ok || !('envelope' in log.value)) throw new Error('no envelope');
    const back = decodeBody(log.value.envelope);
    expect(back).toEqual({ ok: true, value: JSON.parse(JSON.stringify(body)) });
  },
);

test('report wire: number that is none → left out, never a record that nobody can read', () => {
  const body: ReportBody = {
    type: 'check',
    check: 'c',
    thing: 't',
    status: 'ok',
    was: 'ok',
    flapping: false,
    value: Number.NaN,
    unit: undefined,
    text: '',
  };
  const log = decodeLog(wrap(body));
  if (!log.ok || !('envelope' in log.value)) throw new Error('no envelope');
  expect(decodeBody(log.value.envelope)).toMatchObject({ ok: true });
});

test('report wire: unknown keys → ignored; unknown version or type → refused with its place still readable', () => {
  const extended = JSON.parse(wrap(bodies[3]!).toString());
  const read = (change: object) => {
    const log = decodeLog(Buffer.from(JSON.stringify({ ...extended, ...change })));
    if (!log.ok || !('envelope' in log.value)) throw new Error('no envelope');
    return decodeBody(log.value.envelope);
  };
  expect(read({ colour: 'blue' })).toMatchObject({ ok: true });
  expect(read({ v: 2 })).toEqual({ ok: false, error: { reason: 'unknown version 2' } });
  expect(read({ type: 'poem' })).toEqual({ ok: false, error: { reason: 'unknown type poem' } });
  expect(read({ type: 'constructor' })).toEqual({ ok: false, error: { reason: 'unknown type constructor' } });
  expect(decodeLog(Buffer.from(JSON.stringify({ ...extended, ts: 'noon' })))).toMatchObject({
    ok: false,
    error: { place: { stream, seq: 1, prev: genesis(stream) } },
  });
});

test('report wire: message beyond 256 kB → refused unread', () => {
  expect(decodeLog(Buffer.alloc(MAX_RECORD_BYTES + 1, 0x20))).toMatchObject({
    ok: false,
    error: { reason: expect.stringContaining('too large') },
  });
});

test('report wire: garbage of any kind → a reason, never a throw', () => {
  const whole = wrap(bodies[0]!);
  fc.assert(
    fc.property(
      fc.oneof(
        fc.uint8Array({ maxLength: 400 }),
        fc.json().map((text) => Buffer.from(text)),
        fc.tuple(fc.nat(whole.length - 1), fc.nat(255)).map(([at, byte]) => {
          const bent = Buffer.from(whole);
          bent[at] = byte;
          return bent;
        }),
        fc.nat(whole.length - 1).map((n) => whole.subarray(0, n)),
      ),
      (bytes) => {
        const log = decodeLog(bytes);
        if (log.ok && 'envelope' in log.value) decodeBody(log.value.envelope);
        else if (!log.ok) expect(log.error.reason).not.toBe('');
        decodeAck(bytes);
        decodePresence(bytes);
      },
    ),
    { numRuns: 2_000 },
  );
});
