import type { TFunction } from 'i18next';
import type { VerdictFact } from '../../../agent/wire/agent-status.ts';

/**
 * A piece of a verdict's evidence in the reader's language. What this page has no words for (an older agent's, a newer
 * one's) is said in the agent's own, which are English.
 */
export function factText(t: TFunction, fact: VerdictFact | null, own: string): string {
  if (fact === null) return own;
  const { kind, member, agents = [], n: count, of, ms } = fact;
  const names = agents.join(', ');
  if (kind === 'seen-alive' && count !== undefined) return t('factSeenAlive', { count });
  if (kind === 'silence' && count !== undefined) return t((of ?? 0) === 0 ? 'factSilence' : 'factSilenceElsewhere', { count }); // biome-ignore format: one kind, one line
  if (kind === 'uplinks' && count !== undefined && of !== undefined) return t('factUplinks', { count, of });
  if (kind === 'late-timers' && count !== undefined && ms !== undefined) return t('factLateTimers', { count, ms });
  if (member === undefined) return own;
  if (kind === 'told') return t('factTold', { member });
  if (kind === 'certificate') return t('factCertificate', { member });
  if (count === undefined) return own;
  if (kind === 'unanswered' && names === '') return t('factUnanswered', { count, member });
  if (kind === 'unanswered') return t('factUnansweredByAll', { count, member, names });
  if (kind === 'reached-by-others') return t('factReached', { count, member, names });
  return own;
}
