import type { AlarmIndex } from '../base/ids.ts';
import type { HookPort } from '../driver/ports.ts';
import { lastLines } from './connections/bounded-output.ts';
import type { Containment } from './connections/containment.ts';
import { describeExit, runLocal } from './connections/local.ts';
import type { Log } from './duty-runners/runner.ts';

type Transition = 'raised' | 'cleared';

export interface HookPortOptions {
  readonly log: Log;
  readonly containment?: Containment | undefined;
  /** A hook is killed after this. Default 10 000. */
  readonly timeoutMs?: number;
  /** Least time between two starts for one alarm: a flapping alarm must not wear out a relay. Default 1000. */
  readonly spacingMs?: number;
}

interface Hook {
  argv: readonly string[];
  running: boolean;
  /** What the light shows, as far as we know; undefined before the first run and after a failed one. */
  shown: Transition | undefined;
  /** What it should show; only the last wish counts. */
  wanted: Transition;
  startedAt: number;
  timer: NodeJS.Timeout | undefined;
  readonly abort: AbortController;
}

/** An alarm's hook that fails is tried this often more; then the next transition is waited for. */
const retries = 2;

/**
 * Stack light, horn: runs an alarm's argument vector with `raised` or `cleared` as last word. Level, not edge: while a
 * hook runs, later transitions fold into the last one, so that a light ends up showing what is true, and a slow or
 * hanging hook costs one process per alarm and never holds up the agent. At start nothing is known of the light.
 */
export function createHookPort(options: HookPortOptions): HookPort & { stop(): void } {
  const { log, containment, timeoutMs = 10_000, spacingMs = 1_000 } = options;
  const hooks = new Map<AlarmIndex, Hook>();
  let stopped = false;

  async function show(alarm: AlarmIndex, hook: Hook): Promise<void> {
    hook.running = true;
    for (let failures = 0; !stopped && hook.shown !== hook.wanted && failures <= retries; ) {
      await pause(hook, hook.startedAt + spacingMs - performance.now());
      if (stopped) break;
      const transition = hook.wanted;
      if (hook.shown === transition) break;
      hook.startedAt = performance.now();
      const argv = [...hook.argv, transition];
      const run = await runLocal({ argv, timeoutMs, containment, signal: hook.abort.signal, outputBytes: 4_096 });
      const good = run.ok && run.value.ended === 'exited' && run.value.code === 0;
      hook.shown = good ? transition : undefined;
      if (good) failures = 0;
      else {
        failures++;
        const reason = run.ok ? describeExit(run.value, lastLines(run.value.stderr.text)) : run.error.text;
        log.warn({ alarm, hook: hook.argv[0], transition, reason }, 'local hook failed');
      }
    }
    hook.running = false;
  }

  const pause = (hook: Hook, ms: number): Promise<void> =>
    ms <= 0
      ? Promise.resolve()
      : new Promise((resolve) => {
          const over = () => {
            clearTimeout(hook.timer);
            hook.abort.signal.removeEventListener('abort', over);
            resolve();
          };
          hook.timer = setTimeout(over, ms);
          hook.abort.signal.addEventListener('abort', over, { once: true });
        });

  return {
    run(alarm, argv, transition) {
      if (stopped || argv.length === 0) return;
      const hook = hooks.get(alarm) ?? {
        argv,
        running: false,
        shown: undefined,
        wanted: transition,
        startedAt: Number.NEGATIVE_INFINITY,
        timer: undefined,
        abort: new AbortController(),
      };
      hooks.set(alarm, hook);
      hook.argv = argv;
      hook.wanted = transition;
      if (!hook.running) void show(alarm, hook);
    },
    stop() {
      stopped = true;
      for (const hook of hooks.values()) hook.abort.abort();
    },
  };
}
