import type { FaultEvent } from '../faults/fault.ts';
import { boxesOf, drawBasics, drawBoxes, type Scenario, settleMs } from './scenario.ts';

/** The site falls apart into two groups, or one box is cut from all; sometimes in one direction only. Then it is joined again. */
export const partition: Scenario = {
  name: 'partition',
  about: 'the network falls apart and heals; each side carries on, then one runner per duty is left',
  draw(random, agents, durationS) {
    const basics = drawBasics(random, agents);
    const duration = durationS ?? 90;
    const cutMs = random.between(4_000, 25_000);
    const size = random.chance(0.3) ? 1 : 1 + random.below(Math.max(1, Math.floor(agents / 2)));
    const left = drawBoxes(random, agents, size).sort((a, b) => a - b);
    const right = boxesOf(agents).filter((agent) => !left.includes(agent));
    const atMs = settleMs + random.between(0, 4_000);
    const faults: FaultEvent[] = [
      { kind: 'cut', atMs, left, right, oneWay: random.chance(0.25) },
      { kind: 'heal', atMs: atMs + cutMs, left, right },
    ];
    return { ...basics, dutyFailure: 0, durationS: duration, faults };
  },
};
