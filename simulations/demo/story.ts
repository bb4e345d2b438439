import { spawn } from 'node:child_process';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import mqtt from 'mqtt';
import type { AgentStatus } from '../../agent/wire/status.ts';
import { until } from './client.ts';
import type { DemoSite } from './demo-site.ts';
import { baseEnv, descendants, isAlive } from './processes.ts';
import { type StepName, stepTitles } from './steps.ts';

/** What a user could see: process ids, API bodies, MQTT messages, effect logs. */
export type Evidence = Readonly<Record<string, unknown>>;

export interface StepResult {
  readonly step: StepName;
  readonly title: string;
  readonly ok: boolean;
  readonly ms: number;
  readonly evidence: Evidence;
  /** What did not hold, in words. */
  readonly why: string | undefined;
}

/** A step's evidence contradicts the promise. Carries what was seen so far. */
class Broken extends Error {}

const must = (holds: unknown, text: string): void => {
  if (!holds) throw new Broken(text);
};

/** Plays one step and judges it; never throws. */
export async function playStep(site: DemoSite, step: StepName): Promise<StepResult> {
  const started = performance.now();
  const evidence: Record<string, unknown> = {};
  let why: string | undefined;
  try {
    await plays[step](site, evidence);
  } catch (error) {
    why = error instanceof Error ? error.message : String(error);
  }
  return {
    step,
    title: stepTitles[step],
    ok: why === undefined,
    ms: Math.round(performance.now() - started),
    evidence,
    why,
  };
}

type Play = (site: DemoSite, evidence: Record<string, unknown>) => Promise<void>;

