import { Button } from '@mantine/core';
import { useQuery } from '@tanstack/react-query';
import { useState } from 'react';
import { useTranslation } from 'react-i18next';
import { useNow } from '../clock.ts';
import { Choice, Form, TextField } from '../form.tsx';
import { few, type Wish } from '../ordering.ts';
import { queries } from '../queries.ts';
import { useQueryValue } from '../route.ts';
import { At, span } from '../times.tsx';

/** A round, two, half a shift, a shift, a day: what work at a machine takes. */
const durations = [30, 60, 120, 240, 480, 1_440] as const;

/** Asks for a maintenance, and says before what it will do and whom it will reach. */
export function Begin({
  online,
  away,
  want,
}: {
  readonly online: readonly string[];
  readonly away: readonly string[];
  readonly want: (wish: Wish) => void;
}) {
  const { t } = useTranslation();
  const things = useQuery(queries.things).data ?? [];
  const [thing, setThing] = useQueryValue('thing');
  const [minutes, setMinutes] = useState<number>(60);
  const [why, setWhy] = useState('');
  const now = useNow();
  const send = (): void => {
    if (thing === '' || why.trim() === '') return;
    want({ act: { verb: 'maintain', thing, forMs: minutes * 60_000, why: why.trim() }, agents: online });
  };
  const known = things.map((one) => one.thing);
  return (
    <Form className="panel" onSend={send}>
      <h2>{t('beginMaintenance')}</h2>
      <div className="fields">
        <Choice
          label={t('thing')}
          size="md"
          value={thing}
          onText={setThing}
          data={[
            { value: '', label: t('chooseThing') },
            ...(thing !== '' && !known.includes(thing) ? [thing, ...known] : known),
          ]}
          required
        />
        <Choice
          label={t('howLong')}
          size="md"
          value={String(minutes)}
          onText={(text) => setMinutes(Number(text))}
          data={durations.map((one) => ({ value: String(one), label: span(t, one * 60_000) }))}
        />
        <TextField
          className="wide"
          label={t('whyMaintenance')}
          placeholder={t('whyExample')}
          size="md"
          value={why}
          onText={setWhy}
          maxLength={200}
          autoComplete="off"
          required
        />
      </div>
      <p className="muted">
        {thing === '' ? t('maintainWhat') : t('maintainWill', { thing })} {t('until')}{' '}
        <At at={now + minutes * 60_000} />. {t('goesTo', { count: online.length })}
        {away.length > 0 && ` ${t('awayNow', { names: few(away) })}`}
      </p>
      <Button type="submit" size="md" disabled={online.length === 0}>
        {t('beginMaintenance')}
      </Button>
    </Form>
  );
}
