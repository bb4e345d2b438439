import { Button } from '@mantine/core';
import { useMutation } from '@tanstack/react-query';
import { useState } from 'react';
import { useTranslation } from 'react-i18next';
import type { AlarmView } from '../../api/schemas.ts';
import { isWaiting, what } from './alarm-parts.tsx';
import { CallError, client } from './client.ts';
import { Form, TextField } from './form.tsx';
import { setPerson, usePerson } from './person.ts';
import { queries, queryClient, setAlarm } from './queries.ts';

/** What became of it. */
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

export type Acknowledging = ReturnType<typeof useAcknowledge>;

/** What became of it, where it is read out: what went well in a line, what did not in a bar that stays until it is closed. */
export function Notices({ of: { notice, clearNotice } }: { readonly of: Acknowledging }) {
  const { t } = useTranslation();
  return (
    <>
      <p className="muted hidden-when-empty" role="status">
        {notice?.kind === 'done' ? notice.text : ''}
      </p>
      {notice?.kind === 'refused' && (
        <div className="bar notice" role="alert">
          {notice.text}{' '}
          <Button variant="default" onClick={clearNotice}>
            {t('close')}
          </Button>
        </div>
      )}
    </>
  );
}

/** The button of one alarm, or in its place in what state it is when nobody needs to press. */
export function Acknowledge({
  alarm,
  by,
  settling = false,
}: {
  readonly alarm: AlarmView;
  readonly by: Acknowledging;
  /** The rows changed places a moment ago: a press that was on its way is not meant for this one. */
  readonly settling?: boolean;
}) {
  const { t } = useTranslation();
  if (!isWaiting(alarm)) return <span className="muted">{t(`state${alarm.state}`)}</span>;
  return (
    <Button
      className="acknowledge"
      size="md"
      variant={alarm.state === 'UNACK' ? 'filled' : 'default'}
      aria-disabled={settling || undefined}
      loading={by.isBusy(alarm)}
      aria-label={t('acknowledgeOf', { what: what(alarm), occurrence: alarm.occurrence })}
      // Not `disabled`, which would make every button blink whenever an alarm comes.
      onClick={() => settling || by.acknowledge(alarm)}
    >
      {t('acknowledge')}
    </Button>
  );
}

/** Asked once, in the row itself: nothing may cover a live alarm. Nothing for any other alarm than the one that was pressed. */
export function WhoAreYou({ alarm, by }: { readonly alarm: AlarmView; readonly by: Acknowledging }) {
  const asked = by.asking(alarm);
  return asked === undefined ? null : <NameForm {...asked} />;
}

function NameForm({ onName, onLeave }: { readonly onName: (name: string) => void; readonly onLeave: () => void }) {
  const { t } = useTranslation();
  const [name, setName] = useState('');
  const send = (): void => {
    if (name.trim() !== '') onName(name.trim());
  };
  return (
    <Form className="who-are-you" onSend={send} onLeave={onLeave}>
      <TextField
        label={t('whoAreYou')}
        description={t('whoText')}
        placeholder={t('yourName')}
        size="md"
        value={name}
        onText={setName}
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
    </Form>
  );
}
