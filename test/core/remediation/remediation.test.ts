import { expect, test } from 'vitest';
import type { StepSpec } from '../../../agent/core/remediation/workflow.ts';
import { type Behaviour, healthy, permission, RepairWorld, step, symptom, workflow } from './repair-world.ts';

const incident = (world: RepairWorld, index = -1) => {
  const incidents = world.said.filter((output) => output.kind === 'incident');
  return incidents.at(index)?.body;
};

test('run: symptom → intent before effect → verify → soak → HEALED with its figures', () => {
  const world = new RepairWorld(workflow());
  world.behave = (issue) => {
    expect(world.journal.at(-1), 'the intent is durable before the effect').toMatchObject({
      kind: 'intent',
      issue: issue.issue,
    });
    return { landsAfterMs: 20, completesAfterMs: 40, outcome: 'ok' };
  };
  world.start();
  world.runFor(10_000);
  expect(world.kinds).toEqual(['open', 'intent', 'done ok', 'verify', 'soak', 'end HEALED']);
  expect(world.landed).toHaveLength(1);
  const body = incident(world);
  expect(body).toMatchObject({ outcome: 'HEALED', relapse: false, mttdMs: 300 });
  const soak = world.journal.find((entry) => entry.kind === 'soak');
  // Rule 29: from the first bad sample, 300 ms before the condition at 1000, to the start of the soak.
  expect(body?.mttrMs).toBe((soak?.at ?? 0) - 700);
  expect(body?.steps).toMatchObject([{ name: 'fix', outcome: 'ok' }]);
});

test('run: exit code ok but symptom stays → FAILED and its alarm, never HEALED', () => {
  const world = new RepairWorld(workflow());
  world.onLanded = () => {};
  world.start();
  world.runFor(20_000);
  expect(world.ends).toEqual(['FAILED']);
  expect(world.said).toContainEqual(expect.objectContaining({ kind: 'raise-alarm', alarm: 0 }));
});

test('soak: symptom back in the middle → FAILED', () => {
  const world = new RepairWorld(workflow());
  world.start();
  world.runFor(1_000);
  expect(world.kinds.at(-1)).toBe('soak');
  world.break();
  world.runFor(100);
  expect(world.ends).toEqual(['FAILED']);
});

test('soak: nobody can tell for a while → it starts over from zero', () => {
  const world = new RepairWorld(workflow());
  world.start();
  world.runFor(1_500);
  world.set(healthy, 'unknown');
  world.runFor(1_000);
  world.set(healthy, 'true');
  world.runFor(1_900);
  expect(world.ends).toEqual([]);
  world.runFor(200);
  expect(world.ends).toEqual(['HEALED']);
});

test('soak: the process stood still over its end → it starts over, and what came back meanwhile is seen', () => {
  const world = new RepairWorld(workflow());
  world.start();
  while (world.kinds.at(-1) !== 'soak') world.runFor(1);
  world.runFor(10_000, false);
  world.runFor(1_000);
  expect(world.ends).toEqual([]);
  world.break();
  world.runFor(1_000);
  expect(world.ends).toEqual(['FAILED']);
});

test('soak: nobody can tell for three times the verification → ESCALATED as unverifiable', () => {
  const world = new RepairWorld(workflow());
  world.start();
  world.runFor(1_500);
  world.set(healthy, 'unknown');
  world.runFor(16_000);
  expect(world.journal.at(-1)).toMatchObject({ kind: 'end', outcome: 'ESCALATED', reason: 'unverifiable' });
});

test('trigger: gone before the first effect → RECOVERED, nothing is touched', () => {
  const world = new RepairWorld(workflow({ onlyIf: permission }));
  world.set(permission, 'false');
  world.start();
  world.runFor(1_000);
  world.mend();
  world.runFor(1_000);
  expect(world.ends).toEqual(['RECOVERED']);
  expect(world.issues).toEqual([]);
});

test('trigger: gone after "drain", before "reboot" → the reboot is skipped', () => {
  const world = new RepairWorld(workflow({ steps: [step('drain'), step('reboot')] }));
  world.onLanded = (name) => {
    if (name === 'drain') world.mend();
  };
  world.start();
  world.runFor(10_000);
  expect(world.landed.map((effect) => effect.name)).toEqual(['drain']);
  expect(world.kinds).toContain('done skipped');
});

