import { useQuery } from '@tanstack/react-query';
import { useTranslation } from 'react-i18next';
import type { IncidentView } from '../../../api/schemas.ts';
import { useNow } from '../clock.ts';
import { Link } from '../link.tsx';
import { queries } from '../queries.ts';
import { startOfDay } from '../times.tsx';

/** No alarm stands. Empty is beautiful, unless something else is the matter. */
export function NothingNeedsYou({ incidents }: { readonly incidents: readonly IncidentView[] }) {
  const { t } = useTranslation();
  const midnight = startOfDay(useNow());
  const matters = useQuery(queries.verdict).data ?? [];
  const heals = incidents.filter((i) => i.outcome === 'HEALED' && (i.healedAt ?? 0) >= midnight).length;
  if (matters.length > 0) {
    return (
      <div className="empty" data-empty>
        <p className="big">{t('matterButNoAlarm')}</p>
        <p>
          <Link className="inline-link" href="/fleet">
            {t('matter')}
          </Link>
        </p>
      </div>
    );
  }
  return (
    <div className="empty beautiful" data-empty>
      <svg viewBox="0 0 64 64" aria-hidden="true">
        <circle cx="32" cy="32" r="29" />
        <path d="m20 33 8.5 8.5L45 25" />
      </svg>
      <p className="big">{t('nothingNeedsYou')}</p>
      <p className="muted">{heals === 0 ? t('healsSince_zero') : t('healsSince', { count: heals })}</p>
    </div>
  );
}
