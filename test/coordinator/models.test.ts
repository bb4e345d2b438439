import { describe, expect, it } from 'vitest';
import type { AgentHealth, AgentInfo } from '../../agent/wire/agent-status.ts';
import { type ModelView, modelViewSchema } from '../../coordinator/api/schemas.ts';
import { adviceFor, byUrgency, enoughWindows } from '../../coordinator/console/source/model-advice.ts';
import type { FleetAgent } from '../../coordinator/fleet/fleet.ts';
import { modelViews } from '../../coordinator/fleet/models.ts';

type Said = NonNullable<AgentHealth['models']>[number];

const box = (agent: string, models: Said[], presence: FleetAgent['presence'] = 'online'): FleetAgent => {
  const planned = ['pump/flow', 'press/bearing', 'press/odd'].map((model) => ({ model, kind: model.endsWith('odd') ? 'learns' : 'file', file: 'b/1' })); // biome-ignore format: one list
  const info: AgentInfo = { v: 1, boot: 'b', version: '0', models: planned };
  return { agent, presence, presenceSince: 0, info, health: { v: 1, boot: 'b', models }, healthAt: 0 };
};
const bearing = (change: Partial<Said> = {}): Said => ({
  model: 'press/bearing',
  state: 'normal',
  kind: 'file',
  file: 'press/1',
  windows: 12_000,
  limit: 0.05,
  falseAlarmRate: 0.01,
  drift: 'stable',
  ...change,
});
const only = (said: Said): ModelView => modelViews([box('edge-1', [said])]).find((row) => row.model === said.model)!;

describe('models of the site', () => {
  it('scored on one box, planned on all, one box away → one row each, and who is scored by nobody is missing', () => {
    const rows = modelViews([
      box('edge-1', [bearing(), { model: 'press/odd', state: 'unknown', kind: 'learns', why: 'learns, 3 of 60 rows' }]),
      box('edge-2', [{ model: 'pump/flow', state: 'normal' }], 'offline'),
    ]);
    for (const row of rows) modelViewSchema.parse(row);
    expect(rows.map(({ model, agent, state, kind }) => [model, agent, state, kind])).toEqual([
      ['press/bearing', 'edge-1', 'normal', 'file'],
      // What learns is not refused for saying so.
      ['press/odd', 'edge-1', 'unknown', 'learns'],
      ['pump/flow', null, 'missing', 'file'],
    ]);
    expect(rows[1]?.why).toBe('learns, 3 of 60 rows');
  });

  it('a model that its box has no time for → shed, not refused, with the reason', () => {
    const why = 'not scored: this agent is over its budget';
    for (const kind of ['file', 'learns']) {
      const row = only(bearing({ state: 'shed', kind, why }));
      expect(modelViewSchema.parse(row)).toMatchObject({ state: 'shed', why });
    }
    expect(only(bearing({ state: 'unknown', why: 'sha256 differs' })).state).toBe('refused');
  });

  it('agent of before or after these fields → still a row, unknown words for what nobody knows', () => {
    const old = only({ model: 'press/bearing', state: 'anomalous', file: 'press/1', drift: 'sideways' });
    expect(old).toMatchObject({ state: 'anomalous', drift: 'unknown', windows: null, seat: null, shadow: null });
    expect(only({ model: 'press/bearing', state: 'normal', seat: 'by-vote' }).seat).toBe('other');
  });

  it('advice → promotes only what was compared long enough and is no louder; goes back only to what is better', () => {
    const words = (said: Said): string[] => adviceFor(only(said)).map(({ word }) => word);
    const shadow = { file: 'press/2', state: 'scoring', agreement: 0.99, windows: enoughWindows, onlyShadow: 3, onlyIncumbent: 90 }; // biome-ignore format: one shadow
    expect(words(bearing())).toEqual([]);
    expect(adviceFor(only(bearing({ shadow })))).toEqual([
      { word: 'advisePromote', command: 'millwright model promote press/bearing --config agents/edge-1/agent.yaml' },
    ]);
    expect(words(bearing({ shadow: { ...shadow, windows: enoughWindows - 1 } }))).toEqual(['adviseWait']);
    expect(words(bearing({ shadow: { ...shadow, falseAlarmRate: 0.02 } }))).toEqual(['adviseDrop']);
    expect(words(bearing({ shadow: { ...shadow, onlyShadow: 200 } }))).toEqual(['adviseDrop']);
    expect(words(bearing({ shadow: { ...shadow, state: 'refused' } }))).toEqual(['adviseDrop']);
    expect(words(bearing({ falseAlarmRate: 0.2, previous: { file: 'press/0', falseAlarmRate: 0.01 } }))).toEqual([
      'adviseRevert',
      'adviseRetrain',
    ]);
    expect(words(bearing({ falseAlarmRate: 0.2, previous: { file: 'press/0', falseAlarmRate: 0.3 } }))).toEqual([
      'adviseRetrain',
    ]);
    expect(words(bearing({ drift: 'moved' }))).toEqual(['adviseRetrain']);
    // Trained now, it would learn that what is strange is usual.
    expect(words(bearing({ drift: 'moved', state: 'anomalous' }))).toEqual(['adviseConfirm']);
    expect(words(bearing({ why: 'wrong hash' }))).toEqual(['adviseInspect']);
    expect(words(bearing({ state: 'anomalous' }))).toEqual(['adviseConfirm']);
  });

  it('order → refused and missing first, then what went back, then what drifts', () => {
    const rows = [
      only(bearing()),
      only(bearing({ drift: 'moved' })),
      only(bearing({ seat: 'reverted' })),
      only(bearing({ why: 'wrong hash' })),
    ];
    expect([...rows].sort(byUrgency)).toEqual([...rows].reverse());
  });
});