test('trigger: unknown → no run begins', () => {
  const world = new RepairWorld(workflow());
  world.truths.set(symptom, 'unknown');
  world.start();
  world.runFor(60_000);
  expect(world.kinds).toEqual([]);
});

for (const [name, deny, reason] of [
  ['locked out', (w: RepairWorld) => (w.lockedOut = 'true'), 'locked out'],
  ['lockout unknown', (w: RepairWorld) => (w.lockedOut = 'unknown'), 'cannot tell whether it is locked out'],
  ['state unknown', (w: RepairWorld) => (w.inStates = 'unknown'), 'cannot tell whether it is stopped'],
  ['other state', (w: RepairWorld) => (w.inStates = 'false'), 'not in state stopped'],
  ['only-if unknown', (w: RepairWorld) => w.truths.set(permission, 'unknown'), 'condition 2 is unknown'],
] as const) {
  test(`guards: ${name} → no effect, one entry for the reason, DENIED after the wait, an alarm`, () => {
    const world = new RepairWorld(
      workflow({ onlyIf: permission, onlyIn: [{ state: 0, states: ['stopped'] }], lockout: 1 }),
    );
    deny(world);
    world.start();
    world.runFor(29_000);
    expect(world.kinds).toEqual(['open', 'denied']);
    expect(world.journal.at(-1)).toMatchObject({ reason });
    world.runFor(2_000);
    expect(world.ends).toEqual(['DENIED']);
    expect(world.issues).toEqual([]);
    expect(world.said).toContainEqual(expect.objectContaining({ kind: 'raise-alarm' }));
  });
}

test('interlock: belongs to what is written → no effect while it is false or unknown, also when it flips at the last moment', () => {
  const write = step('write', {
    action: { kind: 'plc.write', write: 0, name: 'press-7/target', value: 45, onlyIf: permission },
  });
  const world = new RepairWorld(workflow({ steps: [write] }));
  world.truths.set(permission, 'unknown');
  world.start();
  world.runFor(5_000);
  expect(world.issues).toEqual([]);
  expect(world.journal.at(-1)).toMatchObject({ kind: 'denied', reason: 'press-7/target: condition 2 is unknown' });

  world.onDurable = () => {
    if (world.journal.at(-1)?.kind === 'intent' && world.issues.length === 0) world.truths.set(permission, 'false');
    return false;
  };
  world.set(permission, 'true');
  world.runFor(500);
  expect(world.issues).toEqual([]);
  expect(world.kinds).toContain('done refused');
  world.onDurable = undefined;
  world.set(permission, 'true');
  world.runFor(5_000);
  expect(world.issues).toHaveLength(1);
});

test('guards: flip between the intent and the effect → the effect is not issued, the same try goes on later', () => {
  const world = new RepairWorld(workflow({ onlyIn: [{ state: 0, states: ['stopped'] }] }));
  world.onDurable = () => {
    if (world.journal.at(-1)?.kind === 'intent' && world.issues.length === 0) world.inStates = 'false';
    return false;
  };
  world.start();
  world.runFor(500);
  expect(world.issues).toEqual([]);
  expect(world.kinds.slice(0, 3)).toEqual(['open', 'intent', 'done refused']);
  world.onDurable = undefined;
  world.inStates = 'true';
  world.runFor(10_000);
  expect(world.ends).toEqual(['HEALED']);
  expect(world.issues.map(({ try: n, issue }) => [n, issue])).toEqual([[0, 2]]);
});

test('guards: the duty moves away between the intent and the effect → nothing is issued here, the run is CANCELLED', () => {
  const world = new RepairWorld(workflow({ runsOn: { on: 'holder', duty: 0 } }));
  world.onDurable = () => {
    if (world.journal.at(-1)?.kind === 'intent') world.here = false;
    return false;
  };
  world.start();
  world.runFor(10_000);
  expect(world.issues).toEqual([]);
  expect(world.kinds).toEqual(['open', 'intent', 'done refused', 'end CANCELLED']);
});

