import type { AgentIndex } from '../../base/ids.ts';
import { Random } from '../../base/random.ts';

/**
 * The circle on which the members of a large site watch each other: each probes the next few living ones after itself.
 * It follows from the size of the roster alone, so all agree on it, and it is shuffled, so that neighbours on it do not
 * share a cabinet: a cut cable must not take a box together with all who watch it.
 */
export interface Ring {
  readonly order: Uint32Array;
  /** Where each member stands in `order`. */
  readonly position: Uint32Array;
}

let latest: Ring | undefined;

/** The ring of a roster of this size. The one asked for last is kept: agents of one process share it. */
export function ringOf(size: number): Ring {
  if (latest?.order.length === size) return latest;
  const order = new Random(size, 'ring').shuffle(Uint32Array.from({ length: size }, (_, m) => m));
  const position = new Uint32Array(size);
  for (let at = 0; at < size; at++) position[order[at]!] = at;
  latest = { order, position };
  return latest;
}

/** The next `count` members after `self` that qualify, into `into`; fewer when the circle holds no more. */
export function successors(
  ring: Ring,
  self: AgentIndex,
  count: number,
  qualifies: (member: AgentIndex) => boolean,
  into: AgentIndex[],
): void {
  into.length = 0;
  const size = ring.order.length;
  let at = ring.position[self]!;
  for (let steps = 1; steps < size && into.length < count; steps++) {
    at = at + 1 === size ? 0 : at + 1;
    const member = ring.order[at]!;
    if (qualifies(member)) into.push(member);
  }
}

/** A random member at most ten places away, on either side. */
export function nearOn(ring: Ring, self: AgentIndex, random: Random): AgentIndex {
  const size = ring.order.length;
  const step = 1 + random.below(placesNear);
  return ring.order[(ring.position[self]! + (random.chance(0.5) ? step : size - step)) % size]!;
}

/** A random member that is near both on the ring, or undefined where nobody is: between them, or a little beyond one. */
export function nearBothOn(ring: Ring, one: AgentIndex, other: AgentIndex, random: Random): AgentIndex | undefined {
  const size = ring.order.length;
  const ahead = (ring.position[other]! - ring.position[one]! + size) % size;
  const [first, apart] = ahead <= size - ahead ? [one, ahead] : [other, size - ahead];
  if (apart > 2 * placesNear) return undefined;
  // Places reckoned from whoever comes first: from `placesNear` before the second to `placesNear` after the first.
  const from = apart - placesNear;
  const place = from + random.below(2 * placesNear - apart + 1);
  const member = ring.order[(ring.position[first]! + place + size) % size]!;
  return member === one || member === other ? undefined : member;
}

export const placesNear = 10;

/** Agents of a site in which all connect to all. */
export const smallSite = 200;

/**
 * Whom an agent keeps a connection to: in a small site everybody, in a large one its cell and the observers on either
 * side of the ring. Others are called when there is something to say to them, because nobody keeps a thousand connections.
 */
export function keepsConnection(size: number, self: AgentIndex, other: AgentIndex, isSameCell: boolean): boolean {
  if (size <= smallSite || isSameCell) return true;
  const { position } = ringOf(size);
  const apart = Math.abs(position[self]! - position[other]!);
  return Math.min(apart, size - apart) <= placesNear;
}
