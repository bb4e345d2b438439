import { useEffect, useRef, useState } from 'react';
import { useTranslation } from 'react-i18next';
import type { AlarmView } from '../../api/schemas.ts';
import { PRIORITY } from './alarm-parts.tsx';

/** Tells screen readers of alarms that came while the page was open, politely, once each. */
export function Announcer({ alarms }: { readonly alarms: readonly AlarmView[] | undefined }) {
  const { t } = useTranslation();
  const known = useRef<Set<string>>(undefined);
  const [text, setText] = useState('');
  useEffect(() => {
    if (alarms === undefined) return;
    const now = alarms.filter((alarm) => alarm.state === 'UNACK');
    const before = known.current;
    known.current = new Set(now.map((alarm) => `${alarm.alarmId}\n${alarm.occurrence}`));
    if (before === undefined) return;
    const fresh = now.filter((alarm) => !before.has(`${alarm.alarmId}\n${alarm.occurrence}`)).slice(0, 3);
    if (fresh.length === 0) return;
    setText(
      fresh
        .map((alarm) =>
          t('newAlarm', {
            priority: t(`priority${PRIORITY[alarm.priority]}`),
            asset: alarm.thing,
            what: alarm.cause,
          }),
        )
        .join('. '),
    );
  }, [alarms, t]);
  return (
    <p className="visually-hidden" aria-live="polite" data-announcer>
      {text}
    </p>
  );
}
