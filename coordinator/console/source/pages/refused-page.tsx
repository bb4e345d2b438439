import { useQuery } from '@tanstack/react-query';
import { type ReactNode, useId } from 'react';
import { useTranslation } from 'react-i18next';
import type { EventView, QuarantineView, StatusView } from '../../../api/schemas.ts';
import { TitleLine } from '../list-page.tsx';
import { type Column, ListTable } from '../list-table.tsx';
import { queries } from '../queries.ts';
import { type Waited, waitText } from '../search.tsx';
import { At, size } from '../times.tsx';

/** Who and what was turned away: by the mesh, by the broker, and into quarantine. */
export function RefusedPage() {
  const { t } = useTranslation();
  return (
    <section className="refused">
      <TitleLine title={t('refused')} />
      <p className="muted">{t('refusedIntro')}</p>
      <AtMesh />
      <AtBroker />
      <InQuarantine />
    </section>
  );
}

/** One place where something is turned away: what it turned away, or in a line why nothing stands there. */
function Place({
  name,
  title,
  query,
  nothing,
  children,
}: {
  readonly name: string;
  readonly title: string;
  readonly query: Waited;
  /** Said instead of the children. */
  readonly nothing: string | undefined;
  readonly children: ReactNode;
}) {
  const { t } = useTranslation();
  const id = useId();
  const said = waitText(t, query) ?? nothing;
  return (
    <section data-refused={name} aria-labelledby={id}>
      <h2 id={id}>{title}</h2>
      {said === undefined ? children : <p className="muted">{said}</p>}
    </section>
  );
}

function AtMesh() {
  const { t } = useTranslation();
  const query = useQuery(queries.events({ agent: '', name: 'intruder-refused', limit: 200 }));
  const intruders = query.data ?? [];
  const columns: Column<EventView>[] = [
    { head: t('when'), cell: ({ ts }) => <At at={ts} /> },
    { head: t('reason'), cell: ({ text }) => text },
    { head: t('address'), kind: 'breakable', cell: ({ subject }) => subject },
    { head: t('agent'), cell: ({ agent }) => agent },
  ];
  const nothing = intruders.length === 0 ? t('nobodyRefused') : undefined;
  return (
    <Place name="mesh" title={t('atMesh')} query={query} nothing={nothing}>
      <ListTable columns={columns} rows={intruders} keyOf={({ cursor }) => cursor} />
    </Place>
  );
}

type Refusal = StatusView['broker']['recent'][number];

function AtBroker() {
  const { t } = useTranslation();
  const query = useQuery(queries.status);
  const { mode, refused = {}, recent = [] } = query.data?.broker ?? {};
  const counts = Object.entries(refused).filter(([, n]) => n > 0);
  const columns: Column<Refusal>[] = [
    { head: t('when'), cell: ({ at }) => <At at={at} /> },
    { head: t('reason'), cell: ({ reason }) => reason },
    { head: t('name'), kind: 'breakable', cell: ({ name }) => (name === '' ? '–' : name) },
    { head: t('address'), kind: 'breakable', cell: ({ address }) => address },
  ];
  const nothing = mode === 'external' ? t('externalBroker') : counts.length === 0 ? t('nobodyRefused') : undefined;
  return (
    <Place name="broker" title={t('atBroker')} query={query} nothing={nothing}>
      <ul className="chips figures">
        {counts.map(([reason, n]) => (
          <li key={reason}>{t('countOf', { n, what: reason })}</li>
        ))}
      </ul>
      <ListTable
        columns={columns}
        rows={recent}
        keyOf={({ at, address, reason, name }) => `${at} ${address} ${reason} ${name}`}
      />
    </Place>
  );
}

/** So much of a message is shown; the whole lies in the store. */
const PREVIEW = 160;

function InQuarantine() {
  const { t, i18n } = useTranslation();
  const query = useQuery(queries.quarantine);
  const kept = query.data ?? [];
  const columns: Column<QuarantineView>[] = [
    { head: t('when'), cell: ({ at }) => <At at={at} /> },
    { head: t('agent'), cell: ({ agent }) => agent },
    {
      head: t('topic'),
      kind: 'breakable',
      cell: ({ topic, preview }) => (
        <>
          {topic}
          {preview !== '' && <span className="sub muted preview">{preview.slice(0, PREVIEW)}</span>}
        </>
      ),
    },
    { head: t('reason'), cell: ({ reason }) => reason },
    { head: t('size'), kind: 'figures', cell: ({ bytes }) => size(i18n.language, bytes) },
  ];
  const nothing = kept.length === 0 ? t('nothingQuarantined') : undefined;
  return (
    <Place name="quarantine" title={t('inQuarantine')} query={query} nothing={nothing}>
      <ListTable columns={columns} rows={kept} keyOf={({ id }) => id} />
    </Place>
  );
}