const plays: Readonly<Record<StepName, Play>> = {
  members: async (site, evidence) => {
    const names = site.started();
    const alive = await until('all members alive in each other’s eyes', 20_000, async () => {
      const statuses = await site.statuses(names);
      const counts = statuses.map((status) => [
        status.agent,
        status.members.filter((member) => names.includes(member.agent) && member.state === 'alive').length,
      ]);
      return counts.every(([, count]) => count === names.length) && Object.fromEntries(counts);
    });
    evidence['pids'] = Object.fromEntries(site.boxes().map((box) => [box.name, box.process?.pid]));
    evidence['aliveSeenBy'] = alive;
    // One look is not convergence: the same single holder for two seconds.
    let steadySince = performance.now();
    let last = '';
    const holders = await until(
      'one holder for each of seven duties, the same for two seconds',
      30_000,
      async () => {
        const found = holdersOf(await site.statuses(names));
        const text = JSON.stringify(found);
        if (text !== last || Object.values(found).some((who) => who.length !== 1)) {
          last = text;
          steadySince = performance.now();
        }
        return performance.now() - steadySince > 2_000 && found;
      },
      200,
    );
    evidence['holders'] = Object.fromEntries(Object.entries(holders).map(([duty, who]) => [duty, who[0]]));
    must(Object.keys(holders).length === 7, `there are ${Object.keys(holders).length} duties, not seven`);
    // And the coordinator shows the same.
    const duties = await until('the coordinator shows the same holders', 10_000, async () => {
      const { items } = await site.coordinator.get<{ items: { duty: string; holders: { agent: string }[] }[] }>(
        'duties',
      );
      const same = items.every(
        (item) => item.holders.length === 1 && item.holders[0]?.agent === holders[item.duty]?.[0],
      );
      return items.length === 7 && same && items;
    });
    evidence['coordinatorDuties'] = duties.length;
  },

  replay: async (site, evidence) => {
    const { replayFile, speed } = site.options;
    if (replayFile === undefined) throw new Broken('no recording was given');
    const { replay } = await site.plant<{ replay: { rows: number } }>('GET', 'status');
    await site.plant('POST', 'replay/start', {});
    type Row = { alarmId: string; firstSampleAt: number; since: number; state: string; evidence: string };
    const risen = new Map<number, Row>();
    const truth = await until(
      'the recording ends',
      (replay.rows / speed + 15) * 1_000,
      async () => {
        const { items } = await site.coordinator.get<{ items: Row[] }>('alarms');
        const alarm = items.find((row) => row.alarmId === 'pump-anomaly.pump-skid' && row.state !== 'NORM');
        if (alarm !== undefined) risen.set(alarm.since, alarm);
        const entries = await site.plant<TruthEntry[]>('GET', 'truth?since=0');
        return entries.some((entry) => entry.event === 'replay-ended') && entries;
      },
      250,
    );
    // The labels are known to the plant's truth log and to this judge only.
    const begun = Date.parse(truth.find((entry) => entry.event === 'replay-started')?.at ?? '');
    const rowAt = (wall: number) => Math.floor(((wall - begun) / 1000) * speed);
    const stretches = labelled(truth);
    evidence['rows'] = replay.rows;
    evidence['speed'] = speed;
    evidence['labelledRows'] = stretches.map(({ from, to }) => [rowAt(from), rowAt(to)]);
    const rises = [...risen.values()].sort((a, b) => a.since - b.since);
    evidence['risen'] = rises.map((row) => ({
      at: new Date(row.since).toISOString(),
      row: rowAt(row.since),
      evidence: row.evidence,
    }));
    const status = await site.coordinator.get<{ counts: { readings: number } }>('status');
    evidence['readingsStored'] = status.counts.readings;
    must(stretches.length > 0, 'this recording has no labelled stretch to judge by');
    const first = rises[0];
    if (first === undefined) throw new Broken('the alarm never rose');
    must(
      stretches.some(({ from, to }) => first.since >= from && first.since <= to),
      `the alarm first rose at row ${rowAt(first.since)}, outside the labelled stretch`,
    );
    site.timings['replayAlarmAfterRows'] = rowAt(first.since) - rowAt(stretches[0]?.from ?? 0);
  },

  repair: async (site, evidence) => {
    const duty = 'order-service/run';
    const before = await site.holderOf(duty);
    const old = before.processes.find((entry) => entry.duty === duty);
    if (old?.pid === undefined) throw new Broken(`${before.agent} holds ${duty} and has no process for it`);
    const effectsBefore = site.effects(before.agent).filter(isRestartOf(duty)).length;
    const incidentsBefore = await incidentsOf(site);
    const killedAt = Date.now();
    process.kill(old.pid, 'SIGKILL');
    evidence['holder'] = before.agent;
    evidence['killedPid'] = old.pid;
    const crit = await until('its check turns CRIT', 3_000, async () => {
      const { items } = await site.coordinator.get<EventList>('events?limit=200');
      return items.find(
        (event) =>
          event.type === 'check' &&
          event.subject === 'order-service/up' &&
          event.ts >= killedAt - 50 &&
          event.detail['status'] === 'crit',
      );
    });
    evidence['critAfterMs'] = crit.ts - killedAt;
    const incident = await until('an incident with a verified heal at the coordinator', 20_000, async () => {
      const now = await incidentsOf(site);
      return now.find(
        (entry) =>
          entry.workflow === 'order-service/restart' && !incidentsBefore.some((known) => known.run === entry.run),
      );
    });
    const status = await site.holderOf(duty);
    const fresh = status.processes.find((entry) => entry.duty === duty);
    const restarts = site.effects(before.agent).filter(isRestartOf(duty)).slice(effectsBefore);
    evidence['newPid'] = fresh?.pid;
    evidence['effectLog'] = restarts;
    evidence['incident'] = pick(incident, ['incident', 'outcome', 'reason', 'mttdMs', 'mttaMs', 'mttrMs']);
    must(incident.outcome === 'HEALED', `the incident ended ${incident.outcome}: ${incident.reason}`);
    must(fresh?.running === true && fresh.pid !== old.pid, 'no new process runs');
    must(isAlive(fresh?.pid ?? 0), 'the new process is not alive');
    must(restarts.length === 1, `the effect log shows ${restarts.length} restarts, not one`);
    must(
      typeof incident.mttdMs === 'number' && typeof incident.mttrMs === 'number',
      'the incident carries no MTTD or MTTR',
    );
    site.timings['repairMttdMs'] = incident.mttdMs ?? Number.NaN;
    site.timings['repairMttrMs'] = incident.mttrMs ?? Number.NaN;
  },

  'local-alarm': async (site, evidence) => {
    const threshold = 7.1;
    const cutAt = Date.now();
    site.relay.cut();
    await until('every agent knows that it is not heard', 10_000, async () =>
      (await site.statuses(site.started())).every((status) => status.coordinator !== 'connected'),
    );
    const bytesAtCut = site.relay.bytes;
    const lightsBefore = site.lights().length;
    await site.plant('POST', 'faults/press-bearing-wear', { on: true });
    const alarm = await until(
      'the alarm stands on the box that polls the press',
      10_000,
      async () => {
        const status = await site.holderOf('press/poll');
        const row = status.alarms.find((entry) => entry.alarmId === 'bearing-wear.press' && entry.state === 'on');
        return row && { ...row, agent: status.agent, api: site.box(status.agent).api };
      },
      50,
    );
    const truth = await site.plant<TruthEntry[]>('GET', 'truth?since=0');
    const over = truth.find(
      (entry) =>
        entry.event === 'limit-crossed' && entry['tag'] === 'Press.Bearing.RMS' && Date.parse(entry.at) > cutAt,
    );
    if (over === undefined) throw new Broken('the plant never wrote a value over the threshold');
    // Dwell: 3 of 5 samples at 100 ms, so the third bad sample comes 200 ms after the first.
    const dwellMs = 200;
    const afterFirst = Date.parse(alarm.since) - Date.parse(over.at);
    evidence['firstSampleOverThreshold'] = { at: over.at, value: over['value'], threshold };
    evidence['localRow'] = alarm;
    evidence['afterFirstSampleMs'] = afterFirst;
    evidence['dwellMs'] = dwellMs;
    must(afterFirst <= dwellMs + 1_000, `the alarm stood ${afterFirst} ms after the first sample over the threshold`);
    const light = await until('the stack light is on', 5_000, async () => site.lights()[lightsBefore]);
    evidence['stackLight'] = light;
    must(light['transition'] === 'raised', 'the light was not raised');
    const known = await site.coordinator.get<{ items: { alarmId: string; state: string }[] }>('alarms');
    must(
      !known.items.some((entry) => entry.alarmId === 'bearing-wear.press' && entry.state !== 'NORM'),
      'the coordinator knew of it though the cable was cut',
    );
    evidence['bytesThroughCutCable'] = site.relay.bytes - bytesAtCut;
    must(site.relay.bytes === bytesAtCut, 'something passed the cut cable');
    site.relay.open();
    const openedAt = Date.now();
    type Row = { alarmId: string; state: string; occurrence: string; firstSampleAt: number; since: number };
    const record = await until('the full record arrives', 20_000, async () => {
      const { items } = await site.coordinator.get<{ items: Row[] }>('alarms');
      return items.find((entry) => entry.alarmId === 'bearing-wear.press' && entry.occurrence === alarm.occurrence);
    });
    evidence['arrivedAfterOpeningMs'] = Date.now() - openedAt;
    evidence['record'] = record;
    must(record.firstSampleAt === Date.parse(alarm.firstSampleAt), 'the first timestamp changed on the way');
    must(record.since === Date.parse(alarm.since), 'the time of the alarm changed on the way');
    const checks = await until('the check’s transitions arrive in order', 10_000, async () => {
      const { items } = await site.coordinator.get<EventList>(`events?limit=500&agent=${alarm.agent}`);
      const mine = items.filter((event) => event.subject === 'press/vibration' && event.ts >= cutAt);
      return mine.some((event) => event.detail['status'] === 'crit') && mine;
    });
    const oldestFirst = [...checks].sort((a, b) => a.cursor - b.cursor);
    evidence['transitionsInOrder'] = oldestFirst.map((event) => [
      new Date(event.ts).toISOString(),
      event.detail['status'],
    ]);
    must(
      oldestFirst.every((event, i) => i === 0 || event.ts >= (oldestFirst[i - 1]?.ts ?? 0)),
      'records arrived out of order',
    );
    await site.plant('POST', 'faults/press-bearing-wear', { on: false });
    site.timings['localAlarmMs'] = afterFirst;
  },

  takeover: async (site, evidence) => {
    const died = await killAndWatch(site, 'pump-skid/poll', evidence);
    // A kill that spares children shows only on a box that has some: when the poller had none, the box that runs the
    // order service is killed as well.
    let bereaved = died.name;
    if ((evidence['childrenOfKilled'] as number[]).length === 0) {
      await backToLife(site, died.name);
      bereaved = (await site.holderOf('order-service/run')).agent;
      const pid = site.box(bereaved).process?.pid ?? 0;
      const children = descendants(pid);
      process.kill(pid, 'SIGKILL');
      await site.box(bereaved).process?.exited;
      evidence['alsoKilled'] = { agent: bereaved, pid };
      evidence['childrenOfKilled'] = children;
      await until('its children died with it', 3_000, async () => children.every((child) => !isAlive(child)));
    }
    must((evidence['childrenOfKilled'] as number[]).length > 0, `${bereaved} had no child that could outlive it`);
    evidence['serviceCarriedOn'] = await until('the service that it carried runs elsewhere', 15_000, async () => {
      const statuses = await site.statuses(site.started());
      const running = statuses.flatMap(({ agent, processes }) =>
        processes
          .filter((entry) => entry.duty === 'order-service/run' && entry.running)
          .map(({ pid }) => ({ agent, pid })),
      );
      return running.length === 1 && isAlive(running[0]?.pid ?? 0) && running[0];
    });
    await backToLife(site, bereaved);
    evidence['rejoined'] = died.name;
    site.timings['takeoverDetectMs'] = died.detectedMs;
    site.timings['takeoverRunningMs'] = died.runningMs;
  },

  'coordinator-lost': async (site, evidence) => {
    const beforeIncidents = await incidentsOf(site);
    const pid = site.coordinator.process?.pid;
    const lostAt = Date.now();
    await site.killCoordinator();
    evidence['killedCoordinatorPid'] = pid;
    await until('every agent knows that it is not heard', 15_000, async () =>
      (await site.statuses(site.started())).every((status) => status.coordinator !== 'connected'),
    );
    // Repair without it: of the service that has not moved, since the other one goes home half a minute after its box.
    const duty = 'label-service/run';
    const holder = await site.holderOf(duty);
    const old = holder.processes.find((entry) => entry.duty === duty);
    if (old?.pid === undefined) throw new Broken(`${holder.agent} has no process for ${duty}`);
    process.kill(old.pid, 'SIGKILL');
    const healed = await until('the process is repaired without a coordinator', 20_000, async () => {
      const status = await site.status(holder.agent);
      const run = status.runs.find((entry) => entry.workflow === 'label-service/restart' && entry.outcome === 'HEALED');
      const fresh = status.processes.find((entry) => entry.duty === duty);
      return run && fresh?.running === true && fresh.pid !== old.pid && { run: run.run, newPid: fresh.pid };
    });
    evidence['repairedWithout'] = { agent: holder.agent, killedPid: old.pid, ...healed };
    // Takeover without it.
    const moved: Record<string, unknown> = {};
    const died = await killAndWatch(site, 'conveyor/poll', moved);
    evidence['takenOverWithout'] = moved;
    // It comes back and knows.
    site.options.sabotage?.beforeCoordinatorRestart?.(site);
    await site.startCoordinator();
    evidence['newCoordinatorPid'] = site.coordinator.process?.pid;
    const death = await until('the coordinator learns of the death', 15_000, async () => {
      const { items } = await site.coordinator.get<EventList>('events?limit=500&name=member-dead');
      return items.find((event) => event.subject === died.name && event.ts >= lostAt);
    });
    evidence['deathLearned'] = pick(death, ['agent', 'subject', 'ts', 'receivedAt', 'text']);
    // Who repaired may be who died, and then the record waits on its disk.
    await backToLife(site, died.name);
    const incident = await until('the coordinator learns of the repair', 20_000, async () => {
      const now = await incidentsOf(site);
      return now.find(
        (entry) =>
          entry.workflow === 'label-service/restart' && !beforeIncidents.some((known) => known.run === entry.run),
      );
    });
    evidence['incidentLearned'] = pick(incident, [
      'incident',
      'outcome',
      'firstBadAt',
      'healedAt',
      'receivedAt',
      'mttrMs',
    ]);
    must(incident.outcome === 'HEALED', `the incident says ${incident.outcome}`);
    must((incident.firstBadAt as number) > lostAt, 'the incident is not of the time without a coordinator');
  },

  intruders: async (site, evidence) => {
    const doors = site.started().map((name) => site.box(name).mesh);
    const countBefore = refusals(await site.statuses(site.started()));
    // One without the mesh key, one with it but not on the list.
    const key = site.options.sabotage?.intruderKey?.(site);
    const keyArgs = key === undefined ? [] : ['--key', key];
    const stranger = await intruder(site, ['--dial', doors[0] ?? '', '--dial', doors[1] ?? '']);
    const listed = await intruder(site, [
      ...keyArgs,
      '--psk',
      site.meshKeyFile,
      '--dial',
      doors[0] ?? '',
      '--dial',
      doors[1] ?? '',
    ]);
    evidence['withoutMeshKey'] = stranger;
    evidence['notOnTheList'] = listed;
    must(stranger['gotIn'] === false, 'a stranger without the mesh key got in');
    must(listed['gotIn'] === false, 'a stranger that is not on the list got in');
    const counted = await until('both are counted', 20_000, async () => {
      const now = refusals(await site.statuses(site.started()));
      return now.wrongKey > countBefore.wrongKey && now.notOnList > countBefore.notOnList && now;
    });
    evidence['countedBefore'] = countBefore;
    evidence['counted'] = counted;
    const shown = await until('both are shown as events', 20_000, async () => {
      const { items } = await site.coordinator.get<EventList>('events?limit=500&name=intruder-refused');
      const reasons = new Set(items.map((event) => event.detail['reason']));
      return (
        reasons.has('wrong-mesh-key') && reasons.has('not-on-list') && items.slice(0, 4).map((event) => event.text)
      );
    });
    evidence['shownAs'] = shown;
    await brokerIntruders(site, evidence);
    // The control: the same door opens for a box that is enrolled.
    await site.startAgent(site.spare);
    const seen = await until('the enrolled spare is alive in every member’s eyes', 30_000, async () => {
      const statuses = await site.statuses(site.started());
      const states = statuses.map((status) => [
        status.agent,
        status.members.find((member) => member.agent === site.spare)?.state,
      ]);
      return states.every(([, state]) => state === 'alive') && Object.fromEntries(states);
    });
    evidence['enrolledSpare'] = seen;
  },
};

