import { useQuery } from '@tanstack/react-query';
import { useTranslation } from 'react-i18next';
import { queries } from '../queries.ts';
import { At } from '../times.tsx';

/** Who and what was turned away: by the mesh, by the broker, and into quarantine. */
export function RefusedPage() {
  const { t } = useTranslation();
  const status = useQuery(queries.status).data;
  const intruders = useQuery(queries.events({ agent: '', name: 'intruder-refused', limit: 200 })).data;
  const quarantine = useQuery(queries.quarantine).data;
  const counts = Object.entries(status?.broker.refused ?? {}).filter(([, n]) => n > 0);
  return (
    <section className="refused">
      <div className="title-line">
        <h1>{t('refused')}</h1>
      </div>
      <p className="muted">{t('refusedIntro')}</p>

      <h2>{t('atMesh')}</h2>
      {intruders === undefined || intruders.length === 0 ? (
        <p className="muted">{intruders === undefined ? t('loading') : t('nobodyRefused')}</p>
      ) : (
        <table className="list" data-refused="mesh">
          <thead>
            <tr>
              <th scope="col">{t('when')}</th>
              <th scope="col">{t('reason')}</th>
              <th scope="col">{t('address')}</th>
              <th scope="col">{t('agent')}</th>
            </tr>
          </thead>
          <tbody>
            {intruders.map((e) => (
              <tr key={e.cursor}>
                <td data-label={t('when')}>
                  <At at={e.ts} />
                </td>
                <td data-label={t('reason')}>{e.text}</td>
                <td data-label={t('address')} className="breakable">
                  {e.subject}
                </td>
                <td data-label={t('agent')}>{e.agent}</td>
              </tr>
            ))}
          </tbody>
        </table>
      )}

      <h2>{t('atBroker')}</h2>
      {status?.broker.mode === 'external' ? (
        <p className="muted">{t('externalBroker')}</p>
      ) : counts.length === 0 ? (
        <p className="muted">{t('nobodyRefused')}</p>
      ) : (
        <>
          <ul className="chips figures">
            {counts.map(([reason, n]) => (
              <li key={reason}>{t('countOf', { n, what: reason })}</li>
            ))}
          </ul>
          <table className="list" data-refused="broker">
            <thead>
              <tr>
                <th scope="col">{t('when')}</th>
                <th scope="col">{t('reason')}</th>
                <th scope="col">{t('name')}</th>
                <th scope="col">{t('address')}</th>
              </tr>
            </thead>
            <tbody>
              {status?.broker.recent.map((r) => (
                <tr key={`${r.at} ${r.address} ${r.reason} ${r.name}`}>
                  <td data-label={t('when')}>
                    <At at={r.at} />
                  </td>
                  <td data-label={t('reason')}>{r.reason}</td>
                  <td data-label={t('name')} className="breakable">
                    {r.name === '' ? '–' : r.name}
                  </td>
                  <td data-label={t('address')} className="breakable">
                    {r.address}
                  </td>
                </tr>
              ))}
            </tbody>
          </table>
        </>
      )}

      <h2>{t('inQuarantine')}</h2>
      {quarantine === undefined || quarantine.length === 0 ? (
        <p className="muted">{quarantine === undefined ? t('loading') : t('nothingQuarantined')}</p>
      ) : (
        <table className="list" data-refused="quarantine">
          <thead>
            <tr>
              <th scope="col">{t('when')}</th>
              <th scope="col">{t('agent')}</th>
              <th scope="col">{t('topic')}</th>
              <th scope="col">{t('reason')}</th>
              <th scope="col" className="right">
                {t('size')}
              </th>
            </tr>
          </thead>
          <tbody>
            {quarantine.map((row) => (
              <tr key={row.id}>
                <td data-label={t('when')}>
                  <At at={row.at} />
                </td>
                <td data-label={t('agent')}>{row.agent}</td>
                <td data-label={t('topic')} className="breakable">
                  {row.topic}
                  {row.preview !== '' && <span className="sub muted preview">{row.preview.slice(0, 160)}</span>}
                </td>
                <td data-label={t('reason')}>{row.reason}</td>
                <td data-label={t('size')} className="right figures num">
                  {t('bytes', { n: row.bytes })}
                </td>
              </tr>
            ))}
          </tbody>
        </table>
      )}
    </section>
  );
}
