import type { DutyIndex, WorkflowIndex } from '../../base/ids.ts';
import { type WallTime, wallTime } from '../../base/time.ts';
import { parseTimetable, Slots } from '../../base/timetable.ts';
import type { Site } from '../../driver/bindings.ts';
import type { ClockPort, Deliver } from '../../driver/ports.ts';
import type { DutyRunner, Log } from './runner.ts';

export interface ScheduleRunnerOptions {
  readonly site: Pick<Site, 'plan'>;
  readonly deliver: Deliver;
  readonly clock: Pick<ClockPort, 'wall'>;
  /** IANA zone of the site's shifts. */
  readonly zone: string;
  readonly log: Log;
  /** For exclusive duties: whether an effect may begin at this very moment. */
  readonly mayAct?: (duty: DutyIndex) => boolean;
}

interface Running {
  readonly workflow: WorkflowIndex;
  readonly slots: Slots;
  /** Last slot that was run or deliberately passed over; undefined until the clock could be believed. */
  last: WallTime | undefined;
  timer: NodeJS.Timeout | undefined;
  readonly isExclusive: boolean;
}

/** A slot that is due while the right is in doubt waits this long for it. */
const refusedMs = 100;
/** The wall clock may be set: it is looked at anew this often. */
const lookMs = 30_000;
/** A box that reads an earlier time has lost its clock, and waits for a better one before it starts anything. */
const earliest = Date.UTC(2025, 0, 1);
/** A checkpoint that lies further ahead than this was written under a wrong clock. */
const aheadMs = 3_600_000;

/**
 * Starts a workflow at its times: delivers `schedule-due` with the slot, after a checkpoint that names it. So a
 * takeover runs no slot twice, and one that fell into the gap between two holders once; of several missed slots only
 * the last runs. The very first start of a duty, without any checkpoint, runs nothing that is past.
 *
 * Stance under partition: available, not exclusive. While a cell is cut in two both sides may run the same slot.
 */
export function createScheduleRunner(options: ScheduleRunnerOptions): DutyRunner {
  const { site, deliver, clock, log } = options;
  const running = new Map<DutyIndex, Running>();

  const checkpoint = (duty: DutyIndex, slot: WallTime) =>
    deliver({ kind: 'checkpoint-taken', duty, data: new TextEncoder().encode(JSON.stringify({ v: 1, slot })) });

  const look = (duty: DutyIndex, entry: Running) => {
    const now = clock.wall();
    const due = entry.slots.last(now);
    const isDue = entry.last === undefined || due > entry.last;
    if (isDue && entry.isExclusive && options.mayAct?.(duty) !== true) {
      entry.timer = setTimeout(() => look(duty, entry), refusedMs);
      return;
    }
    if (now >= earliest && entry.last === undefined) {
      entry.last = due;
      checkpoint(duty, due);
    } else if (now >= earliest && entry.last !== undefined && due > entry.last) {
      entry.last = due;
      checkpoint(duty, due);
      deliver({ kind: 'schedule-due', workflow: entry.workflow, slot: due });
    }
    const wait = Math.min(lookMs, Math.max(1, entry.slots.next(now) - now));
    entry.timer = setTimeout(() => look(duty, entry), wait);
  };

  return {
    start(duty, _term, from) {
      if (running.has(duty.index) || duty.work.kind !== 'schedule') return;
      const fail = (reason: string) => deliver({ kind: 'duty-failed', duty: duty.index, reason });
      const { workflow } = duty.work;
      const spec = site.plan.workflows[workflow];
      if (spec?.at === undefined) return fail('its workflow has no times');
      const table = parseTimetable(spec.at);
      if (!table.ok) return fail(table.error);
      let slots: Slots;
      try {
        slots = new Slots(table.value, options.zone);
      } catch {
        return fail(`there is no time zone "${options.zone}"`);
      }
      const now = clock.wall();
      let last = from === undefined ? undefined : slotOf(from.data);
      if (last !== undefined && now >= earliest && last > now + aheadMs) {
        log.warn(
          { duty: duty.id, slot: new Date(last).toISOString() },
          'last slot lies in the future: clock was wrong',
        );
        last = undefined;
      }
      const entry: Running = { workflow, slots, last, timer: undefined, isExclusive: duty.exclusive };
      running.set(duty.index, entry);
      deliver({ kind: 'duty-started', duty: duty.index });
      look(duty.index, entry);
    },
    async stop(duty) {
      clearTimeout(running.get(duty)?.timer);
      running.delete(duty);
    },
    async stopAll() {
      for (const entry of running.values()) clearTimeout(entry.timer);
      running.clear();
    },
  };
}

function slotOf(data: Uint8Array): WallTime | undefined {
  try {
    const { slot } = JSON.parse(new TextDecoder().decode(data)) as { slot?: unknown };
    return typeof slot === 'number' && Number.isFinite(slot) ? wallTime(slot) : undefined;
  } catch {
    return undefined;
  }
}
