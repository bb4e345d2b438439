import { Button, NativeSelect, TextInput } from '@mantine/core';
import { useQuery } from '@tanstack/react-query';
import type { TFunction } from 'i18next';
import { type FormEvent, useState } from 'react';
import { useTranslation } from 'react-i18next';
import { client } from '../client.ts';
import { serverNow, useNow } from '../clock.ts';
import { Command } from '../copy.tsx';
import { type Given, givenOf, type Work, worksOf } from '../maintenance-view.ts';
import { type Act, orderLine, readSigner, type Signer, signOrder } from '../order-signing.ts';
import { usePerson } from '../person.ts';
import { queries } from '../queries.ts';
import { useQueryValue } from '../route.ts';
import { Placeholder } from '../search.tsx';
import { Sign } from '../shapes.tsx';
import { canSign, holdSigner, useSigner } from '../signer.ts';
import { At, span } from '../times.tsx';

/** What is asked for and waits for a signature. */
interface Asked {
  readonly act: Act;
  readonly agents: readonly string[];
}

interface Sent {
  readonly id: string;
  readonly agent: string;
  readonly at: number;
  readonly failed: string | undefined;
}

/**
 * Who works on what, and until when. A maintenance holds on an agent when that agent says so, never because it was sent:
 * each one is asked by an order of its own that a person signs, and a box that was away did not hear it.
 */
export function MaintenancePage() {
  const { t } = useTranslation();
  const agents = useQuery(queries.agents);
  const status = useQuery(queries.status);
  const signer = useSigner();
  const [asked, setAsked] = useState<Asked>();
  const [given, setGiven] = useState<{ readonly act: Act; readonly sent: readonly Sent[] }>();
  const works = worksOf(agents.data ?? []);
  const online = (agents.data ?? []).filter(({ presence }) => presence === 'online').map(({ agent }) => agent);
  const away = (agents.data ?? []).filter(({ presence }) => presence !== 'online').map(({ agent }) => agent);
  const site = status.data?.site ?? '';

  const give = async ({ act, agents: to }: Asked, by = signer): Promise<void> => {
    if (by === undefined) return;
    setAsked(undefined);
    const sent: Sent[] = [];
    setGiven({ act, sent });
    for (const agent of to) {
      const at = serverNow();
      try {
        const { id, document } = await signOrder(by, { site, agent, what: act }, at);
        const failed = await client.order(document).then(
          () => undefined,
          (error: Error) => error.message,
        );
        sent.push({ id, agent, at, failed });
      } catch (error) {
        sent.push({ id: '', agent, at, failed: (error as Error).message });
      }
      setGiven({ act, sent: [...sent] });
    }
  };
  const want = (wish: Asked): void => (signer === undefined ? setAsked(wish) : void give(wish));

  return (
    <section className="maintenance">
      <div className="title-line">
        <h1>{t('maintenance')}</h1>
        {signer !== undefined && (
          <p>
            {t('signsAs', { name: signer.by })} <code>{signer.keyId}</code>{' '}
            <Button variant="default" onClick={() => holdSigner(undefined)}>
              {t('forgetKey')}
            </Button>
          </p>
        )}
      </div>
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
        <Signature
          asked={asked}
          site={site}
          onSigner={(by) => void give(asked, by)}
          onLeave={() => setAsked(undefined)}
        />
      ) : (
        <Begin online={online} away={away} want={want} />
      )}
    </section>
  );
}

function WorkItem({
  work,
  of,
  want,
}: {
  readonly work: Work;
  readonly of: number;
  readonly want: (wish: Asked) => void;
}) {
  const { t } = useTranslation();
  const now = useNow();
  const { things, why, by, until, confirmed, missing, maintenance } = work;
  const [thing = ''] = things;
  const left = until === null ? undefined : until - now;
  return (
    <li data-work={maintenance}>
      <Sign kind="M" />
      <div>
        <strong>{things.join(', ')}</strong>
        <span className="sub">{why}</span>
        <span className="sub muted">
          {by === null ? t('bySiteFile', { name: maintenance }) : t('orderedBy', { by })}
          {until !== null && left !== undefined && (
            <>
              {' · '}
              {t('until')} <At at={until} /> ({t('left', { span: span(t, left) })})
            </>
          )}
        </span>
      </div>
      <div>
        <span>{t('confirmedBy', { n: confirmed.length, of })}</span>
        {missing.length > 0 && by !== null && (
          <span className="sub wrong">
            <Sign kind="S" />
            {t('notHeardBy', { names: few(missing) })}
          </span>
        )}
      </div>
      {by !== null && (
        <div className="act">
          {missing.length > 0 && left !== undefined && left > 60_000 && (
            <Button
              variant="default"
              onClick={() => want({ act: { verb: 'maintain', thing, forMs: Math.round(left), why }, agents: missing })}
            >
              {t('sendToMissing')}
            </Button>
          )}
          <Button
            aria-label={t('endOf', { thing })}
            onClick={() => want({ act: { verb: 'end-maintenance', thing }, agents: confirmed })}
          >
            {t('endMaintenance')}
          </Button>
        </div>
      )}
    </li>
  );
}

