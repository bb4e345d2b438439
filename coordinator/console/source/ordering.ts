import type { TFunction } from 'i18next';
import { useState } from 'react';
import { client } from './client.ts';
import { serverNow } from './clock.ts';
import { type Act, type Signer, signOrder } from './order-signing.ts';
import { useSigner } from './signer.ts';
import { span } from './times.tsx';

/** What is asked for, and of whom; each agent gets an order of its own. */
export interface Wish {
  readonly act: Act;
  readonly agents: readonly string[];
}

/** One order that went out, or could not. */
export interface Sent {
  readonly id: string;
  readonly agent: string;
  readonly at: number;
  readonly failed: string | undefined;
}

/**
 * Orders of this page: a wish waits until a person has signed (`asked`), then goes to its agents one by one (`given`).
 * Sent is not obeyed: what became of it, its agents say.
 */
export const useOrdering = (site: string) => {
  const signer = useSigner();
  const [asked, setAsked] = useState<Wish>();
  const [given, setGiven] = useState<{ readonly act: Act; readonly sent: readonly Sent[] }>();

  const give = async ({ act, agents }: Wish, by: Signer): Promise<void> => {
    setAsked(undefined);
    const sent: Sent[] = [];
    setGiven({ act, sent });
    for (const agent of agents) {
      sent.push(await send({ site, agent, what: act }, by));
      setGiven({ act, sent: [...sent] });
    }
  };
  return {
    signer,
    asked,
    given,
    want: (wish: Wish): void => (signer === undefined ? setAsked(wish) : void give(wish, signer)),
    sign: (by: Signer): void => {
      if (asked !== undefined) void give(asked, by);
    },
    leave: (): void => setAsked(undefined),
  };
};

const send = async (order: { site: string; agent: string; what: Act }, by: Signer): Promise<Sent> => {
  const { agent } = order;
  const at = serverNow();
  let id = '';
  try {
    const signed = await signOrder(by, order, at);
    id = signed.id;
    await client.order(signed.document);
    return { id, agent, at, failed: undefined };
  } catch (error) {
    return { id, agent, at, failed: (error as Error).message };
  }
};

/** What is ordered, in words. */
export const actText = (t: TFunction, act: Act): string =>
  act.verb === 'maintain'
    ? t('actMaintain', { thing: act.thing, span: span(t, act.forMs), why: act.why })
    : t('actEnd', { thing: act.thing });

/** The first names of many. */
export const few = (names: readonly string[]): string => names.slice(0, 8).join(', ') + (names.length > 8 ? ' …' : '');