test('guards: three runs wait on one thing for a spent budget → one entry per change of reason, no chatter among them', () => {
  const base = workflow({ budget: { count: 1, perMs: 86_400_000 }, guardWaitMs: 20_000, ifFailed: [] });
  const named = (index: number) => workflow({ ...base, index, id: `press-7/w${index}` as typeof base.id });
  const world = new RepairWorld(named(0), named(1), named(2), named(3));
  world.onLanded = () => {};
  world.start();
  world.runFor(15_000);
  expect(world.issues).toHaveLength(1);
  expect(world.journal.filter((entry) => entry.kind === 'denied').length).toBeLessThanOrEqual(9);
});

test('steps: known failure → next try after the backoff, as often as declared, then FAILED', () => {
  const world = new RepairWorld(workflow({ steps: [step('fix', { retry: { times: 2, backoffMs: 1_000 } })] }));
  world.behave = () => ({ landsAfterMs: undefined, completesAfterMs: 10, outcome: 'failed' });
  world.start();
  world.runFor(20_000);
  expect(world.issues.map((issue) => issue.try)).toEqual([0, 1, 2]);
  expect((world.issues[1]?.at ?? 0) - (world.issues[0]?.at ?? 0)).toBeGreaterThanOrEqual(1_000);
  expect(world.ends).toEqual(['FAILED']);
});

test('steps: "late" and "refused" are known not done → same try, new issue', () => {
  const world = new RepairWorld(workflow());
  world.behave = (issue) =>
    issue.issue < 3
      ? { landsAfterMs: undefined, completesAfterMs: 10, outcome: issue.issue === 1 ? 'late' : 'refused' }
      : { landsAfterMs: 20, completesAfterMs: 40, outcome: 'ok' };
  world.start();
  world.runFor(20_000);
  expect(world.issues.map(({ try: n, issue }) => [n, issue])).toEqual([
    [0, 1],
    [0, 2],
    [0, 3],
  ]);
  expect(world.ends).toEqual(['HEALED']);
});

test('doubt: time-out of an idempotent step → issued again only when nothing old can land any more', () => {
  const retry = { times: 1, backoffMs: 0 };
  const world = new RepairWorld(workflow({ steps: [step('fix', { landsWithinMs: 3_000, retry })] }));
  world.behave = (issue) =>
    issue.issue === 1
      ? { landsAfterMs: undefined, completesAfterMs: 1_000, outcome: 'timed-out' }
      : { landsAfterMs: 20, completesAfterMs: 40, outcome: 'ok' };
  world.start();
  world.runFor(30_000);
  const intent = world.journal.find((entry) => entry.kind === 'intent');
  expect(world.issues).toHaveLength(2);
  expect(world.issues[1]?.try).toBe(0);
  expect(world.issues[1]?.at).toBeGreaterThanOrEqual((intent?.kind === 'intent' ? intent.notAfter : 0) + 3_000);
  expect(world.ends).toEqual(['HEALED']);
});

test('doubt: completion lost for ever, probeable and applied → done without a second issue', () => {
  const world = new RepairWorld(workflow({ steps: [step('fix', { doubt: 'probeable' })] }));
  world.onLanded = () => {};
  world.behave = () => ({ landsAfterMs: 20, completesAfterMs: undefined, outcome: 'ok' });
  world.start();
  world.runFor(7_000);
  world.mend();
  world.runFor(10_000);
  expect(world.issues).toHaveLength(1);
  expect(world.kinds).toContain('doubt');
  expect(world.ends).toEqual(['HEALED']);
});

test('doubt: fire-once → ESCALATED, never a second issue, and no new run until it has been quiet', () => {
  const world = new RepairWorld(workflow({ steps: [step('fix', { doubt: 'fire-once' })], cooldownMs: 1_000 }));
  world.onLanded = () => {};
  world.behave = () => ({ landsAfterMs: 20, completesAfterMs: 1_000, outcome: 'timed-out' });
  world.start();
  world.runFor(600_000);
  expect(world.issues).toHaveLength(1);
  expect(world.ends).toEqual(['ESCALATED']);
});

