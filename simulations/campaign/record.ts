import { readFileSync, writeFileSync } from 'node:fs';
import { err, ok, type Result } from '../../agent/base/result.ts';
import { type FaultEvent, faultKinds } from '../faults/fault.ts';
import { scenarioNamed } from '../scenarios/list.ts';
import type { ScenarioOptions } from '../scenarios/scenario.ts';

/** A run that can be played again without drawing anything: all its options and its concrete faults. */
export interface Recording {
  readonly format: 'millwright-simulation';
  readonly version: 1;
  readonly scenario: string;
  readonly agents: number;
  readonly seed: number;
  readonly options: ScenarioOptions;
  /** What it broke when it was saved; undefined where it broke nothing. Whoever mends it keeps the file. */
  readonly violated?: string | undefined;
  /** For people: what went wrong, and what was done about it. */
  readonly note?: string | undefined;
}

/**
 * Of these "none" is a word: a change of the network that says `uplink: undefined` lifts a limit, one without it leaves
 * the limit as it is. JSON has no undefined; in a file it is null.
 */
const mayBeNone: readonly string[] = ['burst', 'tail', 'uplink'];

export function saveRecording(path: string, recording: Recording): void {
  const none = (key: string, value: unknown) => (value === undefined && mayBeNone.includes(key) ? null : value);
  writeFileSync(path, `${JSON.stringify(recording, none, 2)}\n`);
}

function readNone(changes: unknown): void {
  if (typeof changes !== 'object' || changes === null) return;
  const fields = changes as Record<string, unknown>;
  for (const key of mayBeNone) if (fields[key] === null) fields[key] = undefined;
}

/** Reads a recording; says in words what is wrong with it. */
export function loadRecording(path: string): Result<Recording, string> {
  let parsed: unknown;
  try {
    parsed = JSON.parse(readFileSync(path, 'utf8'));
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException;
    return err(code === 'ENOENT' ? `${path}: there is no such file` : `${path}: ${message}`);
  }
  return checkRecording(parsed, path);
}

export function checkRecording(value: unknown, path: string): Result<Recording, string> {
  const recording = value as Partial<Recording> | null;
  const wrong = (what: string): Result<never, string> => err(`${path}: ${what}`);
  if (typeof recording !== 'object' || recording === null || recording.format !== 'millwright-simulation')
    return wrong('no recording of `millwright simulate --save`');
  if (recording.version !== 1) return wrong(`version ${recording.version}, this program reads 1`);
  if (typeof recording.scenario !== 'string' || !scenarioNamed(recording.scenario))
    return wrong(`no scenario "${recording.scenario}" in this version`);
  const { agents, seed, options } = recording;
  if (!isCount(agents, 2, 5000)) return wrong(`agents ${agents}: expected 2 to 5000`);
  if (!isCount(seed, 0, Number.MAX_SAFE_INTEGER)) return wrong(`seed ${seed}: expected a whole number`);
  if (typeof options !== 'object' || options === null || !Array.isArray(options.faults)) return wrong('no options');
  if (options.agents !== agents) return wrong(`options of ${options.agents} agents for a run of ${agents}`);
  if (!(options.durationS > 0 && options.durationS <= 40 * 86_400)) return wrong(`duration ${options.durationS} s`);
  readNone(options.network);
  for (const [index, fault] of options.faults.entries()) {
    if (fault?.kind === 'network') readNone(fault.change);
    const problem = faultProblem(fault, agents);
    if (problem) return wrong(`fault ${index}: ${problem}`);
  }
  return ok(recording as Recording);
}

const isCount = (n: unknown, from: number, to: number): n is number =>
  typeof n === 'number' && Number.isSafeInteger(n) && n >= from && n <= to;

function faultProblem(fault: Partial<FaultEvent> | null, agents: number): string | undefined {
  if (typeof fault !== 'object' || fault === null || typeof fault.kind !== 'string') return 'no fault';
  if (!faultKinds.has(fault.kind)) return `no fault "${fault.kind}" in this version`;
  if (typeof fault.atMs !== 'number' || !(fault.atMs >= 0)) return `at ${fault.atMs}`;
  const boxes =
    'agent' in fault ? [fault.agent] : 'left' in fault ? [...(fault.left ?? []), ...(fault.right ?? [])] : [];
  return boxes.every((box) => isCount(box, 0, agents - 1)) ? undefined : `boxes ${boxes.join()} of ${agents}`;
}
