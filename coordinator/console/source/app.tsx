import { Button, Kbd, useMantineColorScheme } from '@mantine/core';
import { useQuery } from '@tanstack/react-query';
import { type ComponentType, useEffect, useRef, useState } from 'react';
import { useTranslation } from 'react-i18next';
import { CallError, client } from './client.ts';
import { LanguageChoice } from './language-choice.tsx';
import { Link } from './link.tsx';
import { lockOut, startLive, stopLive, useLive } from './live.ts';
import { LoginPage } from './login-page.tsx';
import { AlarmPage } from './pages/alarm-page.tsx';
import { DutiesPage } from './pages/duties-page.tsx';
import { EventsPage } from './pages/events-page.tsx';
import { FleetPage } from './pages/fleet-page.tsx';
import { IncidentPage } from './pages/incident-page.tsx';
import { IncidentsPage } from './pages/incidents-page.tsx';
import { MaintenancePage } from './pages/maintenance-page.tsx';
import { ModelsPage } from './pages/models-page.tsx';
import { NowPage } from './pages/now-page.tsx';
import { RefusedPage } from './pages/refused-page.tsx';
import { setPerson, usePerson } from './person.ts';
import { queries } from './queries.ts';
import { usePath } from './route.ts';
import { StaleBar } from './stale-bar.tsx';

export function App() {
  const { line } = useLive();
  const [known, setKnown] = useState(false);
  useEffect(() => {
    // Asking first keeps a page without a session from knocking at every door.
    client
      .session()
      .then(({ open }) => (open ? startLive() : lockOut()), startLive)
      .finally(() => setKnown(true));
    return stopLive;
  }, []);
  if (!known) return null;
  return line === 'locked-out' ? <LoginPage /> : <Shell />;
}

/** In the order of the menu: the first part of the address, its word, the list, and the page of one item of it. */
const PAGES: readonly Place[] = [
  { at: '', word: 'now', List: NowPage },
  { at: 'fleet', word: 'fleet', List: FleetPage },
  { at: 'duties', word: 'duties', List: DutiesPage },
  { at: 'models', word: 'models', List: ModelsPage },
  { at: 'maintenance', word: 'maintenance', List: MaintenancePage },
  { at: 'incidents', word: 'incidents', List: IncidentsPage, Item: IncidentPage },
  { at: 'events', word: 'events', List: EventsPage },
  { at: 'refused', word: 'refused', List: RefusedPage },
];

interface Place {
  readonly at: string;
  readonly word: 'now' | 'fleet' | 'duties' | 'models' | 'maintenance' | 'incidents' | 'events' | 'refused';
  readonly List: ComponentType;
  readonly Item?: ComponentType<{ readonly id: string }>;
}

/** Alarms have no list of their own: it is the first page. */
const ALARMS = { List: NowPage, Item: AlarmPage };

function Page({ path: [at = '', id] }: { readonly path: readonly string[] }) {
  const { t } = useTranslation();
  const place: Pick<Place, 'List' | 'Item'> | undefined = at === 'alarms' ? ALARMS : PAGES.find((one) => one.at === at);
  if (place === undefined) return <p className="empty">{t('notFound')}</p>;
  const { List, Item } = place;
  return id !== undefined && Item !== undefined ? <Item key={id} id={id} /> : <List />;
}

