import type { Random } from '../../agent/base/random.ts';
import type { CellNode, LeaseBox } from './box.ts';
import type { FaultKind } from './options.ts';
import type { LeaseWorld } from './world.ts';

/**
 * What happens to a site of leases. Half of it comes by chance, the other half where it hurts: right after somebody
 * acquired a lease, at its first renewal, at its expiry.
 */
export class LeaseFaults {
  readonly #world: LeaseWorld;
  readonly #random: Random;

  constructor(world: LeaseWorld, random: Random) {
    this.#world = world;
    this.#random = random;
    const { faultPhaseMs, faultEveryMs } = world.options;
    const first = world.options.faults.length > 0 ? random.between(200, 2500) : faultPhaseMs;
    for (let at = first; at < faultPhaseMs; at += random.exponential(faultEveryMs)) {
      world.at(at, () => this.strike(this.#kind(), undefined));
    }
    if (world.options.lowersLeaseAtMs < faultPhaseMs) {
      for (const box of world.boxes) {
        world.at(world.options.lowersLeaseAtMs + box.index * 700 + 1, () => {
          for (const node of box.life?.nodes ?? [])
            node.options.leaseMs = world.leaseMsNow(node.succession.active, box);
        });
      }
    }
  }

  #kind(): FaultKind {
    const { faults } = this.#world.options;
    return faults[this.#random.below(faults.length)]!;
  }

  /** Somebody began to hold a lease: a good moment. */
  acquired(node: CellNode, lease: number): void {
    const world = this.#world;
    const random = this.#random;
    if (world.now >= world.options.faultPhaseMs || !random.chance(world.options.bias)) return;
    const { leaseMs } = node.options;
    const at =
      world.now +
      (random.chance(0.5)
        ? random.between(0, 10)
        : random.chance(0.5)
          ? 500 + random.between(-20, 20)
          : leaseMs + random.between(-60, 60));
    const kind = this.#kind();
    const holder = node.life.box;
    const { voters } = node.succession.active;
    const target = random.chance(0.5) ? holder : world.boxes[voters[random.below(voters.length)]!]!;
    world.at(at, () => {
      this.strike(kind, target);
      // Two faults at one boundary are what reviews forget.
      if (random.chance(0.4)) this.strike(this.#kind(), undefined);
      if (kind === 'churn') this.#churn(node, lease);
    });
  }

  strike(kind: FaultKind, target: LeaseBox | undefined): void {
    const world = this.#world;
    const random = this.#random;
    const { options, boxes } = world;
    if (world.now >= options.faultPhaseMs) return;
    const box = target ?? boxes[random.below(boxes.length)]!;
    const isProtected = world.now < world.recallProtectedUntil;
    const forMs = random.chance(0.5) ? random.between(50, 2500) : random.between(1500, 6000);
    switch (kind) {
      case 'cut':
        return this.#cut(forMs, target);
      case 'one-way':
        for (const other of boxes)
          if (other !== box && random.chance(0.8)) this.#block(box, other, random.chance(0.5), forMs);
        return;
      case 'link':
        for (let i = 0; i < 2; i++) {
          const other = boxes[random.below(boxes.length)]!;
          if (other === box) continue;
          this.#block(box, other, true, forMs);
          this.#block(box, other, false, forMs);
        }
        return;
      case 'freeze':
        return world.freeze(box, forMs);
      case 'suspend':
        return world.suspend(box, random.chance(0.2) ? forMs * 3 : forMs);
      case 'kill':
        if (!isProtected) world.killAgent(box, random.chance(0.5) ? random.between(5, 150) : forMs);
        return;
      case 'power':
        if (!isProtected) world.powerOff(box, forMs);
        return;
      case 'site-power':
        if (isProtected || !random.chance(0.3)) return;
        for (const each of boxes) world.powerOff(each, random.between(50, 2500));
        return;
      case 'wall':
        return world.jumpWall(
          box,
          (random.chance(0.5) ? -1 : 1) * (random.chance(0.2) ? 3_600_000 : random.between(100, 8000)),
        );
      case 'disk':
        if (!isProtected) this.#disk(box);
        return;
      case 'eio':
        for (const node of box.life?.nodes ?? []) {
          node.failsNextWrite = node.voter !== undefined;
          if (node.failsNextWrite)
            world.at(Math.min(world.now + forMs, options.faultPhaseMs - 1), () => world.killAgent(box, 100));
        }
        return;
      case 'voters-restart':
        if (isProtected) return;
        for (const each of boxes) if (random.chance(0.4)) world.killAgent(each, random.between(2, 120));
        return;
      case 'churn': {
        const node = box.life?.nodes[random.below(options.cells)];
        if (node) this.#churn(node, world.leasesOf(node.cell)[random.below(options.duties + options.processes)]!);
        return;
      }
    }
  }

  #churn(node: CellNode, lease: number): void {
    if (this.#world.isPermit(lease)) return;
    this.#world.judge.count('given up and wanted again');
    this.#world.effects.churn(node, lease);
  }

  #block(a: LeaseBox, b: LeaseBox, isOut: boolean, forMs: number): void {
    const world = this.#world;
    const [from, to] = isOut ? [a.index, b.index] : [b.index, a.index];
    world.block(from, to);
    world.at(world.now + forMs, () => {
      if (world.now < world.options.faultPhaseMs) world.unblock(from, to);
    });
  }

  #cut(forMs: number, target: LeaseBox | undefined): void {
    const { boxes } = this.#world;
    const isHere = boxes.map((box) =>
      target ? box === target || this.#random.chance(0.25) : this.#random.chance(0.5),
    );
    this.#world.judge.count('partition');
    for (const a of boxes)
      for (const b of boxes) if (a !== b && isHere[a.index] !== isHere[b.index]) this.#block(a, b, true, forMs);
  }

  /** The box loses power, and comes back with another store. */
  #disk(box: LeaseBox): void {
    const world = this.#world;
    const random = this.#random;
    if (!box.isUp) return;
    const cell = random.below(world.options.cells);
    const disk = box.disks[cell]!.voter;
    const draw = random.float();
    const damage = draw < 0.4 ? 'blank' : draw < 0.6 ? 'torn' : 'rolled-back';
    if (damage === 'rolled-back') {
      // It is found out only by those who remember; two of them stay up and in reach until the mute is over.
      const node = box.life?.nodes[cell];
      if (!node?.voter) return;
      const rememberers = this.#rememberers(box, cell);
      if (rememberers < 2) return;
      world.recallProtectedUntil = world.now + 5500;
      // Within one life no life shows it: then each of those who granted with it stays in reach.
      const others = node.succession.active.voters.length - 1;
      disk.damage = draw >= 0.8 && rememberers === others ? 'set-back' : damage;
      world.powerOff(box, random.between(50, 800));
      return;
    }
    disk.damage = damage;
    world.powerOff(box, random.between(50, 2000));
  }

  #rememberers(box: LeaseBox, cell: number): number {
    const world = this.#world;
    const { boot, voters } = (() => {
      const node = box.life!.nodes[cell]!;
      const { life } = node.voter as unknown as { life: { boot: number } };
      return { boot: life.boot, voters: node.succession.active.voters };
    })();
    let count = 0;
    for (const agent of voters) {
      const other = world.boxes[agent]!;
      const voter = other.life?.nodes[cell]?.voter as unknown as
        | { heard: ({ boot: number } | undefined)[]; booted: boolean; failed: boolean }
        | undefined;
      if (other === box || !voter?.booted || voter.failed || world.isAsleep(other) || other.frozenUntil > world.now)
        continue;
      if (voter.heard[voters.indexOf(box.index)]?.boot === boot) count++;
    }
    return count;
  }
}
