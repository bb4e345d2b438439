import { useQuery } from '@tanstack/react-query';
import { useTranslation } from 'react-i18next';
import type { IncidentView } from '../../../api/schemas.ts';
import { Link } from '../link.tsx';
import { ListPage } from '../list-page.tsx';
import { type Column, ListTable } from '../list-table.tsx';
import { incidentHref, Outcome } from '../outcome.tsx';
import { queries } from '../queries.ts';
import { Ago, figure } from '../times.tsx';

export function IncidentsPage() {
  const { t, i18n } = useTranslation();
  const length = (ms: number | null): string => figure(t, i18n.language, ms);
  const columns: Column<IncidentView>[] = [
    {
      head: t('colAsset'),
      kind: 'name',
      cell: ({ incident, thing, workflow }) => (
        <>
          <Link href={incidentHref(incident)}>{thing}</Link>
          <span className="sub muted">{workflow}</span>
        </>
      ),
    },
    { head: t('symptom'), cell: ({ symptom }) => symptom },
    { head: t('outcome'), cell: (incident) => <Outcome incident={incident} /> },
    { head: t('mttd'), kind: 'figures', cell: ({ mttdMs }) => length(mttdMs) },
    { head: t('mtta'), kind: 'figures', cell: ({ mttaMs }) => length(mttaMs) },
    { head: t('mttr'), kind: 'figures', cell: ({ mttrMs }) => length(mttrMs) },
    { head: t('agent'), cell: ({ agent }) => agent },
    { head: t('when'), kind: 'right', cell: ({ firstBadAt }) => <Ago at={firstBadAt} /> },
  ];
  return (
    <ListPage
      title={t('incidents')}
      query={useQuery(queries.incidents)}
      searched={(i) => [i.thing, i.symptom, i.workflow, i.outcome, i.agent, i.reason]}
      empty={t('noIncidents')}
      text={t('noIncidentsText')}
    >
      {(rows) => <ListTable columns={columns} rows={rows} keyOf={({ incident }) => incident} mark="data-incident" />}
    </ListPage>
  );
}
