import type { WallTime } from '../base/time.ts';
import { parseWindow, Windows } from '../base/timetable.ts';
import type { SitePlan } from '../core/site-plan.ts';
import type { Deliver } from '../driver/ports.ts';

export interface MaintenanceClock {
  /** What the wall clock says now, and whether it may be believed. Tells the core what has changed. */
  read(wall: WallTime, trusted: boolean): void;
}

/**
 * Which maintenances of the site file hold now, by the clock of the site's zone. With a clock that nobody can trust none
 * is known: alarms call everybody then, and actors are denied as if it held.
 */
export function createMaintenanceClock(
  plan: Pick<SitePlan, 'maintenance'>,
  zone: string,
  deliver: Deliver,
): MaintenanceClock {
  const windows = (plan.maintenance ?? []).map(({ at }) => {
    const parsed = parseWindow(at);
    return parsed.ok ? new Windows(parsed.value, zone) : undefined;
  });
  const told: ('on' | 'off' | 'unknown')[] = [];
  return {
    read(wall, trusted) {
      for (const [window, times] of windows.entries()) {
        const state = !trusted || times === undefined ? 'unknown' : times.holds(wall) ? 'on' : 'off';
        if (told[window] === state) continue;
        told[window] = state;
        deliver({ kind: 'maintenance-changed', window, state });
      }
    },
  };
}
