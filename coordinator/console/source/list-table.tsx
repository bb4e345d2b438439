import type { ReactNode } from 'react';

/** One column: what stands above it, and what it says of a row. */
export interface Column<T> {
  readonly head: string;
  readonly cell: (row: T) => ReactNode;
  /**
   * `name`: what the row is about, its heading. `right`: set to the right. `figures`: to the right as well, its digits
   * below each other, marked when the line to the coordinator is broken. `breakable`: long words without a space break.
   */
  readonly kind?: 'name' | 'right' | 'figures' | 'breakable';
}

const CLASSES = { name: undefined, right: 'right', figures: 'right figures num', breakable: 'breakable' } as const;

/**
 * Rows with a heading for each column. On a phone every row becomes a card, and each cell says its column's name itself:
 * so the name is given once, here.
 */
export function ListTable<T>({
  columns,
  rows,
  keyOf,
  mark,
}: {
  readonly columns: readonly Column<T>[];
  readonly rows: readonly T[];
  /** What tells one row from all others, as long as it stands. */
  readonly keyOf: (row: T) => string | number;
  /** A data attribute that holds each row's key, for whoever looks for one in the page. */
  readonly mark?: `data-${string}`;
}) {
  return (
    <table className="list">
      <thead>
        <tr>
          {columns.map(({ head, kind }) => (
            <th key={head} scope="col" className={kind === 'right' || kind === 'figures' ? 'right' : undefined}>
              {head}
            </th>
          ))}
        </tr>
      </thead>
      <tbody>
        {rows.map((row) => (
          <tr key={keyOf(row)} {...(mark === undefined ? {} : { [mark]: keyOf(row) })}>
            {columns.map(({ head, cell, kind }) =>
              kind === 'name' ? (
                <th key={head} scope="row">
                  {cell(row)}
                </th>
              ) : (
                <td key={head} data-label={head} className={kind && CLASSES[kind]}>
                  {cell(row)}
                </td>
              ),
            )}
          </tr>
        ))}
      </tbody>
    </table>
  );
}
