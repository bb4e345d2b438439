import { Button, TextInput } from '@mantine/core';
import { useMutation } from '@tanstack/react-query';
import type { TFunction } from 'i18next';
import { type FormEvent, useState } from 'react';
import { useTranslation } from 'react-i18next';
import type { AlarmView, RunView } from '../../api/schemas.ts';
import { CallError, client } from './client.ts';
import { useNow } from './clock.ts';
import { setPerson, usePerson } from './person.ts';
import { queries, queryClient, setAlarm } from './queries.ts';
import { roundSpan, span } from './times.tsx';

/** What the list of alarms and an alarm's own page have in common. */
export interface Notice {
  readonly kind: 'done' | 'refused';
  readonly text: string;
}

/** Acknowledges what is on the screen; who does it is asked once per device. */
export const useAcknowledge = () => {
  const { t } = useTranslation();
  const person = usePerson();
  const [asking, setAsking] = useState<AlarmView>();
  const [notice, setNotice] = useState<Notice>();
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
    if (!isWaiting(alarm)) return;
    if (person === '') setAsking(alarm);
    else acknowledging.mutate({ alarm, by: person });
  };
  const answer = (name: string): void => {
    setPerson(name);
    // The occurrence that was on the screen when the button was pressed, whatever came since.
    if (asking !== undefined) acknowledging.mutate({ alarm: asking, by: name });
    setAsking(undefined);
  };
  return {
    acknowledge,
    notice,
    clearNotice: () => setNotice(undefined),
    isBusy: (alarm: AlarmView) => acknowledging.isPending && acknowledging.variables.alarm.alarmId === alarm.alarmId,
    asking: (alarm: AlarmView) =>
      asking?.alarmId === alarm.alarmId ? { onName: answer, onLeave: () => setAsking(undefined) } : undefined,
  };
};

/** Which maintenance holds it back: a person's, or one of the site file by its name. */
export const heldText = (t: TFunction, held: string): string =>
  held.startsWith('order:') ? t('heldByPerson', { by: held.slice('order:'.length) }) : t('heldBack', { by: held });

/** Its own page. */
export const alarmHref = (alarmId: string): string => `/alarms/${encodeURIComponent(alarmId)}`;

/** A person has not seen it yet. */
export const isWaiting = ({ state }: AlarmView): boolean => state === 'UNACK' || state === 'RTNUN';

export const what = (alarm: AlarmView): string => `${alarm.thing}, ${alarm.name}`;

export const PRIORITY = { urgent: '1', high: '2', medium: '3', low: '4' } as const;

/** Asked once, in the row itself: nothing may cover a live alarm. */
export function WhoAreYou({
  onName,
  onLeave,
}: {
  readonly onName: (name: string) => void;
  readonly onLeave: () => void;
}) {
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

export function Countdown({ until }: { readonly until: number }) {
  const { t } = useTranslation();
  const left = until - useNow();
  return left >= 0 ? (
    <span className="figures muted">{t('respondLeft', { span: span(t, left) })}</span>
  ) : (
    <span className="figures overdue">{t('respondOver', { span: span(t, -left) })}</span>
  );
}

export function SourceLost({ since }: { readonly since: number }) {
  const { t } = useTranslation();
  const now = useNow();
  return <span className="doubt">{t('sourceLost', { ago: t('ago', { span: roundSpan(t, now - since) }) })}</span>;
}

export function AckedBy({ by, at }: { readonly by: string; readonly at: number }) {
  const { t } = useTranslation();
  const now = useNow();
  return <span className="muted">{t('ackedBy', { by, ago: t('ago', { span: roundSpan(t, now - at) }) })}</span>;
}

/** A run that ended before this occurrence began says nothing about it. */
export const relevant = (run: RunView, alarm: AlarmView): boolean =>
  run.entry !== 'end' || run.at >= alarm.firstSampleAt;

/** What Millwright is doing about it, in words. */
export const doing = (t: TFunction, run: RunView | undefined, alarm: AlarmView): string => {
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
