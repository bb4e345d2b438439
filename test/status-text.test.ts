import { expect, it } from 'vitest';
import { statusText } from '../agent/ask.ts';
import type { AgentStatus } from '../agent/wire/status.ts';

it('status for people → the verdict first, with its evidence, then who lives and what runs', () => {
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
    duties: [{ duty: 'press/poll', mine: true }],
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
    'duties here: press/poll',
    'checks: press/oil warn',
    'alarms: none',
    'coordinator: lost, 4 reports to say',
    '',
  ]);
  expect(statusText({ ...status, verdict: [] })).toContain('verdict: nothing is the matter');
});