// -- parts of steps ----------------------------------------------------------------------------------------------

interface Died {
  readonly name: string;
  readonly detectedMs: number;
  readonly runningMs: number;
}

/** Starts a killed agent again and waits until everybody sees it. */
async function backToLife(site: DemoSite, name: string): Promise<void> {
  await site.startAgent(name);
  await until(`${name} is alive again`, 20_000, async () =>
    (await site.statuses(site.started())).every(
      (status) => status.members.find((member) => member.agent === name)?.state === 'alive',
    ),
  );
}

/** SIGKILLs the holder of a duty and watches what a user can see of the takeover. */
async function killAndWatch(site: DemoSite, duty: string, evidence: Record<string, unknown>): Promise<Died> {
  // Whoever has only just taken the duty has neither an effect log nor a replicated checkpoint yet.
  const victim = await until(`somebody polls for ${duty} and has written it down`, 20_000, async () => {
    const holder = await site.holderOf(duty);
    const lines = site.effects(holder.agent).filter((line) => line['effect'] === 'polled' && line['duty'] === duty);
    return lines.length >= 3 && holder;
  });
  const box = site.box(victim.agent);
  const pid = box.process?.pid ?? 0;
  const children = descendants(pid);
  const survivors = site.started().filter((name) => name !== victim.agent);
  const killedAt = Date.now();
  process.kill(pid, 'SIGKILL');
  evidence['killed'] = { agent: victim.agent, pid };
  const started = performance.now();
  let detectedMs = 0;
  await until(
    'every survivor has it dead',
    15_000,
    async () => {
      const statuses = await site.statuses(survivors);
      return statuses.every((status) => status.members.find((m) => m.agent === victim.agent)?.state === 'dead');
    },
    50,
  );
  detectedMs = Math.round(performance.now() - started);
  // For a moment two may take it; the one that goes on is the successor.
  let steadySince = performance.now();
  let candidate = '';
  const successor = await until(
    'the duty runs on one other agent, the same for a second',
    15_000,
    async () => {
      const statuses = await site.statuses(survivors);
      const takers = statuses.filter((status) => status.duties.some((entry) => entry.duty === duty && entry.mine));
      const only = takers.length === 1 ? takers[0] : undefined;
      if (only?.agent !== candidate) {
        candidate = only?.agent ?? '';
        steadySince = performance.now();
      }
      return only !== undefined && performance.now() - steadySince > 1_000 && only;
    },
    100,
  );
  await box.process?.exited;
  evidence['childrenOfKilled'] = children;
  await until('its children died with it', 3_000, async () => children.every((child) => !isAlive(child)));
  evidence['detectedMs'] = detectedMs;
  evidence['successor'] = successor.agent;
  // The effect logs of both: what was read, interval by interval, from the killed one's last to the new one's first.
  const intervals = (name: string) =>
    site
      .effects(name)
      .filter((line) => line['effect'] === 'polled' && line['duty'] === duty)
      .map((line) => ({ from: at(line['from']), to: at(line['to']), samples: Number(line['samples']) }));
  await until('the successor’s effect log shows what it reads', 20_000, async () =>
    intervals(successor.agent).find((interval) => interval.to > killedAt && interval.samples > 0),
  );
  const first = survivors
    .flatMap((name) => intervals(name))
    .filter((interval) => interval.to > killedAt && interval.samples > 0)
    .sort((a, b) => a.from - b.from)[0];
  if (first === undefined) throw new Broken('no survivor’s effect log shows the duty');
  const last = intervals(victim.agent).at(-1);
  if (last === undefined) throw new Broken('the killed agent left no effect log');
  const outageMs = first.from - killedAt;
  const hole = first.from - last.to;
  evidence['effectLog'] = {
    lastByKilled: new Date(last.to).toISOString(),
    firstBySuccessor: new Date(first.from).toISOString(),
    holeMs: hole,
    outageMs,
  };
  const resumed = site
    .effects(successor.agent)
    .find((line) => line['duty'] === duty && line['resumedFrom'] !== undefined && at(line['to']) > killedAt);
  evidence['resumedFrom'] = resumed?.['resumedFrom'];
  must(resumed !== undefined, 'the successor did not start from a checkpoint');
  // The killed agent writes an interval per second; what it read since the last line is unwritten, not unread.
  must(hole <= outageMs + 1_500, `the effect log misses ${hole - outageMs} ms beyond the outage`);
  return { name: victim.agent, detectedMs, runningMs: outageMs };
}

