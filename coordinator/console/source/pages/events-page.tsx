import { Button } from '@mantine/core';
import { keepPreviousData, useQuery } from '@tanstack/react-query';
import { memo, useDeferredValue } from 'react';
import { useTranslation } from 'react-i18next';
import type { EventView } from '../../../api/schemas.ts';
import { Choice, TextField } from '../form.tsx';
import { TitleLine } from '../list-page.tsx';
import { queries } from '../queries.ts';
import { useQueryValue } from '../route.ts';
import { matches, Placeholder, Search } from '../search.tsx';
import { Sign } from '../shapes.tsx';
import { At } from '../times.tsx';

const SEVERITIES = ['info', 'notice', 'warning', 'error'] as const;
const WORD = {
  info: 'severityInfo',
  notice: 'severityNotice',
  warning: 'severityWarning',
  error: 'severityError',
} as const;

/** What was said, newest first. The whole filter stands in the address. */
export function EventsPage() {
  const { t } = useTranslation();
  const [agent, setAgent] = useQueryValue('agent');
  const [name, setName] = useQueryValue('name');
  const [severity, setSeverity] = useQueryValue('severity');
  const [n, setN] = useQueryValue('n');
  const [q] = useQueryValue('q');
  const limit = n === '1000' ? 1_000 : 200;
  // Every letter of a name would be a question to the coordinator.
  const asked = useDeferredValue(name);
  const events = useQuery({ ...queries.events({ agent, name: asked, limit }), placeholderData: keepPreviousData });
  const agents = useQuery(queries.agents).data ?? [];
  const floor = (SEVERITIES as readonly string[]).indexOf(severity);
  const rows = (events.data ?? []).filter(
    (e) =>
      (floor < 0 || SEVERITIES.indexOf(e.severity) >= floor) &&
      matches(q, e.agent, e.name, e.subject, e.text, e.severity),
  );
  return (
    <section>
      <TitleLine title={t('events')}>
        <div className="filters">
          <Filter
            name={t('agent')}
            any={t('anyAgent')}
            value={agent}
            onText={setAgent}
            of={[...new Set([...agents.map((a) => a.agent), agent])].filter((a) => a !== '').map((a) => [a, a])}
          />
          <Filter
            name={t('severity')}
            any={t('anySeverity')}
            value={severity}
            onText={setSeverity}
            of={SEVERITIES.map((s) => [s, `≥ ${t(WORD[s])}`])}
          />
          <TextField
            aria-label={t('eventName')}
            placeholder={t('anyName')}
            value={name}
            onText={setName}
            maxLength={256}
          />
          <Search />
        </div>
      </TitleLine>
      {rows.length === 0 ? (
        <Placeholder query={events} empty={t('noEvents')} />
      ) : (
        <>
          <ol className="events" aria-label={t('events')}>
            {rows.map((e) => (
              <Event key={e.cursor} event={e} />
            ))}
          </ol>
          <p className="muted">
            {t('newest', { count: limit })}
            {limit < 1_000 && (events.data?.length ?? 0) >= limit && (
              <Button variant="default" className="show-more" onClick={() => setN('1000')}>
                {t('showMore')}
              </Button>
            )}
          </p>
        </>
      )}
    </section>
  );
}

/** One of several, or any. */
function Filter({
  name,
  any,
  value,
  onText,
  of,
}: {
  readonly name: string;
  readonly any: string;
  readonly value: string;
  readonly onText: (value: string) => void;
  readonly of: readonly (readonly [value: string, label: string])[];
}) {
  const data = [{ value: '', label: any }, ...of.map(([value, label]) => ({ value, label }))];
  return <Choice aria-label={name} value={value} onText={onText} data={data} />;
}

/** Drawn once: an event does not change, and a thousand of them stand here while others come. */
const Event = memo(function Event({ event: e }: { readonly event: EventView }) {
  const { t } = useTranslation();
  return (
    <li data-event={e.name}>
      <span className="at">
        <At at={e.ts} />
      </span>
      <span className="sign-place">
        {e.severity === 'error' && <Sign kind="F" label={t('severityError')} />}
        {e.severity === 'warning' && <Sign kind="S" label={t('severityWarning')} />}
      </span>
      <span className="agent-name">{e.agent}</span>
      <span className="event-name">
        {e.name} <span className="muted">{e.subject}</span>
      </span>
      <span className="event-text">{e.text}</span>
    </li>
  );
});
