import type { DutyIndex } from '../base/ids.ts';
import type { Checkpoint, DutyWork } from '../core/duties/duty.ts';
import type { Fence } from '../core/duties/exclusive-duties.ts';
import type { Site } from '../driver/bindings.ts';
import type { Deliver, DutyPort } from '../driver/ports.ts';
import type { DutyRunner, Log } from './duty-runners/runner.ts';

export interface DutyPortOptions {
  readonly site: Pick<Site, 'plan'>;
  readonly runners: Readonly<Record<DutyWork['kind'], DutyRunner>>;
  readonly deliver: Deliver;
  readonly log: Log;
}

/** A start that waits for the end of the stop before it. */
interface Waiting {
  readonly term: number;
  readonly checkpoint: Checkpoint | undefined;
  fence: Fence | undefined;
}

/**
 * Hands each duty to the runner of its kind, and keeps their order: a duty that is asked for again while its stop is
 * under way starts after it, a stop takes back a start that still waits. Every `start` is answered by the runner,
 * every `stop` by `duty-stopped`.
 */
export function createDutyPort(options: DutyPortOptions): DutyPort & { stopAll(): Promise<void> } {
  const { site, runners, deliver, log } = options;
  const stopping = new Map<DutyIndex, { waiting: Waiting | undefined }>();

  const begin = (duty: DutyIndex, { term, checkpoint, fence }: Waiting) => {
    const spec = site.plan.duties[duty];
    if (spec === undefined) return deliver({ kind: 'duty-failed', duty, reason: 'the site has no such duty' });
    if (fence === undefined) runners[spec.work.kind].start(spec, term, checkpoint);
    else runners[spec.work.kind].start(spec, term, checkpoint, fence);
  };

  return {
    start(duty, term, checkpoint, fence) {
      const under = stopping.get(duty);
      if (under === undefined) begin(duty, { term, checkpoint, fence });
      else under.waiting = { term, checkpoint, fence };
    },
    extend(duty, fence) {
      const under = stopping.get(duty);
      if (under?.waiting !== undefined) under.waiting.fence = fence;
      const spec = site.plan.duties[duty];
      if (under === undefined && spec !== undefined) runners[spec.work.kind].extend?.(duty, fence);
    },
    stop(duty, atOnce = false) {
      const under = stopping.get(duty);
      const spec = site.plan.duties[duty];
      if (under !== undefined) {
        // Answered together with the stop that is under way.
        under.waiting = undefined;
        if (atOnce && spec !== undefined) void runners[spec.work.kind].stop(duty, true).catch(() => {});
        return;
      }
      if (spec === undefined) return deliver({ kind: 'duty-stopped', duty });
      const mine: { waiting: Waiting | undefined } = { waiting: undefined };
      stopping.set(duty, mine);
      void (atOnce ? runners[spec.work.kind].stop(duty, true) : runners[spec.work.kind].stop(duty))
        .catch((error: unknown) => log.error({ duty: spec.id, error }, 'duty did not stop cleanly'))
        .then(() => {
          stopping.delete(duty);
          deliver({ kind: 'duty-stopped', duty });
          if (mine.waiting !== undefined) begin(duty, mine.waiting);
        });
    },
    async stopAll() {
      for (const under of stopping.values()) under.waiting = undefined;
      await Promise.allSettled(Object.values(runners).map((runner) => runner.stopAll()));
    },
  };
}
