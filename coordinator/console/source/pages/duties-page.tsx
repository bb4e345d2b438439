import { useQuery } from '@tanstack/react-query';
import type { ReactNode } from 'react';
import { useTranslation } from 'react-i18next';
import type { DutyView } from '../../../api/schemas.ts';
import { ListPage } from '../list-page.tsx';
import { type Column, ListTable } from '../list-table.tsx';
import { queries } from '../queries.ts';
import { Sign } from '../shapes.tsx';
import { Ago } from '../times.tsx';

/** Unheld first: that is what somebody should see. */
const byNeed = (a: DutyView, b: DutyView): number => Number(a.holders.length > 0) - Number(b.holders.length > 0);

export function DutiesPage() {
  const { t } = useTranslation();
  const columns: Column<DutyView>[] = [
    {
      head: t('duty'),
      kind: 'name',
      cell: ({ duty, about }) => (
        <>
          {duty}
          {about !== '' && <span className="sub muted">{about}</span>}
        </>
      ),
    },
    { head: t('kind'), cell: ({ kind }) => kind },
    { head: t('holder'), cell: (duty) => <Holders duty={duty} /> },
    { head: t('term'), kind: 'figures', cell: (duty) => perHolder(duty, ({ term }) => term, nobody) },
    {
      head: t('colSince'),
      kind: 'right',
      cell: (duty) => perHolder(duty, ({ since }) => (since === null ? nobody : <Ago at={since} />), nobody),
    },
  ];
  return (
    <ListPage
      title={t('duties')}
      query={useQuery(queries.duties)}
      searched={(d) => [d.duty, d.kind, d.about, ...d.holders.map((h) => h.agent)]}
      order={byNeed}
      empty={t('noDuties')}
      text={t('noDutiesText')}
    >
      {(rows) => <ListTable columns={columns} rows={rows} keyOf={({ duty }) => duty} mark="data-duty" />}
    </ListPage>
  );
}

/** A line for each of them, so that term and time stand beside their agent. */
const perHolder = (
  { holders }: DutyView,
  told: (holder: DutyView['holders'][number]) => ReactNode,
  without: ReactNode = null,
): ReactNode =>
  holders.length === 0 ? without : holders.map((holder) => <div key={holder.agent}>{told(holder)}</div>);

const nobody = <span className="muted">–</span>;

function Holders({ duty }: { readonly duty: DutyView }) {
  const { t } = useTranslation();
  const { length } = duty.holders;
  return (
    <>
      {length === 0 && (
        <span className="wrong">
          <Sign kind="F" />
          {t('unheld')}
        </span>
      )}
      {perHolder(duty, ({ agent }) => agent)}
      {length > 1 && (
        <span className="sub wrong">
          <Sign kind="S" />
          {t('heldTwice', { n: length })}
        </span>
      )}
    </>
  );
}
