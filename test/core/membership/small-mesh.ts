import { bootId } from '../../../agent/base/ids.ts';
import { Random } from '../../../agent/base/random.ts';
import { type Instant, instant } from '../../../agent/base/time.ts';
import type { MemberState, MembershipMessage } from '../../../agent/core/membership/member.ts';
import { Membership, type MembershipOutput } from '../../../agent/core/membership/membership.ts';
import { lan, type MembershipOptions } from '../../../agent/core/membership/options.ts';

export type Change = Extract<MembershipOutput, { kind: 'member-changed' }> & {
  readonly at: number;
  readonly by: number;
};

/** A handful of detectors on a wire of one millisecond, in virtual time; everything said is on record. */
export class SmallMesh {
  readonly members: Membership[];
  readonly changes: Change[] = [];
  readonly raised: { at: number; by: number; incarnation: number }[] = [];
  readonly rejected: { at: number; by: number; why: string }[] = [];
  readonly said: { at: number; from: number; to: number; message: MembershipMessage }[] = [];
  readonly down = new Set<number>();
  /** True: this message never arrives. */
  loses: (from: number, to: number, message: MembershipMessage) => boolean = () => false;
  now: Instant = instant(1_000);
  #wire: { at: number; from: number; to: number; message: MembershipMessage }[] = [];

  constructor(size: number, options: Partial<MembershipOptions> = {}, seed = 1) {
    this.members = Array.from(
      { length: size },
      (_, self) =>
        new Membership({
          options: { ...lan, ...options },
          self,
          size,
          random: new Random(seed, `member ${self}`),
          boot: boot(self),
          bootCounter: 1,
          incarnation: 0,
        }),
    );
    for (let self = 0; self < size; self++) this.#do(self, (out) => this.members[self]!.start(this.now, out));
    for (let a = 0; a < size; a++) {
      for (let b = 0; b < size; b++) if (a !== b) this.#do(a, (out) => this.members[a]!.connected(this.now, b, out));
    }
    this.run(50);
  }

  /** Lets time pass in steps of one millisecond. `asleep` members get neither timers nor messages. */
  run(ms: number, asleep: ReadonlySet<number> = new Set()): void {
    const end = this.now + ms;
    while (this.now < end) {
      this.now = instant(this.now + 1);
      const due = this.#wire.filter((item) => item.at <= this.now && !asleep.has(item.to));
      this.#wire = this.#wire.filter((item) => item.at > this.now || asleep.has(item.to));
      // Timers before sockets, as Node does it.
      this.members.forEach((member, self) => {
        const late = this.now - member.deadline();
        if (late >= 0 && !asleep.has(self)) this.#do(self, (out) => member.tick(this.now, late, out));
      });
      for (const { from, to, message } of due) {
        this.#do(to, (out) => this.members[to]!.message(this.now, from, message, out));
      }
    }
  }

  tell(to: number, from: number, message: MembershipMessage): void {
    this.#do(to, (out) => this.members[to]!.message(this.now, from, message, out));
  }

  disconnect(at: number, peer: number): void {
    this.#do(at, (out) => this.members[at]!.disconnected(this.now, peer, out));
  }

  leave(member: number): void {
    this.#do(member, (out) => this.members[member]!.leave(this.now, out));
  }

  /** Ends the process of a member; a new one under a higher boot counter may follow. */
  kill(member: number): void {
    this.down.add(member);
  }

  restart(self: number, bootCounter: number, incarnation = 0): void {
    this.down.delete(self);
    this.members[self] = new Membership({
      options: lan,
      self,
      size: this.members.length,
      random: new Random(bootCounter, `member ${self}`),
      boot: boot(self + 100 * bootCounter),
      bootCounter,
      incarnation,
    });
    this.#do(self, (out) => this.members[self]!.start(this.now, out));
    for (let peer = 0; peer < this.members.length; peer++) {
      if (peer === self) continue;
      this.#do(self, (out) => this.members[self]!.connected(this.now, peer, out));
      this.#do(peer, (out) => this.members[peer]!.connected(this.now, self, out));
    }
  }

  states(of: number): MemberState[] {
    return this.members.flatMap((member, i) => (i === of || this.down.has(i) ? [] : [member.state(of)]));
  }

  #do(self: number, act: (out: MembershipOutput[]) => void): void {
    if (this.down.has(self)) return;
    const out: MembershipOutput[] = [];
    act(out);
    for (const output of out) {
      switch (output.kind) {
        case 'send': {
          const { to, message } = output;
          this.said.push({ at: this.now, from: self, to, message });
          if (!this.down.has(to) && !this.loses(self, to, message)) {
            this.#wire.push({ at: this.now + 1, from: self, to, message });
          }
          break;
        }
        case 'member-changed':
          this.changes.push({ ...output, at: this.now, by: self });
          break;
        case 'incarnation-raised':
          this.raised.push({ at: this.now, by: self, incarnation: output.incarnation });
          break;
        case 'message-rejected':
          this.rejected.push({ at: this.now, by: self, why: output.why });
          break;
      }
    }
  }
}

const boot = (n: number) => bootId(n.toString(16).padStart(32, '0'));
