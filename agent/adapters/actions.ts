import type { DutyIndex } from '../base/ids.ts';
import { unreachable } from '../base/invariant.ts';
import type { ActionOutcome } from '../core/input.ts';
import type { RunId } from '../core/remediation/journal-entry.ts';
import type { StepAction } from '../core/remediation/workflow.ts';
import type { Site } from '../driver/bindings.ts';
import type { ActionPort, ActionRequest, ClockPort, Deliver } from '../driver/ports.ts';
import { lastLines } from './connections/bounded-output.ts';
import type { Containment } from './connections/containment.ts';
import { describeExit, runLocal } from './connections/local.ts';
import { hostBoot } from './connections/process-table.ts';
import { fenceEnvironment, type ProcessRunner } from './duty-runners/process.ts';
import type { Log } from './duty-runners/runner.ts';
import type { EffectLog } from './effect-log.ts';
import { claimOf, commandsHere, type Gate } from './gateway/claims.ts';
import type { RequestHand } from './gateway/request-hand.ts';
import type { WriteHand } from './gateway/write-hand.ts';

export interface ActionPortOptions {
  readonly site: Pick<Site, 'plan'>;
  readonly processes: Pick<ProcessRunner, 'restart' | 'restarting' | 'identity' | 'processOf'>;
  readonly deliver: Deliver;
  readonly clock: Pick<ClockPort, 'now' | 'wall'>;
  /** Says something to people, durably: true when the outbox has it. */
  readonly notify: (people: readonly string[], text: string) => boolean;
  readonly effectLog: Pick<EffectLog, 'append'>;
  /** Who writes into the effect log. */
  readonly agent: string;
  readonly boot: string;
  readonly containment?: Containment | undefined;
  /** Refuses commands under a right that has a successor on this box. */
  readonly gate?: Gate | undefined;
  /** Writes to devices; undefined: this agent has none that it may write to. */
  readonly write?: WriteHand | undefined;
  /** Sends requests to devices behind HTTP; undefined: it sends none. */
  readonly request?: RequestHand | undefined;
  readonly log: Log;
}

interface Ended {
  readonly outcome: ActionOutcome;
  readonly detail: string;
  /** Nothing was done to the world: no line in the effect log. */
  readonly untouched?: boolean;
}

interface InFlight {
  readonly request: ActionRequest;
  readonly abort: AbortController;
}

/** More actions at once are refused: an agent that repairs forty things at once repairs nothing. */
const mostInFlight = 32;

/**
 * The hands. Every `issue` is answered by exactly one `action-completed`, also when it is cancelled or comes late. What
 * begins after `notAfter` is `late` and touches nothing. A time-out or a cancel in the middle is doubt (`timed-out`):
 * the group was killed, and nobody knows how far it had come. An exit code is only "failed" or "not failed"; whether
 * it helped is the verification's business.
 *
 * Each effect leaves one line in the agent's effect log, before the completion is told.
 */