async function brokerIntruders(site: DemoSite, evidence: Record<string, unknown>): Promise<void> {
  const url = site.brokerUrl;
  const spare = site.credentials(site.spare);
  const bad = await tryConnect(url, { clientId: site.spare, username: site.spare, password: 'not-the-password' });
  evidence['badCredentials'] = bad;
  must(bad.connected === false, 'a client with bad credentials was let in');
  // A stolen client id: own credentials, another agent's name.
  const victim = site.started()[0] ?? '';
  const thief = await tryConnect(url, { clientId: victim, username: site.spare, password: spare });
  evidence['stolenClientId'] = thief;
  if (site.options.broker === undefined) must(thief.connected === false, 'a stolen client id was let in');
  const stillThere = (await site.status(victim)).coordinator;
  must(stillThere === 'connected', `the owner of the id lost its line (${stillThere})`);
  // An enrolled client that speaks below another's topic: PUBACK, then quarantine.
  const quarantine = async () =>
    (await site.coordinator.get<{ items: { topic: string; agent: string }[] }>('quarantine')).items;
  const before = (await quarantine()).length;
  const topic = `mw/1/${site.name}/${victim}/log`;
  const puback = await publishOnce(
    url,
    { clientId: site.spare, username: site.spare, password: spare },
    topic,
    '{"v":1}',
  );
  evidence['foreignPublish'] = { topic, as: site.spare, puback };
  must(puback, 'the foreign publish got no PUBACK');
  if (site.options.broker !== undefined) {
    // Mosquitto drops a denied publish without telling anybody: that nothing came of it is all that can be seen.
    await sleep(1_000);
    must((await quarantine()).length === before, 'the external broker passed a foreign publish on');
    evidence['quarantine'] = 'dropped by the external broker, which does not report denials';
    return;
  }
  const rows = await until('the message is in quarantine, counted and shown', 10_000, async () => {
    const now = await quarantine();
    return now.length > before && now;
  });
  evidence['quarantine'] = rows.filter((row) => row.topic === topic).slice(0, 1);
  const status = await site.coordinator.get<{ broker: { refused: Record<string, number> } }>('status');
  evidence['refusedAtBroker'] = status.broker.refused;
}

