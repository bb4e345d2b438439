import { readFileSync } from 'node:fs';
import { startTicks } from './processes.ts';

/**
 * Tells when whoever started us is gone. `npm start` puts npm (and sometimes a shell) between the person and us, and
 * an npm that is killed leaves its children behind; so not only the parent is watched but every ancestor up to npm.
 */
export function watchStarter(onGone: () => void, everyMs = 300): () => void {
  const parent = process.ppid;
  const watched = npmChain().map((pid) => ({ pid, ticks: startTicks(pid) }));
  const timer = setInterval(() => {
    const orphaned = process.ppid !== parent;
    const gone = watched.some(({ pid, ticks }) => startTicks(pid) !== ticks);
    if (!orphaned && !gone) return;
    clearInterval(timer);
    onGone();
  }, everyMs);
  timer.unref();
  return () => clearInterval(timer);
}

/** Parent, grandparent, … up to and including npm; only the parent when npm did not start us. */
function npmChain(): number[] {
  const chain = [process.ppid];
  if (process.env['npm_lifecycle_event'] === undefined || process.platform !== 'linux') return chain;
  let pid = process.ppid;
  for (let depth = 0; depth < 4 && pid > 1; depth++) {
    let command: string;
    let stat: string;
    try {
      command = readFileSync(`/proc/${pid}/cmdline`, 'utf8');
      stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
    } catch {
      return chain;
    }
    if (!chain.includes(pid)) chain.push(pid);
    if (/(^|\0|\/)npm( |\0|-cli\.js|$)/.test(command)) return chain;
    pid = Number(stat.slice(stat.lastIndexOf(')') + 2).split(' ')[1]);
  }
  return [process.ppid];
}
