import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { z } from 'zod';
import { type Ended, evidenceOf, nothingStays, type Play, startPlay, type Verdict } from './play.ts';

/**
 * The whole story, played once by real processes; then each step's evidence is judged again, from outside and by this
 * file alone, so that a step that says `ok` without having seen anything does not pass.
 */
describe('the story', { timeout: 30_000 }, () => {
  let play: Play;
  let dispose: () => Promise<void>;
  let ended: Ended;
  let verdict: Verdict;

  beforeAll(async () => {
    ({ play, dispose } = startPlay(['--once', '--json']));
    ended = await play.ended;
    verdict = play.verdict();
  }, 150_000);
  afterAll(() => dispose?.(), 30_000);

  const agents = ['edge-1', 'edge-2', 'edge-3', 'edge-4', 'edge-5'];
  const pid = z.number().int().min(2);

  test('played to its end → exit code 0, every step held, within two minutes', () => {
    expect(verdict.story.map(({ step, ok, why }) => ({ step, ok, why }))).toEqual(
      ['members', 'repair', 'local-alarm', 'takeover', 'coordinator-lost', 'intruders'].map((step) => ({
        step,
        ok: true,
        why: undefined,
      })),
    );
    expect(verdict).toMatchObject({ ok: true });
    expect(ended).toEqual({ code: 0, signal: null });
    expect(verdict.timings['totalMs']).toBeLessThan(120_000);
  });

  test('standard output → one JSON object per line, nothing else', () => {
    for (const line of play.lines) expect(JSON.parse(line)).toBeTypeOf('object');
    const steps = play.lines.map((line) => JSON.parse(line)).filter((line) => line.event === 'step');
    expect(steps.map((line) => line.step)).toEqual(verdict.story.map((entry) => entry.step));
  });

  test('members: five processes, each sees five alive; seven duties with one holder each', () => {
    const evidence = evidenceOf(
      verdict,
      'members',
      z.object({
        pids: z.record(z.string(), pid),
        aliveSeenBy: z.record(z.string(), z.number()),
        holders: z.record(z.string(), z.string()),
        coordinatorDuties: z.literal(7),
      }),
    );
    expect(Object.keys(evidence.pids).sort()).toEqual(agents);
    expect(new Set(Object.values(evidence.pids)).size).toBe(5);
    expect(evidence.aliveSeenBy).toEqual(Object.fromEntries(agents.map((name) => [name, 5])));
    const duties = Object.keys(evidence.holders);
    expect(duties).toHaveLength(7);
    expect(duties.filter((duty) => duty.endsWith('/poll'))).toHaveLength(3);
    expect(duties.filter((duty) => duty.endsWith('/run'))).toHaveLength(2);
    for (const holder of Object.values(evidence.holders)) expect(agents).toContain(holder);
    // Each of the pids was really an agent's process, with that agent's own file.
    const commands = play.seen().processes;
    for (const name of agents) {
      expect(commands.some((command) => command.includes(`agents/${name}/agent.yaml`))).toBe(true);
    }
  });

  test('repair: a new process, exactly one restart in the effect log, by the run of the incident; MTTD and MTTR', () => {
    const evidence = evidenceOf(
      verdict,
      'repair',
      z.object({
        killedPid: pid,
        newPid: pid,
        critAfterMs: z.number(),
        effectLog: z.array(z.object({ effect: z.string(), run: z.string(), outcome: z.string(), detail: z.string() })),
        incident: z.object({
          incident: z.string(),
          outcome: z.literal('HEALED'),
          mttdMs: z.number().min(0).max(5_000),
          mttrMs: z.number().min(0).max(15_000),
        }),
      }),
    );
    expect(evidence.newPid).not.toBe(evidence.killedPid);
    expect(evidence.effectLog).toHaveLength(1);
    expect(evidence.effectLog[0]).toMatchObject({ effect: 'process.restart', outcome: 'ok' });
    expect(evidence.effectLog[0]?.detail).toContain(String(evidence.newPid));
    expect(evidence.effectLog[0]?.run.replace('#', '-')).toBe(evidence.incident.incident);
    // From the kill to the check on 200 ms: not before it, and before anybody could have looked.
    expect(evidence.critAfterMs).toBeGreaterThanOrEqual(-50);
    expect(evidence.critAfterMs).toBeLessThan(3_000);
  });

  test('local-alarm: stands within dwell and a second, with the cable cut; the record keeps its first timestamps', () => {
    const evidence = evidenceOf(
      verdict,
      'local-alarm',
      z.object({
        firstSampleOverThreshold: z.object({ at: z.iso.datetime(), value: z.number(), threshold: z.number() }),
        localRow: z.object({
          alarmId: z.literal('bearing-wear.press'),
          occurrence: z.string(),
          firstSampleAt: z.iso.datetime(),
          since: z.iso.datetime(),
        }),
        dwellMs: z.number(),
        stackLight: z.object({ colour: z.literal('amber'), transition: z.literal('raised'), at: z.iso.datetime() }),
        bytesThroughCutCable: z.literal(0),
        record: z.object({
          occurrence: z.string(),
          firstSampleAt: z.number(),
          since: z.number(),
          receivedAt: z.number(),
        }),
        transitionsInOrder: z.array(z.tuple([z.iso.datetime(), z.string()])),
      }),
    );
    const { firstSampleOverThreshold: over, localRow, record } = evidence;
    expect(over.value).toBeGreaterThan(over.threshold);
    const stoodAfterMs = Date.parse(localRow.since) - Date.parse(over.at);
    expect(stoodAfterMs).toBeLessThanOrEqual(evidence.dwellMs + 1_000);
    expect(stoodAfterMs).toBeGreaterThan(0);
    expect(Date.parse(evidence.stackLight.at)).toBeGreaterThanOrEqual(Date.parse(localRow.since));
    expect(record).toMatchObject({
      occurrence: localRow.occurrence,
      firstSampleAt: Date.parse(localRow.firstSampleAt),
      since: Date.parse(localRow.since),
    });
    // It came later than it stood: the coordinator learned of it only through the opened cable.
    expect(record.receivedAt).toBeGreaterThan(Date.parse(evidence.stackLight.at));
    const times = evidence.transitionsInOrder.map(([at]) => Date.parse(at));
    expect(times).toEqual([...times].sort((a, b) => a - b));
    expect(evidence.transitionsInOrder.map(([, status]) => status)).toContain('crit');
  });

  const takeover = z.object({
    killed: z.object({ agent: z.string(), pid }),
    childrenOfKilled: z.array(pid),
    detectedMs: z.number().positive(),
    successor: z.string(),
    effectLog: z.object({ lastByKilled: z.iso.datetime(), firstBySuccessor: z.iso.datetime(), outageMs: z.number() }),
    resumedFrom: z.iso.datetime(),
  });

  test('takeover: another agent goes on from the checkpoint, nothing skipped beyond the outage, children died too', () => {
    const evidence = evidenceOf(verdict, 'takeover', takeover);
    const members = evidenceOf(verdict, 'members', z.object({ holders: z.record(z.string(), z.string()) }));
    expect(evidence.killed.agent).toBe(members.holders['pump-skid/poll']);
    expect(agents).toContain(evidence.successor);
    expect(evidence.successor).not.toBe(evidence.killed.agent);
    expect(evidence.childrenOfKilled.length).toBeGreaterThan(0);
    const { lastByKilled, firstBySuccessor, outageMs } = evidence.effectLog;
    const holeMs = Date.parse(firstBySuccessor) - Date.parse(lastByKilled);
    // The effect log has a line per second: what the killed one read since its last line is unwritten, not unread.
    expect(holeMs).toBeLessThanOrEqual(outageMs + 1_500);
    // A checkpoint of before the death, and not older than its replication allows.
    expect(Date.parse(firstBySuccessor) - Date.parse(evidence.resumedFrom)).toBeLessThanOrEqual(outageMs + 3_000);
  });

  test('coordinator-lost: repair and takeover without it; afterwards it knows when they were', () => {
    const evidence = evidenceOf(
      verdict,
      'coordinator-lost',
      z.object({
        killedCoordinatorPid: pid,
        newCoordinatorPid: pid,
        repairedWithout: z.object({ killedPid: pid, newPid: pid, run: z.string() }),
        takenOverWithout: takeover,
        incidentLearned: z.object({
          outcome: z.literal('HEALED'),
          incident: z.string(),
          firstBadAt: z.number(),
          healedAt: z.number(),
          receivedAt: z.number(),
          mttrMs: z.number(),
        }),
        deathLearned: z.object({ subject: z.string(), ts: z.number(), receivedAt: z.number() }),
      }),
    );
    expect(evidence.newCoordinatorPid).not.toBe(evidence.killedCoordinatorPid);
    const { repairedWithout, incidentLearned, deathLearned, takenOverWithout } = evidence;
    expect(repairedWithout.newPid).not.toBe(repairedWithout.killedPid);
    expect(incidentLearned.incident).toBe(repairedWithout.run.replace('#', '-'));
    expect(incidentLearned.firstBadAt).toBeLessThanOrEqual(incidentLearned.healedAt);
    // Healed while nobody listened, heard of later.
    expect(incidentLearned.receivedAt - incidentLearned.healedAt).toBeGreaterThan(500);
    expect(takenOverWithout.successor).not.toBe(takenOverWithout.killed.agent);
    expect(deathLearned.subject).toBe(takenOverWithout.killed.agent);
    expect(deathLearned.receivedAt).toBeGreaterThan(deathLearned.ts);
  });

  test('intruders: refused at mesh and broker, counted, shown, quarantined; the enrolled spare gets in', () => {
    const knock = z.object({
      gotIn: z.literal(false),
      results: z.array(z.object({ connected: z.literal(false), error: z.string() })).min(1),
    });
    const counts = z.object({ wrongKey: z.number(), notOnList: z.number() });
    const refused = z.object({ connected: z.literal(false), reason: z.string() });
    const evidence = evidenceOf(
      verdict,
      'intruders',
      z.object({
        withoutMeshKey: knock,
        notOnTheList: knock,
        countedBefore: counts,
        counted: counts,
        shownAs: z.array(z.string()),
        badCredentials: refused,
        stolenClientId: refused,
        foreignPublish: z.object({ topic: z.string(), as: z.string(), puback: z.literal(true) }),
        quarantine: z
          .array(z.object({ agent: z.string(), topic: z.string(), reason: z.string(), bytes: z.number() }))
          .length(1),
        refusedAtBroker: z.record(z.string(), z.number()),
        enrolledSpare: z.record(z.string(), z.string()),
      }),
    );
    expect(evidence.counted.wrongKey).toBeGreaterThan(evidence.countedBefore.wrongKey);
    expect(evidence.counted.notOnList).toBeGreaterThan(evidence.countedBefore.notOnList);
    expect(evidence.shownAs.join()).toMatch(/without the mesh key/);
    expect(evidence.shownAs.join()).toMatch(/not on the signed list/);
    expect(evidence.badCredentials.reason).toMatch(/user ?name or password/i);
    expect(evidence.stolenClientId.reason).toMatch(/identifier rejected/i);
    expect(evidence.quarantine[0]).toMatchObject({
      agent: evidence.foreignPublish.as,
      topic: evidence.foreignPublish.topic,
    });
    expect(evidence.foreignPublish.topic).not.toContain(evidence.foreignPublish.as);
    expect(evidence.refusedAtBroker).toMatchObject({ 'bad-credentials': 1, 'client-id-not-own': 1, foreign: 1 });
    expect(evidence.enrolledSpare).toEqual(Object.fromEntries([...agents, 'spare-1'].map((name) => [name, 'alive'])));
  });

  test('after its end → no process, no port, no folder stays', async () => {
    const { processes, ports } = play.seen();
    // Starter, janitor, plant, coordinator, five agents and a spare; their ports were really seen.
    expect(processes.length).toBeGreaterThanOrEqual(10);
    expect(ports.length).toBeGreaterThanOrEqual(15);
    await nothingStays(play, 10_000);
  });
});
