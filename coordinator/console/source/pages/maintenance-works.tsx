import { Button } from '@mantine/core';
import { useTranslation } from 'react-i18next';
import { useNow } from '../clock.ts';
import type { Work } from '../maintenance-view.ts';
import { few, type Wish } from '../ordering.ts';
import { Sign } from '../shapes.tsx';
import { At, span } from '../times.tsx';

/** One thing that somebody works on: what, until when, and which boxes know of it. */
export function WorkItem({
  work,
  of,
  want,
}: {
  readonly work: Work;
  readonly of: number;
  readonly want: (wish: Wish) => void;
}) {
  const { t } = useTranslation();
  const now = useNow();
  const { things, why, by, until, confirmed, missing, maintenance } = work;
  const [thing = ''] = things;
  const left = until === null ? undefined : until - now;
  return (
    <li data-work={maintenance}>
      <Sign kind="M" />
      <div>
        <strong>{things.join(', ')}</strong>
        <span className="sub">{why}</span>
        <span className="sub muted">
          {by === null ? t('bySiteFile', { name: maintenance }) : t('orderedBy', { by })}
          {until !== null && left !== undefined && (
            <>
              {' · '}
              {t('until')} <At at={until} /> ({t('left', { span: span(t, left) })})
            </>
          )}
        </span>
      </div>
      <div>
        <span>{t('confirmedBy', { n: confirmed.length, of })}</span>
        {missing.length > 0 && by !== null && (
          <span className="sub wrong">
            <Sign kind="S" />
            {t('notHeardBy', { names: few(missing) })}
          </span>
        )}
      </div>
      {by !== null && (
        <div className="act">
          {missing.length > 0 && left !== undefined && left > 60_000 && (
            <Button
              variant="default"
              onClick={() => want({ act: { verb: 'maintain', thing, forMs: Math.round(left), why }, agents: missing })}
            >
              {t('sendToMissing')}
            </Button>
          )}
          <Button
            aria-label={t('endOf', { thing })}
            onClick={() => want({ act: { verb: 'end-maintenance', thing }, agents: confirmed })}
          >
            {t('endMaintenance')}
          </Button>
        </div>
      )}
    </li>
  );
}
