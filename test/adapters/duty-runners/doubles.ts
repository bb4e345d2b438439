import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { onTestFinished } from 'vitest';
import { readProcess } from '../../../agent/adapters/connections/process-table.ts';
import type { Log } from '../../../agent/adapters/duty-runners/runner.ts';
import { entryId } from '../../../agent/base/ids.ts';
import type { DutySpec, DutyWork } from '../../../agent/core/duties/duty.ts';
import type { Input } from '../../../agent/core/input.ts';
import type { Deliver } from '../../../agent/driver/ports.ts';

/** Inputs that came back, with the one of a kind that came last. */
export class Inbox {
  readonly inputs: Input[] = [];
  readonly deliver: Deliver = (input) => {
    this.inputs.push(input);
  };

  of<K extends Input['kind']>(kind: K): Extract<Input, { kind: K }>[] {
    return this.inputs.filter((input): input is Extract<Input, { kind: K }> => input.kind === kind);
  }
}

export const silent: Log = { debug() {}, info() {}, warn() {}, error() {} };

export function dutyOf(work: DutyWork, index = 0, id = 'labels/service'): DutySpec {
  return {
    index,
    id: entryId(id),
    thing: undefined,
    work,
    eligible: [0],
    exclusive: false,
    critical: false,
    refusedBecause: new Map(),
    weight: new Map([[0, 1]]),
  };
}

export const processDuty = (argv: readonly string[], index = 0, env: Iterable<[string, string]> = []): DutySpec =>
  dutyOf({ kind: 'process', argv, env: new Map(env) }, index, `labels/service-${index}`);

/** A folder of this test alone, gone after it. */
export function temporaryFolder(): string {
  const folder = mkdtempSync(join(tmpdir(), 'millwright-test-'));
  onTestFinished(() => rmSync(folder, { recursive: true, force: true }));
  return folder;
}

/** A zombie is dead: whether the box's first process reaps it soon is not ours. */
export function alive(pid: number): boolean {
  const state = readProcess(pid)?.state;
  return state !== undefined && state !== 'Z';
}
