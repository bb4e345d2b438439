import type { FaultEvent } from '../faults/fault.ts';
import { drawBasics, drawBoxes, type Scenario, settleMs } from './scenario.ts';

/** Boxes die and start again, sometimes before anybody was sure that they had died. */
export const restart: Scenario = {
  name: 'restart',
  about: 'boxes die and come back with a new boot',
  draw(random, agents, durationS) {
    const basics = drawBasics(random, agents);
    const duration = durationS ?? 90;
    const faults: FaultEvent[] = [];
    let atMs = settleMs + random.between(0, 3_000);
    do {
      const [agent] = drawBoxes(random, agents, 1);
      const downMs = random.chance(0.5) ? random.between(50, 1_500) : random.between(1_500, 9_000);
      faults.push({ kind: 'crash', atMs, agent: agent!, closes: random.chance(0.7) });
      faults.push({ kind: 'restart', atMs: atMs + downMs, agent: agent! });
      atMs += downMs + random.between(500, 6_000);
    } while (atMs < duration * 1000 - 40_000);
    return { ...basics, durationS: duration, faults };
  },
};
