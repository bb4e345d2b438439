import { createHash, randomBytes } from 'node:crypto';
import type { AgentIndex } from '../base/ids.ts';
import { sessionId } from '../core/leases/session.ts';
import type { Deliver, LeasePort } from '../driver/ports.ts';
import type { Say, SupervisorClient, Target } from './supervisor/supervisor-client.ts';

export interface LeaseSessionsOptions {
  readonly deliver: Deliver;
  /** Undefined: nobody watches over this process, so nobody can prove its death; takeovers wait for T then. */
  readonly supervisor: SupervisorClient | undefined;
  /** Where an agent hears of deaths (UDP), as far as this one knows. */
  readonly targetOf: (agent: AgentIndex) => Target | undefined;
}

export interface LeaseSessions {
  readonly openSession: LeasePort['openSession'];
  /** To be told what the supervisor says. */
  said(message: Say): void;
  /** Addresses become known and change: call it every few seconds. */
  refresh(): void;
}

interface Wanted {
  readonly cell: string;
  readonly epoch: number;
  readonly agents: readonly AgentIndex[];
  told: string;
}

/**
 * Sessions of this process as a holder, one per cell and epoch. With a box supervisor the secret is drawn there and never
 * comes here: a process cannot sign its own death. Without one it is drawn here and forgotten at once, so that the
 * session is as unique and merely has nobody to prove its end.
 */
export function createLeaseSessions({ deliver, supervisor, targetOf }: LeaseSessionsOptions): LeaseSessions {
  const wanted = new Map<string, Wanted>();
  const targetsOf = (agents: readonly AgentIndex[]): Target[] => agents.flatMap((agent) => targetOf(agent) ?? []);

  return {
    openSession(cell, epoch, agents, guardMs) {
      if (supervisor === undefined) {
        const id = sessionId(createHash('sha256').update(randomBytes(32)).digest('hex'));
        setImmediate(() => deliver({ kind: 'session-opened', cell, epoch, id }));
        return;
      }
      const targets = targetsOf(agents);
      // The epoch before is over: what was held in it is lost, and nobody needs to hear of its end.
      wanted.set(cell, { cell, epoch, agents, told: JSON.stringify(targets) });
      supervisor.session(cell, epoch, targets, guardMs);
    },
    said(message) {
      if (message.is !== 'session') return;
      const { cell, epoch, id } = message;
      deliver({ kind: 'session-opened', cell, epoch, id: sessionId(id) });
    },
    refresh() {
      if (supervisor === undefined) return;
      for (const one of wanted.values()) {
        const targets = targetsOf(one.agents);
        const text = JSON.stringify(targets);
        if (text === one.told) continue;
        if (supervisor.targets(one.cell, one.epoch, targets)) one.told = text;
      }
    },
  };
}
