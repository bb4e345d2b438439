import { Button } from '@mantine/core';
import { useQuery } from '@tanstack/react-query';
import { lazy, Suspense, useEffect } from 'react';
import { useTranslation } from 'react-i18next';
import type { AlarmView } from '../../../api/schemas.ts';
import {
  AckedBy,
  Countdown,
  doing,
  heldText,
  isWaiting,
  PRIORITY,
  relevant,
  SourceLost,
  useAcknowledge,
  WhoAreYou,
  what,
} from '../alarm-parts.tsx';
import { Link } from '../link.tsx';
import { queries } from '../queries.ts';
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
      <p className="crumb">
        <Link href="/">← {t('now')}</Link>
      </p>
      {alarm !== undefined ? <Alarm alarm={alarm} /> : <Placeholder query={alarms} empty={t('noAlarm')} />}
    </section>
  );
}

function Alarm({ alarm }: { readonly alarm: AlarmView }) {
  const { t } = useTranslation();
  const runs = useQuery(queries.runs);
  const incidents = useQuery(queries.incidents);
  const evidence = useQuery(queries.evidence(alarm.alarmId));
  const [asked] = useQueryValue('evidence');
  const { acknowledge, notice, clearNotice, isBusy, asking } = useAcknowledge();
  const run = runs.data?.find(({ thing, workflow }) => thing === alarm.thing && workflow !== '');
  const incident = run && relevant(run, alarm) ? incidents.data?.find((i) => i.run === run.run) : undefined;
  const standing = alarm.state === 'UNACK' || alarm.state === 'ACKED';
  const who = asking(alarm);
  useEffect(() => {
    document.title = `${alarm.thing}, ${alarm.name} – Millwright`;
  }, [alarm.thing, alarm.name]);
  return (
    <>
      <div className="title-line">
        <h1>
          <PriorityShape alarm={alarm} /> {alarm.thing}
        </h1>
        {isWaiting(alarm) ? (
          <Button
            className="acknowledge"
            size="md"
            variant={alarm.state === 'UNACK' ? 'filled' : 'default'}
            loading={isBusy(alarm)}
            aria-label={t('acknowledgeOf', { what: what(alarm), occurrence: alarm.occurrence })}
            onClick={() => acknowledge(alarm)}
          >
            {t('acknowledge')}
          </Button>
        ) : (
          <span className="muted">{t(`state${alarm.state}`)}</span>
        )}
      </div>
      {who !== undefined && <WhoAreYou {...who} />}
      {notice !== undefined && (
        <div
          className={notice.kind === 'refused' ? 'bar' : 'muted'}
          role={notice.kind === 'refused' ? 'alert' : 'status'}
        >
          {notice.text}{' '}
          {notice.kind === 'refused' && (
            <Button variant="default" onClick={clearNotice}>
              {t('close')}
            </Button>
          )}
        </div>
      )}
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
          {alarm.held !== null && <p className="muted">{heldText(t, alarm.held)}</p>}
          {alarm.behind !== null && <p className="muted">{t('behindCause', { thing: alarm.behind })}</p>}
          {alarm.blind && <p className="doubt">{t('blind')}</p>}
          {alarm.sourceLostSince !== null && <SourceLost since={alarm.sourceLostSince} />}
        </div>
        <div>
          <h2>{t('colYou')}</h2>
          <p>
            <strong>{alarm.response}</strong>
          </p>
          {alarm.state === 'UNACK' && alarm.respondWithinMs > 0 && alarm.held === null && alarm.behind === null && (
            <Countdown until={alarm.since + alarm.respondWithinMs} />
          )}
          {alarm.acknowledgedBy !== null && alarm.acknowledgedAt !== null && (
            <AckedBy by={alarm.acknowledgedBy} at={alarm.acknowledgedAt} />
          )}
          <p className="muted">
            {t(standing ? 'standsSince' : 'goneSince')} <At at={alarm.since} /> (<Ago at={alarm.since} />)
          </p>
        </div>
        <div>
          <h2>{t('colDoing')}</h2>
          <p>{doing(t, run, alarm)}</p>
          <p>
            <Link className="inline-link" href={`/maintenance?thing=${encodeURIComponent(alarm.thing)}`}>
              {t('toMaintenance')}
            </Link>
          </p>
          {incident !== undefined && (
            <p>
              <Link className="inline-link" href={`/incidents/${encodeURIComponent(incident.incident)}`}>
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
