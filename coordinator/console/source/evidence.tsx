import type { TFunction } from 'i18next';
import { useCallback, useId, useMemo, useState } from 'react';
import { useTranslation } from 'react-i18next';
import type { EvidenceCurve } from '../../../agent/wire/evidence.ts';
import type { AlarmView, EvidenceView } from '../../api/schemas.ts';
import { alarmHref } from './alarm-parts.tsx';
import { Chart } from './chart.tsx';
import { useNow } from './clock.ts';
import {
  type Found,
  findEvidence,
  followedMs,
  inOrder,
  isScore,
  type Line,
  lineOf,
  type Mark,
  marksOf,
  type Part,
  partsOf,
  plainName,
  spanOf,
  tableOf,
  valueAt,
} from './evidence-curves.ts';
import { Link } from './link.tsx';
import { Sign } from './shapes.tsx';
import { Ago, At, span as spanText } from './times.tsx';

/** What the box recorded around the moment of an alarm, and what of it was out of the usual. */
export function Evidence({
  alarm,
  items,
  asked,
}: {
  readonly alarm: AlarmView;
  readonly items: readonly EvidenceView[];
  readonly asked: string;
}) {
  const { t } = useTranslation();
  // Whether it is late is a matter of seconds; what is drawn does not hang on the clock.
  const found = findEvidence(items, alarm, asked, useNow());
  const others = items.filter((item) => !('view' in found) || item.evidence !== found.view.evidence);
  return (
    <section className="evidence" aria-labelledby="evidence-title">
      <h2 id="evidence-title">{t('evidence')}</h2>
      <State found={found} />
      {'view' in found && found.view.curves.length > 0 && <Curves key={found.view.evidence} view={found.view} />}
      {others.length > 0 && (
        <>
          <h3>{t('evidenceOthers')}</h3>
          <ul className="others">
            {others.map((item) => (
              <li key={item.evidence}>
                <Link href={`${alarmHref(alarm.alarmId)}?evidence=${encodeURIComponent(item.evidence)}`}>
                  <At at={item.at} />
                </Link>{' '}
                <span className="muted">
                  <Ago at={item.at} />
                  {item.occurrence === alarm.occurrence && ` · ${t('evidenceOfThis')}`}
                </span>
              </li>
            ))}
          </ul>
        </>
      )}
    </section>
  );
}

/** Where nothing is drawn, and where what is drawn is not all, that is said. */
function State({ found }: { readonly found: Found }) {
  const { t } = useTranslation();
  const now = useNow();
  if (found.kind === 'awaited') return <p className="muted">{t('evidenceAwaited')}</p>;
  if (found.kind === 'none') return <p className="muted">{t('evidenceNone')}</p>;
  const { view } = found;
  const late = view.stage === 'begun' && now - view.at > followedMs;
  return (
    <>
      {found.kind === 'earlier' && (
        <p className="doubt">
          <Sign kind="C" />
          {t('evidenceEarlier')}
        </p>
      )}
      <p className="muted">
        {t('evidenceBy', { agent: view.agent })} <At at={view.from} />
        {' – '}
        <At at={view.to} />
        {view.bytes !== null && ` · ${t('evidenceKept', { kb: Math.max(1, Math.round(view.bytes / 1_000)) })}`}
        {view.stage === 'begun' && !late && ` · ${t('evidenceFollows')}`}
      </p>
      {late && (
        <p className="doubt">
          <Sign kind="C" />
          {t('evidenceLate', { agent: view.agent })}
        </p>
      )}
      {view.curves.length === 0 && <p className="muted">{t('evidenceUnreadable')}</p>}
    </>
  );
}

interface Row {
  readonly curve: EvidenceCurve;
  readonly line: Line;
  readonly marks: readonly Mark[];
  readonly title: string;
}

const numbers = new Map<string, Intl.NumberFormat>();

const numberOf = (language: string): ((value: number) => string) => {
  const format = numbers.get(language) ?? new Intl.NumberFormat(language, { maximumSignificantDigits: 3 });
  numbers.set(language, format);
  return (value) => format.format(value);
};

/** `−8 min`, `+40 s`, and the alarm itself by its name. */
const timeFrom = (t: TFunction, number: (value: number) => string, x: number): string => {
  if (Math.abs(x) < 0.5) return t('momentAlarm');
  const sign = x < 0 ? '−' : '+';
  const away = Math.abs(x);
  if (away < 59.5) return `${sign}${Math.round(away)} ${t('unitS')}`;
  return `${sign}${number(Math.round(away / 6) / 10)} ${t('unitMin')}`;
};

function Curves({ view }: { readonly view: EvidenceView }) {
  const { t, i18n } = useTranslation();
  const [moment, setMoment] = useState<number>();
  const number = useMemo(() => numberOf(i18n.language), [i18n.language]);
  const timeText = useCallback((x: number) => timeFrom(t, number, x), [t, number]);
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
      <Parts parts={parts} thing={view.thing} number={number} />
      <div className="charts">
        {rows.map((row, i) => (
          <figure key={row.curve.name} data-curve={row.curve.name}>
            <figcaption>
              <strong>{isScore(row.curve) ? t('scoreOf', { model: row.title }) : row.title}</strong>
              {row.curve.unit !== undefined && <span className="muted">{row.curve.unit}</span>}
              {row.marks.map((mark) => (
                <span key={`${mark.kind} ${mark.side} ${mark.value}`} className={`limit limit-${mark.kind}`}>
                  {limitText(t, number, mark, row.curve.unit)}
                </span>
              ))}
              <span className="readout figures num">{readout(t, number, row, moment, view.step)}</span>
            </figcaption>
            <Chart
              line={row.line}
              marks={row.marks}
              span={span}
              withTimes={i === rows.length - 1}
              label={summary(t, number, row)}
              moment={moment}
              onMoment={setMoment}
              timeText={timeText}
              numberText={number}
            />
          </figure>
        ))}
        <Pointer
          span={span}
          moment={moment}
          onMoment={setMoment}
          at={view.at}
          text={timeText(moment ?? 0)}
          told={rows.map((row) => `${row.title} ${readout(t, number, row, moment, view.step)}`).join(', ')}
        />
        {shaded.size > 0 && (
          <p className="legend muted">
            {shaded.has('gap') && <span className="swatch gap">{t('shadeGap')}</span>}
            {shaded.has('bad') && <span className="swatch bad">{t('shadeBad')}</span>}
          </p>
        )}
      </div>
      <Table rows={rows} view={view} number={number} timeText={timeText} />
    </>
  );
}

