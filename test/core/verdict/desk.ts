import type { AgentIndex } from '../../../agent/base/ids.ts';
import { type Instant, instant } from '../../../agent/base/time.ts';
import { type VerdictOptions, verdictOptions } from '../../../agent/core/verdict/options.ts';
import { statementKey } from '../../../agent/core/verdict/statement.ts';
import { type CoordinatorSight, Verdict, type VerdictOutput } from '../../../agent/core/verdict/verdict.ts';

type State = 'unknown' | 'alive' | 'suspect' | 'dead' | 'left';

/**
 * One agent (0) at a desk with a site of others: the test says how each probe ends, time passes in steps, and what the
 * verdict wants probed is probed at once against `answers`.
 */
export class Desk {
  readonly size: number;
  readonly verdict: Verdict;
  readonly states: State[];
  /** Which life of each member is known. */
  readonly boots: number[];
  readonly said: { at: number; keys: string }[] = [];
  readonly wanted: AgentIndex[] = [];
  uplinkChecks = 0;
  readonly #verifying = new Map<AgentIndex, { at: number; left: number }>();
  now: Instant = instant(10_000);
  /** How a probe of this member ends when the verdict asks for one; `open`: not yet. */
  answers: (member: AgentIndex) => 'direct' | 'reached' | 'nack' | 'silent' | 'open' = () => 'direct';

  constructor(
    size: number,
    location: (member: AgentIndex) => string = () => '',
    options: Partial<VerdictOptions> = {},
  ) {
    this.size = size;
    this.states = Array.from({ length: size }, () => 'alive' as State);
    this.boots = this.states.map(() => 1);
    this.verdict = new Verdict({
      options: { ...verdictOptions({ probeIntervalMs: 200, verifyRounds: 2 }), ...options },
      self: 0,
      size,
      facts: {
        state: (member) => this.states[member]!,
        bootOf: (member) => this.boots[member]!,
        aliveCount: () => this.states.filter((state) => state === 'alive' || state === 'suspect').length,
        locationOf: location,
        hearsDigestsOf: () => true,
      },
    });
  }

  get keys(): string {
    return this.verdict.statements.map(statementKey).join(' ');
  }

  /** A round ended that began `tookMs` ago; helpers are three others unless named. */
  ended(
    target: AgentIndex,
    how: 'direct' | 'reached' | 'nack' | 'silent',
    helpers = this.#others(target, 3),
    tookMs = 0,
  ): void {
    const word = how === 'direct' ? 'silent' : how;
    this.verdict.probeEnded(this.now, {
      startedAt: instant(this.now - tookMs),
      target,
      round: 0,
      direct: how === 'direct',
      helpers: how === 'direct' ? [] : helpers.map((helper) => ({ helper, word })),
    });
  }

  member(member: AgentIndex, to: State): void {
    this.states[member] = to;
    this.verdict.memberChanged(this.now, member, to);
  }

  helpAsked(by: AgentIndex, about: AgentIndex): void {
    const out: VerdictOutput[] = [];
    this.verdict.helpAsked(this.now, by, about, out);
    this.#carryOut(out);
  }

  coordinator(state: CoordinatorSight): void {
    this.verdict.coordinatorChanged(this.now, state);
  }

  digest(peer: AgentIndex, state: CoordinatorSight): void {
    const out: VerdictOutput[] = [];
    this.verdict.peerCoordinator(this.now, peer, state, out);
    this.#carryOut(out);
  }

  /** Lets time pass, waking the verdict when it wants to be. Every probe interval one of `probes` is probed. */
  run(ms: number, probes: readonly AgentIndex[] = []): void {
    const end = this.now + ms;
    let next = 0;
    const verifies = (at: number) => {
      for (const [member, rounds] of [...this.#verifying]) {
        if (this.states[member] === 'dead' || rounds.at <= at) this.#verifying.delete(member);
        if (this.states[member] !== 'dead' && rounds.at <= at) this.#round(member, rounds.left);
      }
    };
    for (let at: number = this.now + 10; at <= end; at += 10) {
      this.now = instant(at);
      if (probes.length > 0 && at % 200 === 0) {
        const target = probes[next++ % probes.length]!;
        if (!this.#verifying.has(target)) this.#round(target, 2);
      }
      verifies(at);
      this.tick();
    }
  }

  tick(): void {
    if (this.verdict.deadline() > this.now) return;
    const out: VerdictOutput[] = [];
    this.verdict.tick(this.now, out);
    this.#carryOut(out);
  }

  #carryOut(out: readonly VerdictOutput[]): void {
    for (const output of out) {
      if (output.kind === 'verdict-changed') {
        this.said.push({ at: this.now, keys: output.statements.map(statementKey).join(' ') });
      } else if (output.kind === 'uplink-check-wanted') this.uplinkChecks++;
      else {
        this.wanted.push(output.target);
        if (!this.#verifying.has(output.target)) this.#round(output.target, 2);
      }
    }
  }

  /** As the detector does: a round without any word is followed by further ones, in private. */
  #round(member: AgentIndex, left: number): void {
    const answer = this.answers(member);
    if (answer === 'open') return;
    this.ended(member, answer);
    const isOver = answer === 'direct' || answer === 'reached' || left === 0;
    if (!isOver) this.#verifying.set(member, { at: this.now + 200, left: left - 1 });
  }

  #others(not: AgentIndex, count: number): AgentIndex[] {
    const all = Array.from({ length: this.size }, (_, member) => member);
    return all.filter((member) => member !== 0 && member !== not && this.answers(member) === 'direct').slice(0, count);
  }
}