function Shell() {
  const { t } = useTranslation();
  const path = usePath();
  const live = useLive();
  const status = useQuery(queries.status);
  const person = usePerson();
  const { colorScheme, setColorScheme } = useMantineColorScheme({ keepTransitions: true });
  const [helping, setHelping] = useState(false);
  const dark =
    colorScheme === 'dark' || (colorScheme === 'auto' && window.matchMedia('(prefers-color-scheme: dark)').matches);

  const locked = status.error instanceof CallError && status.error.status === 401;
  useEffect(() => {
    if (locked) lockOut();
  }, [locked]);

  const current = path[0] ?? '';
  useEffect(() => {
    const word = PAGES.find(({ at }) => at === current)?.word;
    document.title = word === undefined ? 'Millwright' : `${t(word)} – Millwright`;
  }, [current, t]);

  useEffect(() => {
    const onKey = (event: KeyboardEvent): void => {
      const field = (event.target as HTMLElement).closest('input, select, textarea');
      if (event.key === 'Escape') {
        if (field instanceof HTMLElement) field.blur();
        setHelping(false);
      }
      if (field !== null || event.ctrlKey || event.metaKey || event.altKey) return;
      if (event.key === '?') setHelping((now) => !now);
      else if (event.key === '/') {
        const search = document.querySelector<HTMLInputElement>('[data-search]');
        if (search === null) return;
        event.preventDefault();
        search.focus();
        search.select();
      }
    };
    window.addEventListener('keydown', onKey);
    return () => window.removeEventListener('keydown', onKey);
  }, []);

  const logOut = (): void => {
    void client
      .logOut()
      .catch(() => {})
      .then(lockOut);
  };

  return (
    <div className="shell" data-stale={live.line === 'broken' || undefined}>
      <a className="skip" href="#content">
        {t('skip')}
      </a>
      <header>
        <span className="brand">Millwright</span>
        <span className="site-name">{status.data?.site}</span>
        <Menu current={current} />
        <div className="tools">
          <span className={`line line-${live.line}`}>
            {t(live.line === 'open' ? 'live' : live.line === 'broken' ? 'staleShort' : 'connecting')}
          </span>
          {person !== '' && (
            <Button
              className="person"
              variant="subtle"
              color="gray"
              title={t('changeName')}
              onClick={() => setPerson('')}
            >
              {t('asName', { name: person })}
            </Button>
          )}
          <LanguageChoice />
          <Button variant="subtle" color="gray" onClick={() => setColorScheme(dark ? 'light' : 'dark')}>
            {t(dark ? 'light' : 'dark')}
          </Button>
          <Button
            variant="subtle"
            color="gray"
            className="help-button"
            aria-expanded={helping}
            onClick={() => setHelping(!helping)}
          >
            {t('help')}&nbsp;<Kbd aria-hidden>?</Kbd>
          </Button>
          <Button variant="subtle" color="gray" onClick={logOut}>
            {t('logOut')}
          </Button>
        </div>
      </header>
      <StaleBar />
      <main id="content" tabIndex={-1}>
        <Page path={path} />
      </main>
      {helping && <Keys onClose={() => setHelping(false)} />}
    </div>
  );
}

function Menu({ current }: { readonly current: string }) {
  const { t } = useTranslation();
  const menu = useRef<HTMLElement>(null);
  useEffect(() => {
    // On a phone it is wider than the screen: where the reader is must be seen in it.
    const here = menu.current?.querySelector(`[href="/${CSS.escape(current)}"]`);
    if (menu.current === null || here == null) return;
    const [all, one] = [menu.current.getBoundingClientRect(), here.getBoundingClientRect()];
    menu.current.scrollLeft += one.left + one.width / 2 - all.left - all.width / 2;
  }, [current]);
  return (
    <nav aria-label={t('pages')} ref={menu}>
      {PAGES.map(({ at, word }) => (
        <Link key={at} href={`/${at}`} aria-current={current === at ? 'page' : undefined}>
          {t(word)}
        </Link>
      ))}
    </nav>
  );
}

/** Docked in a corner, never over the alarms. */
function Keys({ onClose }: { readonly onClose: () => void }) {
  const { t } = useTranslation();
  const keys = [
    ['j', 'keyNext'],
    ['k', 'keyPrevious'],
    ['a', 'keyAcknowledge'],
    ['/', 'keySearch'],
    ['?', 'keyHelp'],
    ['Esc', 'keyEscape'],
  ] as const;
  return (
    <aside className="keys" aria-label={t('keysTitle')}>
      <h2>{t('keysTitle')}</h2>
      <dl>
        {keys.map(([key, word]) => (
          <div key={key}>
            <dt>
              <Kbd>{key}</Kbd>
            </dt>
            <dd>{t(word)}</dd>
          </div>
        ))}
      </dl>
      <Button variant="default" onClick={onClose}>
        {t('close')}
      </Button>
    </aside>
  );
}
