import type { TFunction } from 'i18next';
import { useTranslation } from 'react-i18next';
import { useNow } from './clock.ts';

/** A length of time in at most two units: `12 s`, `3 min 5 s`, `2 h 14 min`, `4 d 3 h`. */
export const span = (t: TFunction, ms: number): string => {
  const s = Math.max(0, Math.floor(ms / 1_000));
  if (s < 60) return `${s} ${t('unitS')}`;
  const two = (big: number, bigUnit: string, small: number, smallUnit: string): string =>
    small === 0 ? `${big} ${bigUnit}` : `${big} ${bigUnit} ${small} ${smallUnit}`;
  if (s < 600) return two(Math.floor(s / 60), t('unitMin'), s % 60, t('unitS'));
  if (s < 3_600) return `${Math.floor(s / 60)} ${t('unitMin')}`;
  if (s < 86_400) return two(Math.floor(s / 3_600), t('unitH'), Math.floor((s % 3_600) / 60), t('unitMin'));
  return two(Math.floor(s / 86_400), t('unitD'), Math.floor((s % 86_400) / 3_600), t('unitH'));
};

/** A length of time in its largest unit alone: `12 s`, `3 min`, `2 h`, `4 d`. */
export const roundSpan = (t: TFunction, ms: number): string => {
  const s = Math.max(0, Math.floor(ms / 1_000));
  if (s < 60) return `${s} ${t('unitS')}`;
  if (s < 3_600) return `${Math.floor(s / 60)} ${t('unitMin')}`;
  if (s < 86_400) return `${Math.floor(s / 3_600)} ${t('unitH')}`;
  return `${Math.floor(s / 86_400)} ${t('unitD')}`;
};

/** A measured length, with three meaningful figures below a minute: `420 ms`, `1.93 s`, `12.4 s`. */
export const figure = (t: TFunction, language: string, ms: number | null): string => {
  if (ms === null) return '–';
  if (ms < 1_000) return `${Math.round(ms)} ${t('unitMs')}`;
  if (ms >= 60_000) return span(t, ms);
  const digits = ms < 10_000 ? 2 : 1;
  const number = new Intl.NumberFormat(language, { minimumFractionDigits: digits, maximumFractionDigits: digits });
  return `${number.format(ms / 1_000)} ${t('unitS')}`;
};

const utc = (at: number): string => `${new Date(at).toISOString().replace('T', ' ').replace('Z', '')} UTC`;

/** How much is stored or sent: `840 B`, `123 kB`, `4.2 MB`. */
export const size = (language: string, bytes: number): string => {
  if (bytes < 1_000) return `${bytes} B`;
  const [n, unit, maximumFractionDigits] = bytes < 1e6 ? [bytes / 1e3, 'kB', 0] : [bytes / 1e6, 'MB', 1];
  return `${new Intl.NumberFormat(language, { maximumFractionDigits }).format(n)} ${unit}`;
};

/** “12 s ago”, true every second; UTC when pointed at. */
export function Ago({ at }: { readonly at: number }) {
  const { t } = useTranslation();
  const now = useNow();
  const text =
    at > now + 1_000 ? t('ahead', { span: roundSpan(t, at - now) }) : t('ago', { span: roundSpan(t, now - at) });
  return (
    <time dateTime={new Date(at).toISOString()} title={utc(at)} className="figures">
      {text}
    </time>
  );
}

/** Making a format costs more than using it, and a list uses one a thousand times. */
const formats = new Map<string, Intl.DateTimeFormat>();

const formatOf = (language: string, dated: boolean, fine: boolean): Intl.DateTimeFormat => {
  const key = `${language} ${dated} ${fine}`;
  let format = formats.get(key);
  if (format === undefined) {
    format = new Intl.DateTimeFormat(language === 'en' ? 'en-GB' : language, {
      // A month by its name: 11/12 is another day for every second reader.
      ...(dated ? { year: 'numeric', month: 'short', day: 'numeric' } : {}),
      hour: '2-digit',
      minute: '2-digit',
      second: '2-digit',
      hourCycle: 'h23',
      ...(fine ? { fractionalSecondDigits: 3 } : {}),
    });
    formats.set(key, format);
  }
  return format;
};

/** Local time of day, with the date when it was another day; UTC when pointed at. */
export function At({
  at,
  fine = false,
  day,
}: {
  readonly at: number;
  /** With milliseconds. */
  readonly fine?: boolean;
  /** A moment of the day that the reader already knows; without it, today. */
  readonly day?: number;
}) {
  const { i18n } = useTranslation();
  const date = new Date(at);
  const dated = startOfDay(at) !== startOfDay(day ?? Date.now());
  return (
    <time dateTime={date.toISOString()} title={utc(at)} className="figures">
      {formatOf(i18n.language, dated, fine).format(date)}
    </time>
  );
}

export const startOfDay = (now: number): number => new Date(now).setHours(0, 0, 0, 0);
