import { useTranslation } from 'react-i18next';
import type { AlarmView, EvidenceView } from '../../api/schemas.ts';
import { alarmHref } from './alarm-parts.tsx';
import { useNow } from './clock.ts';
import { Curves } from './evidence-charts.tsx';
import { type Found, findEvidence, followedMs } from './evidence-curves.ts';
import { Link } from './link.tsx';
import { Sign } from './shapes.tsx';
import { Ago, At, size } from './times.tsx';

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
  const { t, i18n } = useTranslation();
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
        {view.bytes !== null && ` · ${t('evidenceKept', { size: size(i18n.language, view.bytes) })}`}
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
