import type { FaultEvent } from '../faults/fault.ts';
import { drawBasics, drawBoxes, type Scenario, settleMs } from './scenario.ts';

/**
 * Fans stall and are restarted by workflows, while the agents that run them die in the middle and come back, and while
 * people say STOP at any moment of it.
 */
export const repair: Scenario = {
  name: 'repair',
  about: 'things break and are mended, over deaths of the agents that mend them',
  draw(random, agents, durationS) {
    const basics = drawBasics(random, agents);
    const duration = durationS ?? 120;
    const repairs = Math.min(agents, 10);
    const faults: FaultEvent[] = [];
    const stops = random.fork('stops');
    let atMs = settleMs + random.between(0, 3_000);
    do {
      const [agent] = drawBoxes(random, repairs, 1);
      faults.push({ kind: 'break', atMs, agent: agent! });
      if (random.chance(0.6)) {
        const diesAt = atMs + random.between(0, 8_000);
        faults.push({ kind: 'crash', atMs: diesAt, agent: agent!, closes: true });
        faults.push({ kind: 'restart', atMs: diesAt + random.between(100, 4_000), agent: agent! });
      }
      if (stops.chance(0.3)) {
        faults.push({ kind: 'stop', atMs: atMs + stops.between(500, 6_000), agent: agent! });
        // What a person stopped stays in a person's hands until it has been quiet.
        atMs += 8_000;
      }
      atMs += random.between(13_000, 20_000);
    } while (atMs < duration * 1000 - 60_000);
    return { ...basics, repairs, durationS: duration, faults };
  },
};