export function createActionPort(options: ActionPortOptions): ActionPort & { stop(): void } {
  const { site, processes, deliver, clock, notify, effectLog, containment, log } = options;
  const inFlight = new Map<string, InFlight>();
  const hostBootId = hostBoot();
  const keyOf = (run: RunId, step: number, issue: number) => `${run}\0${step}\0${issue}`;
  let stopped = false;

  async function act(request: ActionRequest, signal: AbortSignal): Promise<Ended> {
    const { action, timeoutMs, fence } = request;
    switch (action.kind) {
      case 'process.restart':
        return restart(action.duty, timeoutMs, signal);
      case 'command.run':
        return command(action.argv, timeoutMs, signal, fence);
      case 'plc.write':
        return (
          (await options.write?.(request, action, signal)) ?? {
            outcome: 'failed',
            detail: 'this agent writes to no device',
            untouched: true,
          }
        );
      case 'http.request':
        return (
          (await options.request?.(request, action, signal)) ?? {
            outcome: 'failed',
            detail: 'this agent sends requests to no device',
            untouched: true,
          }
        );
      case 'wait':
        return wait(action.ms, timeoutMs, signal);
      case 'notify': {
        const taken = notify(action.people, action.text);
        return taken
          ? { outcome: 'ok', detail: `told ${action.people.join(', ')}` }
          : { outcome: 'failed', detail: 'the outbox did not take it' };
      }
      default:
        return unreachable(action);
    }
  }

  async function restart(duty: DutyIndex, timeoutMs: number, signal: AbortSignal): Promise<Ended> {
    const id = site.plan.duties[duty]?.id ?? `duty ${duty}`;
    if (processes.processOf(duty) === undefined) {
      return { outcome: 'failed', detail: `this agent does not hold ${id}`, untouched: true };
    }
    const giveUp = new AbortController();
    const done = processes.restart(duty, giveUp.signal).then((result): Ended => {
      if (!result.ok) return { outcome: 'failed', detail: result.error };
      const { pid } = result.value;
      return { outcome: 'ok', detail: `${id} runs${pid === undefined ? '' : ` as process ${pid}`}` };
    });
    const first = await firstOf(done, timeoutMs, signal);
    if (first.kind === 'done') return first.value;
    giveUp.abort();
    return { outcome: 'timed-out', detail: `restart of ${id} ${first.kind}` };
  }

  async function command(
    argv: readonly string[],
    timeoutMs: number,
    signal: AbortSignal,
    fence: ActionRequest['fence'],
  ): Promise<Ended> {
    // What the command leaves running after its own good end is its purpose: `/etc/init.d/x restart` starts a daemon.
    const env = fenceEnvironment(fence);
    const barred = () => {
      const judged = fence && options.gate?.perform(claimOf(commandsHere, fence), () => undefined);
      return judged?.ok === false ? judged.error.text : undefined;
    };
    const run = await runLocal({ argv, timeoutMs, signal, containment, leftovers: 'leave', env, barred });
    if (!run.ok) return { outcome: 'failed', detail: run.error.text, untouched: true };
    const exit = run.value;
    const said = lastLines(exit.stderr.text) || lastLines(exit.stdout.text);
    const detail = describeExit(exit, said);
    if (exit.ended !== 'exited') return { outcome: 'timed-out', detail };
    return { outcome: exit.code === 0 ? 'ok' : 'failed', detail };
  }

  async function wait(ms: number, timeoutMs: number, signal: AbortSignal): Promise<Ended> {
    const over = new Promise<undefined>(() => {});
    const first = await firstOf(over, Math.min(ms, timeoutMs), signal);
    if (first.kind === 'cancelled') return { outcome: 'refused', detail: 'cancelled', untouched: true };
    if (ms > timeoutMs)
      return { outcome: 'timed-out', detail: `the step's time-out is shorter than the wait`, untouched: true };
    return { outcome: 'ok', detail: `waited ${ms / 1000} s`, untouched: true };
  }

  const complete = (request: ActionRequest, ended: Ended) => {
    const { run, step, issue, action } = request;
    if (stopped) return;
    if (ended.untouched !== true) {
      effectLog.append({
        effect: action.kind,
        run,
        step,
        try: request.try,
        issue,
        agent: options.agent,
        boot: options.boot,
        at: new Date(clock.wall()).toISOString(),
        outcome: ended.outcome,
        detail: ended.detail,
        ...(request.fence && {
          token: request.fence.token,
          session: request.fence.session,
          lease: request.fence.lease,
        }),
      });
    }
    log.info({ run, step, try: request.try, issue, effect: action.kind, ...ended }, 'action completed');
    const { outcome, detail } = ended;
    deliver({ kind: 'action-completed', run, step, try: request.try, issue, outcome, detail });
  };

  return {
    issue(request) {
      const key = keyOf(request.run, request.step, request.issue);
      // The same issue again is the same effect: one answer is on its way.
      if (stopped || inFlight.has(key)) return;
      const now = clock.now();
      if (now > request.notAfter) {
        const late = Math.ceil(now - request.notAfter);
        return complete(request, { outcome: 'late', detail: `${late} ms past its end of validity`, untouched: true });
      }
      if (inFlight.size >= mostInFlight) {
        return complete(request, { outcome: 'refused', detail: 'too many actions are under way', untouched: true });
      }
      const entry: InFlight = { request, abort: new AbortController() };
      inFlight.set(key, entry);
      void act(request, entry.abort.signal)
        // What we do not understand may have happened: that is doubt, not failure.
        .catch((error: unknown): Ended => ({ outcome: 'timed-out', detail: `not understood: ${String(error)}` }))
        .then((ended) => {
          inFlight.delete(key);
          complete(request, ended);
        });
    },

    cancel(run, step, issue) {
      inFlight.get(keyOf(run, step, issue))?.abort.abort();
    },

    baseline(run, step, action) {
      void baselineOf(action).then((baseline) => {
        if (!stopped) deliver({ kind: 'baseline-read', run, step, baseline });
      });
    },

    probe(run, step, action, baseline) {
      void look(run, step, action, baseline).then((found) => {
        if (!stopped) deliver({ kind: 'action-probed', run, step, ...found });
      });
    },

    /** Kills what is under way; nothing is delivered any more: the journal's intents without outcome are the doubt. */
    stop() {
      stopped = true;
      for (const entry of inFlight.values()) entry.abort.abort();
    },
  };

  async function baselineOf(action: StepAction): Promise<string> {
    if (action.kind !== 'process.restart') return `boot ${hostBootId}`;
    return (await processes.identity(action.duty)) ?? 'no process';
  }

  async function look(
    run: RunId,
    step: number,
    action: StepAction,
    baseline: string,
  ): Promise<{ applied: 'applied' | 'running' | 'not-applied' | 'unknown'; detail: string }> {
    for (const { request } of inFlight.values()) {
      if (request.run === run && request.step === step) return { applied: 'running', detail: 'still under way' };
    }
    switch (action.kind) {
      case 'process.restart': {
        if (processes.restarting(action.duty)) return { applied: 'running', detail: 'the restart is under way' };
        if (processes.processOf(action.duty) === undefined) {
          return { applied: 'unknown', detail: 'the duty is not held here' };
        }
        const now = await processes.identity(action.duty);
        if (now === undefined) return { applied: 'not-applied', detail: 'no process runs' };
        if (now === baseline) return { applied: 'not-applied', detail: `the old process still runs (${now})` };
        return { applied: 'applied', detail: `another process runs since (${now})` };
      }
      case 'wait':
        return { applied: 'not-applied', detail: 'waiting leaves no trace' };
      case 'command.run':
      case 'plc.write':
      case 'http.request':
      case 'notify':
        return { applied: 'unknown', detail: 'there is nothing to look at' };
      default:
        return unreachable(action);
    }
  }
}

type First<T> = { readonly kind: 'done'; readonly value: T } | { readonly kind: 'timed out' | 'cancelled' };

/** What comes first: the promise, the time, or the caller's wish. */
function firstOf<T>(promise: Promise<T>, ms: number, signal: AbortSignal): Promise<First<T>> {
  return new Promise((resolve, reject) => {
    const settle = (first: First<T>) => {
      clearTimeout(timer);
      signal.removeEventListener('abort', cancelled);
      resolve(first);
    };
    const cancelled = () => settle({ kind: 'cancelled' });
    const timer = setTimeout(() => settle({ kind: 'timed out' }), Math.min(ms, 2_000_000_000));
    if (signal.aborted) return cancelled();
    signal.addEventListener('abort', cancelled, { once: true });
    promise.then((value) => settle({ kind: 'done', value }), reject);
  });
}
