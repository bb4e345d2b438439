import { BoundedQueue } from '../../base/bounded-queue.ts';
import type { CheckIndex, DutyIndex } from '../../base/ids.ts';
import type { CheckObservation, CheckSpec } from '../../core/health/check.ts';
import type { Probe, Site } from '../../driver/bindings.ts';
import type { CheckPort, Deliver } from '../../driver/ports.ts';
import type { Containment } from '../connections/containment.ts';
import type { ProcessState } from '../duty-runners/process.ts';
import type { Log } from '../duty-runners/runner.ts';
import { seconds } from './connection.ts';
import type { AskController } from './plc.ts';
import { notKnown, type ProbeContext, type Roots, reasonOf, systemRoots } from './probe.ts';
import { createProber, type Prober } from './probers.ts';
import { dutyProcessProbe } from './process.ts';

export interface CheckPortOptions {
  readonly site: Pick<Site, 'plan'>;
  readonly deliver: Deliver;
  /** State of a process duty that this agent holds. */
  readonly processOf: (duty: DutyIndex) => ProcessState | undefined;
  /** For checks of controllers, over the connections that are polled here. */
  readonly ask?: AskController | undefined;
  readonly roots?: Roots;
  /** So that plugins die with the agent. */
  readonly containment?: Containment | undefined;
  /**
   * Probes under way at once, of each pool (see `poolOf`); those of the network, which only wait, eight times as many.
   * Others wait, on their own time. Default 8.
   */
  readonly parallel?: number;
  readonly log: Log;
}

export interface ProbingCheckPort extends CheckPort {
  /** A process duty's child came or went: its checks are answered now, unasked. */
  processChanged(duty: DutyIndex): void;
  /** Cancels what is under way; nothing is delivered any more. */
  stop(): void;
}

/** One probe of one check, from `run` until the probe itself has come back. */
interface UnderWay {
  readonly spec: CheckSpec;
  readonly begunAt: number;
  readonly abort: AbortController;
  readonly timer: NodeJS.Timeout;
  /** How many calls wait for this answer; 0 when it was given, though the probe still hangs. */
  waiting: number;
  /** It has left the queue. */
  begun: boolean;
}

/** So many at once and no more: what hangs here lets the other pools go on. */
interface Pool {
  readonly queue: BoundedQueue<UnderWay>;
  readonly places: number;
  busy: number;
}

/**
 * Answers every `run` with exactly one observation within the check's time-out. A check is never probed twice at
 * once: a second call while the first is unanswered shares its answer, and a probe that hangs beyond its time-out (a
 * dead network disk) makes further calls UNKNOWN until it has come back.
 */
