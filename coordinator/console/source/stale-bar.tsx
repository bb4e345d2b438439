import { Button } from '@mantine/core';
import { useQuery } from '@tanstack/react-query';
import { useEffect, useState } from 'react';
import { useTranslation } from 'react-i18next';
import { CallError } from './client.ts';
import { useNow } from './clock.ts';
import { useLive } from './live.ts';
import { queries } from './queries.ts';
import { At, span } from './times.tsx';

/** A line that breaks for a moment and resumes is nobody's concern. */
const GRACE_MS = 1_500;

export function StaleBar() {
  const { t } = useTranslation();
  const { line, heardAt } = useLive();
  const status = useQuery(queries.status);
  const [shown, setShown] = useState(false);
  const broken = line === 'broken';
  useEffect(() => {
    if (!broken) return setShown(false);
    const timer = window.setTimeout(() => setShown(true), GRACE_MS);
    return () => window.clearTimeout(timer);
  }, [broken]);
  const otherForm = status.error instanceof CallError && status.error.code === 'other-form';
  return (
    <div role="status" aria-live="polite">
      {shown && <div className="bar stale-bar">{heardAt === undefined ? t('staleNever') : <Since at={heardAt} />}</div>}
      {otherForm && (
        <div className="bar">
          {t('otherVersion')}{' '}
          <Button variant="default" onClick={() => window.location.reload()}>
            {t('reload')}
          </Button>
        </div>
      )}
    </div>
  );
}

function Since({ at }: { readonly at: number }) {
  const { t } = useTranslation();
  useNow();
  const [before = '', after = ''] = t('staleBar', { time: '\u0000', span: span(t, Date.now() - at) }).split('\u0000');
  return (
    <span>
      {before}
      <At at={at} />
      {after}
    </span>
  );
}
