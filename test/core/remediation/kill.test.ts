import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { Budget } from '../../../agent/core/remediation/budget.ts';
import type { JournalEntry } from '../../../agent/core/remediation/journal-entry.ts';
import { foldRun, type RunState } from '../../../agent/core/remediation/run.ts';
import type { DoubtKind, WorkflowSpec } from '../../../agent/core/remediation/workflow.ts';
import { permission, RepairWorld, step, workflow } from './repair-world.ts';

/** Drain, a pause, and what mends it: a run with every kind of entry that an unhindered repair writes. */
const repair = (doubt: DoubtKind): WorkflowSpec =>
  workflow({
    steps: [
      step('drain', { doubt }),
      step('settle', { action: { kind: 'wait', ms: 50 }, fixing: false, doubt: 'idempotent' }),
      step('fix', { doubt, landsWithinMs: 500 }),
    ],
    cooldownMs: 600_000,
  });

function undisturbed(doubt: DoubtKind): number {
  const world = new RepairWorld(repair(doubt));
  world.start();
  world.runFor(20_000);
  expect(world.ends).toEqual(['HEALED']);
  return world.journal.length;
}

/** Nothing that a durable entry calls finished is done again, whoever asks. */
function expectNoRepeats(world: RepairWorld): void {
  const finished = new Set<string>();
  let entry = 0;
  const lives = new Map<string, number>();
  for (const e of world.journal) if (!lives.has(e.boot)) lives.set(e.boot, lives.size);
  for (const issue of world.issues) {
    for (; entry < world.journal.length; entry++) {
      const e = world.journal[entry];
      if (e === undefined) break;
      const life = Number.parseInt(e.boot.slice(0, 8), 10);
      if (life > issue.life || (life === issue.life && e.at >= issue.at)) break;
      if (e.kind === 'done' && (e.outcome === 'ok' || e.outcome === 'skipped')) finished.add(`${e.run}/${e.step}`);
    }
    expect(finished.has(`${issue.run}/${issue.step}`), `${issue.name} was finished and is issued again`).toBe(false);
  }
}

function expectFold(world: RepairWorld): void {
  const runs = new Map<string, RunState>();
  const budget = new Budget([repair('idempotent')]);
  for (const entry of world.journal) {
    foldRun(runs, entry);
    budget.fold(entry);
  }
  expect(world.core.folded()).toEqual({ runs: [...runs.values()], budget: budget.snapshot() });
}

for (const doubt of ['idempotent', 'probeable', 'fire-once'] as const) {
  for (const moment of ['durable, unheard', 'heard, its effects issued'] as const) {
    for (const flying of [true, false]) {
      const fate = flying ? 'what was in flight lands' : 'what was in flight is lost';
      test(`killed at each entry, ${doubt}: ${moment}, ${fate} → resumes or escalates, repeats nothing finished`, () => {
        const entries = undisturbed(doubt);
        expect(entries).toBeGreaterThanOrEqual(10);
        let escalated = 0;
        for (let k = 1; k <= entries; k++) {
          const world = new RepairWorld(repair(doubt));
          let killed = false;
          const kill = (n: number): boolean => {
            if (n !== k || killed) return false;
            killed = true;
            world.crash(flying);
            return true;
          };
          if (moment === 'durable, unheard') world.onDurable = kill;
          else world.onReacted = kill;
          world.start();
          while (!killed && world.now < 60_000) world.runFor(1, true);
          expect(killed).toBe(true);
          world.reborn();
          world.runFor(60_000);
          expect(world.ends, `killed at entry ${k}`).toHaveLength(1);
          expect(['HEALED', 'ESCALATED', 'RECOVERED']).toContain(world.ends[0]);
          if (world.ends[0] === 'ESCALATED') escalated++;
          // Only what may not be repeated may be left to a person.
          if (doubt !== 'fire-once') expect(world.ends[0], `killed at entry ${k}`).not.toBe('ESCALATED');
          else {
            for (const name of ['drain', 'fix']) {
              expect(world.landed.filter((effect) => effect.name === name).length).toBeLessThanOrEqual(1);
            }
          }
          expectNoRepeats(world);
          expectFold(world);
        }
        // The doubt is real: at least the kill at an intent leaves one.
        if (doubt === 'fire-once') expect(escalated).toBeGreaterThanOrEqual(2);
      });
    }
  }
}

test('killed between two lands of one step: what is probeable is asked, and applied at most once', () => {
  const world = new RepairWorld(repair('probeable'));
  world.onReacted = () => {
    if (world.issues.length === 0 || world.life > 0) return false;
    world.crash(true);
    return true;
  };
  world.start();
  while (world.life === 0 && world.now < 60_000) world.runFor(1);
  world.reborn();
  world.runFor(60_000);
  expect(world.ends).toEqual(['HEALED']);
  expect(world.landed.filter((effect) => effect.name === 'drain')).toHaveLength(1);
});

