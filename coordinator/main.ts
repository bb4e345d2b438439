import { parseArgs } from 'node:util';
import pino from 'pino';
import { loadCoordinatorConfig } from './config.ts';
import { startCoordinator } from './coordinator.ts';

/** What the command line gives. */
export interface CoordinatorFlags {
  /** Path of coordinator.yaml. */
  readonly config: string;
  /** End when standard input closes: for starters that may be killed. */
  readonly endWithStdin?: boolean | undefined;
  /** End when this process is gone. */
  readonly parentPid?: number | undefined;
}

/**
 * Runs the coordinator until SIGTERM, SIGINT, or the end of its starter. Says one line on standard output when it
 * serves, `{"ready":true,"api":…,"broker":…,"pid":…}`; the log goes to standard error. Wrong configuration is told
 * whole, with exit code 2.
 */
export async function runCoordinator(flags: CoordinatorFlags): Promise<void> {
  const logger = pino({ base: { part: 'coordinator' } }, pino.destination({ dest: 2, sync: false }));
  const loaded = await loadCoordinatorConfig(flags.config, process.env);
  if (!loaded.ok) {
    for (const p of loaded.error) {
      const where = p.line === undefined ? p.file : `${p.file}:${p.line}`;
      process.stderr.write(`${where}: ${p.path === '' ? '' : `${p.path}: `}${p.message}\n    ${p.remedy}\n`);
    }
    process.exitCode = 2;
    return;
  }
  let ending = false;
  const coordinator = await startCoordinator(loaded.value, (level, event, detail) =>
    logger[level](detail, event),
  ).catch((error: Error) => {
    process.stderr.write(`the coordinator cannot start: ${error.message}\n`);
    process.exitCode = 1;
  });
  if (coordinator === undefined) return;

  const end = (why: string): void => {
    if (ending) return;
    ending = true;
    logger.info({ why }, 'stopping');
    // Whatever hangs: the store is safe at every moment, so five seconds are enough.
    setTimeout(() => process.exit(0), 5_000).unref();
    coordinator.stop().then(
      () => process.exit(0),
      () => process.exit(1),
    );
  };
  process.on('SIGTERM', () => end('SIGTERM'));
  process.on('SIGINT', () => end('SIGINT'));
  if (flags.endWithStdin === true) {
    process.stdin.on('end', () => end('stdin closed'));
    process.stdin.on('error', () => end('stdin closed'));
    process.stdin.resume();
  }
  const parent = flags.parentPid;
  if (parent !== undefined) {
    setInterval(() => {
      try {
        process.kill(parent, 0);
      } catch {
        end('starter is gone');
      }
    }, 500).unref();
  }
  process.stdout.write(
    `${JSON.stringify({ ready: true, api: coordinator.api, broker: coordinator.broker, pid: process.pid })}\n`,
  );
}

if (import.meta.main) {
  const { values } = parseArgs({
    options: {
      config: { type: 'string', short: 'c' },
      'end-with-stdin': { type: 'boolean' },
      'parent-pid': { type: 'string' },
    },
  });
  if (values.config === undefined) {
    process.stderr.write('usage: coordinator --config coordinator.yaml [--end-with-stdin] [--parent-pid PID]\n');
    process.exitCode = 2;
  } else {
    const pid = values['parent-pid'];
    await runCoordinator({
      config: values.config,
      endWithStdin: values['end-with-stdin'],
      parentPid: pid === undefined ? undefined : Number(pid),
    });
  }
}
