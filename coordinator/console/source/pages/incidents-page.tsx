import { useQuery } from '@tanstack/react-query';
import { useTranslation } from 'react-i18next';
import { Link } from '../link.tsx';
import { Outcome } from '../outcome.tsx';
import { queries } from '../queries.ts';
import { useQueryValue } from '../route.ts';
import { More, matches, Placeholder, ROWS, Search } from '../search.tsx';
import { Ago, figure } from '../times.tsx';

export function IncidentsPage() {
  const { t, i18n } = useTranslation();
  const incidents = useQuery(queries.incidents);
  const [q] = useQueryValue('q');
  const found = (incidents.data ?? []).filter((i) =>
    matches(q, i.thing, i.symptom, i.workflow, i.outcome, i.agent, i.reason),
  );
  const rows = found.slice(0, ROWS);
  return (
    <section>
      <div className="title-line">
        <h1>{t('incidents')}</h1>
        <Search />
      </div>
      {rows.length === 0 ? (
        <Placeholder query={incidents} empty={t('noIncidents')} text={t('noIncidentsText')} />
      ) : (
        <table className="list">
          <thead>
            <tr>
              <th scope="col">{t('colAsset')}</th>
              <th scope="col">{t('symptom')}</th>
              <th scope="col">{t('outcome')}</th>
              <th scope="col" className="right">
                {t('mttd')}
              </th>
              <th scope="col" className="right">
                {t('mtta')}
              </th>
              <th scope="col" className="right">
                {t('mttr')}
              </th>
              <th scope="col">{t('agent')}</th>
              <th scope="col" className="right">
                {t('when')}
              </th>
            </tr>
          </thead>
          <tbody>
            {rows.map((i) => (
              <tr key={i.incident} data-incident={i.incident}>
                <th scope="row">
                  <Link href={`/incidents/${encodeURIComponent(i.incident)}`}>{i.thing}</Link>
                  <span className="sub muted">{i.workflow}</span>
                </th>
                <td data-label={t('symptom')}>{i.symptom}</td>
                <td data-label={t('outcome')}>
                  <Outcome incident={i} />
                </td>
                <td data-label={t('mttd')} className="right figures num">
                  {figure(t, i18n.language, i.mttdMs)}
                </td>
                <td data-label={t('mtta')} className="right figures num">
                  {figure(t, i18n.language, i.mttaMs)}
                </td>
                <td data-label={t('mttr')} className="right figures num">
                  {figure(t, i18n.language, i.mttrMs)}
                </td>
                <td data-label={t('agent')}>{i.agent}</td>
                <td data-label={t('when')} className="right">
                  <Ago at={i.firstBadAt} />
                </td>
              </tr>
            ))}
          </tbody>
        </table>
      )}
      <More count={found.length - rows.length} />
    </section>
  );
}
