import type { TFunction } from 'i18next';
import { useTranslation } from 'react-i18next';
import { TextField } from './form.tsx';
import { useQueryValue } from './route.ts';

/** The search field of a list; what it holds stands in the address as `q`. */
export function Search() {
  const { t } = useTranslation();
  const [q, setQ] = useQueryValue('q');
  return (
    <TextField
      className="search"
      type="search"
      aria-label={t('search')}
      placeholder={t('search')}
      value={q}
      onText={setQ}
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

/** Of a query: whether its answer is still to come, and what came instead of it. */
export interface Waited {
  readonly isPending: boolean;
  readonly error: Error | null;
}

/** What is said while a query has brought nothing yet; undefined once it has. */
export const waitText = (t: TFunction, { isPending, error }: Waited): string | undefined => {
  if (error !== null) return t('failed', { message: error.message });
  return isPending ? t('loading') : undefined;
};

/** What stands in the place of a list: an error, “loading”, or that nothing is there. */
export function Placeholder({
  query,
  empty,
  text,
}: {
  readonly query: Waited;
  readonly empty: string;
  readonly text?: string;
}) {
  const { t } = useTranslation();
  const [q, setQ] = useQueryValue('q');
  const waits = waitText(t, query);
  if (waits !== undefined) return <p className={query.error === null ? 'empty muted' : 'empty'}>{waits}</p>;
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
