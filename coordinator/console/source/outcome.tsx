import { useTranslation } from 'react-i18next';
import type { IncidentView } from '../../api/schemas.ts';
import { Sign } from './shapes.tsx';

const OUTCOMES = ['HEALED', 'RECOVERED', 'FAILED', 'ESCALATED', 'CANCELLED', 'DENIED', 'EXPIRED'] as const;

/** Its own page. */
export const incidentHref = (incident: string): string => `/incidents/${encodeURIComponent(incident)}`;

/** How a run ended, in words; with a sign when it did not end well. */
export function Outcome({ incident }: { readonly incident: IncidentView }) {
  const { t } = useTranslation();
  const known = OUTCOMES.find((o) => o === incident.outcome);
  const word = known === undefined ? incident.outcome : t(`outcome${known}`);
  const well = known === 'HEALED' || known === 'RECOVERED';
  return (
    <>
      <span className={well ? undefined : 'wrong'}>
        {!well && <Sign kind={known === 'FAILED' ? 'F' : 'M'} />}
        {word}
      </span>
      {incident.relapse && <span className="sub muted">{t('relapse')}</span>}
    </>
  );
}
