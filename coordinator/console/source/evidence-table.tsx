import { useState } from 'react';
import { useTranslation } from 'react-i18next';
import type { EvidenceView } from '../../api/schemas.ts';
import { tableOf } from './evidence-curves.ts';
import type { CurveWords, Row } from './evidence-words.ts';
import { span } from './times.tsx';

/** The curves in numbers, for whoever does not see them; worked out when it is opened. */
export function EvidenceTable({
  rows,
  view,
  words,
}: {
  readonly rows: readonly Row[];
  readonly view: EvidenceView;
  readonly words: CurveWords;
}) {
  const { t } = useTranslation();
  const [open, setOpen] = useState(false);
  return (
    <details className="as-table" onToggle={(event) => setOpen(event.currentTarget.open)}>
      <summary>{t('asTable')}</summary>
      {open && (
        // biome-ignore lint/a11y/noNoninteractiveTabindex: what scrolls sideways must be reached by the keyboard
        <section className="scroll" aria-label={t('asTable')} tabIndex={0}>
          <table className="figures-table">
            <caption className="muted">{t('tableCaption', { span: span(t, (view.to - view.from) / 24) })}</caption>
            <thead>
              <tr>
                <th scope="col">{t('when')}</th>
                {rows.map((row) => (
                  <th scope="col" className="right" key={row.curve.name}>
                    {words.title(row)}
                    {row.curve.unit !== undefined && <span className="sub muted">{row.curve.unit}</span>}
                  </th>
                ))}
              </tr>
            </thead>
            <tbody>
              {tableOf(
                rows.map(({ line }) => line),
                view,
              ).map(({ from, cells }) => (
                <tr key={from}>
                  <th scope="row" className="figures">
                    {words.time(from)}
                  </th>
                  {cells.map((cell, i) => (
                    <td className="right figures" key={rows[i]?.curve.name}>
                      {cell === 'gap' || cell === 'bad' ? (
                        <span className="muted">{words.lack(cell)}</span>
                      ) : cell.low === cell.high ? (
                        words.number(cell.low)
                      ) : (
                        `${words.number(cell.low)} … ${words.number(cell.high)}`
                      )}
                    </td>
                  ))}
                </tr>
              ))}
            </tbody>
          </table>
        </section>
      )}
    </details>
  );
}
