import { useQuery } from '@tanstack/react-query';
import { useTranslation } from 'react-i18next';
import type { AgentView } from '../../../api/schemas.ts';
import { useNow } from '../clock.ts';
import { ListPage } from '../list-page.tsx';
import { type Column, ListTable } from '../list-table.tsx';
import { Matters } from '../matter.tsx';
import { queries } from '../queries.ts';
import { Sign, signOf } from '../shapes.tsx';
import { Ago, span } from '../times.tsx';

export function FleetPage() {
  const { t } = useTranslation();
  const columns: Column<AgentView>[] = [
    { head: t('agent'), kind: 'name', cell: (agent) => <Name agent={agent} /> },
    { head: t('presence'), cell: (agent) => <Presence agent={agent} /> },
    { head: t('seenBy'), cell: (agent) => <SeenBy agent={agent} /> },
    { head: t('duties'), cell: (agent) => <Duties agent={agent} /> },
    { head: t('notOk'), cell: (agent) => <NotOk agent={agent} /> },
    { head: t('outbox'), kind: 'figures', cell: (agent) => <Outbox agent={agent} /> },
    {
      head: t('heard'),
      kind: 'right',
      cell: ({ heardAt }) => (heardAt === null ? <span className="muted">–</span> : <Ago at={heardAt} />),
    },
  ];
  return (
    <ListPage
      title={t('fleet')}
      query={useQuery(queries.agents)}
      searched={(a) => [a.agent, a.host, a.presence, a.version, ...a.duties, ...a.checks.map((c) => c.check)]}
      empty={t('noAgents')}
      text={t('noAgentsText')}
      above={<Matters />}
    >
      {(rows) => <ListTable columns={columns} rows={rows} keyOf={({ agent }) => agent} mark="data-agent" />}
    </ListPage>
  );
}

interface OfAgent {
  readonly agent: AgentView;
}

function Name({ agent: { agent, host, version } }: OfAgent) {
  return (
    <>
      {agent}
      <span className="sub muted">{[host, version].filter((part) => part !== null && part !== '').join(' · ')}</span>
    </>
  );
}

function Presence({ agent: { presence, presenceSince } }: OfAgent) {
  const { t } = useTranslation();
  const offline = presence !== 'online';
  return (
    <>
      <span className={offline ? 'wrong' : undefined}>
        {offline && <Sign kind={presence === 'offline' ? 'F' : 'C'} />}
        {t(presence)}
      </span>
      {presenceSince !== null && (
        <span className="sub muted">
          <Ago at={presenceSince} />
        </span>
      )}
    </>
  );
}

function Duties({ agent: { duties } }: OfAgent) {
  if (duties.length === 0) return <span className="muted">–</span>;
  return (
    <ul className="words">
      {duties.map((duty) => (
        <li key={duty}>{duty}</li>
      ))}
    </ul>
  );
}

/** Checks that are not well, and models that see something strange. */
function NotOk({ agent: { checks, anomalous } }: OfAgent) {
  const { t } = useTranslation();
  const bad = checks.filter((c) => signOf(c.status) !== undefined);
  if (bad.length === 0 && anomalous.length === 0) return <span className="muted">{t('allOk')}</span>;
  return (
    <ul className="words">
      {bad.map((c) => (
        <li key={c.check} className="wrong">
          <Sign kind={signOf(c.status) ?? 'C'} label={c.status} />
          {c.check}
          {c.text !== '' && <span className="sub muted">{c.text}</span>}
        </li>
      ))}
      {anomalous.map((model) => (
        <li key={model} className="wrong">
          <Sign kind="S" />
          {model}
          <span className="sub muted">{t('anomalous')}</span>
        </li>
      ))}
    </ul>
  );
}

/** How the others see it: the mesh's own judgement, not the broker's. */
function SeenBy({ agent: { seenBy } }: OfAgent) {
  const { t } = useTranslation();
  const said = (
    [
      ['alive', 'aliveN', undefined],
      ['suspect', 'suspectN', 'S'],
      ['dead', 'deadN', 'F'],
      ['left', 'leftN', undefined],
      ['unknown', 'unknownN', 'C'],
    ] as const
  ).filter(([state]) => seenBy[state] > 0);
  if (said.length === 0) return <span className="muted">{t('nobodyElse')}</span>;
  return (
    <ul className="words figures">
      {said.map(([state, word, sign]) => (
        <li key={state} className={sign === undefined ? undefined : 'wrong'}>
          {sign !== undefined && <Sign kind={sign} />}
          {t(word, { n: seenBy[state] })}
        </li>
      ))}
    </ul>
  );
}

function Outbox({ agent: { outbox, store } }: OfAgent) {
  const { t } = useTranslation();
  const now = useNow();
  if (outbox === null) return <span className="muted">–</span>;
  const { pending, oldestPendingAt, refused } = outbox;
  return (
    <>
      {pending === 0 ? (
        <span className="muted">{t('outboxEmpty')}</span>
      ) : oldestPendingAt === null ? (
        pending
      ) : (
        t('outboxPending', { n: pending, span: span(t, now - oldestPendingAt) })
      )}
      {refused > 0 && <span className="sub wrong">{t('outboxRefused', { n: refused })}</span>}
      {store?.ok === false && <span className="sub wrong">{t('storeTrouble', { text: store.text })}</span>}
    </>
  );
}
