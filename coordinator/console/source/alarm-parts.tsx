import type { TFunction } from 'i18next';
import { useTranslation } from 'react-i18next';
import type { AlarmView } from '../../api/schemas.ts';
import { useNow } from './clock.ts';
import { roundSpan, span } from './times.tsx';

/** Which maintenance holds it back: a person's, or one of the site file by its name. */
const heldText = (t: TFunction, held: string): string =>
  held.startsWith('order:') ? t('heldByPerson', { by: held.slice('order:'.length) }) : t('heldBack', { by: held });

/** Its own page. */
export const alarmHref = (alarmId: string): string => `/alarms/${encodeURIComponent(alarmId)}`;

/** A person has not seen it yet. */
export const isWaiting = ({ state }: AlarmView): boolean => state === 'UNACK' || state === 'RTNUN';

export const what = (alarm: AlarmView): string => `${alarm.thing}, ${alarm.name}`;

export const PRIORITY = { urgent: '1', high: '2', medium: '3', low: '4' } as const;

function Countdown({ until }: { readonly until: number }) {
  const { t } = useTranslation();
  const left = until - useNow();
  return left >= 0 ? (
    <span className="figures muted">{t('respondLeft', { span: span(t, left) })}</span>
  ) : (
    <span className="figures overdue">{t('respondOver', { span: span(t, -left) })}</span>
  );
}

function SourceLost({ since }: { readonly since: number }) {
  const { t } = useTranslation();
  const now = useNow();
  return <span className="doubt">{t('sourceLost', { ago: t('ago', { span: roundSpan(t, now - since) }) })}</span>;
}

function AckedBy({ by, at }: { readonly by: string; readonly at: number }) {
  const { t } = useTranslation();
  const now = useNow();
  return <span className="muted">{t('ackedBy', { by, ago: t('ago', { span: roundSpan(t, now - at) }) })}</span>;
}

/** How far it may be believed, and why it may not need anybody after all. */
export function Doubts({ alarm: { held, behind, blind, sourceLostSince } }: { readonly alarm: AlarmView }) {
  const { t } = useTranslation();
  return (
    <>
      {held !== null && <span className="muted">{heldText(t, held)}</span>}
      {behind !== null && <span className="muted">{t('behindCause', { thing: behind })}</span>}
      {blind && <span className="doubt">{t('blind')}</span>}
      {sourceLostSince !== null && <SourceLost since={sourceLostSince} />}
    </>
  );
}

/** How long a person still has, as long as one is waited for. */
export function RespondWithin({ alarm }: { readonly alarm: AlarmView }) {
  const { state, respondWithinMs, held, behind, since } = alarm;
  if (state !== 'UNACK' || respondWithinMs <= 0 || held !== null || behind !== null) return null;
  return <Countdown until={since + respondWithinMs} />;
}

/** Who saw it, and when. */
export function Acknowledged({ alarm: { acknowledgedBy, acknowledgedAt } }: { readonly alarm: AlarmView }) {
  return acknowledgedBy === null || acknowledgedAt === null ? null : (
    <AckedBy by={acknowledgedBy} at={acknowledgedAt} />
  );
}
