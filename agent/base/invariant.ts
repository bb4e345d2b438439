/** Our own bug, never a peer's or the environment's: whoever throws this is wrong about our own code. */
export class InvariantViolation extends Error {
  override name = 'InvariantViolation';
}

/**
 * States what must be true if our own code is right. Bytes from a peer, a file or a person never reach it: those
 * are rejected as data.
 */
export function invariant(condition: unknown, message: string): asserts condition {
  if (!condition) throw new InvariantViolation(message);
}

/** Closes a switch over a union: the compiler proves that it is never called. */
export function unreachable(value: never): never {
  throw new InvariantViolation(`unreachable: ${JSON.stringify(value)}`);
}
