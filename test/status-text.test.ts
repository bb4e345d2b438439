import { expect, it } from 'vitest';
import { statusText } from '../agent/ask.ts';
import type { AgentStatus, LeaseStatus } from '../agent/wire/status.ts';

const lease: LeaseStatus = {
  lease: 'duty:line/writer',
  cell: 'line',
  epoch: 2,
  token: '0002000000000007',
  session: 'ab'.repeat(32),
  held: true,
  leftMs: 1_700,
  voters: [
    { agent: 'edge-1', answer: 'granted', agoMs: 200 },
    { agent: 'edge-2', answer: 'granted', agoMs: 210 },
    { agent: 'edge-3', answer: 'silent', agoMs: undefined },
  ],
  promisedTo: 'edge-1',
  unprotected: 'no box supervisor',
};

it('status for people → the verdict first, with its evidence, then who lives and what runs', () => {
  const majority = { here: 1, needed: 1, missing: [] };
  const status = {
    agent: 'edge-1',
    site: 'plant-7',
    plan: { version: 3, hash: 'x' },
    bootCounter: 2,
    started_at: '2026-01-01T00:00:00.000Z',
    verdict: [
      { class: 'gone', subject: 'edge-2', proven: false, since: '2026-01-02T00:00:00.000Z', text: 'edge-2 is down or unreachable by all', evidence: ['edge-2 did not answer 3 probes in a row'] }, // biome-ignore format: one statement
    ],
    members: [
      { agent: 'edge-1', state: 'alive' },
      { agent: 'edge-2', state: 'dead' },
    ],
    duties: [
      { duty: 'press/poll', mine: true },
      { duty: 'line/writer', mine: true, holder: 'edge-1', lease },
      { duty: 'line/reader', mine: false, holder: 'edge-2', lease: { ...lease, held: false, unprotected: undefined } },
    ],
    cells: [
      { cell: 'line', epoch: 2, voters: ['edge-1'], vote: 'voting', majority, conflict: false },
      { cell: 'yard', epoch: 1, voters: ['edge-1'], vote: 'mute', majority, conflict: false },
      { cell: 'hall', epoch: 1, voters: ['edge-2'], vote: undefined, majority, conflict: true },
    ],
    checks: [{ check: 'press/oil', status: 'warn' }],
    alarms: [],
    coordinator: 'lost',
    outbox: { pending: 4 },
  } as unknown as AgentStatus;
  expect(statusText(status).split('\n')).toEqual([
    'edge-1 of plant-7, plan 3, boot 2, since 2026-01-01T00:00:00.000Z',
    'verdict: edge-2 is down or unreachable by all, since 2026-01-02T00:00:00.000Z',
    '  edge-2 did not answer 3 probes in a row',
    'members: 1 of 2 alive; edge-2 dead',
    'duties here: press/poll, line/writer',
    'exclusive: line/writer: here, token 0002000000000007, 1700 ms left, 2 of 3 voters answer; UNPROTECTED: no box supervisor',
    'exclusive: line/reader: edge-2',
    'cell line, epoch 2: this vote is voting',
    'cell yard, epoch 1: this vote is mute until what it promised before its start has run out',
    'cell hall, epoch 1: no vote here; the site file changes its leases without a new epoch: sign it as a bundle',
    'checks: press/oil warn',
    'alarms: none',
    'coordinator: lost, 4 reports to say',
    '',
  ]);
  expect(statusText({ ...status, verdict: [] })).toContain('verdict: nothing is the matter');
});

it('a cell whose voters are gone, or forgot → said with the way out; a gateway that is shut → how far it is', () => {
  const cell = {
    cell: 'line',
    epoch: 3,
    vote: 'unborn',
    floors: { read: 1, needed: 2, done: false },
    majority: { here: 3, needed: 2, missing: [] as string[] },
    rebirth: { remember: 1, needed: 2, isStranded: true },
    conflict: false,
  };
  const text = (change: object): string =>
    statusText({
      members: [],
      verdict: [],
      duties: [],
      checks: [],
      alarms: [],
      plan: {},
      outbox: {},
      cells: [{ ...cell, ...change }],
    } as unknown as AgentStatus);
  expect(text({})).toContain(
    'cell line, epoch 3: this vote is unborn; the gateway is shut: 1 of 2 voters have told what was granted before',
  );
  expect(text({})).toContain('1 of its voters remember what was granted, 2 are needed: nothing exclusive begins here');
  expect(text({})).toContain('millwright site force-epoch --cell line with the recovery key');
  expect(text({ rebirth: { ...cell.rebirth, isStranded: false } })).not.toContain('force-epoch');
  const gone = { rebirth: undefined, majority: { here: 1, needed: 2, missing: ['edge-2', 'edge-3'] } };
  expect(text(gone)).toContain('1 of its voters are in reach, 2 are needed; edge-2, edge-3 missing');
  expect(text(gone)).toContain('millwright site force-epoch');
});
