import { EffectGate } from '../../agent/core/leases/effect-gate.ts';
import { FloorReader, type FloorReaderOutput } from '../../agent/core/leases/floor-reader.ts';
import type { LeaseBox } from './box.ts';
import { retryMs } from './options.ts';
import type { LeaseWorld } from './world.ts';

/** Gateways that begin anew with a blank disk: shut until a majority of the voters has told what it granted. */
export class Gateways {
  readonly #world: LeaseWorld;
  readonly #shut = new Map<number, { readonly box: LeaseBox; readonly reader: FloorReader }>();

  constructor(world: LeaseWorld) {
    this.#world = world;
  }

  isShut(cell: number): boolean {
    return this.#shut.has(cell);
  }

  /** The gateway of a cell begins anew, on this box. */
  replace(cell: number, box: LeaseBox): void {
    const { plant, gates, specs, judge } = this.#world;
    const leases = specs.length;
    gates[cell] = plant.gate?.(leases) ?? new EffectGate(leases);
    judge.count('gateway begins anew');
    const active = box.life?.nodes[cell]?.succession.active;
    if (plant.gateAsksNobody || active === undefined) return;
    const { epoch, voters } = active;
    const reader = new FloorReader({ cell, epoch, voters, leases, retryMs });
    this.#shut.set(cell, { box, reader });
    const out: FloorReaderOutput[] = [];
    reader.start(this.#world.voterNow(box), out);
    this.#carryOut(cell, out);
  }

  /** The gateway stands on the last box: an epoch that was forced raises its floors, before any token of it was seen. */
  forced(box: LeaseBox, cell: number, epoch: number): void {
    const { plant, options, gates, specs, judge } = this.#world;
    if (box.index !== options.agents - 1) return;
    judge.gatewayKnows(cell, epoch);
    if (plant.gateWaitsForTokens) return;
    for (let lease = 0; lease < specs.length; lease++) gates[cell]!.raiseTo(lease, { epoch, counter: 1 });
  }

  /** What voters say comes by the box of the gateway. */
  told(cell: number, from: number, message: Parameters<FloorReader['told']>[1]): void {
    const out: FloorReaderOutput[] = [];
    this.#shut.get(cell)?.reader.told(from, message, out);
    if (out.length > 0) this.#carryOut(cell, out);
  }

  #carryOut(cell: number, out: readonly FloorReaderOutput[]): void {
    const world = this.#world;
    const shut = this.#shut.get(cell);
    if (shut === undefined) return;
    const { box, reader } = shut;
    for (const output of out) {
      if (output.kind === 'send') {
        world.send(box, output.to, cell, output.message);
        continue;
      }
      const { epoch } = box.life!.nodes[cell]!.succession.active;
      output.maxCounters.forEach((counter, lease) => {
        world.gates[cell]!.raiseTo(lease, { epoch, counter: Math.max(1, counter) });
      });
      this.#shut.delete(cell);
      world.judge.count('gateway read its floors');
      return;
    }
    const waitMs = reader.deadline() - world.voterNow(box);
    world.at(world.now + Math.max(1, waitMs), () => {
      if (this.#shut.get(cell)?.reader !== reader || !box.life) return;
      const more: FloorReaderOutput[] = [];
      reader.tick(world.voterNow(box), more);
      if (more.length > 0) this.#carryOut(cell, more);
    });
  }
}
