import { Button } from '@mantine/core';
import { useQuery } from '@tanstack/react-query';
import { useCallback, useEffect, useRef, useState } from 'react';
import { useTranslation } from 'react-i18next';
import type { AlarmView, IncidentView, RunView } from '../../../api/schemas.ts';
import {
  AckedBy,
  alarmHref,
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
import { useNow } from '../clock.ts';
import { Link } from '../link.tsx';
import { byNeed, queries } from '../queries.ts';
import { useQueryValue } from '../route.ts';
import { More, matches, Placeholder, ROWS, Search } from '../search.tsx';
import { PriorityShape } from '../shapes.tsx';
import { Ago, startOfDay } from '../times.tsx';
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

  const { acknowledge, notice, clearNotice, isBusy, asking } = useAcknowledge();

  const mark = (alarmId: string): void => {
    setAt(alarmId);
    document.getElementById(`alarm-${alarmId}`)?.focus();
  };
  useKeys({
    j: () => step(1),
    k: () => step(-1),
    a: () => {
      const marked = rows.find((alarm) => alarm.alarmId === at);
      if (marked !== undefined) acknowledge(marked);
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
        <p className="muted hidden-when-empty" role="status">
          {notice?.kind === 'done' ? notice.text : ''}
        </p>
        {notice?.kind === 'refused' && (
          <div className="bar" role="alert">
            {notice.text}{' '}
            <Button variant="default" onClick={clearNotice}>
              {t('close')}
            </Button>
          </div>
        )}
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
                <Row
                  key={alarm.alarmId}
                  alarm={alarm}
                  run={runs.data?.find((run) => run.thing === alarm.thing && run.workflow !== '')}
                  incidents={incidents.data ?? []}
                  marked={alarm.alarmId === at}
                  settling={settling}
                  busy={isBusy(alarm)}
                  onMark={() => setAt(alarm.alarmId)}
                  onAcknowledge={() => acknowledge(alarm)}
                  asking={asking(alarm)}
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

function Row({
  alarm,
  run,
  incidents,
  marked,
  settling,
  busy,
  onMark,
  onAcknowledge,
  asking,
}: {
  readonly alarm: AlarmView;
  readonly run: RunView | undefined;
  readonly incidents: readonly IncidentView[];
  readonly marked: boolean;
  readonly settling: boolean;
  readonly busy: boolean;
  readonly onMark: () => void;
  readonly onAcknowledge: () => void;
  readonly asking: { readonly onName: (name: string) => void; readonly onLeave: () => void } | undefined;
}) {
  const { t } = useTranslation();
  const incident = run && incidents.find((i) => i.run === run.run);
  const waits = isWaiting(alarm);
  return (
    <li
      id={`alarm-${alarm.alarmId}`}
      className={`alarm ${alarm.priority} ${alarm.state}`}
      tabIndex={-1}
      aria-current={marked || undefined}
      data-alarm={alarm.alarmId}
      data-occurrence={alarm.occurrence}
      onFocus={onMark}
    >
      <PriorityShape alarm={alarm} />
      <div className="who">
        <strong>{alarm.thing}</strong>
        <span className="muted">{t(`priority${PRIORITY[alarm.priority]}`)}</span>
      </div>
      <div className="what">
        <strong>
          <Link href={alarmHref(alarm.alarmId)}>{alarm.cause}</Link>
        </strong>
        <span className="muted">{alarm.evidence}</span>
        {marked && alarm.consequence !== '' && <span className="muted">→ {alarm.consequence}</span>}
        {alarm.held !== null && <span className="muted">{heldText(t, alarm.held)}</span>}
        {alarm.behind !== null && <span className="muted">{t('behindCause', { thing: alarm.behind })}</span>}
        {alarm.blind && <span className="doubt">{t('blind')}</span>}
        {alarm.sourceLostSince !== null && <SourceLost since={alarm.sourceLostSince} />}
      </div>
      <div className="doing" data-label={t('colDoing')}>
        <span>
          {doing(t, run, alarm)}
          {run !== undefined && relevant(run, alarm) && (
            <span className="muted">
              {' '}
              <Ago at={run.at} />
            </span>
          )}
        </span>
        {incident !== undefined && run !== undefined && relevant(run, alarm) && (
          <Link href={`/incidents/${encodeURIComponent(incident.incident)}`}>{t('timeline')}</Link>
        )}
      </div>
      <div className="you" data-label={t('colYou')}>
        <span>{alarm.response}</span>
        {alarm.state === 'UNACK' && alarm.respondWithinMs > 0 && alarm.held === null && alarm.behind === null && (
          <Countdown until={alarm.since + alarm.respondWithinMs} />
        )}
        {alarm.state === 'RTNUN' && <span className="muted">{t('stateRTNUN')}</span>}
        {alarm.acknowledgedBy !== null && alarm.acknowledgedAt !== null && (
          <AckedBy by={alarm.acknowledgedBy} at={alarm.acknowledgedAt} />
        )}
      </div>
      <div className="since right">
        <Ago at={alarm.since} />
      </div>
      <div className="act">
        {waits ? (
          <Button
            className="acknowledge"
            size="md"
            variant={alarm.state === 'UNACK' ? 'filled' : 'default'}
            disabled={settling}
            loading={busy}
            aria-label={t('acknowledgeOf', { what: what(alarm), occurrence: alarm.occurrence })}
            onClick={onAcknowledge}
          >
            {t('acknowledge')}
          </Button>
        ) : (
          <span className="muted">{t('stateACKED')}</span>
        )}
      </div>
      {asking !== undefined && <WhoAreYou {...asking} />}
    </li>
  );
}

function NothingNeedsYou({ incidents }: { readonly incidents: readonly IncidentView[] }) {
  const { t } = useTranslation();
  const midnight = startOfDay(useNow());
  const matters = useQuery(queries.verdict).data ?? [];
  const heals = incidents.filter((i) => i.outcome === 'HEALED' && (i.healedAt ?? 0) >= midnight).length;
  if (matters.length > 0) {
    return (
      <div className="empty" data-empty>
        <p className="big">{t('matterButNoAlarm')}</p>
        <p>
          <Link className="inline-link" href="/fleet">
            {t('matter')}
          </Link>
        </p>
      </div>
    );
  }
  return (
    <div className="empty beautiful" data-empty>
      <svg viewBox="0 0 64 64" aria-hidden="true">
        <circle cx="32" cy="32" r="29" />
        <path d="m20 33 8.5 8.5L45 25" />
      </svg>
      <p className="big">{t('nothingNeedsYou')}</p>
      <p className="muted">{heals === 0 ? t('healsSince_zero') : t('healsSince', { count: heals })}</p>
    </div>
  );
}

/** Tells screen readers of alarms that came while the page was open, politely, once each. */
function Announcer({ alarms }: { readonly alarms: readonly AlarmView[] | undefined }) {
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

const useKeys = (keys: Readonly<Record<string, () => void>>): void => {
  const latest = useRef(keys);
  latest.current = keys;
  const onKey = useCallback((event: KeyboardEvent) => {
    if (event.ctrlKey || event.metaKey || event.altKey || event.repeat) return;
    if ((event.target as HTMLElement).closest('input, select, textarea') !== null) return;
    const work = latest.current[event.key];
    if (work === undefined) return;
    event.preventDefault();
    work();
  }, []);
  useEffect(() => {
    window.addEventListener('keydown', onKey);
    return () => window.removeEventListener('keydown', onKey);
  }, [onKey]);
};
