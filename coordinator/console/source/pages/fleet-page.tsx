import { useQuery } from '@tanstack/react-query';
import { useTranslation } from 'react-i18next';
import type { AgentView } from '../../../api/schemas.ts';
import { useNow } from '../clock.ts';
import { Matters } from '../matter.tsx';
import { queries } from '../queries.ts';
import { useQueryValue } from '../route.ts';
import { More, matches, Placeholder, ROWS, Search } from '../search.tsx';
import { Sign, signOf } from '../shapes.tsx';
import { Ago, span } from '../times.tsx';

export function FleetPage() {
  const { t } = useTranslation();
  const agents = useQuery(queries.agents);
  const [q] = useQueryValue('q');
  const found = (agents.data ?? []).filter((a) =>
    matches(q, a.agent, a.host, a.presence, a.version, ...a.duties, ...a.checks.map((c) => c.check)),
  );
  const rows = found.slice(0, ROWS);
  return (
    <section>
      <div className="title-line">
        <h1>{t('fleet')}</h1>
        <Search />
      </div>
      <Matters />
      {rows.length === 0 ? (
        <Placeholder query={agents} empty={t('noAgents')} text={t('noAgentsText')} />
      ) : (
        <table className="list">
          <thead>
            <tr>
              <th scope="col">{t('agent')}</th>
              <th scope="col">{t('presence')}</th>
              <th scope="col">{t('seenBy')}</th>
              <th scope="col">{t('duties')}</th>
              <th scope="col">{t('notOk')}</th>
              <th scope="col" className="right">
                {t('outbox')}
              </th>
              <th scope="col" className="right">
                {t('heard')}
              </th>
            </tr>
          </thead>
          <tbody>
            {rows.map((agent) => (
              <Agent key={agent.agent} agent={agent} />
            ))}
          </tbody>
        </table>
      )}
      <More count={found.length - rows.length} />
    </section>
  );
}

function Agent({ agent }: { readonly agent: AgentView }) {
  const { t } = useTranslation();
  const bad = agent.checks.filter((c) => signOf(c.status) !== undefined);
  const offline = agent.presence !== 'online';
  return (
    <tr data-agent={agent.agent}>
      <th scope="row">
        {agent.agent}
        <span className="sub muted">
          {[agent.host, agent.version].filter((part) => part !== null && part !== '').join(' · ')}
        </span>
      </th>
      <td data-label={t('presence')}>
        <span className={offline ? 'wrong' : undefined}>
          {offline && <Sign kind={agent.presence === 'offline' ? 'F' : 'C'} />}
          {t(agent.presence)}
        </span>
        {agent.presenceSince !== null && (
          <span className="sub muted">
            <Ago at={agent.presenceSince} />
          </span>
        )}
      </td>
      <td data-label={t('seenBy')}>
        <SeenBy agent={agent} />
      </td>
      <td data-label={t('duties')}>
        {agent.duties.length === 0 ? (
          <span className="muted">–</span>
        ) : (
          <ul className="words">
            {agent.duties.map((duty) => (
              <li key={duty}>{duty}</li>
            ))}
          </ul>
        )}
      </td>
      <td data-label={t('notOk')}>
        {bad.length === 0 && agent.anomalous.length === 0 ? (
          <span className="muted">{t('allOk')}</span>
        ) : (
          <ul className="words">
            {bad.map((c) => (
              <li key={c.check} className="wrong">
                <Sign kind={signOf(c.status) ?? 'C'} label={c.status} />
                {c.check}
                {c.text !== '' && <span className="sub muted">{c.text}</span>}
              </li>
            ))}
            {agent.anomalous.map((model) => (
              <li key={model} className="wrong">
                <Sign kind="S" />
                {model}
                <span className="sub muted">{t('anomalous')}</span>
              </li>
            ))}
          </ul>
        )}
      </td>
      <td data-label={t('outbox')} className="right figures num">
        <Outbox agent={agent} />
      </td>
      <td data-label={t('heard')} className="right">
        {agent.heardAt === null ? <span className="muted">–</span> : <Ago at={agent.heardAt} />}
      </td>
    </tr>
  );
}

/** How the others see it: the mesh's own judgement, not the broker's. */
function SeenBy({ agent }: { readonly agent: AgentView }) {
  const { t } = useTranslation();
  const { seenBy } = agent;
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

function Outbox({ agent: { outbox, store } }: { readonly agent: AgentView }) {
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
