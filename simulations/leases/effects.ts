import type { FencingToken } from '../../agent/core/leases/fencing-token.ts';
import type { ProposerOutput } from '../../agent/core/leases/proposer.ts';
import type { VoterOutput } from '../../agent/core/leases/voter.ts';
import type { CellNode, Child, Effect, LeaseBox, Life } from './box.ts';
import { kind } from './events.ts';
import type { LeaseWorld } from './world.ts';

/** How long after the order a process is dead, at most; the supervisor gives the order this long before the deadline. */
const killMs = 30;
/** Death certificates go out at these times after the last duty process was reaped. */
const certificateTimes = [0, 20, 60, 140, 300] as const;
/** After a suspend, a process may run for a moment before its supervisor does. */
const resumeGraceMs = 50;

/**
 * What holders do with their leases: effects of the agent's own thread, processes under a supervisor, steps under a
 * permit; and the certificates of those whose supervisor has reaped everything.
 */
export class EffectSide {
  readonly #world: LeaseWorld;

  constructor(world: LeaseWorld) {
    this.#world = world;
  }

  // Duties: effects of the agent's own thread, of duty processes, and steps under a permit.

  begin(node: CellNode, lease: number, token: FencingToken, until: number): void {
    const { life, cell } = node;
    if (this.#world.isProcess(lease)) {
      const child: Child = {
        box: life.box,
        life,
        cell,
        lease,
        token,
        session: life.session.id,
        deadlineAt: Number.POSITIVE_INFINITY,
        isAlive: true,
        isStuck: false,
        isOrdered: false,
        bornAt: this.#world.now,
      };
      node.proposer.began(lease);
      life.box.children.push(child);
      this.#armChild(child, until);
      this.#world.push(this.#world.now + 1, kind.childLoop, life.box.index, 0, 0, child);
    } else if (this.#world.isPermit(lease)) this.#beginStep(node, lease);
    else
      this.#world.push(
        this.#world.now + this.#world.chance.float() * 5,
        kind.effectLoop,
        life.box.index,
        lease,
        0,
        node,
      );
  }

  effectLoop(node: CellNode, lease: number): void {
    const { life } = node;
    if (!life.isAlive) return;
    const at = this.#world.runsAt(life.box, true);
    if (at > this.#world.now) {
      this.#world.push(at + 0.05, kind.effectLoop, life.box.index, lease, 0, node);
      return;
    }
    const token = node.proposer.mayAct(this.#world.holderTime(life), lease);
    if (token === undefined) return;
    node.proposer.began(lease);
    this.emit({
      life,
      cell: node.cell,
      lease,
      token,
      session: life.session.id,
      isLate: this.#world.chance.float() < this.#world.options.lateEffects && this.#world.now < this.#world.healedAt,
      isOfChild: false,
    });
    this.#world.push(
      this.#world.now + 20 + this.#world.chance.float() * 60,
      kind.effectLoop,
      life.box.index,
      lease,
      0,
      node,
    );
  }

  /** Kill time and travel together stay within the guard: that is what the guard is for. */
  #longestTravel(): number {
    return Math.min(this.#world.options.guardMs * 0.5, 20);
  }

  /** An effect on its way: as long as an effect takes, or held up somewhere between check and write. */
  emit(effect: Effect, heldUpMs = this.#world.chance.between(50, 4000)): void {
    effect.issuedAt = this.#world.now;
    const usual = this.#longestTravel() * (0.1 + 0.9 * this.#world.chance.float());
    const travel = effect.isLate ? heldUpMs : usual;
    this.#world.push(this.#world.now + travel, kind.effectLands, 0, 0, 0, effect);
  }

