import { type AgentId, agentId, entryId } from '../../../agent/base/ids.ts';
import { Random } from '../../../agent/base/random.ts';
import { type Instant, instant, wallTime } from '../../../agent/base/time.ts';
import { AvailableDuties } from '../../../agent/core/duties/available-duties.ts';
import type { DutyMessage } from '../../../agent/core/duties/claim.ts';
import type { AgentPlace, Checkpoint, DutySpec } from '../../../agent/core/duties/duty.ts';
import type { DutyOutput } from '../../../agent/core/duties/duty-output.ts';
import { type DutyOptions, dutyDefaults } from '../../../agent/core/duties/options.ts';
import type { MemberStateWord } from '../../../agent/core/duties/presence.ts';

export const names = (n: number): AgentId[] => Array.from({ length: n }, (_, i) => agentId(`box-${i}`));

export const places = (n: number, more: (agent: number) => Partial<AgentPlace> = () => ({})): AgentPlace[] =>
  names(n).map((id, agent) => ({ id, cell: 'hall-1', role: 'agent', capacity: undefined, ...more(agent) }));

export function duty(index: number, eligible: readonly number[], more: Partial<DutySpec> = {}): DutySpec {
  return {
    index,
    id: entryId(`press-${index}/poll`),
    thing: undefined,
    work: { kind: 'watch', thing: 0 },
    eligible,
    exclusive: false,
    critical: false,
    refusedBecause: new Map(),
    weight: new Map(),
    ...more,
  };
}

/** Some agents' duties on a wire of one millisecond; membership is told by the test, runners obey at once. */
export class SmallCrew {
  readonly agents: AvailableDuties[];
  readonly views: MemberStateWord[][];
  readonly down = new Set<number>();
  readonly log: {
    at: number;
    by: number;
    what: string;
    duty: number;
    term?: number;
    checkpoint?: Checkpoint | undefined;
  }[] = [];
  readonly said: { at: number; from: number; to: number; message: DutyMessage }[] = [];
  readonly told: { at: number; by: number; output: DutyOutput }[] = [];
  readonly saved: { by: number; checkpoint: Checkpoint }[] = [];
  loses: (from: number, to: number, message: DutyMessage) => boolean = () => false;
  /** True: a start of this duty on this agent fails. */
  unable: (agent: number, duty: number) => boolean = () => false;
  /** How long a start takes. */
  startMs = 1;
  now: Instant = instant(0);
  readonly lives = new Map<number, number>();
  readonly #begin: (self: number, life: number) => AvailableDuties;
  #wire: { at: number; from: number; to: number; message: DutyMessage }[] = [];
  #later: { at: number; by: number; act: (out: DutyOutput[]) => void }[] = [];

