import { useTranslation } from 'react-i18next';
import type { AlarmView } from '../../../api/schemas.ts';
import { Acknowledge, type Acknowledging, WhoAreYou } from '../acknowledging.tsx';
import { Acknowledged, alarmHref, Doubts, PRIORITY, RespondWithin } from '../alarm-parts.tsx';
import { Link } from '../link.tsx';
import { incidentHref } from '../outcome.tsx';
import { doing, type Repair } from '../repairs.ts';
import { PriorityShape } from '../shapes.tsx';
import { Ago } from '../times.tsx';

/** One alarm among those that stand: what it is, what is done about it, and what is wanted from whom reads it. */
export function AlarmRow({
  alarm,
  repair: { run, incident },
  marked,
  settling,
  acknowledging,
  onMark,
}: {
  readonly alarm: AlarmView;
  readonly repair: Repair;
  /** Where the keys are. */
  readonly marked: boolean;
  readonly settling: boolean;
  readonly acknowledging: Acknowledging;
  readonly onMark: () => void;
}) {
  const { t } = useTranslation();
  return (
    <li
      id={`alarm-${alarm.alarmId}`}
      className={`alarm ${alarm.priority} ${alarm.state}`}
      tabIndex={-1}
      aria-current={marked || undefined}
      data-alarm={alarm.alarmId}
      data-occurrence={alarm.occurrence}
      onFocus={onMark}
    >
      <PriorityShape alarm={alarm} />
      <div className="who">
        <strong>{alarm.thing}</strong>
        <span className="muted">{t(`priority${PRIORITY[alarm.priority]}`)}</span>
      </div>
      <div className="what">
        <strong>
          <Link href={alarmHref(alarm.alarmId)}>{alarm.cause}</Link>
        </strong>
        <span className="muted">{alarm.evidence}</span>
        {marked && alarm.consequence !== '' && <span className="muted">→ {alarm.consequence}</span>}
        <Doubts alarm={alarm} />
      </div>
      <div className="doing" data-label={t('colDoing')}>
        <span>
          {doing(t, run)}
          {run !== undefined && (
            <span className="muted">
              {' '}
              <Ago at={run.at} />
            </span>
          )}
        </span>
        {incident !== undefined && <Link href={incidentHref(incident.incident)}>{t('timeline')}</Link>}
      </div>
      <div className="you" data-label={t('colYou')}>
        <span>{alarm.response}</span>
        <RespondWithin alarm={alarm} />
        {alarm.state === 'RTNUN' && <span className="muted">{t('stateRTNUN')}</span>}
        <Acknowledged alarm={alarm} />
      </div>
      <div className="since right">
        <Ago at={alarm.since} />
      </div>
      <div className="act">
        <Acknowledge alarm={alarm} by={acknowledging} settling={settling} />
      </div>
      <WhoAreYou alarm={alarm} by={acknowledging} />
    </li>
  );
}