interface MqttLogin {
  readonly clientId: string;
  readonly username: string;
  readonly password: string;
}

function tryConnect(url: string, login: MqttLogin): Promise<{ connected: boolean; reason: string | undefined }> {
  return new Promise((resolve) => {
    const client = mqtt.connect(url, { ...login, reconnectPeriod: 0, connectTimeout: 4_000, protocolVersion: 4 });
    let settled = false;
    const settle = (connected: boolean, reason: string | undefined) => {
      if (settled) return;
      settled = true;
      client.end(true);
      resolve({ connected, reason });
    };
    client.once('connect', () => settle(true, undefined));
    client.once('error', (error) => settle(false, error.message));
    client.once('close', () => settle(false, 'connection closed'));
  });
}

function publishOnce(url: string, login: MqttLogin, topic: string, payload: string): Promise<boolean> {
  return new Promise((resolve) => {
    const client = mqtt.connect(url, { ...login, reconnectPeriod: 0, connectTimeout: 4_000, protocolVersion: 4 });
    const settle = (got: boolean) => {
      client.end(true);
      resolve(got);
    };
    const timer = setTimeout(() => settle(false), 6_000);
    client.once('error', () => settle(false));
    client.once('connect', () => {
      // The callback of a QoS 1 publish is the PUBACK.
      client.publish(topic, payload, { qos: 1 }, (error) => {
        clearTimeout(timer);
        settle(error === undefined || error === null);
      });
    });
  });
}