const timesOut: Behaviour = { landsAfterMs: undefined, completesAfterMs: 1_000, outcome: 'timed-out' };
const silence: Behaviour = { landsAfterMs: undefined, completesAfterMs: undefined, outcome: 'ok' };
const fails: Behaviour = { landsAfterMs: undefined, completesAfterMs: 10, outcome: 'failed' };

interface Attempts {
  readonly what: string;
  readonly change: Partial<StepSpec>;
  readonly answers: readonly Behaviour[];
  /** The numbers in the names of the effects: a time-out keeps the name. */
  readonly tries: readonly number[];
  readonly withinMs: number;
}

const twoMore = { retry: { times: 2, backoffMs: 500 } };
const oneMore = { retry: { times: 1, backoffMs: 500 } };
const attempts: readonly Attempts[] = [
  { what: 'a time-out, no retries', change: {}, answers: [timesOut], tries: [0], withinMs: 9_000 },
  { what: 'time-outs', change: twoMore, answers: [timesOut], tries: [0, 0, 0], withinMs: 18_000 },
  {
    what: 'time-outs of what can be asked about',
    change: { ...twoMore, doubt: 'probeable' },
    answers: [timesOut],
    tries: [0, 0, 0],
    withinMs: 18_000,
  },
  { what: 'no answer at all', change: oneMore, answers: [silence], tries: [0, 0], withinMs: 30_000 },
  { what: 'some of each', change: twoMore, answers: [timesOut, fails, timesOut], tries: [0, 0, 1], withinMs: 18_000 },
  { what: 'the last one fails', change: oneMore, answers: [timesOut, fails], tries: [0, 0], withinMs: 9_000 },
  { what: 'failures, as ever', change: twoMore, answers: [fails], tries: [0, 1, 2], withinMs: 5_000 },
  {
    what: 'time-outs of what touches nothing',
    change: { ...oneMore, fixing: false },
    answers: [timesOut],
    tries: [0, 0],
    withinMs: 9_000,
  },
  {
    what: 'twenty more',
    change: { retry: { times: 20, backoffMs: 0 } },
    answers: [timesOut],
    tries: Array.from({ length: 21 }, () => 0),
    withinMs: 60_000,
  },
];

for (const { what, change, answers, tries, withinMs } of attempts) {
  test(`attempts: ${what} → as many as declared, then FAILED, and people are told in bounded time`, () => {
    const world = new RepairWorld(workflow({ steps: [step('fix', change)] }));
    world.behave = ({ issue }) => answers[(issue - 1) % answers.length] ?? timesOut;
    world.start();
    world.runFor(withinMs);
    expect(world.issues.map((issue) => issue.try)).toEqual(tries);
    expect(world.ends).toEqual(['FAILED']);
    expect(world.said.filter(({ kind }) => kind === 'raise-alarm')).toHaveLength(1);
  });
}

test('attempts: a step that times out for ever → the brakes of all failures: three relapses, then a person, and no more', () => {
  const world = new RepairWorld(workflow({ cooldownMs: 1_000, budget: { count: 100, perMs: 86_400_000 } }));
  world.behave = () => timesOut;
  world.start();
  world.runFor(3_600_000);
  expect(world.issues).toHaveLength(3);
  expect(world.ends).toEqual(['FAILED', 'FAILED', 'FAILED', 'ESCALATED']);
});

for (const [what, answer] of [
  ['times out', timesOut],
  ['fails', fails],
] as const) {
  test(`attempts: a step before the first effect ${what} for ever → no loop: cool-downs, three relapses, then a person`, () => {
    const world = new RepairWorld(workflow({ steps: [step('look', { fixing: false }), step('fix')] }));
    world.behave = () => answer;
    world.start();
    world.runFor(3_600_000);
    expect(world.issues).toHaveLength(3);
    const [first, second, third] = world.issues.map(({ at }) => at);
    expect((second ?? 0) - (first ?? 0)).toBeGreaterThanOrEqual(60_000);
    expect((third ?? 0) - (second ?? 0)).toBeGreaterThanOrEqual(120_000);
    expect(world.ends).toEqual(['FAILED', 'FAILED', 'FAILED', 'ESCALATED']);
  });
}

