import { useId, useMemo, useState } from 'react';
import { useTranslation } from 'react-i18next';
import type { EvidenceView } from '../../api/schemas.ts';
import { Chart } from './chart.tsx';
import { inOrder, lineOf, marksOf, partsOf, plainName, spanOf } from './evidence-curves.ts';
import { Parts } from './evidence-parts.tsx';
import { EvidenceTable } from './evidence-table.tsx';
import { type Row, useCurveWords } from './evidence-words.ts';
import { At } from './times.tsx';

/** All curves of one evidence below each other, with one pointer through them. */
export function Curves({ view }: { readonly view: EvidenceView }) {
  const words = useCurveWords();
  const [moment, setMoment] = useState<number>();
  const span = useMemo(() => spanOf(view), [view]);
  const rows = useMemo(
    () =>
      inOrder(view.curves).map((curve): Row => {
        const title = plainName(curve, view.thing);
        return { curve, line: lineOf(curve, view), marks: marksOf(curve), title };
      }),
    [view],
  );
  const parts = useMemo(() => partsOf(view.curves), [view]);
  const shaded = new Set(rows.flatMap(({ line }) => line.shades.map(({ kind }) => kind)));
  return (
    <>
      <Parts parts={parts} thing={view.thing} words={words} />
      <div className="charts">
        {rows.map((row, i) => (
          <figure key={row.curve.name} data-curve={row.curve.name}>
            <figcaption>
              <strong>{words.title(row)}</strong>
              {row.curve.unit !== undefined && <span className="muted">{row.curve.unit}</span>}
              {row.marks.map((mark) => (
                <span key={`${mark.kind} ${mark.side} ${mark.value}`} className={`limit limit-${mark.kind}`}>
                  {words.limit(mark, row.curve)}
                </span>
              ))}
              <span className="readout figures num">{words.readout(row, moment, view.step)}</span>
            </figcaption>
            <Chart
              line={row.line}
              marks={row.marks}
              span={span}
              withTimes={i === rows.length - 1}
              label={words.summary(row)}
              moment={moment}
              onMoment={setMoment}
              timeText={words.time}
              numberText={words.number}
            />
          </figure>
        ))}
        <Pointer
          span={span}
          moment={moment}
          onMoment={setMoment}
          at={view.at}
          text={words.time(moment ?? 0)}
          told={rows.map((row) => `${row.title} ${words.readout(row, moment, view.step)}`).join(', ')}
        />
        {shaded.size > 0 && (
          <p className="legend muted">
            {shaded.has('gap') && <span className="swatch gap">{words.lack('gap')}</span>}
            {shaded.has('bad') && <span className="swatch bad">{words.lack('bad')}</span>}
          </p>
        )}
      </div>
      <EvidenceTable rows={rows} view={view} words={words} />
    </>
  );
}

/** The pointer through all curves. A slider, so that arrows and a thumb move it as well as a mouse. */
function Pointer({
  span,
  moment,
  onMoment,
  at,
  text,
  told,
}: {
  readonly span: readonly [number, number];
  readonly moment: number | undefined;
  readonly onMoment: (x: number | undefined) => void;
  readonly at: number;
  readonly text: string;
  readonly told: string;
}) {
  const { t } = useTranslation();
  const id = useId();
  return (
    <div className="pointer">
      <label htmlFor={id}>{t('pointer')}</label>
      <input
        id={id}
        type="range"
        min={span[0]}
        max={span[1]}
        step={Math.max(1, Math.round((span[1] - span[0]) / 240))}
        value={moment ?? 0}
        aria-valuetext={`${text}: ${told}`}
        onChange={(event) => onMoment(Number(event.currentTarget.value))}
        onKeyDown={(event) => event.key === 'Escape' && onMoment(undefined)}
      />
      <span className="figures num">
        {text} · <At at={at + (moment ?? 0) * 1_000} />
      </span>
    </div>
  );
}
