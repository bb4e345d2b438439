import { expect, test } from 'vitest';
import { AgentCore, type AgentCoreOptions } from '../../agent/core/agent-core.ts';
import type { Effect } from '../../agent/core/effect.ts';
import type { Input } from '../../agent/core/input.ts';
import type { FaultEvent } from '../../simulations/faults/fault.ts';
import { runScenario } from '../../simulations/run.ts';
import type { Core } from '../../simulations/world/world.ts';

/** The real core with something planted between it and its driver. */
function planted(plant: {
  input?: (input: Input, self: number) => Input | undefined;
  effect?: (effect: Effect, self: number) => Effect | readonly Effect[];
}): (options: AgentCoreOptions) => Core {
  return (options) => {
    const core = new AgentCore(options);
    const { self } = options.identity;
    return {
      membership: core.membership,
      duties: core.duties,
      remediation: core.remediation,
      exclusive: core.exclusive,
      deadline: () => core.deadline(),
      step: (now, input) => {
        const seen = plant.input ? plant.input(input, self) : input;
        const effects = seen ? core.step(now, seen) : [];
        return plant.effect ? effects.flatMap((effect) => plant.effect!(effect, self)) : effects;
      },
    };
  };
}

const everybody = [0, 1, 2, 3, 4];
/** Each in turn is alone for ten seconds: whoever holds the duty loses it once. */
const aloneInTurn: FaultEvent[] = everybody.flatMap((agent) => {
  const right = everybody.filter((other) => other !== agent);
  const atMs = 14_000 + 20_000 * agent;
  return [
    { kind: 'cut', atMs, left: [agent], right },
    { kind: 'heal', atMs: atMs + 10_000, left: [agent], right },
  ] satisfies FaultEvent[];
});

const run = (core?: (options: AgentCoreOptions) => Core, faults = aloneInTurn) =>
  runScenario({
    scenario: 'swarm',
    agents: 5,
    seed: 1,
    override: { duties: 2, exclusive: 2, voters: 3, repairs: 0, dutyFailure: 0, durationS: 125, faults },
    core,
  });

const invariants = (report: { readonly violations: readonly { readonly invariant: string }[] }): string[] =>
  report.violations.map(({ invariant }) => invariant);

test('exclusive duties: everybody is alone once → taken over, held again in time, never two, no token goes back', () => {
  const report = run();
  expect(report.violations).toEqual([]);
  expect(report.sometimes['exclusive duty taken over']).toBeGreaterThan(0);
});

test('planted: a right without end, and who loses it does not stop → two runners, outside the right', () => {
  const for10Minutes = planted({
    effect: (effect) => {
      if (effect.kind === 'start-duty' && effect.fence) {
        return {
          ...effect,
          fence: { ...effect.fence, until: (effect.fence.until + 600_000) as typeof effect.fence.until },
        };
      }
      return effect.kind === 'stop-duty' ? [] : effect;
    },
  });
  const found = invariants(run(for10Minutes));
  expect(found).toContain('an exclusive duty has one runner at most');
  expect(found).toContain('an exclusive duty runs within its right');
});

test('planted: a successor shows an old token → it goes back at the effect', () => {
  const first = new Map<number, string>();
  const replays = planted({
    effect: (effect) => {
      if ((effect.kind !== 'start-duty' && effect.kind !== 'extend-duty') || !effect.fence) return effect;
      const token = first.get(effect.duty) ?? effect.fence.token;
      first.set(effect.duty, token);
      return { ...effect, fence: { ...effect.fence, token } };
    },
  });
  expect(invariants(run(replays))).toContain('fencing tokens only rise at the effect');
});

test('planted: nobody asks any voter → not held within T + 1 s', () => {
  const mute = planted({
    effect: (effect) => (effect.kind === 'send' && effect.message.kind === 'lease-request' ? [] : effect),
  });
  expect(invariants(run(mute))).toContain('an exclusive duty is held within T + 1 s of a healthy quorum');
});