test('attempts: timed out, then a restart before it is settled → still spent; a restart alone spends none', () => {
  const world = new RepairWorld(workflow({ steps: [step('fix', { retry: { times: 1, backoffMs: 0 } })] }));
  world.behave = () => timesOut;
  world.onReacted = () => {
    // Once in the middle of an attempt, once after its time-out is durable.
    if (world.kinds.at(-1) !== ['intent', 'doubt'][world.life]) return false;
    world.crash(false);
    return true;
  };
  world.start();
  while (world.life === 0) world.runFor(1);
  world.reborn();
  while (world.life === 1) world.runFor(1);
  world.reborn();
  world.runFor(30_000);
  expect(world.issues.map(({ life }) => life)).toEqual([0, 1, 2]);
  expect(world.ends).toEqual(['FAILED']);
});

test('attempts: the last one times out and happened all the same → nobody is told of a failure', () => {
  const world = new RepairWorld(workflow());
  world.behave = () => ({ landsAfterMs: 3_500, completesAfterMs: 1_000, outcome: 'timed-out' });
  world.start();
  world.runFor(30_000);
  expect(world.issues).toHaveLength(1);
  expect(world.ends).toEqual(['RECOVERED']);
  expect(world.said.filter(({ kind }) => kind === 'raise-alarm')).toEqual([]);
});

test('attempts: the last one timed out, and nobody can tell the symptom → FAILED after the time of a verification', () => {
  const world = new RepairWorld(workflow());
  world.behave = () => timesOut;
  world.start();
  world.runFor(1_500);
  world.set(symptom, 'unknown');
  world.runFor(30_000);
  expect(world.ends).toEqual(['FAILED']);
});

test('completion: of an older issue → does not count', () => {
  const world = new RepairWorld(workflow({ steps: [step('fix', { retry: { times: 1, backoffMs: 0 } })] }));
  world.behave = (issue) => ({
    landsAfterMs: undefined,
    completesAfterMs: issue.issue === 1 ? 1_000 : 3_000,
    outcome: issue.issue === 1 ? 'timed-out' : 'ok',
  });
  world.start();
  while (world.issues.length < 2 && world.now < 20_000) world.runFor(100);
  const second = world.issues[1];
  expect(second).toBeDefined();
  const before = world.journal.length;
  world.call((core, now, out) =>
    core.actionCompleted(
      now,
      { run: second?.run ?? '', step: 0, try: 0, issue: 1, outcome: 'ok', detail: 'an old word' },
      out,
    ),
  );
  expect(world.journal).toHaveLength(before);
  expect(world.core.runs()[0]?.waits).toBe('the action to complete');
});

test('disk: refuses the intent → no effect; room again → it goes on', () => {
  const world = new RepairWorld(workflow());
  world.onReacted = () => {
    if (world.kinds.at(-1) === 'open') world.diskFails = true;
    return false;
  };
  world.start();
  world.runFor(20_000);
  expect(world.issues).toEqual([]);
  world.onReacted = undefined;
  world.diskFails = false;
  world.runFor(60_000);
  expect(world.ends).toEqual(['HEALED']);
});

test('disk: refuses the outcome → the outcome is kept and written later, the step is not repeated', () => {
  const world = new RepairWorld(workflow());
  world.behave = () => {
    world.diskFails = true;
    return { landsAfterMs: 20, completesAfterMs: 40, outcome: 'ok' };
  };
  world.start();
  world.runFor(10_000);
  expect(world.kinds).toEqual(['open', 'intent']);
  world.diskFails = false;
  world.runFor(60_000);
  expect(world.issues).toHaveLength(1);
  expect(world.ends).toEqual(['HEALED']);
});

