import { bootId } from '../../../agent/base/ids.ts';
import { Random } from '../../../agent/base/random.ts';
import { type Instant, instant } from '../../../agent/base/time.ts';
import type { MemberState, MembershipMessage, MemberUpdate } from '../../../agent/core/membership/member.ts';
import { Membership, type MembershipOutput } from '../../../agent/core/membership/membership.ts';
import { lan, type MembershipOptions } from '../../../agent/core/membership/options.ts';
import type { Voucher } from '../../../agent/core/membership/statements.ts';

type Said<K extends MembershipOutput['kind']> = Extract<MembershipOutput, { kind: K }> & {
  readonly at: number;
  readonly by: number;
};
export type Change = Said<'member-changed'>;

interface OnWire {
  readonly at: number;
  /** Numbers of processes: members have their own index, twins come after them. */
  readonly from: number;
  readonly to: number;
  readonly message: MembershipMessage;
}

/** A handful of detectors on a wire of one millisecond, in virtual time; everything said is on record. */
export class SmallMesh {
  /** One process per member, and after them the twins of cloned ones. */
  readonly members: Membership[];
  readonly changes: Change[] = [];
  readonly raised: { at: number; by: number; bootCounter: number; incarnation: number }[] = [];
  readonly rejected: { at: number; by: number; why: string }[] = [];
  readonly said: { at: number; from: number; to: number; lost: boolean; message: MembershipMessage }[] = [];
  readonly proven: Said<'clone-proven'>[] = [];
  readonly probes: Said<'probe-ended'>[] = [];
  /** All of the above in the order in which it happened. */
  readonly log: { at: number; by: number; output: MembershipOutput; lost: boolean }[] = [];
  readonly down = new Set<number>();
  readonly size: number;
  readonly seed: number;
  /** True: this message never arrives. */
  loses: (from: number, to: number, message: MembershipMessage) => boolean = () => false;
  now: Instant = instant(1_000);
  #wire: OnWire[] = [];
  readonly #options: MembershipOptions;
  readonly #vouchers: ((self: number) => Voucher) | undefined;
  readonly #selfOf: number[] = [];
  /** By process and peer: the process of that peer from which it heard last, which its answers go to. */
  readonly #routes = new Map<string, number>();

  /** Tables are compared only where `syncIntervalMs` is given: most stories are to be told by the detector alone. */
  constructor(size: number, options: Partial<MembershipOptions> = {}, seed = 1, vouchers?: (self: number) => Voucher) {
    this.size = size;
    this.#vouchers = vouchers;
    this.seed = seed;
    this.#options = { ...lan, syncIntervalMs: 0, ...options };
    this.members = [];
    for (let self = 0; self < size; self++) this.#add(self, boot(self), 1, 0, new Random(seed, `member ${self}`));
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
      this.members.forEach((member, process) => {
        const late = this.now - member.deadline();
        if (late >= 0 && !asleep.has(process)) this.#do(process, (out) => member.tick(this.now, late, out));
      });
      for (const { from, to, message } of due) {
        this.#routes.set(`${to}/${this.#selfOf[from]}`, from);
        this.#do(to, (out) => this.members[to]!.message(this.now, this.#selfOf[from]!, message, out));
      }
    }
  }

  /** Begins an empty record. */
  forget(): void {
    for (const list of [this.changes, this.raised, this.rejected, this.said, this.proven, this.probes, this.log]) {
      list.length = 0;
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
    this.#add(
      self,
      boot(self + 100 * bootCounter),
      bootCounter,
      incarnation,
      new Random(bootCounter, `member ${self}`),
    );
    this.#greet(self);
  }

  /** A copied disk: a second process of the same member, beside the first. Returns its number. */
  clone(self: number, bootCounter: number): number {
    const process = this.members.length;
    this.#add(self, boot(self + 1_000), bootCounter, 0, new Random(this.seed, `twin of ${self}`), process);
    this.#greet(process);
    return process;
  }

  states(of: number): MemberState[] {
    return this.members
      .slice(0, this.size)
      .flatMap((member, i) => (i === of || this.down.has(i) ? [] : [member.state(of)]));
  }

  #add(
    self: number,
    id: ReturnType<typeof bootId>,
    bootCounter: number,
    incarnation: number,
    random: Random,
    process = self,
  ): void {
    this.#selfOf[process] = self;
    this.members[process] = new Membership({
      options: this.#options,
      self,
      size: this.size,
      random,
      boot: id,
      bootCounter,
      incarnation,
      evidence: true,
      voucher: this.#vouchers?.(self),
    });
  }

  #greet(process: number): void {
    const self = this.#selfOf[process]!;
    this.#do(process, (out) => this.members[process]!.start(this.now, out));
    for (let peer = 0; peer < this.size; peer++) {
      if (peer === self) continue;
      this.#do(process, (out) => this.members[process]!.connected(this.now, peer, out));
      this.#do(peer, (out) => this.members[peer]!.connected(this.now, self, out));
    }
  }

  #do(process: number, act: (out: MembershipOutput[]) => void): void {
    if (this.down.has(process)) return;
    const out: MembershipOutput[] = [];
    act(out);
    for (const output of out) {
      const by = { at: this.now, by: process };
      const entry = { ...by, output, lost: false };
      this.log.push(entry);
      switch (output.kind) {
        case 'send': {
          const { to, message } = output;
          const route = this.#routes.get(`${process}/${to}`) ?? to;
          const reached = this.down.has(route) ? to : route;
          const lost = this.down.has(reached) || this.loses(process, to, message);
          entry.lost = lost;
          this.said.push({ at: this.now, from: process, to, lost, message });
          if (!lost) this.#wire.push({ at: this.now + 1, from: process, to: reached, message });
          break;
        }
        case 'member-changed':
          this.changes.push({ ...output, ...by });
          break;
        case 'incarnation-raised':
          this.raised.push({ ...by, bootCounter: output.bootCounter, incarnation: output.incarnation });
          break;
        case 'message-rejected':
          this.rejected.push({ ...by, why: output.why });
          break;
        case 'clone-proven':
          this.proven.push({ ...output, ...by });
          break;
        case 'probe-ended':
          this.probes.push({ ...output, ...by });
          break;
      }
    }
  }
}

const boot = (n: number) => bootId(n.toString(16).padStart(32, '0'));

/** `2 suspect 1.0 by 0`: member, state, boot and incarnation, origin. */
export const inWords = ({ member, state, bootCounter, incarnation, origin }: MemberUpdate): string =>
  `${member} ${state} ${bootCounter}.${incarnation}${origin === member ? '' : ` by ${origin}`}`;