  constructor(
    size: number,
    duties: readonly DutySpec[],
    options: Partial<DutyOptions> = {},
    more: {
      readonly agents?: readonly AgentPlace[];
      /** Lives that began shortly before the first one here. */
      readonly returns?: number;
      readonly seed?: number;
      readonly alsoHeld?: () => number;
      /** The shipped rules, or a mutant of them. */
      readonly kind?: typeof AvailableDuties;
    } = {},
  ) {
    const agents = more.agents ?? places(size);
    const Kind = more.kind ?? AvailableDuties;
    this.views = Array.from({ length: size }, () => Array.from({ length: size }, () => 'alive' as MemberStateWord));
    this.#begin = (self, life) =>
      new Kind({
        duties,
        options: { ...dutyDefaults, ...options },
        self,
        bootCounter: () => life,
        agents,
        random: new Random(more.seed ?? 1, `duties ${self} ${life}`),
        memberState: (member) => this.views[self]![member]!,
        checkpoints: [],
        alsoHeld: more.alsoHeld ?? (() => 0),
        returns: life > 1 ? life - 2 : more.returns,
      });
    this.agents = Array.from({ length: size }, (_, self) => this.#begin(self, 1));
    for (let self = 0; self < size; self++) this.#do(self, (out) => this.agents[self]!.start(this.now, out));
  }

  run(ms: number): void {
    const end = this.now + ms;
    while (this.now < end) {
      this.now = instant(this.now + 1);
      const later = this.#later.filter(({ at }) => at <= this.now);
      this.#later = this.#later.filter(({ at }) => at > this.now);
      for (const { by, act } of later) this.#do(by, act);
      const due = this.#wire.filter((item) => item.at <= this.now);
      this.#wire = this.#wire.filter((item) => item.at > this.now);
      for (const { from, to, message } of due) this.tell(to, from, message);
      for (let self = 0; self < this.agents.length; self++) {
        if (this.agents[self]!.deadline() <= this.now) this.#do(self, (out) => this.agents[self]!.tick(this.now, out));
      }
    }
  }

  tell(to: number, from: number, message: DutyMessage): void {
    this.#do(to, (out) => this.agents[to]!.message(this.now, from, message, out));
  }

  /** Everybody (or `by` alone) now holds `member` so. */
  hold(member: number, state: MemberStateWord, by = this.agents.map((_, i) => i)): void {
    for (const self of by) {
      if (self === member) continue;
      this.views[self]![member] = state;
      this.#do(self, (out) => this.agents[self]!.memberChanged(this.now, member, state, out));
    }
  }

  kill(agent: number): void {
    this.down.add(agent);
  }

  /** A new life, with an empty disk. */
  revive(agent: number): void {
    this.down.delete(agent);
    const life = (this.lives.get(agent) ?? 1) + 1;
    this.lives.set(agent, life);
    this.agents[agent] = this.#begin(agent, life);
    this.#do(agent, (out) => this.agents[agent]!.start(this.now, out));
  }

  /** The first life of a box that nobody has heard of yet; all hear of each other at once. */
  join(agent: number): void {
    this.down.delete(agent);
    this.agents[agent] = this.#begin(agent, 1);
    this.#do(agent, (out) => this.agents[agent]!.start(this.now, out));
    this.hold(agent, 'alive');
  }

  drain(agent: number, until: number | undefined): void {
    this.#do(agent, (out) => this.agents[agent]!.drain(this.now, until as Instant | undefined, out));
  }

  fail(agent: number, index: number, reason = 'the PLC is out of reach'): void {
    this.#do(agent, (out) => this.agents[agent]!.failed(this.now, index, reason, out));
  }

  take(agent: number, index: number, data: Uint8Array): void {
    this.#do(agent, (out) => this.agents[agent]!.checkpointTaken(this.now, index, data, wallTime(this.now), out));
  }

  leave(agent: number): void {
    this.#do(agent, (out) => this.agents[agent]!.leave(this.now, out));
  }

  runners(index: number): number[] {
    return this.agents.flatMap((agent, i) => (!this.down.has(i) && agent.mine(index) ? [i] : []));
  }

  #do(self: number, act: (out: DutyOutput[]) => void): void {
    if (this.down.has(self)) return;
    const out: DutyOutput[] = [];
    act(out);
    for (const output of out) {
      switch (output.kind) {
        case 'send':
          this.said.push({ at: this.now, from: self, to: output.to, message: output.message });
          if (!this.loses(self, output.to, output.message)) {
            this.#wire.push({ at: this.now + 1, from: self, to: output.to, message: output.message });
          }
          break;
        case 'start-duty': {
          const { duty: index, term, checkpoint } = output;
          this.log.push({ at: this.now, by: self, what: 'start', duty: index, term, checkpoint });
          const agent = this.agents[self]!;
          const act = this.unable(self, index)
            ? (o: DutyOutput[]) => agent.failed(this.now, index, 'unable', o)
            : (o: DutyOutput[]) => agent.started(this.now, index, o);
          this.#later.push({ at: this.now + this.startMs, by: self, act });
          break;
        }
        case 'stop-duty': {
          const { duty: index } = output;
          this.log.push({ at: this.now, by: self, what: 'stop', duty: index });
          this.#later.push({ at: this.now + 1, by: self, act: (o) => this.agents[self]!.stopped(this.now, index, o) });
          break;
        }
        case 'save-checkpoint':
          this.saved.push({ by: self, checkpoint: output.checkpoint });
          break;
        default:
          this.told.push({ at: this.now, by: self, output });
      }
    }
  }
}
