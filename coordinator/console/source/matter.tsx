import { useQuery } from '@tanstack/react-query';
import type { TFunction } from 'i18next';
import { useTranslation } from 'react-i18next';
import type { SiteStatement } from '../../api/schemas.ts';
import { Link } from './link.tsx';
import { queries } from './queries.ts';
import { Sign } from './shapes.tsx';
import { Ago } from './times.tsx';
import { factText } from './verdict-words.ts';

/** What is the matter with the mesh, in the words of whom to send: to the box, the switch, the cable, the server. */
const SIGN = {
  segment: 'F',
  gone: 'F',
  'i-am-cut': 'F',
  coordinator: 'F',
  'my-uplink': 'S',
  link: 'S',
  'i-am-slow': 'S',
  other: 'C',
} as const;

const FEW = 8;
/** So many witnesses are named; of more it counts how many of all they are. */
const NAMED = 2;
const names = (all: readonly string[]): string => all.slice(0, FEW).join(', ') + (all.length > FEW ? ' …' : '');

const headline = (t: TFunction, { class: kind, subject, other, members, proven, text }: SiteStatement): string => {
  const a = subject ?? '';
  switch (kind) {
    case 'segment':
      return t('matterSegment', { a });
    case 'gone':
      return t(proven ? 'matterDead' : 'matterGone', { a });
    case 'i-am-cut':
      return t('matterCut', { a });
    case 'coordinator':
      return members.length > 0 ? t('matterUnheard', { n: members.length }) : t('matterCoordinator');
    case 'my-uplink':
      return t('matterUplink', { a });
    case 'link':
      return t('matterLink', { a, b: other ?? '' });
    case 'i-am-slow':
      return t('matterSlow', { a });
    case 'other':
      return `${a}: ${text}`;
  }
};

const advice = (t: TFunction, { class: kind, subject, proven }: SiteStatement): string => {
  switch (kind) {
    case 'segment':
      return t('adviceSegment', { a: subject ?? '' });
    case 'gone':
      return t(proven ? 'adviceDead' : 'adviceGone');
    case 'i-am-cut':
      return t('adviceCut');
    case 'coordinator':
      return t('adviceCoordinator');
    case 'my-uplink':
      return t('adviceUplink');
    case 'link':
      return t('adviceLink');
    case 'i-am-slow':
      return t('adviceSlow');
    case 'other':
      return '';
  }
};

/** All of it, with what to look after and what it rests on. */
export function Matters() {
  const { t } = useTranslation();
  const matters = useQuery(queries.verdict).data;
  if (matters === undefined || matters.length === 0) return null;
  return (
    <section className="matters" aria-labelledby="matters-title">
      <h2 id="matters-title">{t('matter')}</h2>
      <ul>
        {matters.map((matter) => (
          <Matter key={matter.id} matter={matter} />
        ))}
      </ul>
    </section>
  );
}

function Matter({ matter }: { readonly matter: SiteStatement }) {
  const { t } = useTranslation();
  const { saidBy, witnesses, evidence, members } = matter;
  const toDo = advice(t, matter);
  return (
    <li data-matter={matter.id}>
      <Sign kind={SIGN[matter.class]} />
      <div className="matter-what">
        <strong className="wrong">{headline(t, matter)}</strong>
        {members.length > 0 && <span className="sub">{names(members)}</span>}
        {toDo !== '' && <span>{toDo}</span>}
        {evidence.length > 0 && (
          <details>
            <summary>{t('evidence')}</summary>
            <ul className="words">
              {evidence.flatMap(({ by, texts, facts }) =>
                texts.map((text, i) => (
                  <li key={`${by} ${text}`}>
                    <span className="muted">{by}:</span> {factText(t, facts[i] ?? null, text)}
                  </li>
                )),
              )}
            </ul>
          </details>
        )}
      </div>
      <div className="matter-when muted figures">
        <Ago at={matter.since} />
        <span className="sub">
          {saidBy.length === 0
            ? t('matterHeard')
            : saidBy.length > NAMED
              ? t('matterSaidByMany', { n: saidBy.length, of: witnesses })
              : t('matterSaidBy', { names: saidBy.join(', ') })}
        </span>
      </div>
    </li>
  );
}

const SHOWN = 4;

/** The first few, in a line each, for the page that is always open. */
export function MattersInShort() {
  const { t } = useTranslation();
  const matters = useQuery(queries.verdict).data;
  if (matters === undefined || matters.length === 0) return null;
  return (
    <section className="matters-short">
      <h2>
        {t('matter')}
        <Link href="/fleet">{t('seeAll')}</Link>
      </h2>
      <ul>
        {matters.slice(0, SHOWN).map((matter) => (
          <li key={matter.id} data-matter={matter.id} className="wrong">
            <Sign kind={SIGN[matter.class]} />
            <span>
              {headline(t, matter)}
              <span className="sub muted">
                <Ago at={matter.since} />
              </span>
            </span>
          </li>
        ))}
      </ul>
      {matters.length > SHOWN && <p className="muted">{t('more', { count: matters.length - SHOWN })}</p>}
    </section>
  );
}