export function createCheckPort(options: CheckPortOptions): ProbingCheckPort {
  const { site, deliver, processOf, log, containment, parallel = 8 } = options;
  const { plan } = site;
  const roots = options.roots ?? systemRoots;
  const underWay = new Map<CheckIndex, UnderWay>();
  const pool = (places: number): Pool => ({
    queue: new BoundedQueue<UnderWay>(Math.max(64, plan.checks.length)),
    places,
    busy: 0,
  });
  const pools = { local: pool(parallel), program: pool(parallel), network: pool(8 * parallel) };
  /** Made at a check's first run: they remember something from one run to the next. */
  const probers = new Map<CheckIndex, Prober>();
  const checksOfProcess = new Map<DutyIndex, CheckIndex[]>();
  for (const spec of plan.checks) {
    const probe = probeOf(spec);
    if (probe?.kind !== 'process') continue;
    checksOfProcess.set(probe.duty, [...(checksOfProcess.get(probe.duty) ?? []), spec.index]);
  }
  let stopped = false;

  const answer = (entry: UnderWay, observation: CheckObservation) => {
    clearTimeout(entry.timer);
    for (; entry.waiting > 0; entry.waiting--) {
      if (!stopped) deliver({ kind: 'check-observed', check: entry.spec.index, observation });
    }
  };

  const next = (pool: Pool) => {
    while (pool.busy < pool.places) {
      const entry = pool.queue.shift();
      if (entry === undefined) return;
      if (entry.abort.signal.aborted) {
        underWay.delete(entry.spec.index);
        continue;
      }
      pool.busy++;
      entry.begun = true;
      const context = { roots, timeoutMs: leftOf(entry), signal: entry.abort.signal };
      void observe(entry.spec, context)
        .catch((error: unknown) => notKnown(`${entry.spec.id}: ${reasonOf(error)}`))
        .then((observation) => {
          pool.busy--;
          underWay.delete(entry.spec.index);
          answer(entry, observation);
          next(pool);
        });
    }
  };

  const leftOf = (entry: UnderWay) => Math.max(1, entry.spec.timeoutMs - (performance.now() - entry.begunAt));

  async function observe(spec: CheckSpec, context: ProbeContext): Promise<CheckObservation> {
    const probe = probeOf(spec);
    if (probe === undefined) return notKnown(`${spec.id} has nothing to run`);
    let prober = probers.get(spec.index);
    if (prober === undefined) {
      prober = createProber(probe, { containment, processOf, dutyName: nameOf, ask: options.ask });
      probers.set(spec.index, prober);
    }
    return prober.observe(context);
  }

  const nameOf = (duty: DutyIndex): string => plan.duties[duty]?.id ?? `duty ${duty}`;

  const timedOut = (entry: UnderWay) => {
    const queued = !entry.begun;
    answer(entry, notKnown(`timed out after ${seconds(entry.spec.timeoutMs)} s`));
    entry.abort.abort();
    if (queued) log.debug({ check: entry.spec.id }, 'probe timed out while all probes were busy');
  };

  return {
    run(check) {
      if (stopped) return;
      const spec = plan.checks[check];
      if (spec === undefined) return deliver({ kind: 'check-observed', check, observation: notKnown('no such check') });
      const before = underWay.get(check);
      if (before !== undefined) {
        if (before.waiting > 0) before.waiting++;
        else {
          const age = seconds(performance.now() - before.begunAt);
          deliver({ kind: 'check-observed', check, observation: notKnown(`its last probe hangs since ${age} s`) });
        }
        return;
      }
      const entry: UnderWay = {
        spec,
        begunAt: performance.now(),
        abort: new AbortController(),
        timer: setTimeout(() => timedOut(entry), spec.timeoutMs),
        waiting: 1,
        begun: false,
      };
      const pool = pools[poolOf(probeOf(spec))];
      if (!pool.queue.push(entry)) return answer(entry, notKnown('too many probes wait'));
      underWay.set(check, entry);
      next(pool);
    },
    processChanged(duty) {
      if (stopped) return;
      const observation = dutyProcessProbe(nameOf(duty), processOf(duty));
      for (const check of checksOfProcess.get(duty) ?? []) deliver({ kind: 'check-observed', check, observation });
    },
    stop() {
      stopped = true;
      for (const { queue } of Object.values(pools)) queue.clear();
      for (const entry of underWay.values()) {
        clearTimeout(entry.timer);
        entry.abort.abort();
      }
      for (const prober of probers.values()) prober.stop?.();
    },
  };
}

/**
 * Ten dead hosts must not keep a disk from being looked at, nor a slow plugin the hosts: what only waits for the network
 * has many places, what starts a program or reads this box's files has few.
 */
function poolOf(probe: Probe | undefined): 'local' | 'program' | 'network' {
  switch (probe?.kind) {
    case 'plugin':
    case 'service':
    case 'clock-synchronised':
    case 'sql':
      return 'program';
    case 'tcp':
    case 'tls':
    case 'http':
    case 'dns':
    case 'ping':
    case 'mqtt':
    case 'container':
    case 'clock-offset':
      return 'network';
    default:
      return 'local';
  }
}

/** The configuration compiles a check's probe into this union; the core hands it around unseen. */
const probeOf = (spec: CheckSpec): Probe | undefined =>
  spec.source.kind === 'probe' ? (spec.source.probe as Probe) : undefined;
