import { useQuery } from '@tanstack/react-query';
import { useTranslation } from 'react-i18next';
import { serverNow, useNow } from './clock.ts';
import { type Given, givenOf } from './maintenance-view.ts';
import type { Act } from './order-signing.ts';
import { actText, type Sent } from './ordering.ts';
import { queries } from './queries.ts';
import { Sign } from './shapes.tsx';

const GIVEN_SIGN = { pending: undefined, silent: 'C', confirmed: undefined, refused: 'F', 'not-sent': 'F' } as const;

/** What became of an order, agent by agent. */
export function Answers({ act, sent }: { readonly act: Act; readonly sent: readonly Sent[] }) {
  const { t } = useTranslation();
  const orders = useQuery(queries.orders).data ?? [];
  useNow();
  const given = givenOf(sent, orders, serverNow());
  const count = (state: Given['state']): number => given.filter((one) => one.state === state).length;
  const open = given.filter(({ state }) => state !== 'confirmed');
  return (
    <div className="panel answers" role="status" data-pending={count('pending')}>
      <strong>{actText(t, act)}</strong>
      <p>{t('answersSoFar', { n: count('confirmed'), of: given.length })}</p>
      <ul className="words">
        {open.slice(0, 50).map(({ agent, state, text }) => {
          const sign = GIVEN_SIGN[state];
          return (
            <li key={agent} data-given={state} className={sign === undefined ? 'muted' : 'wrong'}>
              {sign !== undefined && <Sign kind={sign} />}
              {agent}: {t(`given_${state}`)}
              {text !== '' && ` ${text}`}
            </li>
          );
        })}
      </ul>
    </div>
  );
}