test('brakes: cool-down widens with each relapse, after the third a person must look', () => {
  const world = new RepairWorld(workflow({ budget: { count: 100, perMs: 86_400_000 } }));
  world.start();
  const began: number[] = [];
  for (let i = 0; i < 5; i++) {
    const before = world.issues.length;
    for (let s = 0; s < 1_000 && world.issues.length === before && world.ends.at(-1) !== 'ESCALATED'; s++) {
      world.runFor(1_000);
    }
    if (world.issues.length > before) began.push(world.issues.at(-1)?.at ?? 0);
    world.runFor(5_000);
    world.break();
  }
  expect(began).toHaveLength(3);
  expect(began[1]! - began[0]!).toBeGreaterThanOrEqual(60_000);
  expect(began[2]! - began[1]!).toBeGreaterThanOrEqual(120_000);
  expect(world.ends).toEqual(['HEALED', 'HEALED', 'HEALED', 'ESCALATED']);
  expect(incident(world)).toMatchObject({ relapse: true });
  // One incident from the first to the last.
  const names = new Set(world.said.flatMap((output) => (output.kind === 'incident' ? [output.body.incident] : [])));
  expect(names.size).toBe(1);
});

test('brakes: quiet for long enough → level and incident begin anew', () => {
  const world = new RepairWorld(workflow());
  world.start();
  world.runFor(10_000);
  world.runFor(700_000);
  expect(world.kinds.at(-1)).toBe('quiet');
  world.break();
  world.runFor(10_000);
  const names = world.said.flatMap((output) => (output.kind === 'incident' ? [output.body.incident] : []));
  expect(new Set(names).size).toBe(2);
  expect(incident(world)).toMatchObject({ relapse: false });
});

test('brakes: budget spent → ESCALATED with an alarm, no effect', () => {
  const world = new RepairWorld(workflow({ budget: { count: 1, perMs: 86_400_000 }, cooldownMs: 1_000 }));
  world.start();
  world.runFor(10_000);
  world.break();
  world.runFor(60_000);
  expect(world.issues).toHaveLength(1);
  expect(world.ends).toEqual(['HEALED', 'ESCALATED']);
});

test('brakes: an hour switched off is no cool-down', () => {
  const world = new RepairWorld(workflow());
  world.start();
  world.runFor(3_000);
  expect(world.ends).toEqual(['HEALED']);
  world.crash(false);
  world.break();
  world.reborn(3_600_000);
  world.runFor(30_000);
  expect(world.issues, 'thirty seconds after the start less than a minute is proven').toHaveLength(1);
  world.runFor(40_000);
  expect(world.issues).toHaveLength(2);
});

test('brakes: opposing workflows on one thing share its ledger', () => {
  const a = workflow({ cooldownMs: 10, quietMs: 1_000, budget: { count: 2, perMs: 3_600_000 } });
  const b = workflow({
    ...a,
    index: 1,
    id: 'press-7/other' as typeof a.id,
    when: permission,
    verify: healthy,
    steps: [step('other')],
  });
  const world = new RepairWorld(a, b);
  world.truths.set(permission, 'false');
  // Each mends its own symptom and makes the other's.
  world.onLanded = (name) => {
    world.set(healthy, 'true');
    world.set(symptom, name === 'fix' ? 'false' : 'true');
    world.set(permission, name === 'fix' ? 'true' : 'false');
  };
  world.start();
  world.runFor(600_000);
  expect(world.landed.length).toBeLessThanOrEqual(2);
});

test('ladder: failed → next rung in the same write; it fails too → the alarm behind it', () => {
  const first = workflow({
    ifFailed: [
      { kind: 'workflow', workflow: 1 },
      { kind: 'alarm', alarm: 4 },
    ],
  });
  const rung = workflow({ index: 1, id: 'press-7/reboot' as typeof first.id, when: undefined, ifFailed: [] });
  const world = new RepairWorld(first, rung);
  world.onLanded = () => {};
  world.start();
  world.runFor(7_000);
  const raised = () => world.said.flatMap((output) => (output.kind === 'raise-alarm' ? [output.alarm] : []));
  expect(world.journal.filter((entry) => entry.kind === 'open').map((entry) => entry.trigger)).toEqual([
    'condition',
    'rung',
  ]);
  expect(raised()).toEqual([]);
  world.runFor(8_000);
  expect(world.ends).toEqual(['FAILED', 'FAILED']);
  expect(raised()).toEqual([4]);
  // Somebody mends it by hand: the alarm goes.
  world.mend();
  expect(world.said).toContainEqual({ kind: 'clear-alarm', alarm: 4 });
});

