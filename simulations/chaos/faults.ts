import { setTimeout as sleep } from 'node:timers/promises';
import { until } from '../demo/client.ts';
import { type Effect, kernelTime } from './effect.ts';
import { judge, type Takeover, takeovers } from './judge.ts';
import type { Box, ChaosSite } from './site.ts';

/** What one fault did. */
export interface Episode {
  readonly fault: FaultName;
  /** Who held the first duty when it struck. */
  readonly victim: string;
  /** When, by the kernel's monotonic clock. */
  readonly at: number;
  readonly takeovers: readonly Takeover[];
  /** Duties that should have been taken over, and were not within `takeoverWithinMs`. */
  readonly missed: readonly string[];
  /** What else is worth counting. */
  readonly sometimes: readonly string[];
}

export interface Fault {
  readonly name: FaultName;
  readonly what: string;
  /** T that it needs, milliseconds, where it cannot show anything at the usual one. */
  readonly leaseMs?: number;
  readonly run: (site: ChaosSite) => Promise<Episode>;
}

export type FaultName =
  | 'agent-killed'
  | 'agent-frozen'
  | 'agent-stalled'
  | 'box-lost'
  | 'cable-pulled'
  | 'cut-between-two'
  | 'supervisor-killed'
  | 'voter-restarted';

/** Far beyond what it takes: a duty without a holder for so long counts as forgotten. */
const takeoverWithinMs = 20_000;

/** The story of a fault on whoever works on the first duty: `strike` begins it, `heal` undoes it. */
function story(
  name: FaultName,
  what: string,
  steps: {
    /** May say from when on it counts; before its first step unless it does. */
    readonly strike: (site: ChaosSite, victim: Box) => Promise<void> | number | void;
    /** How long it lasts at least. */
    readonly lastsMs: number;
    readonly heal: (site: ChaosSite, victim: Box) => Promise<void> | void;
  },
): Fault {
  return {
    name,
    what,
    run: async (site) => {
      const victim = await worker(site);
      const held = site.duties.filter((duty) => site.worker(duty) === victim);
      const from = site.effects.length;
      const began = kernelTime();
      const at = (await steps.strike(site, victim)) ?? began;
      const missed = await taken(site, victim, held, from, at);
      await sleep(Math.max(0, at + steps.lastsMs - kernelTime()));
      await steps.heal(site, victim);
      const took = whoTook(site, victim, at);
      const itself = took.takeovers.some(({ to }) => to === victim.name);
      const sometimes = itself ? ['taken up again by the same box'] : [];
      return { fault: name, victim: victim.name, at, ...took, missed, sometimes };
    },
  };
}