function intruder(site: DemoSite, args: readonly string[]): Promise<Record<string, unknown>> {
  return new Promise((resolve, reject) => {
    const script = fileURLToPath(new URL('./intruder.ts', import.meta.url));
    const child = spawn(process.execPath, [script, ...args], {
      cwd: site.folder,
      env: baseEnv(),
      stdio: ['ignore', 'pipe', 'ignore'],
    });
    let text = '';
    const timer = setTimeout(() => child.kill('SIGKILL'), 40_000);
    child.stdout.on('data', (chunk: Buffer) => {
      text += chunk.toString();
    });
    child.once('error', reject);
    child.once('exit', () => {
      clearTimeout(timer);
      try {
        resolve(JSON.parse(text) as Record<string, unknown>);
      } catch {
        reject(new Error(`the intruder said nothing readable: ${text.slice(0, 200)}`));
      }
    });
  });
}

// -- looking ---------------------------------------------------------------------------------------------------------

interface TruthEntry {
  readonly at: string;
  readonly event: string;
  readonly [detail: string]: unknown;
}

interface EventList {
  readonly items: readonly {
    readonly cursor: number;
    readonly type: string;
    readonly agent: string;
    readonly subject: string;
    readonly name: string;
    readonly text: string;
    readonly ts: number;
    readonly receivedAt: number;
    readonly detail: Readonly<Record<string, unknown>>;
  }[];
}

