import type { KeyObject } from 'node:crypto';
import type { AgentId, AgentIndex } from '../../base/ids.ts';
import type { Input } from '../../core/input.ts';
import { publicKeyOf, type Roster } from '../../wire/roster.ts';
import { peerIdOf } from './identity.ts';
import type { ConnectionGater } from './libp2p-types.ts';

export type RefusalReason = Extract<Input, { kind: 'intruder-refused' }>['reason'];

/** Where people read of it. The shape is pino's. */
export interface MeshLog {
  debug(fields: object, text: string): void;
  info(fields: object, text: string): void;
  warn(fields: object, text: string): void;
}

/**
 * Who may speak. A connection's noise handshake proves a key, the signed roster says whose key that is, and nothing
 * in a message can change it. Keys that are not on the list are refused before a stream exists.
 */
export class Admission {
  readonly #agentIds: readonly AgentId[];
  readonly #refused: (reason: RefusalReason, peer: string, text: string) => void;
  #agents = new Map<string, AgentIndex | undefined>();
  #keys = new Map<AgentIndex, KeyObject>();
  #names = new Map<string, string>();
  #version = -1;

  constructor(
    roster: Roster,
    agentIds: readonly AgentId[],
    refused: (reason: RefusalReason, peer: string, text: string) => void,
  ) {
    this.#agentIds = agentIds;
    this.#refused = refused;
    this.replace(roster);
  }

  get rosterVersion(): number {
    return this.#version;
  }

  /** Takes another (verified) roster; an older one is ignored. Returns the peer ids that are no longer on the list. */
  replace(roster: Roster): readonly string[] {
    if (roster.version < this.#version) return [];
    const before = this.#agents;
    const index = new Map(this.#agentIds.map((id, i) => [id, i]));
    this.#agents = new Map();
    this.#keys = new Map();
    this.#names = new Map();
    this.#version = roster.version;
    for (const entry of roster.agents) {
      const agent = index.get(entry.id);
      const peer = peerIdOf(entry);
      this.#agents.set(peer, agent);
      this.#names.set(peer, entry.id);
      if (agent !== undefined) this.#keys.set(agent, publicKeyOf(entry));
    }
    return [...before.keys()].filter((peer) => !this.#agents.has(peer));
  }

  isListed(peerId: string): boolean {
    return this.#agents.has(peerId);
  }

  /** The agent behind a key; undefined for strangers and for agents that are enrolled but not yet in our plan. */
  agentOf(peerId: string): AgentIndex | undefined {
    return this.#agents.get(peerId);
  }

  /** The name on the list, also of agents that are not yet in our plan. */
  nameOf(peerId: string): string | undefined {
    return this.#names.get(peerId);
  }

  keyOf(agent: AgentIndex): KeyObject | undefined {
    return this.#keys.get(agent);
  }

  /** libp2p's connection gater: the list decides, in both directions. */
  gater(): ConnectionGater {
    const deny = (peer: { toString(): string }, how: string): boolean => {
      const id = peer.toString();
      if (this.isListed(id)) return false;
      this.#refused('not-on-list', id, `${how}: its key is not on the list of agents (roster ${this.#version})`);
      return true;
    };
    return {
      denyInboundEncryptedConnection: (peer) => deny(peer, 'a stranger knocked'),
      denyOutboundEncryptedConnection: (peer) => deny(peer, 'a stranger answered at an address that we dialled'),
      denyDialMultiaddr: () => false,
      denyDialPeer: (peer) => !this.isListed(peer.toString()),
    };
  }
}

/**
 * Counts refusals and tells of them at a bounded rate: the first of a kind from a peer at once, later ones summed up
 * once per `everyMs`. A stranger that knocks a thousand times a second makes one line in ten seconds.
 */
export class RefusalLedger {
  readonly #tell: (reason: RefusalReason, peer: string, count: number, text: string) => void;
  readonly #everyMs: number;
  readonly #capacity: number;
  readonly #totals: Record<RefusalReason, number> = { 'wrong-mesh-key': 0, 'not-on-list': 0, garbage: 0 };
  readonly #open = new Map<string, Entry>();

  constructor(
    tell: (reason: RefusalReason, peer: string, count: number, text: string) => void,
    everyMs = 10_000,
    capacity = 256,
  ) {
    this.#tell = tell;
    this.#everyMs = everyMs;
    this.#capacity = capacity;
  }

  get totals(): Readonly<Record<RefusalReason, number>> {
    return this.#totals;
  }

  record(nowMs: number, reason: RefusalReason, peer: string, text: string): void {
    this.#totals[reason]++;
    // Beyond the capacity all strangers share one line per reason: keys are free, memory is not.
    const full = this.#open.size >= this.#capacity && !this.#open.has(`${reason} ${peer}`);
    const name = full ? 'many others' : peer;
    const key = `${reason} ${name}`;
    const entry = this.#open.get(key);
    if (entry !== undefined) {
      entry.untold++;
      entry.text = text;
      return;
    }
    this.#open.set(key, { reason, peer: name, untold: 0, text, toldAt: nowMs });
    this.#tell(reason, name, 1, text);
  }

  /** Call about once a second. */
  tick(nowMs: number): void {
    for (const [key, entry] of this.#open) {
      if (nowMs - entry.toldAt < this.#everyMs) continue;
      if (entry.untold === 0) this.#open.delete(key);
      else {
        this.#tell(entry.reason, entry.peer, entry.untold, entry.text);
        entry.untold = 0;
        entry.toldAt = nowMs;
      }
    }
  }
}

interface Entry {
  readonly reason: RefusalReason;
  readonly peer: string;
  untold: number;
  text: string;
  toldAt: number;
}