test('ladder: the disk refuses the next rung → nobody is asked to give an order that nobody gave; room again → it goes on', () => {
  const first = workflow({ steps: [step('mild')], ifFailed: [{ kind: 'workflow', workflow: 1 }] });
  const rung = workflow({ index: 1, id: 'press-7/reboot' as typeof first.id, when: undefined });
  const world = new RepairWorld(first, rung);
  world.start();
  world.runFor(4_000);
  world.diskFails = true;
  world.runFor(4_000);
  world.diskFails = false;
  world.runFor(30_000);
  expect(world.ends).toEqual(['FAILED', 'HEALED']);
  const events = world.said.flatMap((output) => (output.kind === 'event' ? [output.body.name] : []));
  expect(events).not.toContain('order-refused');
});

test('ladder: the rung heals → HEALED within the same incident', () => {
  const first = workflow({ steps: [step('mild')], ifFailed: [{ kind: 'workflow', workflow: 1 }] });
  const rung = workflow({ index: 1, id: 'press-7/reboot' as typeof first.id, when: undefined });
  const world = new RepairWorld(first, rung);
  world.start();
  world.runFor(30_000);
  expect(world.ends).toEqual(['FAILED', 'HEALED']);
  const incidents = world.said.flatMap((output) => (output.kind === 'incident' ? [output.body] : []));
  expect(new Set(incidents.map((body) => body.incident)).size).toBe(1);
  expect(incidents[1]?.mttrMs).toBeGreaterThan(5_000);
});

test('flapping symptom → an alarm, no action', () => {
  const world = new RepairWorld(workflow());
  world.flapping = true;
  world.start();
  world.runFor(60_000);
  expect(world.kinds).toEqual([]);
  expect(world.said.filter((output) => output.kind === 'raise-alarm')).toHaveLength(1);
});

test('STOP: while waiting → CANCELLED, and no run starts by itself afterwards', () => {
  const world = new RepairWorld(workflow({ onlyIf: permission, cooldownMs: 1_000 }));
  world.set(permission, 'false');
  world.start();
  world.runFor(1_000);
  world.call((core, now, out) => core.stopOrdered(now, core.runs()[0]?.run ?? '', 'anna', out));
  world.runFor(1_000);
  world.set(permission, 'true');
  world.runFor(60_000);
  expect(world.kinds).toEqual(['open', 'denied', 'stop', 'end CANCELLED']);
  expect(world.issues).toEqual([]);
});

test('STOP: durable but unheard before a crash → CANCELLED after the restart, nothing issued', () => {
  const world = new RepairWorld(workflow({ onlyIf: permission }));
  world.set(permission, 'false');
  world.start();
  world.runFor(1_000);
  world.onDurable = () => {
    if (world.journal.at(-1)?.kind !== 'stop') return false;
    world.crash(false);
    return true;
  };
  world.call((core, now, out) => core.stopOrdered(now, core.runs()[0]?.run ?? '', 'anna', out));
  world.runFor(100, false);
  world.truths.set(permission, 'true');
  world.reborn();
  world.runFor(10_000);
  expect(world.ends).toEqual(['CANCELLED']);
  expect(world.issues).toEqual([]);
});

test('STOP: in flight → cancelled at the port, its outcome awaited, then CANCELLED', () => {
  const world = new RepairWorld(workflow());
  world.behave = () => ({ landsAfterMs: undefined, completesAfterMs: 500, outcome: 'failed' });
  world.start();
  world.runFor(200);
  world.call((core, now, out) => core.stopOrdered(now, core.runs()[0]?.run ?? '', 'anna', out));
  world.runFor(100);
  expect(world.said).toContainEqual(expect.objectContaining({ kind: 'cancel-action', issue: 1 }));
  expect(world.ends).toEqual([]);
  world.runFor(1_000);
  expect(world.ends).toEqual(['CANCELLED']);
  expect(world.issues).toHaveLength(1);
});

test('order and schedule: run without a trigger, HEALED by verification alone', () => {
  const world = new RepairWorld(workflow({ when: undefined, at: 'daily 02:00' }));
  world.start();
  world.call((core, now, out) => core.ordered(now, 0, 'anna', out));
  world.runFor(100);
  world.call((core, now, out) => core.ordered(now, 0, 'ben', out));
  world.runFor(10_000);
  expect(world.ends).toEqual(['HEALED']);
  expect(world.said).toContainEqual(
    expect.objectContaining({ kind: 'event', body: expect.objectContaining({ name: 'order-folded' }) }),
  );
});

