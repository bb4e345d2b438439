import { BoundedQueue } from '../base/bounded-queue.ts';
import { type Instant, instant, never } from '../base/time.ts';
import { type Effect, effectClass } from '../core/effect.ts';
import type { Input } from '../core/input.ts';
import type { ClockPort, MeshPort, Ports } from './ports.ts';

/** The part of the core that the driver needs; a mutant core of the simulator has the same face. */
export interface Steppable {
  /** `elapsed`: the holder's clock, read together with `now`. */
  step(now: Instant, input: Input, elapsed?: Instant): readonly Effect[];
  deadline(): Instant;
}

/** Sees every input and every effect in the order in which they happen; the simulator's trace hash hangs here. */
export interface Tap {
  input(now: Instant, input: Input): void;
  effect(now: Instant, effect: Effect): void;
}

export interface DriverCounters {
  /** Inputs refused because the queue was full. Only lossy kinds may be refused. */
  readonly refused: number;
  readonly steps: number;
}

/**
 * Feeds inputs to the core and carries its effects out through the ports. No clock, no chance, no IO of its own: the
 * very same driver runs in production and in the simulator.
 *
 * Guarantees: one step at a time (what arrives while stepping is queued); effects of one step go out in the order of
 * their class — persist, then send, then act; after each step one wake-up is armed for the core's next deadline.
 * Not guaranteed: that a send arrives, that an action happens. Completions come back as inputs.
 */
export class Driver {
  readonly #core: Steppable;
  readonly #tap: Tap | undefined;
  /** The ports of every step, at hand: where a thousand drivers take turns, each object between is a cache miss. */
  readonly #clock: ClockPort;
  readonly #mesh: MeshPort;
  readonly #isHolder: boolean;
  #isWaiting = false;
  #refused = 0;
  #steps = 0;
  #stepping = false;
  #stopped = false;
  #armed: Instant = never;
  /** When that wake-up could come at the earliest: a step may name a deadline that has passed already. */
  #due: Instant = never;
  readonly #ports: Ports;
  readonly #queue: BoundedQueue<Input>;

  constructor(core: Steppable, ports: Ports, options: { readonly tap?: Tap; readonly queueLimit?: number } = {}) {
    this.#core = core;
    this.#ports = ports;
    this.#clock = ports.clock;
    this.#mesh = ports.mesh;
    this.#isHolder = ports.clock.elapsed !== undefined;
    this.#tap = options.tap;
    this.#queue = new BoundedQueue(options.queueLimit ?? 10_000);
  }

  get counters(): DriverCounters {
    return { refused: this.#refused, steps: this.#steps };
  }

  /** Hands one input to the core, now or, while a step runs, right after it. */
  deliver(input: Input): void {
    if (this.#stopped) return;
    if (this.#stepping) {
      if (!this.#queue.push(input)) this.#refused++;
      this.#isWaiting = true;
      return;
    }
    this.#stepping = true;
    try {
      this.#step(input);
      if (this.#isWaiting) {
        // What arrived meanwhile.
        while (this.#queue.length > 0 && !this.#stopped) this.#step(this.#queue.shift()!);
        this.#isWaiting = false;
      }
    } finally {
      this.#stepping = false;
    }
    this.#arm();
  }

  /** The armed wake-up fired. Early calls are harmless: they re-arm. */
  wake(): void {
    if (this.#stopped) return;
    const late = this.#clock.now() - this.#due;
    this.#armed = never;
    this.#due = never;
    if (late < 0) {
      this.#arm();
      return;
    }
    this.deliver({ kind: 'ticked', lateMs: Number.isFinite(late) ? late : 0 });
  }

  /** After this nothing reaches the core and no effect leaves it. */
  stop(): void {
    this.#stopped = true;
    this.#queue.clear();
  }

  #step(input: Input): void {
    const now = this.#clock.now();
    this.#steps++;
    this.#tap?.input(now, input);
    const effects = this.#isHolder ? this.#core.step(now, input, this.#clock.elapsed?.()) : this.#core.step(now, input);
    if (effects.length > 0) this.#carryOut(now, effects);
  }

  #arm(): void {
    const next = this.#core.deadline();
    if (next === this.#armed) return;
    this.#armed = next;
    if (next === never) {
      this.#due = never;
      return;
    }
    this.#due = instant(Math.max(next, this.#clock.now()));
    this.#clock.arm(next);
  }

  #carryOut(now: Instant, effects: readonly Effect[]): void {
    // One pass is enough for the usual case, classes in ascending order; else one per class, lowest first.
    if (effects.length === 1) return this.#carryOutOne(now, effects[0]!);
    let last = 0;
    let isSorted = true;
    for (const effect of effects) {
      const its = effectClass(effect);
      if (its < last) isSorted = false;
      last = its;
    }
    if (isSorted) {
      for (const effect of effects) this.#carryOutOne(now, effect);
      return;
    }
    for (let wanted = 0; wanted < 3; wanted++) {
      for (const effect of effects) if (effectClass(effect) === wanted) this.#carryOutOne(now, effect);
    }
  }

  #carryOutOne(now: Instant, effect: Effect): void {
    this.#tap?.effect(now, effect);
    // What happens most.
    if (effect.kind === 'send') return this.#mesh.send(effect.to, effect.message);
    const ports = this.#ports;
    switch (effect.kind) {
      case 'persist':
        return ports.journal.append(effect.token, effect.entries);
      case 'save-incarnation':
        return ports.journal.saveIncarnation(effect.bootCounter, effect.incarnation);
      case 'save-checkpoint':
        return ports.journal.saveCheckpoint(effect.checkpoint);
      case 'set-local-alarm':
        return ports.journal.setLocalAlarm(effect.alarm);
      case 'report':
        ports.outbox.publish(effect.report);
        return;
      case 'publish':
        return ports.mesh.publish(effect.digest);
      case 'tell-digests':
        return ports.mesh.tellDigests(effect.to, effect.digests);
      case 'run-check':
        return ports.checks.run(effect.check);
      case 'start-duty':
        return ports.duties.start(effect.duty, effect.term, effect.checkpoint, effect.fence);
      case 'extend-duty':
        return ports.duties.extend?.(effect.duty, effect.fence);
      case 'stop-duty':
        return ports.duties.stop(effect.duty, effect.atOnce);
      case 'persist-leases':
        return ports.leases?.persist(effect.token, effect.cell, effect.entries);
      case 'raise-floors':
        return ports.leases?.raiseFloors?.(effect.floors);
      case 'open-session':
        return ports.leases?.openSession(effect.cell, effect.epoch, effect.targets, effect.guardMs);
      case 'read-baseline':
        return ports.actions.baseline(effect.run, effect.step, effect.action);
      case 'issue-action':
        return ports.actions.issue(effect);
      case 'probe-action':
        return ports.actions.probe(effect.run, effect.step, effect.action, effect.baseline);
      case 'cancel-action':
        return ports.actions.cancel(effect.run, effect.step, effect.issue);
      case 'run-hook':
        return ports.hooks.run(effect.alarm, effect.argv, effect.transition);
      case 'check-uplink':
        return ports.uplink?.check();
      case 'observe':
        return ports.observer.observe(now, effect.observation);
    }
  }
}
