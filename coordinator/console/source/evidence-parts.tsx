import { useTranslation } from 'react-i18next';
import { type Part, plainName } from './evidence-curves.ts';
import type { CurveWords } from './evidence-words.ts';

/** What each signal had to do with it, in words; the bar says the same to the eye. */
export function Parts({
  parts,
  thing,
  words,
}: {
  readonly parts: readonly Part[];
  readonly thing: string;
  readonly words: CurveWords;
}) {
  const { t } = useTranslation();
  if (parts.length === 0) return null;
  return (
    <ul className="parts">
      {parts.map(({ curve, share, spreads, direction, beyond }) => {
        const isOdd = beyond !== undefined || (spreads ?? 0) >= 3;
        const told = [
          ...(curve.raised === undefined ? [] : [t('partThen', { value: words.value(curve.raised, curve) })]),
          ...(curve.usual === undefined ? [] : [t('partUsual', { value: words.value(curve.usual[0], curve) })]),
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
                    : t(direction === 'above' ? 'partAbove' : 'partBelow', { n: words.number(rounded(spreads)) })}
                </span>
              )}
              {beyond !== undefined && ' · '}
              {beyond !== undefined && <span className="odd">{words.limit(beyond, curve)}</span>}
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

/** To tenths below ten spreads, to whole ones above. */
const rounded = (spreads: number): number => (spreads >= 10 ? Math.round(spreads) : Math.round(spreads * 10) / 10);