export const faults: readonly Fault[] = [
  story('agent-killed', 'SIGKILL to the agent that holds: its supervisor certifies the death', {
    strike: (_site, victim) => victim.signalAgent('SIGKILL'),
    lastsMs: 0,
    heal: () => {},
  }),
  story('agent-frozen', 'SIGSTOP to the agent that holds, resumed after 5 s', {
    strike: (_site, victim) => victim.signalAgent('SIGSTOP'),
    lastsMs: 5_000,
    heal: (_site, victim) => victim.signalAgent('SIGCONT'),
  }),
  story('cable-pulled', 'the switch port of the holder goes down for 6 s, all of it running on', {
    strike: (site, victim) => {
      // The kernel takes a command on interfaces only when no other one is under way on the whole machine.
      site.hall.pull(victim.index);
      return kernelTime();
    },
    lastsMs: 6_000,
    heal: (site, victim) => site.hall.plug(victim.index),
  }),
  story('box-lost', 'supervisor killed and cable pulled at once: what a power cut looks like from outside', {
    strike: async (site, victim) => {
      const over = victim.killSupervisor();
      site.hall.pull(victim.index);
      await over;
    },
    lastsMs: 3_000,
    heal: (site, victim) => {
      site.hall.plug(victim.index);
      victim.start();
    },
  }),
  story('supervisor-killed', 'SIGKILL to the supervisor: agent and duties end with it, nobody certifies anything', {
    strike: (_site, victim) => victim.killSupervisor(),
    lastsMs: 3_000,
    heal: (_site, victim) => victim.start(),
  }),
  {
    name: 'agent-stalled',
    what: 'SIGSTOP to the agent that holds, resumed about when its right ends: lost or not, somebody works again soon',
    run: async (site) => {
      const victim = await worker(site);
      const at = kernelTime();
      victim.signalAgent('SIGSTOP');
      // Supervisor, agent and voters give up within 200 ms of each other: that is where to look.
      await sleep(site.leaseMs * site.random.between(0.65, 1.05));
      victim.signalAgent('SIGCONT');
      const resumedAt = kernelTime();
      await sleep(300);
      const missed: string[] = [];
      for (const duty of site.duties) {
        const back = until(duty, takeoverWithinMs, async () => site.worker(duty) !== undefined, 20);
        await back.catch(() => missed.push(duty));
      }
      const took = whoTook(site, victim, at);
      const [first] = took.takeovers;
      const { tenures } = judge(site.effects.filter((effect) => effect.at > at - 5_000));
      const runs = tenures.filter(({ agent, duty, to }) => agent === victim.name && duty === site.duties[0] && to > at);
      const again = new Set(runs.map(({ token }) => token)).size < runs.length;
      const how =
        first !== undefined
          ? 'another one took over'
          : again
            ? 'the holder went on with its program started anew'
            : 'the holder went on';
      const late = first !== undefined && at + first.ms > resumedAt ? ['taken over after the holder was back'] : [];
      return { fault: 'agent-stalled', victim: victim.name, at, ...took, missed, sometimes: [how, ...late] };
    },
  },
  {
    name: 'cut-between-two',
    what: 'holder and one other do not reach each other for 6 s, both reach the third: nothing moves',
    run: async (site) => {
      const victim = await worker(site);
      const other = site.boxes[(victim.index + 1) % site.boxes.length] as Box;
      const at = kernelTime();
      site.hall.cut(victim.index, other.index);
      await sleep(6_000);
      site.look();
      const stayed = site.worker(site.duties[0] ?? '') === victim;
      site.hall.join(victim.index, other.index);
      const moved = stayed ? [] : ['the duty moved'];
      return {
        fault: 'cut-between-two',
        victim: victim.name,
        at,
        takeovers: [],
        missed: site.worker(site.duties[0] ?? '') === undefined ? [site.duties[0] ?? ''] : [],
        sometimes: moved,
      };
    },
  },
  {
    name: 'voter-restarted',
    what: 'granted by A and B without C; B restarts within T; then A is cut off and C is back: B must not vote yet',
    // A restart takes about two seconds, and what matters is what a voter does while the old promise stands.
    leaseMs: 6_000,
    run: async (site) => {
      const a = await worker(site);
      const [b, c] = site.boxes.filter((box) => box !== a) as [Box, Box];
      site.hall.pull(c.index);
      // What C had promised lapses meanwhile, so that it is free to grant.
      await sleep(site.leaseMs * 1.15);
      const lives = b.readyAt.length;
      b.signalAgent('SIGKILL');
      await until(`${b.name} is back`, 30_000, async () => b.readyAt.length > lives, 5);
      const from = site.effects.length;
      const at = kernelTime();
      site.look();
      const isWithin = site.worker(site.duties[0] ?? '') === a;
      const held = site.duties.filter((duty) => site.worker(duty) === a);
      site.hall.plug(c.index);
      site.hall.pull(a.index);
      const missed = await taken(site, a, held, from, at);
      await sleep(1_000);
      site.hall.plug(a.index);
      const sometimes = isWithin ? ['the holder still worked when the voter was back'] : [];
      return { fault: 'voter-restarted', victim: a.name, at, ...whoTook(site, a, at), missed, sometimes };
    },
  },
];

async function worker(site: ChaosSite): Promise<Box> {
  const duty = site.duties[0] ?? '';
  return await until(`somebody works on ${duty}`, 30_000, async () => site.worker(duty), 20);
}

/** Waits until somebody works anew on all that the victim held; what nobody took is the answer. */
async function taken(
  site: ChaosSite,
  victim: Box,
  held: readonly string[],
  from: number,
  at: number,
): Promise<readonly string[]> {
  const deadline = at + takeoverWithinMs;
  // The victim's next life is another session, and may be the quickest when the others are not ready to vote.
  const session = site.effects.findLast((effect) => effect.agent === victim.name && effect.at <= at)?.session;
  for (;;) {
    site.look();
    const others = new Set<string>();
    for (let i = from; i < site.effects.length; i++) {
      const effect = site.effects[i] as Effect;
      if (effect.session !== session && effect.at > at) others.add(effect.duty);
    }
    const missed = held.filter((duty) => !others.has(duty));
    if (missed.length === 0 || kernelTime() > deadline) return missed;
    await sleep(20);
  }
}

/** From what was written since shortly before the fault. */
function whoTook(site: ChaosSite, victim: Box, at: number): { readonly takeovers: readonly Takeover[] } {
  site.look();
  const around = site.effects.filter((effect) => effect.at > at - 5_000);
  return { takeovers: takeovers(judge(around).tenures, victim.name, at) };
}
