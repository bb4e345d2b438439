import type { MembershipMessage } from '../../agent/core/membership/member.ts';
import type { MembershipOutput } from '../../agent/core/membership/membership.ts';
import { inWords, type SmallMesh } from '../core/membership/small-mesh.ts';

type Only = (said: { from: number; to: number; message: MembershipMessage; text: string }) => boolean;

/**
 * What happened in a small mesh since a moment, as text: who said what to whom and when, and who held whom for what. One
 * line each, in the order in which it happened. A message that never arrived ends in `✗`.
 *
 * ```
 *    0  0 → 2  ping
 *  600  0 → 2  gossip: 2 suspect 1.0 by 0
 *  600  0 holds 2 suspect: no answer in 3 rounds, direct or through helpers
 * ```
 *
 * `only` chooses the messages; ordinary probes of others fill pages.
 */
export function transcript(mesh: SmallMesh, since: number, only: Only = () => true): string {
  const lines: string[] = [];
  for (const { at, by, output, lost } of mesh.log) {
    if (at < since) continue;
    const line = told(by, output, lost, only);
    if (line !== undefined) lines.push(`${String(Math.round(at - since)).padStart(5)}  ${line}`);
  }
  return lines.join('\n');
}

function told(by: number, output: MembershipOutput, lost: boolean, only: Only): string | undefined {
  switch (output.kind) {
    case 'send': {
      const { to, message } = output;
      const text = spoken(message);
      return only({ from: by, to, message, text }) ? `${by} → ${to}  ${text}${lost ? '  ✗' : ''}` : undefined;
    }
    case 'member-changed':
      return `${by} holds ${output.member} ${output.to}: ${output.why}`;
    case 'incarnation-raised':
      return `${by} goes on as ${output.bootCounter}.${output.incarnation}`;
    case 'message-rejected':
      return `${by} rejects ${output.why}`;
    case 'clone-proven': {
      const lives = output.boots.map(({ low, high }) => (low === high ? `${low}` : `${low} … ${high}`)).join(' and ');
      return `${by} proves ${output.member} cloned: boots ${lives}`;
    }
    case 'relay-failed':
    case 'probe-ended':
      return undefined;
  }
}

function spoken(message: MembershipMessage): string {
  const words: string[] = [message.kind];
  if (message.kind === 'ping-request') words.push(String(message.target));
  if (message.kind === 'hello') words.push(`as ${message.bootCounter}.${message.incarnation}`);
  const updates = message.updates.map(inWords).join(', ');
  return words.join(' ') + (updates ? `: ${updates}` : '');
}

/** Leaves out what the detector does all day: pings and answers that carry nothing. */
export const isNews = ({ message, text }: { message: MembershipMessage; text: string }): boolean =>
  text !== 'ping' && text !== 'ack' && !(message.kind === 'ping' && isOwnWord(message));

const isOwnWord = ({ updates }: MembershipMessage): boolean =>
  updates.length === 1 && updates[0]!.state === 'alive' && updates[0]!.member === updates[0]!.origin;
