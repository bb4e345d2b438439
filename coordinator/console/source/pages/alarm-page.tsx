import { useQuery } from '@tanstack/react-query';
import { lazy, Suspense, useEffect } from 'react';
import { useTranslation } from 'react-i18next';
import type { AlarmView } from '../../../api/schemas.ts';
import { Acknowledge, Notices, useAcknowledge, WhoAreYou } from '../acknowledging.tsx';
import { Acknowledged, Doubts, PRIORITY, RespondWithin } from '../alarm-parts.tsx';
import { Link } from '../link.tsx';
import { Crumb, TitleLine } from '../list-page.tsx';
import { incidentHref } from '../outcome.tsx';
import { queries } from '../queries.ts';
import { doing, repairOf } from '../repairs.ts';
import { useQueryValue } from '../route.ts';
import { Placeholder } from '../search.tsx';
import { PriorityShape } from '../shapes.tsx';
import { Ago, At } from '../times.tsx';

/** The charts come with the first page that needs them. */
const Evidence = lazy(async () => ({ default: (await import('../evidence.tsx')).Evidence }));

/** One alarm: what it means, what to do, what is done about it, and what the box saw around it. */
export function AlarmPage({ id }: { readonly id: string }) {
  const { t } = useTranslation();
  const alarms = useQuery(queries.alarms);
  const alarm = alarms.data?.find(({ alarmId }) => alarmId === id);
  return (
    <section className="alarm-page">
      <Crumb href="/" word="now" />
      {alarm !== undefined ? <Alarm alarm={alarm} /> : <Placeholder query={alarms} empty={t('noAlarm')} />}
    </section>
  );
}

function Alarm({ alarm }: { readonly alarm: AlarmView }) {
  const { t } = useTranslation();
  const { run, incident } = repairOf(alarm, useQuery(queries.runs).data, useQuery(queries.incidents).data);
  const evidence = useQuery(queries.evidence(alarm.alarmId));
  const [asked] = useQueryValue('evidence');
  const acknowledging = useAcknowledge();
  const isStanding = alarm.state === 'UNACK' || alarm.state === 'ACKED';
  useEffect(() => {
    document.title = `${alarm.thing}, ${alarm.name} – Millwright`;
  }, [alarm.thing, alarm.name]);
  return (
    <>
      <TitleLine
        title={
          <>
            <PriorityShape alarm={alarm} /> {alarm.thing}
          </>
        }
      >
        <Acknowledge alarm={alarm} by={acknowledging} />
      </TitleLine>
      <WhoAreYou alarm={alarm} by={acknowledging} />
      <Notices of={acknowledging} />
      <div className="alarm-facts" data-alarm={alarm.alarmId} data-occurrence={alarm.occurrence}>
        <div>
          <h2>{t('colWhat')}</h2>
          <p>
            <strong>{alarm.cause}</strong>
          </p>
          <p className="muted">{alarm.evidence}</p>
          {alarm.consequence !== '' && <p>→ {alarm.consequence}</p>}
          <p className="muted">
            {alarm.name} · {t('priorityOf', { word: t(`priority${PRIORITY[alarm.priority]}`) })} ·{' '}
            {t(`state${alarm.state}`)} · {t('toldBy', { agent: alarm.reporter })}
          </p>
          <div className="doubts">
            <Doubts alarm={alarm} />
          </div>
        </div>
        <div>
          <h2>{t('colYou')}</h2>
          <p>
            <strong>{alarm.response}</strong>
          </p>
          <RespondWithin alarm={alarm} />
          <Acknowledged alarm={alarm} />
          <p className="muted">
            {t(isStanding ? 'standsSince' : 'goneSince')} <At at={alarm.since} /> (<Ago at={alarm.since} />)
          </p>
        </div>
        <div>
          <h2>{t('colDoing')}</h2>
          <p>{doing(t, run)}</p>
          <p>
            <Link className="inline-link" href={`/maintenance?thing=${encodeURIComponent(alarm.thing)}`}>
              {t('toMaintenance')}
            </Link>
          </p>
          {incident !== undefined && (
            <p>
              <Link className="inline-link" href={incidentHref(incident.incident)}>
                {t('timeline')}
              </Link>
            </p>
          )}
        </div>
      </div>
      {evidence.data === undefined ? (
        <Placeholder query={evidence} empty="" />
      ) : (
        <Suspense fallback={<p className="muted">{t('loading')}</p>}>
          <Evidence alarm={alarm} items={evidence.data} asked={asked} />
        </Suspense>
      )}
    </>
  );
}