interface IncidentRow {
  readonly incident: string;
  readonly run: string;
  readonly workflow: string;
  readonly outcome: string;
  readonly reason: string;
  readonly mttdMs: number | null;
  readonly mttaMs: number | null;
  readonly mttrMs: number | null;
  readonly [more: string]: unknown;
}

const incidentsOf = async (site: DemoSite): Promise<readonly IncidentRow[]> =>
  (await site.coordinator.get<{ items: IncidentRow[] }>('incidents')).items;

function holdersOf(statuses: readonly AgentStatus[]): Record<string, string[]> {
  const holders: Record<string, string[]> = {};
  for (const status of statuses) {
    for (const { duty, mine } of status.duties) {
      holders[duty] ??= [];
      if (mine) holders[duty].push(status.agent);
    }
  }
  return holders;
}

const isRestartOf = (duty: string) => (line: Record<string, unknown>) =>
  line['effect'] === 'process.restart' && String(line['run']).startsWith(`${duty.slice(0, duty.indexOf('/'))}/`);

function refusals(statuses: readonly AgentStatus[]): { wrongKey: number; notOnList: number } {
  const sum = (key: string) => statuses.reduce((total, status) => total + (status.mesh[key] ?? 0), 0);
  return { wrongKey: sum('refused.wrong-mesh-key'), notOnList: sum('refused.not-on-list') };
}

function pick(from: object, names: readonly string[]): Record<string, unknown> {
  const source = from as Record<string, unknown>;
  return Object.fromEntries(names.map((name) => [name, source[name]]));
}

const at = (value: unknown): number => (typeof value === 'number' ? value : Date.parse(String(value)));

/** Stretches that the recording's author marked, in wall time of this replay. */
function labelled(truth: readonly TruthEntry[]): { from: number; to: number }[] {
  const stretches: { from: number; to: number }[] = [];
  for (const entry of truth) {
    const isAnomaly = entry.event === 'label-changed' && /anomal/i.test(String(entry['label']));
    const open = stretches.at(-1);
    if (isAnomaly && Number(entry['value']) === 1)
      stretches.push({ from: Date.parse(entry.at), to: Number.POSITIVE_INFINITY });
    else if (isAnomaly && open !== undefined && open.to === Number.POSITIVE_INFINITY) open.to = Date.parse(entry.at);
  }
  return stretches;
}
