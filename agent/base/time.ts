import type { Brand } from './brand.ts';

/**
 * A point on this process's monotonic clock, in milliseconds (fractions allowed). Never compared across processes,
 * never shown to people.
 */
export type Instant = Brand<number, 'Instant'>;

/** Milliseconds since the Unix epoch by the box's wall clock. For people and for schedules only, never for logic. */
export type WallTime = Brand<number, 'WallTime'>;

export const instant = (ms: number): Instant => ms as Instant;
export const wallTime = (ms: number): WallTime => ms as WallTime;

/** `now + ms`, still an instant. */
export const after = (now: Instant, ms: number): Instant => (now + ms) as Instant;

/** Far enough that it never comes; used for "no deadline". */
export const never: Instant = Number.POSITIVE_INFINITY as Instant;

export const milliseconds = (n: number): number => n;
export const seconds = (n: number): number => n * 1_000;
export const minutes = (n: number): number => n * 60_000;
export const hours = (n: number): number => n * 3_600_000;
export const days = (n: number): number => n * 86_400_000;
