import type { z } from 'zod';
import { type AgentHealth, type AgentInfo, healthSchema, infoSchema } from '../../agent/wire/agent-status.ts';
import { type Presence, presenceSchema } from '../../agent/wire/report.ts';

/**
 * The agents as they describe themselves in their retained topics, and as they describe each other. Caches for
 * people: what counts is in the log. Memory only, since the broker and the agents say it all again.
 */
export interface FleetAgent {
  readonly agent: string;
  readonly presence: 'online' | 'offline' | 'unknown';
  /** When the presence changed as we saw it, wall time. */
  readonly presenceSince: number | undefined;
  readonly info: AgentInfo | undefined;
  readonly health: AgentHealth | undefined;
  readonly healthAt: number | undefined;
}

export interface FleetDuty {
  readonly duty: string;
  readonly kind: string;
  readonly about: string;
  readonly holders: readonly { readonly agent: string; readonly term: number; readonly since: number | undefined }[];
}

export type MemberCount = Record<'alive' | 'suspect' | 'dead' | 'left' | 'unknown', number>;

/** Seen by none. */
export const nobody = (): MemberCount => ({ alive: 0, suspect: 0, dead: 0, left: 0, unknown: 0 });

const AGENTS = 20_000;
const STATUS_BYTES = 256 * 1024;

interface Entry {
  presence: FleetAgent['presence'];
  presenceSince: number | undefined;
  info: AgentInfo | undefined;
  health: AgentHealth | undefined;
  healthAt: number | undefined;
}

export class Fleet {
  readonly #agents = new Map<string, Entry>();

  /** Takes one retained message; a text says why it was refused, undefined that it was taken. Never throws. */
  heard(agent: string, leaf: 'presence' | 'info' | 'health', payload: Buffer, wall: number): string | undefined {
    if (payload.length === 0) {
      // An empty retained message wipes the topic: the agent was removed.
      if (leaf === 'presence') this.#agents.delete(agent);
      return undefined;
    }
    if (payload.length > STATUS_BYTES) return `too large: ${payload.length} bytes`;
    switch (leaf) {
      case 'presence': {
        const presence = read(presenceSchema, payload);
        return typeof presence === 'string' ? presence : this.#presence(agent, presence, wall);
      }
      case 'info': {
        const info = read(infoSchema, payload);
        if (typeof info === 'string') return info;
        const entry = this.#entry(agent);
        if (entry !== undefined) entry.info = info;
        return undefined;
      }
      case 'health': {
        const health = read(healthSchema, payload);
        if (typeof health === 'string') return health;
        const entry = this.#entry(agent);
        if (entry !== undefined) {
          entry.health = health;
          entry.healthAt = wall;
        }
        return undefined;
      }
    }
  }

  agents(): readonly FleetAgent[] {
    return [...this.#agents]
      .map(([agent, entry]) => ({ agent, ...entry }))
      .sort((a, b) => (a.agent < b.agent ? -1 : 1));
  }

  agent(name: string): FleetAgent | undefined {
    const entry = this.#agents.get(name);
    return entry && { agent: name, ...entry };
  }

  /** How the others that are online see each member, in one pass over what they say. */
  seen(): ReadonlyMap<string, MemberCount> {
    const seen = new Map<string, MemberCount>();
    for (const [observer, entry] of this.#agents) {
      if (entry.presence !== 'online') continue;
      for (const { agent, state } of entry.health?.members ?? []) {
        if (agent === observer) continue;
        let count = seen.get(agent);
        if (count === undefined) {
          count = nobody();
          seen.set(agent, count);
        }
        count[state]++;
      }
    }
    return seen;
  }

  /** Every duty that any agent's plan names, with those online agents that say they carry it. */
  duties(): readonly FleetDuty[] {
    const duties = new Map<string, { kind: string; about: string; holders: FleetDuty['holders'][number][] }>();
    for (const entry of this.#agents.values()) {
      for (const { duty, kind, about } of entry.info?.duties ?? []) {
        if (!duties.has(duty)) duties.set(duty, { kind, about: about ?? '', holders: [] });
      }
    }
    for (const [agent, entry] of this.#agents) {
      if (entry.presence !== 'online') continue;
      for (const { duty, term, since } of entry.health?.duties ?? []) {
        const known = duties.get(duty) ?? { kind: 'unknown', about: '', holders: [] };
        known.holders.push({ agent, term, since });
        duties.set(duty, known);
      }
    }
    return [...duties].map(([duty, rest]) => ({ duty, ...rest })).sort((a, b) => (a.duty < b.duty ? -1 : 1));
  }

  #presence(agent: string, presence: Presence, wall: number): undefined {
    const entry = this.#entry(agent);
    if (entry === undefined) return;
    if (entry.presence !== presence.state) entry.presenceSince = wall;
    entry.presence = presence.state;
    if (presence.state === 'offline') entry.health = entry.health && { ...entry.health, duties: [] };
  }

  #entry(agent: string): Entry | undefined {
    let entry = this.#agents.get(agent);
    if (entry === undefined) {
      if (this.#agents.size >= AGENTS) return undefined;
      entry = {
        presence: 'unknown',
        presenceSince: undefined,
        info: undefined,
        health: undefined,
        healthAt: undefined,
      };
      this.#agents.set(agent, entry);
    }
    return entry;
  }
}

const read = <S extends z.ZodType>(schema: S, payload: Buffer): z.infer<S> | string => {
  try {
    const parsed = schema.safeParse(JSON.parse(payload.toString('utf8')));
    if (parsed.success) return parsed.data;
    const issue = parsed.error.issues[0];
    return `${issue?.path.join('.') ?? ''}: ${issue?.message ?? 'does not fit'}`;
  } catch {
    return 'not JSON';
  }
};
