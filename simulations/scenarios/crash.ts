import type { FaultEvent } from '../faults/fault.ts';
import { drawBasics, drawBoxes, type Scenario, settleMs } from './scenario.ts';

/** Boxes die, one or a few together, and stay dead. The survivors know it, and carry what the dead carried. */
export const crash: Scenario = {
  name: 'crash',
  about: 'boxes die for good; survivors notice and take over',
  draw(random, agents, durationS) {
    const basics = drawBasics(random, agents);
    const duration = durationS ?? 60;
    const most = Math.max(1, Math.min(10, Math.floor(agents / 3)));
    const total = 1 + random.below(most);
    const victims = drawBoxes(random, agents, Math.min(total, agents - 1));
    const together = random.chance(0.4);
    const faults: FaultEvent[] = [];
    let atMs = settleMs + random.between(0, 3_000);
    for (const agent of victims) {
      if (atMs > duration * 1000 - 15_000) break;
      faults.push({ kind: 'crash', atMs, agent, closes: random.chance(0.5) });
      atMs += together ? random.between(0, 300) : random.between(1_000, 6_000);
    }
    return { ...basics, durationS: duration, faults };
  },
};
