import { Button } from '@mantine/core';
import { useQuery } from '@tanstack/react-query';
import { useTranslation } from 'react-i18next';
import { Answers } from '../answers.tsx';
import { TitleLine } from '../list-page.tsx';
import { worksOf } from '../maintenance-view.ts';
import { useOrdering } from '../ordering.ts';
import { queries } from '../queries.ts';
import { Placeholder } from '../search.tsx';
import { Signature } from '../signature.tsx';
import { holdSigner } from '../signer.ts';
import { Begin } from './maintenance-begin.tsx';
import { WorkItem } from './maintenance-works.tsx';

/**
 * Who works on what, and until when. A maintenance holds on an agent when that agent says so, never because it was sent:
 * each one is asked by an order of its own that a person signs, and a box that was away did not hear it.
 */
export function MaintenancePage() {
  const { t } = useTranslation();
  const agents = useQuery(queries.agents);
  const site = useQuery(queries.status).data?.site ?? '';
  const { signer, asked, given, want, sign, leave } = useOrdering(site);
  const works = worksOf(agents.data ?? []);
  const online = (agents.data ?? []).filter(({ presence }) => presence === 'online').map(({ agent }) => agent);
  const away = (agents.data ?? []).filter(({ presence }) => presence !== 'online').map(({ agent }) => agent);
  return (
    <section className="maintenance">
      <TitleLine title={t('maintenance')}>
        {signer !== undefined && (
          <p>
            {t('signsAs', { name: signer.by })} <code>{signer.keyId}</code>{' '}
            <Button variant="default" onClick={() => holdSigner(undefined)}>
              {t('forgetKey')}
            </Button>
          </p>
        )}
      </TitleLine>
      {works.length === 0 ? (
        <Placeholder query={agents} empty={t('noMaintenance')} text={t('noMaintenanceText')} />
      ) : (
        <ul className="works">
          {works.map((work) => (
            <WorkItem key={work.key} work={work} of={online.length} want={want} />
          ))}
        </ul>
      )}
      {given !== undefined && <Answers act={given.act} sent={given.sent} />}
      {asked !== undefined ? (
        <Signature asked={asked} site={site} onSigner={sign} onLeave={leave} />
      ) : (
        <Begin online={online} away={away} want={want} />
      )}
    </section>
  );
}
