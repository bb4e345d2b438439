import { useTranslation } from 'react-i18next';
import type { AlarmView } from '../../api/schemas.ts';

/**
 * Shapes that say the same as their colour, after NAMUR NE 107 and the habit of control rooms: each priority has a
 * form and a number of its own; filled means nobody has acknowledged it, an outline that somebody has, a dashed one
 * that it went before anybody did.
 */
const FORMS = {
  urgent: 'M9 1.5h10L26.5 9v10L19 26.5H9L1.5 19V9Z',
  high: 'M14 2 27 25.5H1Z',
  medium: 'M14 1 27 14 14 27 1 14Z',
  low: 'M3 3h22v22H3Z',
} as const;
const NUMBER = { urgent: '1', high: '2', medium: '3', low: '4' } as const;
const BASELINE = { urgent: 19, high: 22.5, medium: 19, low: 19 } as const;

export function PriorityShape({ alarm }: { readonly alarm: AlarmView }) {
  const { t } = useTranslation();
  const { priority } = alarm;
  const word = `${t(`priority${NUMBER[priority]}`)}, ${t(`state${alarm.state}`)}`;
  return (
    <svg className={`shape ${priority} ${alarm.state}`} viewBox="0 0 28 28" role="img" aria-label={word}>
      <title>{word}</title>
      <path d={FORMS[priority]} />
      <text x="14" y={BASELINE[priority]} textAnchor="middle">
        {NUMBER[priority]}
      </text>
    </svg>
  );
}

/** The health of a part in NE 107's four signs: F failure, C cannot tell, S out of specification, M maintenance. */
const SIGNS = {
  F: { form: 'M10 1a9 9 0 1 1 0 18 9 9 0 0 1 0-18Z', y: 14.2 },
  C: { form: 'M1 3h18L10 19Z', y: 12.2 },
  S: { form: 'M10 1 19 17H1Z', y: 15.2 },
  M: { form: 'M2 2h16v16H2Z', y: 14.2 },
} as const;

/** Without a label it stands beside words that say the same, and is for the eye only. */
export function Sign({ kind, label }: { readonly kind: keyof typeof SIGNS; readonly label?: string }) {
  const { form, y } = SIGNS[kind];
  const drawing = (
    <>
      <path d={form} />
      <text x="10" y={y} textAnchor="middle">
        {kind}
      </text>
    </>
  );
  return label === undefined ? (
    <svg className={`sign sign-${kind}`} viewBox="0 0 20 20" aria-hidden="true">
      {drawing}
    </svg>
  ) : (
    <svg className={`sign sign-${kind}`} viewBox="0 0 20 20" role="img" aria-label={label}>
      <title>{label}</title>
      {drawing}
    </svg>
  );
}

/** Which sign a check's word stands for; undefined when all is well. */
export const signOf = (status: string): keyof typeof SIGNS | undefined => {
  switch (status.toLowerCase()) {
    case 'crit':
      return 'F';
    case 'warn':
      return 'S';
    case 'unknown':
      return 'C';
    default:
      return undefined;
  }
};
