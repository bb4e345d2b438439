import { createPrivateKey, type KeyObject, randomBytes } from 'node:crypto';
import { join } from 'node:path';
import { createActionPort } from './adapters/actions.ts';
import { type Budget, watchBudget } from './adapters/budget-watch.ts';
import { createCheckPort } from './adapters/checks/check-port.ts';
import { ClockTrust, SystemClock } from './adapters/clock.ts';
import { findContainment } from './adapters/connections/containment.ts';
import { createDutyPort } from './adapters/duty-port.ts';
import { createPollRunner } from './adapters/duty-runners/poll.ts';
import { createProcessRunner } from './adapters/duty-runners/process.ts';
import { createScheduleRunner } from './adapters/duty-runners/schedule.ts';
import { createSupervisedRunner, splitProcessRunner } from './adapters/duty-runners/supervised.ts';
import { createUploadRunner } from './adapters/duty-runners/upload.ts';
import { createWatchRunner } from './adapters/duty-runners/watch.ts';
import { createEffectLog } from './adapters/effect-log.ts';
import { openGateway } from './adapters/gateway/gateway.ts';
import { createRequestHand } from './adapters/gateway/request-hand.ts';
import { createWriteHand } from './adapters/gateway/write-hand.ts';
import { createHookPort } from './adapters/hooks.ts';
import { createLeaseSessions } from './adapters/lease-sessions.ts';
import type { Log } from './adapters/log.ts';
import { createMaintenanceClock } from './adapters/maintenance.ts';
import { MaintenanceOrders } from './adapters/maintenance-orders.ts';
import { startMesh } from './adapters/mesh/mesh.ts';
import { createModelScorer } from './adapters/models/onnx-runner.ts';
import { createStreamingScorer } from './adapters/models/streaming-scorer.ts';
import { type BrokerAddress, type ReportLink, startReportLink } from './adapters/mqtt/report-link.ts';
import { OrderDesk } from './adapters/order-desk.ts';
import { createFlightRecorder } from './adapters/recorder/flight-recorder.ts';
import { SealDesk } from './adapters/seal-desk.ts';
import { holdFolder } from './adapters/store/folder-lock.ts';
import { openStore } from './adapters/store/sqlite-journal.ts';
import { openOutbox } from './adapters/store/sqlite-outbox.ts';
import { agentFace, noteAddress } from './agent-face.ts';
import { type StatusApi, startStatusApi } from './api/status-api.ts';
import { bootId, type DutyIndex } from './base/ids.ts';
import { Random } from './base/random.ts';
import { ok, type Result } from './base/result.ts';
import type { WallTime } from './base/time.ts';
import { BundleKeeper } from './bundle-keeper.ts';
import type { BundleNotice } from './config/bundle-store.ts';
import { AgentCore } from './core/agent-core.ts';
import { DerivedSignals } from './core/health/derived-signals.ts';
import type { Input } from './core/input.ts';
import { storedEpoch } from './core/leases/cell-record.ts';
import { sessionId } from './core/leases/session.ts';
import type { Observation } from './core/observation.ts';
import type { ReportBody } from './core/reporting/report.ts';
import type { SitePlan } from './core/site-plan.ts';
import type { Site } from './driver/bindings.ts';
import { Driver } from './driver/driver.ts';
import { findGuardian, hearCertificates } from './guardian.ts';
import { Keyring } from './keyring.ts';
import { obedience, takeUpMaintenance } from './obedience.ts';
import { agentHealth, agentInfo, type Surroundings } from './status.ts';
import { Stops } from './stops.ts';
import type { Roster } from './wire/roster.ts';
import type { SiteBundle } from './wire/site-bundle.ts';
import { ed25519Voucher } from './wire/statement.ts';

/** Everything an agent needs, read and verified: no path is opened and no secret is looked up after this. */
export interface AgentSetup {
  readonly name: string;
  readonly version: string;
  readonly site: Site;
  readonly dataDir: string;
  /** The signed bundle that `site` was compiled from, and how another one comes into force. */
  readonly bundle: {
    readonly inForce: SiteBundle;
    readonly notices: readonly BundleNotice[];
    /** The site that another bundle carries, or why it cannot be carried out on this box. */
    readonly compile: (bundle: SiteBundle) => Result<Site, string>;
    /** The process should end and begin anew. */
    readonly startAnew: (why: string) => void;
  };
  readonly mesh: {
    readonly privateKeyPem: string;
    readonly psk: string;
    readonly roster: Roster;
    readonly listen: readonly string[];
    readonly peers: readonly string[];
    readonly mdns: boolean;
  };
  readonly broker: BrokerAddress | undefined;
  /** Undefined: this box shows itself to nobody but through the mesh and the broker. */
  readonly api: { readonly host: string; readonly port: number; readonly token: string } | undefined;
  /** What this agent may cost its box; over it, checks and models are shed in the declared order. Without one nothing is shed. */
  readonly budget?: Budget | undefined;
  /** What the recorder may take of the disk; 64 MiB unless said. */
  readonly recorderBytes?: number | undefined;
  readonly log: Log;
  /** Hears what the core noticed, with the wall clock of that moment. */
  readonly observed?: ((wall: WallTime, observation: Observation) => void) | undefined;
}

