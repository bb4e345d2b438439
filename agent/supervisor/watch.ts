import { constants, openSync, readdirSync, readFileSync, writeSync } from 'node:fs';

/**
 * Who watches the supervisor. One that hangs keeps no deadline, so something outside must end it, and with it all that
 * it holds: systemd (`WatchdogSec`, `KillMode=control-group`) or a hardware watchdog, which resets the box.
 *
 * systemd listens on a Unix datagram socket, which Node cannot open. `launch.ts` has another program open it and hand
 * it over as an inherited descriptor (MILLWRIGHT_NOTIFY_FD); a write to it is then one system call, where starting
 * `systemd-notify` four times per interval would cost more than everything else here together.
 */
export interface Watch {
  /** A hanging supervisor is ended after this; undefined when nobody watches. */
  readonly intervalMs: number | undefined;
  readonly why: string;
  /** To be called four times per interval. False: the watcher was not reached. */
  beat(): boolean;
  /** Says that it is up. */
  ready(): void;
  /** An orderly end: the hardware is told to stop watching. */
  stopping(): void;
}

/** Takes the variables out of `env`, so that nothing started from here speaks in the supervisor's name. */
export function findWatch(env: NodeJS.ProcessEnv, device: string | undefined): Watch {
  const fd = Number(env['MILLWRIGHT_NOTIFY_FD'] ?? Number.NaN);
  const socket = env['NOTIFY_SOCKET'];
  const usec = Number(env['WATCHDOG_USEC'] ?? Number.NaN);
  const mine = env['WATCHDOG_PID'] === undefined || Number(env['WATCHDOG_PID']) === process.pid;
  for (const name of ['MILLWRIGHT_NOTIFY_FD', 'NOTIFY_SOCKET', 'WATCHDOG_USEC', 'WATCHDOG_PID']) delete env[name];

  const notify = (text: string): boolean => Number.isInteger(fd) && fd > 2 && wrote(fd, text);
  if (device !== undefined) return hardware(device, notify);
  const intervalMs = usec / 1000;
  const watched = mine && intervalMs > 0 && notify('WATCHDOG=1');
  let why: string;
  if (watched) why = `systemd ends a supervisor that hangs for ${intervalMs} ms`;
  else if (socket === undefined || socket === '') why = 'not started by systemd, and no hardware watchdog was named';
  else if (!Number.isInteger(fd)) why = 'neither perl nor python3 is there to open the notify socket of systemd';
  else if (!(intervalMs > 0) || !mine) why = 'the systemd unit has no WatchdogSec';
  else why = 'the notify socket of systemd refuses';
  return {
    intervalMs: watched ? intervalMs : undefined,
    why,
    beat: () => notify('WATCHDOG=1'),
    ready: () => void notify('READY=1'),
    stopping: () => void notify('STOPPING=1'),
  };
}

/** linux/Documentation/watchdog/watchdog-api.rst: each write puts the reset off; `V` before the end calls it off. */
function hardware(device: string, notify: (text: string) => boolean): Watch {
  let fd: number | undefined;
  let why = `${device} resets a box whose supervisor hangs`;
  try {
    // Never made: a mistyped path would be a plain file that resets nothing.
    fd = openSync(device, constants.O_WRONLY);
  } catch (error) {
    why = `${device} cannot be opened: ${(error as Error).message}`;
  }
  return {
    intervalMs: fd === undefined ? undefined : timeoutOf(device) * 1000,
    why,
    beat: () => {
      notify('WATCHDOG=1');
      return fd !== undefined && wrote(fd, '1');
    },
    ready: () => void notify('READY=1'),
    stopping: () => {
      notify('STOPPING=1');
      if (fd !== undefined) wrote(fd, 'V');
    },
  };
}

/** Seconds; the kernel's default where it does not say. */
function timeoutOf(device: string): number {
  const name = device === '/dev/watchdog' ? 'watchdog0' : device.slice(device.lastIndexOf('/') + 1);
  try {
    const folder = readdirSync('/sys/class/watchdog').includes(name) ? name : 'watchdog0';
    return Number.parseInt(readFileSync(`/sys/class/watchdog/${folder}/timeout`, 'latin1'), 10) || 60;
  } catch {
    return 60;
  }
}

function wrote(fd: number, text: string): boolean {
  try {
    return writeSync(fd, text) === text.length;
  } catch (error) {
    // The watcher's queue is full: it is there, and what waits in the queue says all that this would.
    return (error as NodeJS.ErrnoException).code === 'EAGAIN';
  }
}
