import type { FaultEvent } from '../faults/fault.ts';
import { drawBasics, drawBoxes, type Scenario, settleMs } from './scenario.ts';

/** Up to a quarter of all messages is lost, all the time, and now and then a box dies in it. */
export const loss: Scenario = {
  name: 'loss',
  about: 'up to 25 % of the messages are lost; nobody is declared dead who lives',
  draw(random, agents, durationS) {
    const basics = drawBasics(random, agents);
    const duration = durationS ?? 120;
    const share = random.chance(0.5) ? 0.25 : random.between(0.05, 0.25);
    const faults: FaultEvent[] = [{ kind: 'network', atMs: settleMs, change: { loss: share } }];
    if (random.chance(0.5)) {
      const [agent] = drawBoxes(random, agents, 1);
      faults.push({ kind: 'crash', atMs: (duration * 1000) / 2, agent: agent!, closes: false });
    }
    faults.push({ kind: 'network', atMs: Math.max(settleMs + 8_000, duration * 1000 - 25_000), change: { loss: 0 } });
    return { ...basics, dutyFailure: 0, durationS: duration, faults };
  },
};
