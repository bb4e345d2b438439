import { useQuery } from '@tanstack/react-query';
import { useTranslation } from 'react-i18next';
import { queries } from '../queries.ts';
import { useQueryValue } from '../route.ts';
import { More, matches, Placeholder, ROWS, Search } from '../search.tsx';
import { Sign } from '../shapes.tsx';
import { Ago } from '../times.tsx';

export function DutiesPage() {
  const { t } = useTranslation();
  const duties = useQuery(queries.duties);
  const [q] = useQueryValue('q');
  const found = (duties.data ?? [])
    .filter((d) => matches(q, d.duty, d.kind, d.about, ...d.holders.map((h) => h.agent)))
    // Unheld first: that is what somebody should see.
    .sort((a, b) => Number(a.holders.length > 0) - Number(b.holders.length > 0));
  const rows = found.slice(0, ROWS);
  return (
    <section>
      <div className="title-line">
        <h1>{t('duties')}</h1>
        <Search />
      </div>
      {rows.length === 0 ? (
        <Placeholder query={duties} empty={t('noDuties')} text={t('noDutiesText')} />
      ) : (
        <table className="list">
          <thead>
            <tr>
              <th scope="col">{t('duty')}</th>
              <th scope="col">{t('kind')}</th>
              <th scope="col">{t('holder')}</th>
              <th scope="col" className="right">
                {t('term')}
              </th>
              <th scope="col" className="right">
                {t('colSince')}
              </th>
            </tr>
          </thead>
          <tbody>
            {rows.map((d) => (
              <tr key={d.duty} data-duty={d.duty}>
                <th scope="row">
                  {d.duty}
                  {d.about !== '' && <span className="sub muted">{d.about}</span>}
                </th>
                <td data-label={t('kind')}>{d.kind}</td>
                <td data-label={t('holder')}>
                  {d.holders.length === 0 && (
                    <span className="wrong">
                      <Sign kind="F" />
                      {t('unheld')}
                    </span>
                  )}
                  {d.holders.map((h) => (
                    <div key={h.agent}>{h.agent}</div>
                  ))}
                  {d.holders.length > 1 && (
                    <span className="sub wrong">
                      <Sign kind="S" />
                      {t('heldTwice', { n: d.holders.length })}
                    </span>
                  )}
                </td>
                <td data-label={t('term')} className="right figures num">
                  {d.holders.map((h) => (
                    <div key={h.agent}>{h.term}</div>
                  ))}
                </td>
                <td data-label={t('colSince')} className="right">
                  {d.holders.map((h) => (
                    <div key={h.agent}>{h.since === null ? '–' : <Ago at={h.since} />}</div>
                  ))}
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