export interface RunningAgent {
  readonly api: string | undefined;
  readonly boot: string;
  /** In reverse order of start, each step bounded in time. */
  stop(): Promise<void>;
}

/** Signs of life to the supervisor, and addresses that have changed. */
const guardianEveryMs = 2_000;
/** A program that does not end when it is told to is ended by then. */
const leaveWithinMs = 4_500;

/** How often the inbox is looked into, and whether it is our turn to start anew. */
const bundleEveryMs = 1_000;

/** How often models look whether something is due. */
const modelsEveryMs = 1_000;

/** How often the recorder writes what has waited. */
const recorderEveryMs = 1_000;

/** How often the two clocks are compared. */
const clockEveryMs = 1_000;

/**
 * Puts one agent together: the pure core, the driver, and the real world behind the ports. What is missing at start
 * (broker, PLC, peers) is a state that is shown, not an error; rejects only for what no running can mend.
 */
export async function startAgent(setup: AgentSetup): Promise<RunningAgent> {
  const { name, site, dataDir, log } = setup;
  const { plan } = site;
  const self = plan.agents.findIndex((agent) => agent.id === name);
  const me = plan.agents[self];
  if (me === undefined) {
    throw new Error(
      `The site file ${plan.site} has no agent ${name}; it has ${plan.agents.map((agent) => agent.id).join(', ')}.`,
    );
  }

  const stops = new Stops((error) => log.warn({ error: String(error) }, 'a part did not stop cleanly'));
  try {
    // The disk first: whose it is, who we are in this life, and what the last one left behind.
    const lock = holdFolder(dataDir);
    if (!lock.ok) throw new Error(lock.error);
    stops.push(() => lock.value.release());
    const boot = bootId(randomBytes(16).toString('hex'));
    const hasLeases = plan.cells.some(({ leases }) => leases.length > 0);
    const clock = new SystemClock(() => driver.wake(), { keepsElapsed: hasLeases });
    stops.push(() => clock.stop());
    const deliver = (input: Input): void => driver.deliver(input);
    const store = openStore({ dir: dataDir, deliver, log, duties: plan.duties.map((duty) => duty.id) });
    stops.push(() => store.close());
    const outbox = openOutbox({
      dir: dataDir,
      boot,
      clock: () => ({ wall: clock.wall(), uncertaintyMs: 50 }),
      log: (event, detail) => log.warn(detail, event),
    });
    stops.push(() => outbox.close());
    const identity = { self, boot, bootCounter: store.nextBootCounter() };
    const report = (body: ReportBody): boolean => outbox.publish({ class: classOf(body), body });

    const restored = store.restore();
    const keyring = new Keyring(setup.mesh.roster);
    const ownKey = createPrivateKey(setup.mesh.privateKeyPem);
    const keyOf = (agent: string): KeyObject | undefined => keyring.keyOf(agent);
    const agentIds = plan.agents.map((agent) => agent.id);
    // What the bundle in force says of cells; this process may have been compiled from the one before.
    let inForce: Pick<SitePlan, 'cells' | 'agents'> = plan;
    const core = new AgentCore({
      plan,
      identity,
      random: new Random(randomBytes(8).toString('hex'), name),
      restored,
      voucher: ed25519Voucher({ site: plan.site, agentIds, key: ownKey, keyOf }),
    });

    // Hands and senses.
    const effectLog = createEffectLog(join(dataDir, 'effects.jsonl'));
    stops.push(() => effectLog.close());
    // The last judge of what happens under a right on this box; its floors outlive this life.
    const gate = hasLeases
      ? openGateway({ dir: dataDir, effectLog, log, wall: () => clock.wall(), asksVoters: true })
      : undefined;
    stops.push(() => gate?.close());
    const containment = await findContainment();
    if (containment.kind === 'none') log.warn({ why: containment.why }, 'duty processes may outlive a killed agent');
    const onChange = (duty: DutyIndex) => checks.processChanged(duty);
    const localProcesses = createProcessRunner({
      agent: name,
      dataDir,
      containment,
      deliver,
      clock,
      log,
      onChange,
      effectLog,
      gate,
      msUntil: (until) => until - clock.elapsed(),
    });

    const guardian = findGuardian(log);
    const { supervisor } = guardian;
    const supervised =
      supervisor &&
      createSupervisedRunner({
        agent: name,
        dataDir,
        plan,
        supervisor,
        deliver,
        clock,
        boxTime: (until) => clock.boxTime(until),
        log,
        onChange,
        effectLog,
        gate,
      });
    if (supervised) guardian.onSaid((message) => supervised.said(message));
    const processes = supervised ? splitProcessRunner(localProcesses, supervised, plan) : localProcesses;
    const sessions = createLeaseSessions({ deliver, supervisor, targetOf: (agent) => mesh?.addressOf(agent) });
    guardian.onSaid((message) => sessions.said(message));
    const mayAct = (duty: DutyIndex): boolean => core.mayAct(clock.holderTime(), duty) !== undefined;
    const sealDesk = new SealDesk({
      site: plan.site,
      self,
      agentIds,
      key: ownKey,
      keyOf,
      leases: () => core.exclusive.leases,
      forged: (from) =>
        log.warn(
          { peer: plan.agents[from]?.id },
          'a seal or a forced epoch that was not signed as it must be was refused',
        ),
      bundle: () => keeper.bundle,
      epochHash: (id) => {
        const cell = inForce.cells.find((one) => one.id === id);
        return (
          cell &&
          storedEpoch(
            cell,
            inForce.agents.map((agent) => agent.id),
          ).hash
        );
      },
    });
    const learners = createStreamingScorer({
      site,
      deliver,
      log,
      folder: join(dataDir, 'learnt'),
      wall: () => clock.wall(),
      onScore: (model, score, end) => recorder.onScore(model, score, end),
      maintenance: (thing) => core.maintenanceOf(thing)?.id,
      rest: (model) => core.health.modelRest(model),
    });
    stops.push(() => learners.stop());
    const checks = createCheckPort({
      site,
      deliver: (input) => {
        deliver(input);
        if (input.kind === 'check-observed') learners.onCheck(input.check, input.observation);
      },
      processOf: (duty) => processes.processOf(duty),
      ask: (source, question) => poll.ask(source, question),
      containment,
      log,
    });
    stops.push(() => checks.stop());
    const recorder = createFlightRecorder({
      dir: dataDir,
      agent: name,
      plan,
      wall: () => clock.wall(),
      report: (body) => void report(body),
      ...(setup.recorderBytes === undefined ? {} : { limits: { bytes: setup.recorderBytes } }),
      standing: store.alarms().flatMap((row) => (row.state === 'on' ? [row.alarmId] : [])),
      maintenance: (thing) => core.maintenanceOf(thing)?.id,
    });
    stops.push(() => recorder.stop());
    stops.every(recorderEveryMs, () => recorder.tick());
    const models = createModelScorer({
      site,
      deliver,
      log,
      catalogRoot: site.modelRoot,
      onScore: (model, score, end) => recorder.onScore(model, score, end),
      dataDir,
      wall: () => clock.wall(),
      report: (body) => void report(body),
      maintenance: (thing) => core.maintenanceOf(thing)?.id,
      rest: (model) => core.health.modelRest(model),
    });
    stops.every(modelsEveryMs, () => void models.tick());
    stops.push(() => models.stop());
    const poll = createPollRunner({
      site,
      deliver,
      ...(plan.signals.some((signal) => signal.derived !== undefined)
        ? { derived: new DerivedSignals(plan.signals) }
        : {}),
      onSample: (sample) => {
        recorder.onSample(sample);
        models.onSample(sample);
        learners.onSample(sample);
      },
      report: (body) => outbox.publish({ class: 'telemetry', body }),
      together: (reports) => outbox.together(reports),
      clock,
      random: new Random(boot, 'poll'),
      pki: join(dataDir, 'pki'),
      log,
      effectLog,
      agent: name,
      boot,
    });
    const duties = createDutyPort({
      site,
      deliver,
      log,
      runners: {
        poll,
        process: processes,
        schedule: createScheduleRunner({ site, deliver, clock, zone: site.zone ?? 'UTC', log, mayAct }),
        upload: createUploadRunner({ deliver, report, log, mayAct }),
        watch: createWatchRunner({ deliver }),
      },
    });
    stops.push(() => duties.stopAll());
    const actions = createActionPort({
      site,
      processes,
      deliver,
      clock,
      notify: (people, text) =>
        report({
          type: 'event',
          name: 'notify',
          subject: people.join(', '),
          severity: 'notice',
          text,
          detail: {},
        }),
      effectLog,
      agent: name,
      boot,
      containment,
      gate,
      write: createWriteHand({
        site,
        gate,
        pki: join(dataDir, 'pki'),
        elapsed: () => clock.elapsed(),
        lend: (source) => poll.lend(source),
      }),
      request: createRequestHand({ gate, elapsed: () => clock.elapsed() }),
      log,
    });
    stops.push(() => actions.stop());
    const hooks = createHookPort({ log, containment });
    stops.push(() => hooks.stop());

    let link: ReportLink | undefined;
    const driver = new Driver(core, {
      clock,
      mesh: {
        send: (to, message) => mesh?.port.send(to, sealDesk.signed(message)),
        publish: (digest) => mesh?.port.publish(digest),
        tellDigests: (to, digests) => mesh?.port.tellDigests(to, digests),
      },
      journal: {
        append: (token, entries) => store.append(token, entries),
        saveIncarnation: (bootCounter, incarnation) => store.saveIncarnation(bootCounter, incarnation),
        saveCheckpoint: (checkpoint) => store.saveCheckpoint(checkpoint),
        setLocalAlarm: (alarm) => {
          store.setLocalAlarm(alarm);
          recorder.alarmChanged(alarm);
        },
      },
      leases: {
        persist: (token, cell, entries) => store.persistLeases(token, cell, entries),
        raiseFloors: (floors) => void gate?.raiseFloors(floors),
        openSession: (cell, epoch, targets, guardMs) => sessions.openSession(cell, epoch, targets, guardMs),
      },
      outbox,
      checks,
      duties,
      actions,
      hooks,
      uplink: { check: () => link?.check() },
      observer: {
        observe: (_now, observation) => {
          log.debug(observation, observation.kind);
          setup.observed?.(clock.wall(), observation);
          recorder.observed(observation);
          models.observed(observation);
        },
      },
    });
    stops.push(() => driver.stop());

    // The mesh, then the first step: an agent that cannot listen never begins.
    let mesh: Awaited<ReturnType<typeof startMesh>> | undefined;
    const keeper = new BundleKeeper({
      name,
      dataDir,
      running: setup.bundle.inForce,
      notices: setup.bundle.notices,
      compile: (bundle) => {
        const compiled = setup.bundle.compile(bundle);
        return compiled.ok ? ok(compiled.value.plan) : compiled;
      },
      acceptEpochs: (next) => {
        inForce = next;
        const { cells, agents } = next;
        const ids = agents.map(({ id }) => id);
        deliver({
          kind: 'epochs-accepted',
          cells: cells.map((cell) => ({ cell: cell.id, epoch: storedEpoch(cell, ids) })),
        });
      },
      startAnew: setup.bundle.startAnew,
      applyRoster: (next) => {
        keyring.replace(next);
        mesh?.updateRoster(next);
      },
      changed: () => mesh?.bundleChanged(),
      connected: () => mesh?.connected() ?? new Set(),
      epochOf: (cell) => core.exclusive.leases.cells.find(({ id }) => id === cell)?.epoch,
      report,
      log,
    });
    mesh = await startMesh({
      self,
      site: plan.site,
      cell: me.cell,
      planHash: plan.hash,
      privateKeyPem: setup.mesh.privateKeyPem,
      psk: setup.mesh.psk,
      roster: setup.mesh.roster,
      agentIds: plan.agents.map((agent) => agent.id),
      cells: plan.agents.map((agent) => agent.cell),
      bounds: {
        duties: plan.duties.length,
        checks: plan.checks.length,
        models: plan.models.length,
        // Also of the epoch that is still spoken, whose leases may be more.
        leases: Math.max(
          0,
          ...plan.cells.map(({ leases }) => leases.length),
          ...[...(restored.leases?.records.values() ?? [])].map(({ active }) => active.leases.length),
        ),
      },
      listen: setup.mesh.listen,
      peers: setup.mesh.peers,
      mdns: setup.mesh.mdns,
      bundles: keeper,
      deliver: (input) => {
        const checked = sealDesk.checked(input);
        if (checked) deliver(checked);
      },
      log,
    });
    const node = mesh;
    stops.push(() => node.stop());
    stops.every(bundleEveryMs, () => keeper.tick());
    if (hasLeases) {
      const receiver = await hearCertificates({
        listen: setup.mesh.listen,
        addresses: node.addresses(),
        dead: (session) => deliver({ kind: 'session-died', session: sessionId(session) }),
        log,
      });
      if (receiver) stops.push(() => receiver.close());
      stops.every(guardianEveryMs, () => {
        sessions.refresh();
        supervisor?.beat();
      });
    }

    const trust = new ClockTrust();
    const maintenance = createMaintenanceClock(plan, site.zone ?? 'UTC', deliver);
    const readClock = () => {
      const { trusted, jumpedByMs } = trust.judge(clock.now(), clock.wall());
      if (jumpedByMs !== 0) log.warn({ jumpedByMs }, 'the wall clock was set');
      deliver({ kind: 'clock-read', wall: clock.wall(), trusted });
      maintenance.read(clock.wall(), trusted);
    };
    deliver({ kind: 'started', wall: clock.wall() });
    // Before anything is judged: what people are at work on is left alone from the first moment.
    const workOrders = new MaintenanceOrders(dataDir);
    stops.push(() => workOrders.close());
    const clocks = { now: () => clock.now(), wall: () => clock.wall() };
    takeUpMaintenance(core, deliver, clocks, workOrders);
    const { misfortune } = store.state();
    if (misfortune !== undefined) {
      report({
        type: 'event',
        name: 'store-damaged',
        subject: name,
        severity: 'error',
        text:
          misfortune.kind === 'not-opened'
            ? `the journal cannot be opened (${misfortune.reason}); this box watches and repairs nothing until it is mended`
            : `the journal was damaged (${misfortune.reason}) and set aside; a new one was begun`,
        detail: { kind: misfortune.kind },
      });
    }
    readClock();
    stops.every(clockEveryMs, readClock);
    await models.start();
    await learners.start();
    const spending = watchBudget(setup.budget ?? { cpuShare: undefined, memoryBytes: undefined }, deliver);
    stops.push(() => spending.stop());

    const obey = obedience(core, deliver, clocks, workOrders);
    const orders = new OrderDesk({
      site: plan.site,
      agent: name,
      dataDir,
      operators: () => keeper.bundle.operators,
      wall: () => clock.wall(),
      obey,
      report,
      log,
    });
    stops.push(() => orders.close());

    const startedAt = new Date();
    const around: Surroundings = {
      name,
      version: setup.version,
      startedAt,
      site,
      core,
      driver,
      mesh: node,
      outbox,
      store,
      models,
      bundle: () => keeper.status(),
      processOf: (duty) => processes.processOf(duty),
      guardian: () => guardian.protection(),
      spending,
      holderTime: () => clock.holderTime(),
      now: () => clock.now(),
      link: () => link?.state(),
      api: () => api,
    };
    let api: StatusApi | undefined;
    api =
      setup.api &&
      (await startStatusApi({
        ...setup.api,
        source: agentFace({ around, obey, orders, keeper, sealDesk, recorder, deliver, report, log }),
      }));
    const door = api;
    if (door !== undefined) {
      stops.push(() => door.stop());
      stops.push(noteAddress(dataDir, door.address, log));
    }

    if (setup.broker !== undefined) {
      link = startReportLink({
        site: plan.site,
        agent: name,
        boot,
        broker: setup.broker,
        outbox,
        deliver,
        obey: (verb, document) => orders.answer(document, 'the broker', verb),
        log: (level, event, detail) => log[level](detail, event),
        health: () => agentHealth(around),
        info: () => agentInfo(around, api?.address),
      });
      const voice = link;
      stops.push(() => voice.stop());
    }
    log.info({ api: api?.address, boot, bootCounter: identity.bootCounter, mesh: node.addresses() }, 'agent is up');
    return {
      api: api?.address,
      boot,
      stop: async () => {
        deliver({ kind: 'leave-ordered' });
        // Exclusive work is ended before its lease is given back, while the mesh can still carry the word.
        for (let waitedMs = 0; core.exclusive.duties.load > 0 && waitedMs < leaveWithinMs; waitedMs += 20) {
          await new Promise((resolve) => setTimeout(resolve, 20));
        }
        // The last words (left, handovers) are on their way in the streams' buffers.
        await new Promise((resolve) => setTimeout(resolve, 150));
        await stops.all();
      },
    };
  } catch (error) {
    await stops.all();
    throw error;
  }
}

function classOf(body: ReportBody): 'alarm' | 'event' | 'telemetry' {
  if (body.type === 'alarm') return 'alarm';
  return body.type === 'readings' ? 'telemetry' : 'event';
}