const unitText = (unit: string | undefined): string => (unit === undefined ? '' : ` ${unit}`);

const limitText = (t: TFunction, number: (value: number) => string, mark: Mark, unit: string | undefined): string => {
  const value = `${number(mark.value)}${unitText(unit)}`;
  if (mark.kind === 'threshold') return t('limitThreshold', { value });
  return t(mark.side === 'above' ? 'limitAbove' : 'limitBelow', { value, level: t(`level_${mark.kind}`) });
};

/** The value at the pointer; without one, at the alarm. */
const readout = (
  t: TFunction,
  number: (value: number) => string,
  { curve, line }: Row,
  moment: number | undefined,
  step: number,
): string => {
  const value = moment === undefined ? (curve.raised ?? valueAt(line, 0, step)) : valueAt(line, moment, step);
  if (typeof value === 'number') return `${number(value)}${unitText(curve.unit)}`;
  return t(value === 'bad' ? 'shadeBad' : 'shadeGap');
};

/** What the picture shows, for whoever does not see it. */
const summary = (t: TFunction, number: (value: number) => string, row: Row): string => {
  const values = row.line.ys.filter((y): y is number => y !== null);
  const unit = unitText(row.curve.unit);
  const parts = [
    isScore(row.curve) ? t('scoreOf', { model: row.title }) : row.title,
    values.length === 0
      ? t('shadeGap')
      : t('chartRange', { low: number(Math.min(...values)), high: `${number(Math.max(...values))}${unit}` }),
    ...(row.curve.raised === undefined ? [] : [t('chartThen', { value: `${number(row.curve.raised)}${unit}` })]),
    ...row.marks.map((mark) => limitText(t, number, mark, row.curve.unit)),
  ];
  return parts.join('; ');
};

/** What each signal had to do with it, in words; the bar says the same to the eye. */
function Parts({
  parts,
  thing,
  number,
}: {
  readonly parts: readonly Part[];
  readonly thing: string;
  readonly number: (value: number) => string;
}) {
  const { t } = useTranslation();
  if (parts.length === 0) return null;
  return (
    <ul className="parts">
      {parts.map(({ curve, share, spreads, direction, beyond }) => {
        const unit = unitText(curve.unit);
        const isOdd = beyond !== undefined || (spreads ?? 0) >= 3;
        const told = [
          ...(curve.raised === undefined ? [] : [t('partThen', { value: `${number(curve.raised)}${unit}` })]),
          ...(curve.usual === undefined ? [] : [t('partUsual', { value: `${number(curve.usual[0])}${unit}` })]),
        ];
        return (
          <li key={curve.name}>
            <strong>{plainName(curve, thing)}</strong>
            <span className="part-words">
              {told.join(', ')}
              {spreads !== undefined && ' · '}
              {spreads !== undefined && (
                <span className={isOdd ? 'odd' : 'muted'}>
                  {spreads < 1
                    ? t('partAsUsual')
                    : t(direction === 'above' ? 'partAbove' : 'partBelow', { n: spreadsText(number, spreads) })}
                </span>
              )}
              {beyond !== undefined && ' · '}
              {beyond !== undefined && <span className="odd">{limitText(t, number, beyond, curve.unit)}</span>}
            </span>
            {share !== undefined && (
              <span className="share">
                <meter min={0} max={1} value={share} aria-label={t('partShare', { n: Math.round(share * 100) })} />
                <span className="figures num">{t('partShare', { n: Math.round(share * 100) })}</span>
              </span>
            )}
          </li>
        );
      })}
    </ul>
  );
}

const spreadsText = (number: (value: number) => string, spreads: number): string =>
  number(spreads >= 10 ? Math.round(spreads) : Math.round(spreads * 10) / 10);

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

function Table({
  rows,
  view,
  number,
  timeText,
}: {
  readonly rows: readonly Row[];
  readonly view: EvidenceView;
  readonly number: (value: number) => string;
  readonly timeText: (x: number) => string;
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
            <caption className="muted">{t('tableCaption', { span: spanText(t, (view.to - view.from) / 24) })}</caption>
            <thead>
              <tr>
                <th scope="col">{t('when')}</th>
                {rows.map(({ curve, title }) => (
                  <th scope="col" className="right" key={curve.name}>
                    {isScore(curve) ? t('scoreOf', { model: title }) : title}
                    {curve.unit !== undefined && <span className="sub muted">{curve.unit}</span>}
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
                    {timeText(from)}
                  </th>
                  {cells.map((cell, i) => (
                    <td className="right figures" key={rows[i]?.curve.name}>
                      {cell === 'gap' || cell === 'bad' ? (
                        <span className="muted">{t(cell === 'bad' ? 'shadeBad' : 'shadeGap')}</span>
                      ) : cell.low === cell.high ? (
                        number(cell.low)
                      ) : (
                        `${number(cell.low)} … ${number(cell.high)}`
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
