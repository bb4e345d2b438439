import { describe, expect, it } from 'vitest';
import { Random } from '../../../agent/base/random.ts';
import type { EventReport } from '../../../agent/core/reporting/report.ts';
import { verdictHealth, verdictView } from '../../../agent/status.ts';
import { healthSchema } from '../../../agent/wire/agent-status.ts';
import { SpiedCore } from '../../../simulations/verdicts/run.ts';
import { sitePlan } from '../../../simulations/world/plan.ts';
import { World } from '../../../simulations/world/world.ts';

/** Six agents in virtual time; the reports of agent 0 about its verdict are kept. */
function site() {
  const reports: { at: number; body: EventReport }[] = [];
  const observed: { at: number; agent: number; text: string }[] = [];
  const checks: number[] = [];
  const world: World = new World({
    plan: sitePlan({ agents: 6, duties: 0, random: new Random(1) }),
    seed: 1,
    core: (parts) => {
      const core = new SpiedCore(parts, { pinged: () => {}, uplinkChecked: (agent) => checks.push(agent) });
      const step = core.step.bind(core);
      core.step = (now, input) => {
        const effects = step(now, input);
        for (const effect of effects) {
          if (effect.kind === 'report' && effect.report.body.type === 'event' && parts.identity.self === 0) {
            if (effect.report.body.name === 'verdict-changed')
              reports.push({ at: world.now, body: effect.report.body });
          }
        }
        return effects;
      };
      return core;
    },
    watch: {
      observed: (at, agent, observation) => {
        if (observation.kind !== 'verdict-changed') return;
        observed.push({ at, agent, text: observation.statements.map((s) => s.class).join(' ') });
      },
    },
  });
  for (let agent = 0; agent < 6; agent++) world.start(agent);
  world.run(3_000);
  return { world, reports, observed, checks };
}

const coreOf = (world: World, agent: number) => world.boxes[agent]!.core as SpiedCore;

describe('the verdict in the whole core', () => {
  it('a box is killed → seen in the observations, the report, and the status by name; taken back when it returns', () => {
    const { world, reports, observed } = site();
    expect(observed).toEqual([]);
    world.crash(4, false);
    world.run(6_000);
    expect(observed.map(({ agent }) => agent).sort()).toEqual([0, 1, 2, 3, 5]);
    const [view] = verdictView(coreOf(world, 0));
    expect(view).toMatchObject({ class: 'gone', subject: 'box-0004', proven: false });
    expect(view!.text).toBe('box-0004 is down or unreachable by all');
    expect(view!.evidence.length).toBeGreaterThan(0);
    expect(reports.map(({ body }) => body.text)).toEqual([view!.text]);
    expect(reports[0]!.body.subject).toBe('box-0000');
    // What the coordinator gets: valid, by name, and the same from second to second, so that nothing is sent again.
    const told = verdictHealth(coreOf(world, 0));
    expect(healthSchema.parse({ v: 1, boot: 'b', verdict: told }).verdict).toMatchObject([
      {
        class: 'gone',
        subject: 'box-0004',
        proven: false,
        text: view!.text,
        evidence: view!.evidence.map(() => expect.stringContaining('box-0004')),
      },
    ]);
    world.run(world.now + 4_000);
    expect(verdictHealth(coreOf(world, 0))).toEqual(told);
    world.start(4);
    world.run(20_000);
    expect(verdictView(coreOf(world, 0))).toEqual([]);
    expect(reports.at(-1)!.body.text).toBe('nothing is the matter any more');
  });

  it('a peer goes up and down every two seconds → a report every five at most', () => {
    const { world, reports } = site();
    const from = world.now;
    for (let at = from; at < from + 60_000; at += 4_000) {
      world.at(at, () => world.crash(4, true));
      world.at(at + 2_000, () => world.start(4));
    }
    world.run(from + 60_000);
    expect(reports.length).toBeGreaterThan(1);
    for (let i = 1; i < reports.length; i++) expect(reports[i]!.at - reports[i - 1]!.at).toBeGreaterThan(4_900);
  });

  it('a peer says that it lost the coordinator → our own line is asked', () => {
    const { world, checks } = site();
    const turn = (agent: number, state: 'connected' | 'lost') =>
      world.boxes[agent]!.driver!.deliver({ kind: 'coordinator-changed', state });
    for (let agent = 0; agent < 6; agent++) turn(agent, 'connected');
    world.run(world.now + 3_000);
    checks.length = 0;
    turn(1, 'lost');
    world.run(world.now + 1_000);
    expect(checks.sort()).toEqual([0, 2, 3, 4, 5]);
    world.run(world.now + 1_000);
    expect(verdictView(coreOf(world, 1)).map((s) => s.class)).toEqual(['my-uplink']);
    expect(verdictView(coreOf(world, 0))).toEqual([]);
  });
});
