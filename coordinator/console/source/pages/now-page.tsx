import { useQuery } from '@tanstack/react-query';
import { useEffect, useRef, useState } from 'react';
import { useTranslation } from 'react-i18next';
import { Notices, useAcknowledge } from '../acknowledging.tsx';
import { Announcer } from '../announcer.tsx';
import { useKeys } from '../keys.ts';
import { byNeed, queries } from '../queries.ts';
import { repairOf } from '../repairs.ts';
import { useQueryValue } from '../route.ts';
import { More, matches, Placeholder, ROWS, Search } from '../search.tsx';
import { AlarmRow } from './alarm-row.tsx';
import { NothingNeedsYou } from './nothing-needs-you.tsx';
import { Strip } from './strip.tsx';

/** What needs a person now. Empty is beautiful. */
export function NowPage() {
  const { t } = useTranslation();
  const alarms = useQuery(queries.alarms);
  const runs = useQuery(queries.runs);
  const incidents = useQuery(queries.incidents);
  const [q] = useQueryValue('q');
  const [at, setAt] = useQueryValue('at');

  const standing = (alarms.data ?? []).filter((alarm) => alarm.state !== 'NORM').sort(byNeed);
  const found = standing.filter((alarm) =>
    matches(q, alarm.thing, alarm.name, alarm.cause, alarm.evidence, alarm.response),
  );
  const rows = found.slice(0, ROWS);
  const needing = standing.filter((alarm) => alarm.state !== 'ACKED').length;
  const settling = useSettling(rows.map((alarm) => alarm.alarmId).join('\n'));

  const acknowledging = useAcknowledge();

  const mark = (alarmId: string): void => {
    setAt(alarmId);
    document.getElementById(`alarm-${alarmId}`)?.focus();
  };
  useKeys({
    j: () => step(1),
    k: () => step(-1),
    a: () => {
      const marked = rows.find((alarm) => alarm.alarmId === at);
      if (marked !== undefined) acknowledging.acknowledge(marked);
      else step(1);
    },
  });
  const step = (by: number): void => {
    if (rows.length === 0) return;
    const now = rows.findIndex((alarm) => alarm.alarmId === at);
    const next = now < 0 ? 0 : Math.min(rows.length - 1, Math.max(0, now + by));
    mark(rows[next]!.alarmId);
  };

  return (
    <div className="now">
      <section className="needs" aria-labelledby="needs-title">
        <div className="title-line">
          <h1 id="needs-title">
            {needing > 0
              ? t('needsYou', { count: needing })
              : standing.length > 0
                ? t('underWay', { count: standing.length })
                : t('now')}
          </h1>
          {(standing.length > 3 || q !== '') && <Search />}
        </div>
        <Notices of={acknowledging} />
        <Announcer alarms={alarms.data} />
        {rows.length === 0 ? (
          standing.length === 0 && alarms.data !== undefined ? (
            <NothingNeedsYou incidents={incidents.data ?? []} />
          ) : (
            <Placeholder query={alarms} empty={t('nothingNeedsYou')} />
          )
        ) : (
          <>
            <div className="alarm-head" aria-hidden>
              <span />
              <span>{t('colAsset')}</span>
              <span>{t('colWhat')}</span>
              <span>{t('colDoing')}</span>
              <span>{t('colYou')}</span>
              <span className="right">{t('colSince')}</span>
              <span />
            </div>
            <ol className="alarms">
              {rows.map((alarm) => (
                <AlarmRow
                  key={alarm.alarmId}
                  alarm={alarm}
                  repair={repairOf(alarm, runs.data, incidents.data)}
                  marked={alarm.alarmId === at}
                  settling={settling}
                  acknowledging={acknowledging}
                  onMark={() => setAt(alarm.alarmId)}
                />
              ))}
            </ol>
            <More count={found.length - rows.length} />
          </>
        )}
      </section>
      <Strip />
    </div>
  );
}

/** True for a moment after the rows changed places: a tap that was on its way must not hit another alarm. */
const useSettling = (order: string): boolean => {
  const [settled, setSettled] = useState(order);
  const first = useRef(true);
  useEffect(() => {
    if (first.current || order === '') {
      first.current = false;
      setSettled(order);
      return;
    }
    const timer = window.setTimeout(() => setSettled(order), 400);
    return () => window.clearTimeout(timer);
  }, [order]);
  return settled !== order;
};
