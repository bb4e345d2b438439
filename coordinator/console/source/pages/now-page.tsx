import { Button, TextInput } from '@mantine/core';
import { useMutation, useQuery } from '@tanstack/react-query';
import type { TFunction } from 'i18next';
import { type FormEvent, useCallback, useEffect, useRef, useState } from 'react';
import { useTranslation } from 'react-i18next';
import type { AlarmView, IncidentView, RunView } from '../../../api/schemas.ts';
import { CallError, client } from '../client.ts';
import { useNow } from '../clock.ts';
import { Link } from '../link.tsx';
import { setPerson, usePerson } from '../person.ts';
import { byNeed, queries, queryClient, setAlarm } from '../queries.ts';
import { useQueryValue } from '../route.ts';
import { More, matches, Placeholder, ROWS, Search } from '../search.tsx';
import { PriorityShape } from '../shapes.tsx';
import { Ago, roundSpan, span, startOfDay } from '../times.tsx';
import { Strip } from './strip.tsx';

interface Notice {
  readonly kind: 'done' | 'refused';
  readonly text: string;
}

/** What needs a person now. Empty is beautiful. */
export function NowPage() {
  const { t } = useTranslation();
  const alarms = useQuery(queries.alarms);
  const runs = useQuery(queries.runs);
  const incidents = useQuery(queries.incidents);
  const [q] = useQueryValue('q');
  const [at, setAt] = useQueryValue('at');
  const person = usePerson();
  const [asking, setAsking] = useState<AlarmView>();
  const [notice, setNotice] = useState<Notice>();

  const standing = (alarms.data ?? []).filter((alarm) => alarm.state !== 'NORM').sort(byNeed);
  const found = standing.filter((alarm) =>
    matches(q, alarm.thing, alarm.name, alarm.cause, alarm.evidence, alarm.response),
  );
  const rows = found.slice(0, ROWS);
  const needing = standing.filter((alarm) => alarm.state !== 'ACKED').length;
  const settling = useSettling(rows.map((alarm) => alarm.alarmId).join('\n'));

  const acknowledging = useMutation({
    mutationFn: ({ alarm, by }: { alarm: AlarmView; by: string }) => client.acknowledge(alarm, by),
    onSuccess: (alarm) => {
      setAlarm(alarm);
      setNotice({ kind: 'done', text: t('acknowledged', { what: what(alarm) }) });
    },
    onError: (error, { alarm }) => {
      const other = error instanceof CallError && error.code === 'other-occurrence';
      setNotice({
        kind: 'refused',
        text: other ? t('otherOccurrence', { what: what(alarm) }) : t('ackFailed', { message: error.message }),
      });
      void queryClient.invalidateQueries({ queryKey: queries.alarms.queryKey });
    },
  });
  const acknowledge = (alarm: AlarmView): void => {
    if (alarm.state !== 'UNACK' && alarm.state !== 'RTNUN') return;
    if (person === '') setAsking(alarm);
    else acknowledging.mutate({ alarm, by: person });
  };
  const answer = (name: string): void => {
    setPerson(name);
    // The occurrence that was on the screen when the button was pressed, whatever came since.
    if (asking !== undefined) acknowledging.mutate({ alarm: asking, by: name });
    setAsking(undefined);
  };

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
            <Button variant="default" onClick={() => setNotice(undefined)}>
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
                  busy={acknowledging.isPending && acknowledging.variables.alarm.alarmId === alarm.alarmId}
                  onMark={() => setAt(alarm.alarmId)}
                  onAcknowledge={() => acknowledge(alarm)}
                  asking={
                    asking?.alarmId === alarm.alarmId
                      ? { onName: answer, onLeave: () => setAsking(undefined) }
                      : undefined
                  }
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

const what = (alarm: AlarmView): string => `${alarm.thing}, ${alarm.name}`;

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
  const waits = alarm.state === 'UNACK' || alarm.state === 'RTNUN';
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
        <strong>{alarm.cause}</strong>
        <span className="muted">{alarm.evidence}</span>
        {marked && alarm.consequence !== '' && <span className="muted">→ {alarm.consequence}</span>}
        {alarm.held !== null && <span className="muted">{t('heldBack', { by: alarm.held })}</span>}
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

const PRIORITY = { urgent: '1', high: '2', medium: '3', low: '4' } as const;

/** Asked once, in the row itself: nothing may cover a live alarm. */
function WhoAreYou({ onName, onLeave }: { readonly onName: (name: string) => void; readonly onLeave: () => void }) {
  const { t } = useTranslation();
  const [name, setName] = useState('');
  const send = (event: FormEvent): void => {
    event.preventDefault();
    if (name.trim() !== '') onName(name.trim());
  };
  return (
    <form className="who-are-you" onSubmit={send} onKeyDown={(event) => event.key === 'Escape' && onLeave()}>
      <TextInput
        label={t('whoAreYou')}
        description={t('whoText')}
        placeholder={t('yourName')}
        size="md"
        value={name}
        onChange={(event) => setName(event.currentTarget.value)}
        maxLength={64}
        autoComplete="name"
        autoFocus
        required
      />
      <Button type="submit" size="md">
        {t('acknowledge')}
      </Button>
      <Button variant="default" size="md" onClick={onLeave}>
        {t('close')}
      </Button>
    </form>
  );
}

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

/** A run that ended before this occurrence began says nothing about it. */
const relevant = (run: RunView, alarm: AlarmView): boolean => run.entry !== 'end' || run.at >= alarm.firstSampleAt;

/** What Millwright is doing about it, in words. */
const doing = (t: TFunction, run: RunView | undefined, alarm: AlarmView): string => {
  if (run === undefined || !relevant(run, alarm)) return t('doingNone');
  const { detail } = run;
  const said = (key: string): string => String(detail[key] ?? '');
  switch (run.entry) {
    case 'open':
      return t('doingOpen');
    case 'intent':
      return t('doingIntent', { step: said('name') });
    case 'done':
      return t(said('outcome') === 'ok' ? 'doingDone' : 'doingStepFailed', { step: said('name') });
    case 'denied':
      return t('doingDenied', { reason: said('reason') });
    case 'doubt':
      return t('doingDoubt', { step: said('name') });
    case 'verify':
      return t('doingVerify');
    case 'soak':
      return t('doingSoak');
    case 'stop':
      return t('doingStop', { by: said('by') });
    case 'end':
      return said('outcome') === 'HEALED' || said('outcome') === 'RECOVERED'
        ? t('doingHealed')
        : t('doingEnd', { reason: said('reason') || said('outcome').toLowerCase() });
    default:
      return run.entry;
  }
};

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
