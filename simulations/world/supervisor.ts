import type { Random } from '../../agent/base/random.ts';
import type { Instant } from '../../agent/base/time.ts';
import type { Fence } from '../../agent/core/duties/exclusive-duties.ts';
import { type SessionId, sessionId } from '../../agent/core/leases/session.ts';

/** What a supervisor needs of the box that it stands on. */
export interface SupervisedBox {
  /** Milliseconds that pass while the box is suspended, too. */
  uptime(): number;
  at(inMs: number, act: () => void): void;
  setRunning(duty: number, running: boolean): void;
  /** A death certificate goes to this agent, as a datagram. */
  certify(target: number, session: SessionId): void;
}

interface Session {
  readonly id: SessionId;
  readonly targets: readonly number[];
  readonly guardMs: number;
}

interface Exclusive {
  /** By the box's uptime: the process is killed then, whatever the agent believes. */
  deadline: number;
  fence: Fence;
}

/**
 * The small process that parents agent and duties, for one life of the agent: it holds the deadlines of exclusive duties
 * and outlives the agent, so that it can end them and say under oath that they have ended.
 *
 * A killed agent is reaped, its exclusive duties are killed, and after the guard time the certificate is sent, five
 * times. A power cut takes the supervisor along: no word then.
 */
export class SimulatedSupervisor {
  readonly #box: SupervisedBox;
  readonly #random: Random;
  readonly #sessions = new Map<string, Session>();
  readonly #exclusive = new Map<number, Exclusive>();
  #isFrozen = false;

  constructor(box: SupervisedBox, random: Random) {
    this.#box = box;
    this.#random = random;
  }

  openSession(cell: string, targets: readonly number[], guardMs: number): SessionId {
    const words = Array.from({ length: 8 }, () => this.#random.uint32().toString(16).padStart(8, '0'));
    const id = sessionId(words.join(''));
    this.#sessions.set(cell, { id, targets, guardMs });
    return id;
  }

  get isFrozen(): boolean {
    return this.#isFrozen;
  }

  /** What the process of an exclusive duty may show for itself, while it runs. */
  fence(duty: number): Fence | undefined {
    return this.#exclusive.get(duty)?.fence;
  }

  /** Starts an exclusive duty, or lets it go on; `now` is the holder's clock, by which the fence ends. */
  allow(duty: number, fence: Fence, now: Instant): void {
    const deadline = this.#box.uptime() + (fence.until - now) - killMs;
    const known = this.#exclusive.get(duty);
    if (known) {
      known.deadline = Math.max(known.deadline, deadline);
      known.fence = fence;
      return;
    }
    this.#exclusive.set(duty, { deadline, fence });
    this.#watch(duty);
  }

  ended(duty: number): void {
    this.#exclusive.delete(duty);
  }

  /** The whole box stands still, duties and supervisor included. */
  freeze(): void {
    this.#isFrozen = true;
    for (const duty of this.#exclusive.keys()) this.#box.setRunning(duty, false);
  }

  /** First of all it looks at the deadlines: what went by in the meantime went by. */
  thaw(): void {
    if (!this.#isFrozen) return;
    this.#isFrozen = false;
    for (const [duty, { deadline }] of [...this.#exclusive]) {
      if (this.#box.uptime() >= deadline) {
        this.#kill(duty);
        continue;
      }
      this.#box.setRunning(duty, true);
      this.#watch(duty);
    }
  }

  /** The agent is gone, and so are its exclusive duties by now. `lives`: the supervisor is not. */
  agentEnded(lives: boolean): void {
    this.#exclusive.clear();
    if (!lives) return;
    for (const { id, targets, guardMs } of this.#sessions.values()) {
      const reapedIn = this.#random.between(2, 25) + guardMs;
      for (const again of certificateAtMs) {
        this.#box.at(reapedIn + again, () => {
          for (const target of targets) this.#box.certify(target, id);
        });
      }
    }
    this.#sessions.clear();
  }

  #watch(duty: number): void {
    const known = this.#exclusive.get(duty);
    if (known === undefined) return;
    this.#box.at(Math.max(1, known.deadline - this.#box.uptime()), () => {
      if (this.#exclusive.get(duty) !== known || this.#isFrozen) return;
      if (this.#box.uptime() >= known.deadline) this.#kill(duty);
      else this.#watch(duty);
    });
  }

  #kill(duty: number): void {
    this.#exclusive.delete(duty);
    this.#box.setRunning(duty, false);
  }
}

/** Ending a group of processes takes this long at most; so much before the end of the right it begins. */
const killMs = 30;
const certificateAtMs = [0, 20, 60, 140, 300];
