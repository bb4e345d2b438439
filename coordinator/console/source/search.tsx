import { TextInput } from '@mantine/core';
import { useTranslation } from 'react-i18next';
import { useQueryValue } from './route.ts';

/** The search field of a list; what it holds stands in the address as `q`. */
export function Search() {
  const { t } = useTranslation();
  const [q, setQ] = useQueryValue('q');
  return (
    <TextInput
      className="search"
      type="search"
      aria-label={t('search')}
      placeholder={t('search')}
      value={q}
      onChange={(event) => setQ(event.currentTarget.value)}
      maxLength={200}
      data-search
    />
  );
}

/** All words of `q` occur somewhere in the texts, whatever the case. */
export const matches = (q: string, ...texts: readonly (string | null | undefined)[]): boolean => {
  const all = texts.join('\n').toLowerCase();
  return q
    .toLowerCase()
    .split(/\s+/)
    .every((word) => all.includes(word));
};

/** No list grows without end on a screen: after this many rows, searching is what helps. */
export const ROWS = 500;

export function More({ count }: { readonly count: number }) {
  const { t } = useTranslation();
  return count <= 0 ? null : <p className="muted">{t('more', { count })}</p>;
}

/** What stands in the place of a list: an error, “loading”, or that nothing is there. */
export function Placeholder({
  query,
  empty,
  text,
}: {
  readonly query: { readonly isPending: boolean; readonly error: Error | null };
  readonly empty: string;
  readonly text?: string;
}) {
  const { t } = useTranslation();
  const [q, setQ] = useQueryValue('q');
  if (query.error !== null) return <p className="empty">{t('failed', { message: query.error.message })}</p>;
  if (query.isPending) return <p className="empty muted">{t('loading')}</p>;
  if (q !== '')
    return (
      <p className="empty">
        {t('nothingMatches', { q })}{' '}
        <button type="button" className="plain" onClick={() => setQ('')}>
          {t('clearSearch')}
        </button>
      </p>
    );
  return (
    <div className="empty">
      <p className="big">{empty}</p>
      {text !== undefined && <p className="muted">{text}</p>}
    </div>
  );
}
