import type { Fence } from '../../core/duties/exclusive-duties.ts';
import type { Claim, Gateway } from './gateway.ts';

/** All that a part needs that does something under a right. */
export type Gate = Pick<Gateway, 'perform' | 'performNumbered'>;

/** A right of this process, as a claim. Without a right there is no claim, and nothing to judge. */
export const claimOf = (
  resource: string,
  { lease, token, session }: Pick<Fence, 'lease' | 'token' | 'session'>,
  more: Pick<Claim, 'mayAct' | 'key'> = {},
): Claim => ({ resource, lease, token, session, ...more });

/** The program of a duty on this box. */
export const programOf = (duty: string): string => `process:${duty}`;

/** What commands of workflows change on this box: nobody knows what that is, so it is one resource. */
export const commandsHere = 'commands';
