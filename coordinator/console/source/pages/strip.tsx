import { useQuery } from '@tanstack/react-query';
import type { ReactNode } from 'react';
import { useTranslation } from 'react-i18next';
import { useNow } from '../clock.ts';
import { Link } from '../link.tsx';
import { MattersInShort } from '../matter.tsx';
import { incidentHref } from '../outcome.tsx';
import { queries } from '../queries.ts';
import { Sign } from '../shapes.tsx';
import { Ago, figure, span, startOfDay } from '../times.tsx';

/** Reports that wait longer than this are worth a look: the broker or the coordinator is away for that agent. */
const UNSENT_MS = 60_000;

/** The state of the house at a glance. Grey when all is as it should be. */
export function Strip() {
  const { t, i18n } = useTranslation();
  const now = useNow();
  const agents = useQuery(queries.agents).data;
  const duties = useQuery(queries.duties).data;
  const incidents = useQuery(queries.incidents).data;
  const status = useQuery(queries.status).data;

  const away = agents?.filter((a) => a.presence !== 'online').map((a) => a.agent) ?? [];
  const unheld = duties?.filter((d) => d.holders.length === 0).map((d) => d.duty) ?? [];
  const midnight = startOfDay(now);
  const heals = incidents?.filter((i) => i.outcome === 'HEALED' && (i.healedAt ?? 0) >= midnight) ?? [];
  const oldest = agents?.reduce<number | undefined>((least, { outbox }) => {
    const at = outbox !== null && outbox.pending > 0 ? outbox.oldestPendingAt : null;
    return at === null ? least : Math.min(least ?? at, at);
  }, undefined);
  const unsent = oldest === undefined ? undefined : now - oldest;
  const refused = Object.values(status?.broker.refused ?? {}).reduce((sum, n) => sum + n, 0);

  return (
    <aside className="strip" aria-label={t('site')}>
      <MattersInShort />
      <dl>
        <Figure
          label={t('agentsAlive')}
          href="/fleet"
          value={agents === undefined ? undefined : `${agents.length - away.length} / ${agents.length}`}
          wrong={away.length > 0 ? `${t('offline')}: ${few(away)}` : undefined}
        />
        <Figure
          label={t('dutiesHeld')}
          href="/duties"
          value={duties === undefined ? undefined : `${duties.length - unheld.length} / ${duties.length}`}
          wrong={unheld.length > 0 ? `${t('unheld')}: ${few(unheld)}` : undefined}
        />
        <Figure label={t('healsToday')} href="/incidents" value={incidents && String(heals.length)} />
        <Figure
          label={t('oldestUnsent')}
          href="/fleet"
          value={agents === undefined ? undefined : unsent === undefined ? t('allSent') : span(t, unsent)}
          wrong={unsent !== undefined && unsent > UNSENT_MS ? t('trouble') : undefined}
        />
        <Figure
          label={t('broker')}
          value={status && t(status.broker.state)}
          wrong={
            status !== undefined && status.broker.state !== 'connected'
              ? (status.broker.lastError ?? t('connecting'))
              : undefined
          }
        />
        <Figure
          label={t('store')}
          value={status && t(status.store.state)}
          wrong={status?.store.state === 'trouble' ? (status.store.trouble ?? t('trouble')) : undefined}
        />
        <Figure label={t('turnedAway')} href="/refused" value={status && String(refused + status.counts.quarantined)} />
      </dl>
      {incidents !== undefined && incidents.length > 0 && (
        <section>
          <h2>
            {t('healedWithoutYou')}
            <Link href="/incidents">{t('seeAll')}</Link>
          </h2>
          <ul className="recent">
            {incidents
              .filter((i) => i.outcome === 'HEALED')
              .slice(0, 6)
              .map((i) => (
                <li key={i.incident}>
                  <Link href={incidentHref(i.incident)}>{i.thing}</Link>
                  <span className="muted">
                    <Ago at={i.healedAt ?? i.receivedAt} />
                  </span>
                  <span className="figures num">{figure(t, i18n.language, i.mttrMs)}</span>
                </li>
              ))}
          </ul>
        </section>
      )}
    </aside>
  );
}

/** The first names of many. */
const few = (names: readonly string[]): string => names.slice(0, 3).join(', ') + (names.length > 3 ? ' …' : '');

function Figure({
  label,
  value,
  wrong,
  href,
}: {
  readonly label: string;
  readonly value: ReactNode;
  readonly wrong?: string | undefined;
  readonly href?: string;
}) {
  return (
    <div>
      <dt>{href === undefined ? label : <Link href={href}>{label}</Link>}</dt>
      <dd className={`figures num ${wrong === undefined ? '' : 'wrong'}`}>
        {wrong !== undefined && <Sign kind="S" />}
        {value ?? '–'}
      </dd>
      {wrong !== undefined && <dd className="why">{wrong}</dd>}
    </div>
  );
}