test('one thing, two symptoms at once → runs do not interleave', () => {
  const a = workflow({ steps: [step('fix'), step('fix-2')] });
  const b = workflow({ index: 1, id: 'press-7/other' as typeof a.id, steps: [step('other'), step('other-2')] });
  const world = new RepairWorld(a, b);
  world.onLanded = (name) => {
    if (name === 'other-2') world.mend();
  };
  world.start();
  world.runFor(60_000);
  const order = world.issues.map((issue) => issue.run);
  const first = order.lastIndexOf(order[0] ?? '');
  expect(order.slice(0, first + 1).every((run) => run === order[0])).toBe(true);
  const second = world.issues.find((issue) => issue.run !== order[0]);
  const end = world.journal.find((entry) => entry.kind === 'end');
  expect(second?.at).toBeGreaterThan(end?.at ?? 0);
});

test('duty moved away → the run that waits is CANCELLED here; before it came home after a restart it waits', () => {
  const world = new RepairWorld(workflow({ runsOn: { on: 'holder', duty: 0 }, onlyIf: permission }));
  world.set(permission, 'false');
  world.start();
  world.runFor(1_000);
  world.crash(false);
  world.here = false;
  world.reborn();
  world.runFor(10_000);
  expect(world.ends).toEqual([]);
  world.here = true;
  world.call((core, now, out) => core.locationsChanged(now, out));
  world.runFor(1_000);
  world.here = false;
  world.call((core, now, out) => core.locationsChanged(now, out));
  world.runFor(100);
  expect(world.ends).toEqual(['CANCELLED']);
});

test('explain: says why nobody does anything', () => {
  const world = new RepairWorld(workflow({ onlyIf: permission }));
  const why = () => world.core.explain(world.now, 0);
  world.start();
  world.runFor(10_000);
  expect(world.ends).toEqual(['HEALED']);
  world.set(permission, 'unknown');
  expect(why()).toEqual([
    'the symptom is not there',
    expect.stringMatching(/^cooling down for \d+ s$/),
    'only-if: condition 2 is unknown',
  ]);
  world.break();
  world.runFor(60_000);
  expect(why()).toEqual(['only-if: condition 2 is unknown']);
  world.set(permission, 'true');
  world.runFor(20);
  expect(why()).toEqual([]);
});

test('brakes: a box that restarts every ten seconds does not rest between its repairs', () => {
  const world = new RepairWorld(workflow());
  world.start();
  world.runFor(4_000);
  expect(world.ends).toEqual(['HEALED']);
  world.break();
  for (let life = 0; life < 30; life++) {
    world.runFor(10_000);
    world.crash(true);
    world.reborn(100);
  }
  expect(world.issues, 'five minutes of ten-second lives prove less than one minute').toHaveLength(1);
});

test('brakes: denied and then restarted within the cool-down → it begins again when the cool-down has passed', () => {
  const world = new RepairWorld(workflow({ onlyIf: permission, guardWaitMs: 5_000, cooldownMs: 10_000 }));
  world.truths.set(permission, 'false');
  world.start();
  world.runFor(6_000);
  expect(world.ends).toEqual(['DENIED']);
  world.crash(false);
  world.set(permission, 'true');
  world.reborn();
  world.runFor(9_000);
  expect(world.issues).toEqual([]);
  world.runFor(3_000);
  expect(world.issues).toHaveLength(1);
});

test('resume: mid-soak → the soak starts from zero, and the incident says that it spans a restart', () => {
  const world = new RepairWorld(workflow());
  world.start();
  world.runFor(1_500);
  expect(world.kinds.at(-1)).toBe('soak');
  world.crash(false);
  world.reborn();
  world.runFor(1_900);
  expect(world.ends).toEqual([]);
  world.runFor(200);
  expect(world.ends).toEqual(['HEALED']);
  expect(world.issues).toHaveLength(1);
  expect(incident(world)?.reason).toContain('span a restart');
});
