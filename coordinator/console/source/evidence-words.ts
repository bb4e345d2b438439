import type { TFunction } from 'i18next';
import { useMemo } from 'react';
import { useTranslation } from 'react-i18next';
import type { EvidenceCurve } from '../../../agent/wire/evidence.ts';
import { isScore, type Line, type Mark, valueAt } from './evidence-curves.ts';

/** One curve as the page shows it. */
export interface Row {
  readonly curve: EvidenceCurve;
  readonly line: Line;
  readonly marks: readonly Mark[];
  /** Its plain name. */
  readonly title: string;
}

/** How values and moments of an evidence are said in the reader's language. */
export interface CurveWords {
  readonly number: (value: number) => string;
  /** With its curve's unit. */
  readonly value: (value: number, curve: EvidenceCurve) => string;
  /** A moment in seconds from the alarm: `−8 min`, `+40 s`, and the alarm itself by its name. */
  readonly time: (x: number) => string;
  readonly title: (row: Row) => string;
  readonly limit: (mark: Mark, curve: EvidenceCurve) => string;
  /** Nothing heard, or what came was bad. */
  readonly lack: (kind: 'gap' | 'bad') => string;
  /** The value at a moment; without one, at the alarm. `step` in seconds. */
  readonly readout: (row: Row, moment: number | undefined, step: number) => string;
  /** What the picture shows, for whoever does not see it. */
  readonly summary: (row: Row) => string;
}

export const useCurveWords = (): CurveWords => {
  const { t, i18n } = useTranslation();
  return useMemo(() => wordsIn(t, i18n.language), [t, i18n.language]);
};

const wordsIn = (t: TFunction, language: string): CurveWords => {
  const format = new Intl.NumberFormat(language, { maximumSignificantDigits: 3 });
  const number = (value: number): string => format.format(value);
  const value: CurveWords['value'] = (one, { unit }) => (unit === undefined ? number(one) : `${number(one)} ${unit}`);
  const title: CurveWords['title'] = (row) => (isScore(row.curve) ? t('scoreOf', { model: row.title }) : row.title);
  const limit: CurveWords['limit'] = ({ kind, side, value: at }, curve) =>
    kind === 'threshold'
      ? t('limitThreshold', { value: value(at, curve) })
      : t(side === 'above' ? 'limitAbove' : 'limitBelow', { value: value(at, curve), level: t(`level_${kind}`) });
  const lack: CurveWords['lack'] = (kind) => t(kind === 'bad' ? 'shadeBad' : 'shadeGap');
  return {
    number,
    value,
    title,
    limit,
    lack,
    time: (x) => {
      if (Math.abs(x) < 0.5) return t('momentAlarm');
      const sign = x < 0 ? '−' : '+';
      const away = Math.abs(x);
      if (away < 59.5) return `${sign}${Math.round(away)} ${t('unitS')}`;
      return `${sign}${number(Math.round(away / 6) / 10)} ${t('unitMin')}`;
    },
    readout: ({ curve, line }, moment, step) => {
      const read = moment === undefined ? (curve.raised ?? valueAt(line, 0, step)) : valueAt(line, moment, step);
      return typeof read === 'number' ? value(read, curve) : lack(read);
    },
    summary: (row) => {
      const { curve, line, marks } = row;
      const values = line.ys.filter((y): y is number => y !== null);
      return [
        title(row),
        values.length === 0
          ? lack('gap')
          : t('chartRange', { low: number(Math.min(...values)), high: value(Math.max(...values), curve) }),
        ...(curve.raised === undefined ? [] : [t('chartThen', { value: value(curve.raised, curve) })]),
        ...marks.map((mark) => limit(mark, curve)),
      ].join('; ');
    },
  };
};
