import type { Brand } from './brand.ts';

/** Name of an agent in the site file, `[a-z0-9][a-z0-9-]{0,62}`. */
export type AgentId = Brand<string, 'AgentId'>;
/** `thing/name` for ever: the identity of every entry of a thing's body (site-wide entries are `site/name`). */
export type EntryId = Brand<string, 'EntryId'>;
/** One life of one agent process: drawn at start, 128 bit as 32 hex digits. */
export type BootId = Brand<string, 'BootId'>;

/**
 * Dense indices: positions in the arrays of a compiled site plan. The core keeps its views in typed arrays over
 * these, so that thousands of agents fit one process; names appear only at the edges.
 */
export type AgentIndex = number;
export type ThingIndex = number;
export type SignalIndex = number;
export type CheckIndex = number;
export type ModelIndex = number;
export type DutyIndex = number;
export type WorkflowIndex = number;
export type AlarmIndex = number;
export type ConditionIndex = number;
export type CellIndex = number;

export const agentId = (text: string): AgentId => text as AgentId;
export const entryId = (text: string): EntryId => text as EntryId;
export const bootId = (text: string): BootId => text as BootId;