  land(effect: Effect): void {
    const { life, cell, lease, token, session } = effect;
    if (this.#world.gateways.isShut(cell)) {
      this.#world.judge.count('effect refused by a gateway that is shut');
      if (!effect.isOfChild) this.#world.push(this.#world.now + 0.5, kind.effectDone, 0, 0, 0, effect);
      return;
    }
    const verdict = this.#world.gates[cell]!.judge(lease, token, session);
    if (verdict === 'raised' || verdict === 'accepted') this.#world.judge.accepted(effect);
    else {
      this.#world.judge.refused(effect);
      const node = life.isAlive ? life.nodes[cell] : undefined;
      const floor = this.#world.gates[cell]!.floor(lease);
      if (node && floor && this.#world.runsAt(life.box, true) === this.#world.now) {
        const out: ProposerOutput[] = [];
        node.proposer.outnumbered(this.#world.holderTime(life), lease, floor.token, out);
        this.#world.onProposer(node, out);
      }
    }
    if (!effect.isOfChild) this.#world.push(this.#world.now + 0.5, kind.effectDone, 0, 0, 0, effect);
  }

  effectDone(effect: Effect): void {
    const { life, cell, lease, token } = effect;
    if (!life.isAlive) return;
    const at = this.#world.runsAt(life.box, true);
    if (at > this.#world.now) {
      this.#world.push(at + 0.05, kind.effectDone, 0, 0, 0, effect);
      return;
    }
    const node = life.nodes[cell]!;
    if (token.epoch !== node.succession.active.epoch) return;
    const out: ProposerOutput[] = [];
    node.proposer.finished(this.#world.holderTime(life), lease, token, out);
    this.#world.onProposer(node, out);
  }

  #beginStep(node: CellNode, lease: number): void {
    const { life, cell } = node;
    const token = node.proposer.mayAct(this.#world.holderTime(life), lease);
    if (token === undefined || node.proposer.lease(lease).effects > 0) return;
    node.proposer.began(lease);
    // It is carried out elsewhere, and goes on if this agent dies.
    const forMs = this.#world.options.lingerMs * this.#world.chance.between(0.1, 0.95);
    this.#world.judge.stepBegan(node, lease, this.#world.now + forMs);
    this.#world.push(this.#world.now + forMs, kind.stepDone, 0, 0, 0, { life, cell, lease, token });
  }

  stepDone(step: { life: Life; cell: number; lease: number; token: FencingToken }): void {
    const { life, cell, lease, token } = step;
    if (!life.isAlive) return;
    const at = this.#world.runsAt(life.box, true);
    if (at > this.#world.now) {
      this.#world.push(at + 0.05, kind.stepDone, 0, 0, 0, step);
      return;
    }
    const node = life.nodes[cell]!;
    if (token.epoch !== node.succession.active.epoch) return;
    const out: ProposerOutput[] = [];
    const now = this.#world.holderTime(life);
    node.proposer.finished(now, lease, token, out);
    node.proposer.release(now, lease, out);
    node.proposer.want(
      now,
      lease,
      40 * this.#world.rank(life.box.index, cell, lease) + this.#world.chance.between(0, 500),
      out,
    );
    this.#world.onProposer(node, out);
  }

  /** The agent gives the duty up and wants it again later. */
  churn(node: CellNode, lease: number): void {
    const { life } = node;
    if (!life.isAlive || this.#world.runsAt(life.box, true) > this.#world.now) return;
    const out: ProposerOutput[] = [];
    const now = this.#world.holderTime(life);
    this.orderOf(node, lease);
    node.proposer.release(now, lease, out);
    node.proposer.want(now, lease, this.#world.chance.between(0, 300), out);
    this.#world.onProposer(node, out);
  }

  #armChild(child: Child, until: number): void {
    const { life, box } = child;
    // A deadline on the supervisor's own uptime clock, handed over as what remains.
    const remaining = (until - this.#world.elapsed(life)) / box.rate;
    child.deadlineAt = this.#world.now + remaining - killMs;
    if (!this.#world.plant.unsupervised) this.#world.push(child.deadlineAt, kind.childDeadline, 0, 0, 0, child);
  }

  extendChild(node: CellNode, lease: number, token: FencingToken, until: number): void {
    for (const child of node.life.box.children) {
      if (child.life !== node.life || child.lease !== lease || child.cell !== node.cell || child.isOrdered) continue;
      child.token = token;
      this.#armChild(child, until);
    }
  }

  childDeadline(child: Child): void {
    if (!child.isAlive) return;
    const at = this.#world.runsAt(child.box, false);
    if (at > this.#world.now) this.#world.push(at + this.#world.chance.float() * 5, kind.childDeadline, 0, 0, 0, child);
    else if (this.#world.now >= child.deadlineAt) {
      if (!child.isOrdered) this.#world.judge.count('process killed at its deadline');
      this.order(child);
    }
  }

  orderOf(node: CellNode, lease: number): void {
    for (const child of node.life.box.children)
      if (child.life === node.life && child.lease === lease && child.cell === node.cell) this.order(child);
  }

  order(child: Child): void {
    if (child.isOrdered || !child.isAlive) return;
    child.isOrdered = true;
    const isStuck =
      this.#world.reapedAfterMs === undefined
        ? this.#world.now < this.#world.healedAt && this.#world.chance.chance(0.02)
        : this.#world.reapedAfterMs > killMs;
    child.isStuck = isStuck;
    // Seldom in state D: no signal ends it.
    const takes =
      this.#world.reapedAfterMs ??
      (isStuck
        ? this.#world.chance.between(500, 8000)
        : this.#world.chance.between(0.1, Math.min(killMs, this.#world.options.guardMs) * 0.4));
    this.#world.push(this.#world.now + takes, kind.childReaped, 0, 0, 0, child);
  }

  childReaped(child: Child): void {
    if (!child.isAlive) return;
    const at = this.#world.runsAt(child.box, false);
    if (at > this.#world.now) {
      this.#world.push(at, kind.childReaped, 0, 0, 0, child);
      return;
    }
    child.isAlive = false;
    const { box, life, cell, lease, token } = child;
    box.children = box.children.filter((other) => other !== child);
    if (!life.isAlive) return;
    // Its last write may still be on its way.
    const last: Effect = { life, cell, lease, token, session: child.session, isLate: false, isOfChild: true };
    this.#world.push(this.#world.now + this.#longestTravel(), kind.effectDone, 0, 0, 0, last);
  }

  childLoop(child: Child): void {
    if (!child.isAlive) return;
    const at = this.#world.runsAt(child.box, false);
    if (at > this.#world.now) {
      this.#world.push(at + this.#world.chance.float() * 3, kind.childLoop, 0, 0, 0, child);
      return;
    }
    const hasJustWoken = this.#world.now - child.box.resumedAt < resumeGraceMs;
    const isLate = child.isStuck || hasJustWoken || this.#world.chance.float() < this.#world.options.lateEffects * 0.3;
    const { life, cell, lease, token, session } = child;
    this.emit({ life, cell, lease, token, session, isLate, isOfChild: true });
    this.#world.judge.childRuns(child, isLate);
    this.#world.push(this.#world.now + 30 + this.#world.chance.float() * 60, kind.childLoop, 0, 0, 0, child);
  }

  // Death certificates.

  /** Reaped first, and then the guard: what the last process wrote must have landed. */
  certifyWhenReaped(life: Life, reapedAt: number | undefined): void {
    const { box } = life;
    if (!box.isUp) return;
    const awake = this.#world.runsAt(box, false);
    const isReaped = awake === this.#world.now && box.children.every((child) => child.life !== life || !child.isAlive);
    const since = isReaped ? (reapedAt ?? this.#world.now) : undefined;
    const at = (since ?? Number.POSITIVE_INFINITY) + this.#world.options.guardMs / box.rate;
    if (this.#world.now >= at) return this.certify(life, this.#world.now);
    this.#world.at(Math.max(awake, Math.min(at, this.#world.now + 5)), () => this.certifyWhenReaped(life, since));
  }

  certify(life: Life, from: number): void {
    const { box, secret } = life;
    this.#world.judge.count('death certified');
    for (const afterMs of certificateTimes) {
      for (const { index } of this.#world.boxes) {
        if (
          index !== box.index &&
          (this.#world.isBlocked(box.index, index) || this.#world.net.float() < this.#world.options.loss)
        )
          continue;
        const at =
          from + afterMs + this.#world.options.latencyMs + this.#world.net.exponential(this.#world.options.jitterMs);
        this.#world.push(at, kind.certificate, index, 0, 0, secret);
      }
    }
  }

  certificate(box: LeaseBox, secret: string): void {
    const { life } = box;
    if (!life) return;
    const at = this.#world.runsAt(box, true);
    if (at > this.#world.now) {
      this.#world.push(at + 0.02, kind.certificate, box.index, 0, 0, secret);
      return;
    }
    for (const node of life.nodes) {
      if (!node.voter) continue;
      const out: VoterOutput[] = [];
      node.voter.died(this.#world.voterNow(box), secret, out);
      this.#world.onVoter(node, out);
    }
  }
}
