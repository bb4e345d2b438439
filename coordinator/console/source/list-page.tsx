import type { ReactNode } from 'react';
import { useTranslation } from 'react-i18next';
import { Link } from './link.tsx';
import { useQueryValue } from './route.ts';
import { More, matches, Placeholder, ROWS, Search, type Waited } from './search.tsx';

/**
 * A page that is one list: its title and the search on top, then the rows that fit, or what stands in their place.
 * What is searched for stands in the address, so what somebody found is a link.
 */
export function ListPage<T>({
  title,
  query,
  searched,
  order,
  empty,
  text,
  above,
  children,
}: {
  readonly title: string;
  readonly query: Waited & { readonly data: readonly T[] | undefined };
  /** The texts of an item in which the search looks. */
  readonly searched: (item: T) => readonly (string | null | undefined)[];
  /** Without it the list stands as it came. */
  readonly order?: (a: T, b: T) => number;
  /** What is said where the list has nothing, in large, and under it why that is. */
  readonly empty: string;
  readonly text: string;
  /** What comes before the list, whether or not anything is found. */
  readonly above?: ReactNode;
  readonly children: (rows: readonly T[]) => ReactNode;
}) {
  const [q] = useQueryValue('q');
  const found = (query.data ?? []).filter((item) => matches(q, ...searched(item)));
  if (order !== undefined) found.sort(order);
  const rows = found.slice(0, ROWS);
  return (
    <section>
      <TitleLine title={title}>
        <Search />
      </TitleLine>
      {above}
      {rows.length === 0 ? <Placeholder query={query} empty={empty} text={text} /> : children(rows)}
      <More count={found.length - rows.length} />
    </section>
  );
}

/** A page's name on the left, and on the right what one does with all of it. */
export function TitleLine({ title, children }: { readonly title: ReactNode; readonly children?: ReactNode }) {
  return (
    <div className="title-line">
      <h1>{title}</h1>
      {children}
    </div>
  );
}

/** The way from one item back to where it stands among the others. */
export function Crumb({ href, word }: { readonly href: string; readonly word: 'now' | 'incidents' }) {
  const { t } = useTranslation();
  return (
    <p className="crumb">
      <Link href={href}>← {t(word)}</Link>
    </p>
  );
}
