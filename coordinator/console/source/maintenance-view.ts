import type { AgentView, OrderView } from '../../api/schemas.ts';

/** One maintenance as the site knows it, put together from what each agent says; worked out without a browser. */
export interface Work {
  readonly key: string;
  /** Of the site file: its name. */
  readonly maintenance: string;
  readonly things: readonly string[];
  readonly why: string;
  /** Who ordered it; null: it stands in the site file. */
  readonly by: string | null;
  /** The latest end that an agent names. */
  readonly until: number | null;
  /** Agents that say it holds. */
  readonly confirmed: readonly string[];
  /** Online ones that do not. */
  readonly missing: readonly string[];
}

/** Orders to many agents are given at about the same moment: ends this close together are one maintenance. */
const sameEndMs = 60_000;

export function worksOf(agents: readonly AgentView[]): Work[] {
  const online = agents.filter(({ presence }) => presence === 'online');
  const works: (Work & { confirmed: string[]; until: number | null })[] = [];
  for (const { agent, maintenance } of online) {
    for (const { maintenance: id, things, why, by, until } of maintenance) {
      const known = works.find(
        (work) =>
          work.maintenance === id &&
          work.why === why &&
          work.things.join('\n') === things.join('\n') &&
          (until === null || work.until === null || Math.abs(work.until - until) < sameEndMs),
      );
      if (known === undefined) {
        works.push({ key: `${id} ${things.join(' ')} ${until}`, maintenance: id, things, why, by, until, confirmed: [agent], missing: [] }); // biome-ignore format: one record
        continue;
      }
      known.confirmed.push(agent);
      if (until !== null) known.until = Math.max(known.until ?? until, until);
    }
  }
  return works
    .map((work) => ({
      ...work,
      missing: online.map(({ agent }) => agent).filter((agent) => !work.confirmed.includes(agent)),
    }))
    .sort((a, b) => (a.until ?? Number.POSITIVE_INFINITY) - (b.until ?? Number.POSITIVE_INFINITY) || (a.key < b.key ? -1 : 1)); // biome-ignore format: one order
}

/** What became of an order that this page gave: sent until its agent answers. */
export interface Given {
  readonly agent: string;
  readonly state: 'pending' | 'silent' | 'confirmed' | 'refused' | 'not-sent';
  readonly text: string;
}

/** An agent answers within a second; its box may be slow, its line long. */
export const silentMs = 20_000;

export function givenOf(
  sent: readonly {
    readonly id: string;
    readonly agent: string;
    readonly at: number;
    readonly failed: string | undefined;
  }[],
  orders: readonly OrderView[],
  now: number,
): Given[] {
  return sent.map(({ id, agent, at, failed }) => {
    if (failed !== undefined) return { agent, state: 'not-sent', text: failed };
    const order = orders.find((one) => one.id === id);
    if (order?.state === 'obeyed') return { agent, state: 'confirmed', text: '' };
    if (order?.state === 'refused') return { agent, state: 'refused', text: order.text ?? order.reason ?? '' };
    return { agent, state: now - at > silentMs ? 'silent' : 'pending', text: '' };
  });
}
