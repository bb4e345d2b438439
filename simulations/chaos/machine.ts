import { createSocket } from 'node:dgram';
import { EffectGate } from '../../agent/core/leases/effect-gate.ts';
import { parseToken } from '../../agent/core/leases/fencing-token.ts';
import { sessionId } from '../../agent/core/leases/session.ts';
import type { AgentStatus } from '../../agent/wire/status.ts';
import { agentStatus } from '../demo/client.ts';
import { parseEffect } from './effect.ts';
import { machineAddress, machinePort } from './hall.ts';

/**
 * The process in the hall's own network namespace, started by `site.ts` with an IPC channel. It is the machine that the
 * duties work on, whose gate keeps the largest token of each, in the order in which effects arrive; and it looks at the
 * agents' status for whoever stands outside.
 */
export type MachineAsk =
  | { readonly ask: 'status'; readonly id: number; readonly api: string; readonly token: string }
  | { readonly ask: 'counts'; readonly id: number };

export interface MachineCounts {
  /** Effects that arrived and were let through. */
  readonly accepted: number;
  /** Arrived with an older token, or the same one of another session, and refused: they were under way too long. */
  readonly refused: number;
}

export type MachineSay =
  | { readonly say: 'ready' }
  | { readonly say: 'status'; readonly id: number; readonly status: AgentStatus | undefined }
  | { readonly say: 'counts'; readonly id: number; readonly counts: MachineCounts };

const maxDuties = 64;
const gate = new EffectGate(maxDuties);
const slots = new Map<string, number>();
let accepted = 0;
let refused = 0;

const wire = createSocket({ type: 'udp4', recvBufferSize: 4 << 20 });
wire.on('message', (datagram) => {
  const effect = parseEffect(datagram.toString('utf8').trimEnd());
  const slot = slots.get(effect.duty) ?? slots.size;
  const token = parseToken(effect.token);
  if (slot >= maxDuties || token === undefined) return;
  slots.set(effect.duty, slot);
  const word = gate.judge(slot, token, sessionId(effect.session));
  if (word === 'accepted' || word === 'raised') accepted++;
  else refused++;
});

const say = (message: MachineSay): void => void process.send?.(message);

process.on('message', (message: MachineAsk) => {
  const { id } = message;
  if (message.ask === 'counts') return say({ say: 'counts', id, counts: { accepted, refused } });
  agentStatus(message.api, message.token).then(
    (status) => say({ say: 'status', id, status }),
    () => say({ say: 'status', id, status: undefined }),
  );
});
process.once('disconnect', () => process.exit(0));
wire.bind(machinePort, machineAddress, () => say({ say: 'ready' }));