test('any weather: fold of the journal is the live state, a started run ends, finished steps stay finished', () => {
  const outcome = fc.constantFrom('ok', 'failed', 'refused', 'late', 'timed-out' as const);
  fc.assert(
    fc.property(
      fc.record({
        doubt: fc.constantFrom<DoubtKind>('idempotent', 'probeable', 'fire-once'),
        behaviours: fc.array(
          fc.record({
            landsAfterMs: fc.option(fc.integer({ min: 1, max: 900 }), { nil: undefined }),
            completesAfterMs: fc.option(fc.integer({ min: 1, max: 1_500 }), { nil: undefined }),
            outcome,
          }),
          { minLength: 1, maxLength: 6 },
        ),
        weather: fc.array(
          fc.record({
            afterMs: fc.integer({ min: 1, max: 4_000 }),
            what: fc.constantFrom('break', 'mend', 'doubt', 'deny', 'permit', 'crash', 'full', 'room', 'stop', 'order'),
          }),
          { maxLength: 12 },
        ),
      }),
      ({ doubt, behaviours, weather }) => {
        const world = new RepairWorld({ ...repair(doubt), onlyIf: permission });
        let n = 0;
        world.behave = () => {
          const behaviour = behaviours[n++ % behaviours.length];
          // A failure that landed would be a lie of the port; only a time-out may hide a landing.
          const silent =
            behaviour?.outcome === 'failed' || behaviour?.outcome === 'refused' || behaviour?.outcome === 'late';
          return {
            landsAfterMs: silent ? undefined : behaviour?.landsAfterMs,
            completesAfterMs: behaviour?.completesAfterMs,
            outcome: behaviour?.outcome ?? 'ok',
          };
        };
        world.start();
        for (const { afterMs, what } of weather) {
          world.runFor(afterMs);
          if (what === 'break') world.break();
          else if (what === 'mend') world.mend();
          else if (what === 'doubt') world.set(1, 'unknown');
          else if (what === 'deny') world.set(permission, 'false');
          else if (what === 'permit') world.set(permission, 'true');
          else if (what === 'full') world.diskFails = true;
          else if (what === 'room') world.diskFails = false;
          else if (what === 'order') world.call((core, now, out) => core.ordered(now, 0, 'anna', out));
          else if (what === 'stop') {
            const open = world.core.runs().find((run) => run.phase !== 'ended');
            if (open !== undefined) world.call((core, now, out) => core.stopOrdered(now, open.run, 'anna', out));
          } else {
            world.crash(true);
            world.reborn();
          }
        }
        world.diskFails = false;
        world.set(1, 'true');
        world.set(0, 'false');
        world.set(permission, 'true');
        world.runFor(400_000);
        expect(world.core.runs().filter((run) => run.phase !== 'ended')).toEqual([]);
        expectFold(world);
        expectNoRepeats(world);
        const stopped = new Map(
          world.journal.flatMap((entry) => (entry.kind === 'stop' ? [[entry.run, entry] as const] : [])),
        );
        for (const issue of world.issues) {
          const stop = stopped.get(issue.run);
          if (stop === undefined) continue;
          const life = Number.parseInt(stop.boot.slice(0, 8), 10);
          expect(issue.life < life || (issue.life === life && issue.at <= stop.at + 3), 'no issue after STOP').toBe(
            true,
          );
        }
      },
    ),
    { numRuns: 300, seed: 7 },
  );
}, 60_000);

test('journal of the first release → folds to the same state for ever', () => {
  // Written by release 0.1; later releases add files beside it and never touch this one.
  const entries = readFileSync(join(import.meta.dirname, 'fixtures', 'journal-v1.jsonl'), 'utf8')
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line) as JournalEntry);
  const runs = new Map<string, RunState>();
  for (const entry of entries) foldRun(runs, entry);
  expect(
    [...runs.values()].map((run) => [
      run.id,
      run.trigger,
      run.end?.outcome,
      run.stop,
      run.log.map((line) => line.outcome),
    ]),
  ).toEqual([
    ['press-7/restart#00000000.1', 'condition', 'FAILED', undefined, ['failed', 'in doubt', 'ok', 'ok', 'ok']],
    ['press-7/reboot#00000001.1', 'rung', 'HEALED', undefined, ['ok']],
    ['press-7/restart#00000001.2', 'condition', 'CANCELLED', 'anna', []],
  ]);
});
