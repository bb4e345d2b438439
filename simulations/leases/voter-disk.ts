import { foldVoter, foundingRecord, type VoterRecord } from '../../agent/core/leases/voter-record.ts';
import type { CellNode, VoterDisk } from './box.ts';
import type { LeaseWorld } from './world.ts';

/** What a voter finds when it starts: its record, or what the planted damage left of it. */
export function readDisk(world: LeaseWorld, node: CellNode, disk: VoterDisk): VoterRecord | undefined {
  const { damage } = disk;
  disk.damage = 'none';
  if (damage === 'blank' || damage === 'torn') {
    disk.base = undefined;
    disk.log = [];
    world.judge.lostMemory(node);
    world.judge.count(damage === 'blank' ? 'voter starts with a blank disk' : 'voter starts with a torn store');
  } else if (damage === 'rolled-back') {
    const boots = disk.log.findLastIndex((entry) => entry.kind === 'booted');
    if (boots > 0) {
      disk.log.length = world.chance.below(boots);
      world.judge.count('voter starts from a rolled-back store');
      world.judge.lostMemory(node);
    }
  } else if (damage === 'set-back') {
    const begun = disk.log.findLastIndex((entry) => entry.kind === 'booted') + 1;
    if (disk.log.length > begun) {
      disk.log.length = begun + world.chance.below(disk.log.length - begun);
      world.judge.count('voter starts from a store set back within its life');
    }
  } else if (world.options.areDisksLying || world.plant.disksCached) {
    // The newest grants never reached the platter.
    const kept = disk.log.filter((entry) => entry.kind !== 'granted' || entry.session !== undefined);
    if (world.plant.disksCached) {
      if (kept.length < disk.log.length) world.judge.count('grants lost in a power cut');
      disk.log = kept;
    } else {
      const at = disk.log.findLastIndex((entry) => entry.kind === 'granted' && entry.session === undefined);
      if (at >= 0) {
        world.judge.count('grant lost by a lying disk');
        disk.log.splice(at, 1);
      }
    }
  }
  if (disk.base === undefined && disk.log.length === 0) return undefined;
  const spec = node.succession.active;
  const record =
    disk.base === undefined
      ? foundingRecord({
          epoch: spec.epoch,
          voters: spec.voters.length,
          leases: world.specs.length,
          leaseMs: spec.leaseMs,
        })
      : structuredClone(disk.base);
  for (const entry of disk.log) foldVoter(record, entry);
  if (record.unborn) world.judge.lostMemory(node);
  return record;
}
