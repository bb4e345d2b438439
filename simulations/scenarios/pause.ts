import type { FaultEvent } from '../faults/fault.ts';
import { drawBasics, drawBoxes, type Scenario, settleMs } from './scenario.ts';

/** Boxes freeze for a moment and wake with their timers overdue and their sockets full. */
export const pause: Scenario = {
  name: 'pause',
  about: 'boxes freeze and wake; a sleeper accuses nobody, and comes back when it was held dead',
  draw(random, agents, durationS) {
    const basics = drawBasics(random, agents);
    const duration = durationS ?? 90;
    const faults: FaultEvent[] = [];
    let atMs = settleMs + random.between(0, 3_000);
    do {
      for (const agent of drawBoxes(random, agents, 1 + random.below(Math.max(1, Math.floor(agents / 10))))) {
        faults.push({
          kind: 'pause',
          atMs,
          agent,
          ms: random.chance(0.6) ? random.between(50, 700) : random.between(1_000, 8_000),
        });
      }
      atMs += random.between(1_000, 9_000);
    } while (atMs < duration * 1000 - 30_000);
    return { ...basics, durationS: duration, faults };
  },
};
