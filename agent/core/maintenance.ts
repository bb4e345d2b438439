import type { ThingIndex } from '../base/ids.ts';
import { type Instant, instant, never } from '../base/time.ts';
import type { MaintenanceSpec, SitePlan } from './site-plan.ts';

/** Whether a window of the site file holds, by the site's clock; unknown while nobody can tell the time. */
export type WindowState = 'on' | 'off' | 'unknown';

/** A person took a thing into maintenance by an order. `until` is this box's own time, which no clock can move. */
export interface MaintenanceOrder {
  readonly thing: ThingIndex;
  readonly until: Instant;
  readonly by: string;
  readonly why: string;
  /** Of the order, for whoever waits for the answer. */
  readonly order: string;
}

/** What alarms, guards and people are told of it. */
export interface HeldBy {
  readonly id: string;
  readonly why: string;
}

/** What the id of an ordered maintenance begins with; the person's name follows. */
export const orderedPrefix = 'order:';

/**
 * Who works on what: by the windows of the site file, and by a person's order, which ends by itself. Either way alarms are
 * held back visibly, and nobody acts on the thing. Where both hold, the order is named, since somebody stands there now.
 *
 * An order needs no clock that can be trusted: its end was fixed when it was given. One order per thing; a later one takes
 * the place of the one before, so the number of things bounds them.
 */
export class Maintenance {
  readonly #windows: readonly MaintenanceSpec[];
  readonly #states: WindowState[] = [];
  readonly #orders = new Map<ThingIndex, MaintenanceOrder>();

  constructor(plan: Pick<SitePlan, 'maintenance'>) {
    this.#windows = plan.maintenance ?? [];
  }

  /** The first end of an order. */
  get deadline(): Instant {
    let at: number = never;
    for (const { until } of this.#orders.values()) at = Math.min(at, until);
    return instant(at);
  }

  get orders(): readonly MaintenanceOrder[] {
    return [...this.#orders.values()];
  }

  /** What a window of the site file was before; undefined when nothing changed. */
  windowChanged(window: number, state: WindowState): WindowState | undefined {
    const was = this.#states[window] ?? 'unknown';
    if (this.#windows[window] === undefined || this.#states[window] === state) return undefined;
    this.#states[window] = state;
    return was;
  }

  begin(order: MaintenanceOrder): void {
    this.#orders.set(order.thing, order);
  }

  /** The order that ended; undefined when there was none. */
  end(thing: ThingIndex): MaintenanceOrder | undefined {
    const order = this.#orders.get(thing);
    this.#orders.delete(thing);
    return order;
  }

  /** Those whose time is over. */
  tick(now: Instant): MaintenanceOrder[] {
    const over = this.orders.filter(({ until }) => until <= now);
    for (const { thing } of over) this.#orders.delete(thing);
    return over;
  }

  /** Windows that hold now. */
  windowsNow(): readonly MaintenanceSpec[] {
    return this.#windows.filter((_, i) => this.#states[i] === 'on');
  }

  /** The maintenance that a thing is in, as far as this box can tell. */
  of(thing: ThingIndex): HeldBy | undefined {
    const order = this.#orders.get(thing);
    if (order !== undefined) return { id: `${orderedPrefix}${order.by}`, why: order.why };
    return this.windowsNow().find(({ things }) => things.includes(thing));
  }

  /** Why nobody may act on a thing; a doubtful clock denies as much as a maintenance. */
  withheld(thing: ThingIndex): string | undefined {
    const held = this.of(thing);
    if (held !== undefined) return `in maintenance ${held.id}: ${held.why}`;
    const doubtful = this.#windows.find(
      ({ things }, i) => (this.#states[i] ?? 'unknown') === 'unknown' && things.includes(thing),
    );
    return doubtful && `cannot tell whether it is in maintenance ${doubtful.id}: the clock is doubtful`;
  }
}
