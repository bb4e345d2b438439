import type { Random } from '../../agent/base/random.ts';
import type { SitePlan } from '../../agent/core/site-plan.ts';
import type { FaultEvent } from '../faults/fault.ts';

/** How often something goes wrong, per 30 days; of one box, of one source, of one process, or of the whole site. */
export interface PlantRate {
  readonly what: string;
  readonly per: 'box' | 'source' | 'process' | 'site';
  readonly times: number;
  readonly lasts: string;
}

/**
 * What a plant of the usual kind sees in a month. Guesses of the right order, said in the report so that nobody takes
 * them for measurements: a month of one's own log is better.
 */
export const plantRates = [
  { what: 'a box reboots', per: 'box', times: 1, lasts: '30 s to 3 min' },
  { what: 'a box loses power', per: 'box', times: 0.2, lasts: '1 to 30 min' },
  { what: 'an agent is killed (memory, update)', per: 'box', times: 0.5, lasts: '2 to 10 s' },
  { what: 'a box freezes', per: 'box', times: 0.5, lasts: '1 to 20 s' },
  { what: 'a cable is pulled', per: 'box', times: 0.5, lasts: '20 s to 10 min' },
  { what: 'a wall clock jumps', per: 'box', times: 0.2, lasts: 'once, by up to an hour' },
  { what: 'a disk is full', per: 'box', times: 0.1, lasts: '5 to 30 min' },
  { what: 'a machine cannot be reached', per: 'source', times: 2, lasts: '10 s to 10 min' },
  { what: 'a service dies', per: 'process', times: 2, lasts: 'until it is repaired' },
  { what: 'the switch reboots', per: 'site', times: 0.5, lasts: '30 to 90 s' },
  { what: 'the broker is gone', per: 'site', times: 1, lasts: '1 to 30 min' },
] as const satisfies readonly PlantRate[];

/** Draws all that goes wrong in `days`, each at its own moment of the calendar (milliseconds from the first midnight). */
export function drawPlantFaults(random: Random, plan: SitePlan, days: number): FaultEvent[] {
  const spanMs = days * 86_400_000;
  const faults: FaultEvent[] = [];
  const agents = plan.agents.map(({ index }) => index);
  const sources = [...new Set(plan.duties.flatMap(({ work }) => (work.kind === 'poll' ? [work.source] : [])))];
  const processes = plan.duties.filter(({ work }) => work.kind === 'process').map(({ index }) => index);
  const draw = (
    what: (typeof plantRates)[number]['what'],
    who: readonly number[],
    act: (atMs: number, whom: number) => void,
  ): void => {
    const { times } = plantRates.find((rate) => rate.what === what)!;
    const chance = random.fork(what);
    for (const whom of who) {
      // A Poisson process: no memory, no calendar.
      for (let atMs = chance.exponential((30 * 86_400_000) / times); atMs < spanMs; ) {
        act(atMs, whom);
        atMs += chance.exponential((30 * 86_400_000) / times);
      }
    }
  };
  const between = (low: number, high: number): number => random.between(low, high) * 1_000;
  const down = (atMs: number, agent: number, closes: boolean, forMs: number): void => {
    faults.push({ kind: 'crash', atMs, agent, closes }, { kind: 'restart', atMs: atMs + forMs, agent });
  };
  const apart = (atMs: number, left: readonly number[], right: readonly number[], forMs: number): void => {
    if (right.length === 0) return;
    faults.push({ kind: 'cut', atMs, left, right }, { kind: 'heal', atMs: atMs + forMs, left, right });
  };
  draw('a box reboots', agents, (atMs, agent) => down(atMs, agent, true, between(30, 180)));
  draw('a box loses power', agents, (atMs, agent) => down(atMs, agent, false, between(60, 1_800)));
  draw('an agent is killed (memory, update)', agents, (atMs, agent) => down(atMs, agent, true, between(2, 10)));
  draw('a box freezes', agents, (atMs, agent) => faults.push({ kind: 'pause', atMs, agent, ms: between(1, 20) }));
  draw('a cable is pulled', agents, (atMs, agent) =>
    apart(
      atMs,
      [agent],
      agents.filter((other) => other !== agent),
      between(20, 600),
    ),
  );
  draw('a wall clock jumps', agents, (atMs, agent) =>
    faults.push({ kind: 'wall', atMs, agent, byMs: between(-3_600, 3_600) }),
  );
  draw('a disk is full', agents, (atMs, agent) =>
    faults.push({ kind: 'disk', atMs, agent, what: 'full', ms: between(300, 1_800) }),
  );
  draw('a machine cannot be reached', sources, (atMs, thing) =>
    faults.push({ kind: 'source', atMs, thing, ms: between(10, 600) }),
  );
  draw('a service dies', processes, (atMs, duty) => faults.push({ kind: 'service', atMs, duty }));
  draw('the switch reboots', [0], (atMs) => {
    // Everybody alone at once.
    apart(atMs, agents, agents, between(30, 90));
  });
  draw('the broker is gone', [0], (atMs) => faults.push({ kind: 'broker', atMs, ms: between(60, 1_800) }));
  return faults.toSorted((a, b) => a.atMs - b.atMs);
}
