import type { TFunction } from 'i18next';
import type { AlarmView, IncidentView, RunView } from '../../api/schemas.ts';

/** What Millwright does about an alarm: the run, and once it has ended the incident that tells all of it. */
export interface Repair {
  readonly run: RunView | undefined;
  readonly incident: IncidentView | undefined;
}

/** `runs` as the coordinator lists them, the newest of a thing first; other duties' runs have no workflow. */
export const repairOf = (
  alarm: AlarmView,
  runs: readonly RunView[] | undefined,
  incidents: readonly IncidentView[] | undefined,
): Repair => {
  const run = runs?.find(({ thing, workflow }) => thing === alarm.thing && workflow !== '');
  if (run === undefined || !isRelevant(run, alarm)) return { run: undefined, incident: undefined };
  return { run, incident: incidents?.find((one) => one.run === run.run) };
};

/** A run that ended before this occurrence began says nothing about it. */
const isRelevant = (run: RunView, alarm: AlarmView): boolean => run.entry !== 'end' || run.at >= alarm.firstSampleAt;

/** What Millwright is doing about it, in words. */
export const doing = (t: TFunction, run: RunView | undefined): string => {
  if (run === undefined) return t('doingNone');
  const { detail } = run;
  const said = (key: string): string => String(detail[key] ?? '');
  switch (run.entry) {
    case 'open':
      return t('doingOpen');
    case 'intent':
      return t('doingIntent', { step: said('name') });
    case 'done':
      return t(said('outcome') === 'ok' ? 'doingDone' : 'doingStepFailed', { step: said('name') });
    case 'denied':
      return t('doingDenied', { reason: said('reason') });
    case 'doubt':
      return t('doingDoubt', { step: said('name') });
    case 'verify':
      return t('doingVerify');
    case 'soak':
      return t('doingSoak');
    case 'stop':
      return t('doingStop', { by: said('by') });
    case 'end':
      return said('outcome') === 'HEALED' || said('outcome') === 'RECOVERED'
        ? t('doingHealed')
        : t('doingEnd', { reason: said('reason') || said('outcome').toLowerCase() });
    default:
      return run.entry;
  }
};