const few = (names: readonly string[]): string => names.slice(0, 8).join(', ') + (names.length > 8 ? ' …' : '');

/** A round, two, half a shift, a shift, a day: what work at a machine takes. */
const durations = [30, 60, 120, 240, 480, 1_440] as const;

function Begin({
  online,
  away,
  want,
}: {
  readonly online: readonly string[];
  readonly away: readonly string[];
  readonly want: (wish: Asked) => void;
}) {
  const { t } = useTranslation();
  const things = useQuery(queries.things).data ?? [];
  const [thing, setThing] = useQueryValue('thing');
  const [minutes, setMinutes] = useState<number>(60);
  const [why, setWhy] = useState('');
  const now = useNow();
  const send = (event: FormEvent): void => {
    event.preventDefault();
    if (thing === '' || why.trim() === '') return;
    want({ act: { verb: 'maintain', thing, forMs: minutes * 60_000, why: why.trim() }, agents: online });
  };
  const known = things.map((one) => one.thing);
  return (
    <form className="panel" onSubmit={send}>
      <h2>{t('beginMaintenance')}</h2>
      <div className="fields">
        <NativeSelect
          label={t('thing')}
          size="md"
          value={thing}
          onChange={(event) => setThing(event.currentTarget.value)}
          data={[
            { value: '', label: t('chooseThing') },
            ...(thing !== '' && !known.includes(thing) ? [thing, ...known] : known),
          ]}
          required
        />
        <NativeSelect
          label={t('howLong')}
          size="md"
          value={String(minutes)}
          onChange={(event) => setMinutes(Number(event.currentTarget.value))}
          data={durations.map((one) => ({ value: String(one), label: span(t, one * 60_000) }))}
        />
        <TextInput
          className="wide"
          label={t('whyMaintenance')}
          placeholder={t('whyExample')}
          size="md"
          value={why}
          onChange={(event) => setWhy(event.currentTarget.value)}
          maxLength={200}
          autoComplete="off"
          required
        />
      </div>
      <p className="muted">
        {thing === '' ? t('maintainWhat') : t('maintainWill', { thing })} {t('until')}{' '}
        <At at={now + minutes * 60_000} />. {t('goesTo', { count: online.length })}
        {away.length > 0 && ` ${t('awayNow', { names: few(away) })}`}
      </p>
      <Button type="submit" size="md" disabled={online.length === 0}>
        {t('beginMaintenance')}
      </Button>
    </form>
  );
}

/** Signed here with the person's own key; where the browser gives no means, the line to type. */
function Signature({
  asked,
  site,
  onSigner,
  onLeave,
}: {
  readonly asked: Asked;
  readonly site: string;
  readonly onSigner: (signer: Signer) => void;
  readonly onLeave: () => void;
}) {
  const { t } = useTranslation();
  const person = usePerson();
  const [by, setBy] = useState(person);
  const [file, setFile] = useState<File>();
  const [trouble, setTrouble] = useState('');
  const able = canSign();
  const send = (event: FormEvent): void => {
    event.preventDefault();
    if (file === undefined || by.trim() === '') return;
    file
      .text()
      .then((pem) => readSigner(by.trim(), pem))
      .then(
        (signer) => {
          holdSigner(signer);
          onSigner(signer);
        },
        (error: Error) => setTrouble(error.message),
      );
  };
  return (
    <form className="panel" onSubmit={send} onKeyDown={(event) => event.key === 'Escape' && onLeave()}>
      <h2>{t('signIt')}</h2>
      <p>{actText(t, asked.act)}</p>
      {able ? (
        <>
          <p className="muted">{t('signText')}</p>
          <div className="fields">
            <TextInput
              label={t('nameInSite')}
              size="md"
              value={by}
              onChange={(event) => setBy(event.currentTarget.value)}
              maxLength={63}
              required
            />
            <label className="file">
              {t('keyFile')}
              <input
                type="file"
                accept=".key,.pem"
                onChange={(event) => setFile(event.currentTarget.files?.[0])}
                required
              />
            </label>
          </div>
          {trouble !== '' && (
            <p className="wrong" role="alert">
              <Sign kind="F" />
              {t('badKey', { message: trouble })}
            </p>
          )}
        </>
      ) : (
        <p className="doubt">{t('cannotSign')}</p>
      )}
      <p className="buttons">
        {able && (
          <Button type="submit" size="md">
            {t('signAndSend')}
          </Button>
        )}
        <Button variant="default" size="md" onClick={onLeave}>
          {t('back')}
        </Button>
      </p>
      <details open={!able}>
        <summary>{t('byCommand')}</summary>
        <Command line={orderLine(asked.act, by.trim(), site, asked.agents, window.location.origin)} />
      </details>
    </form>
  );
}

const actText = (t: TFunction, act: Act): string =>
  act.verb === 'maintain'
    ? t('actMaintain', { thing: act.thing, span: span(t, act.forMs), why: act.why })
    : t('actEnd', { thing: act.thing });

const GIVEN_SIGN = { pending: undefined, silent: 'C', confirmed: undefined, refused: 'F', 'not-sent': 'F' } as const;

/** What became of it, agent by agent. */
function Answers({ act, sent }: { readonly act: Act; readonly sent: readonly Sent[] }) {
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
