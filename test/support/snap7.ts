import { spawn } from 'node:child_process';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
// @ts-expect-error: plain JavaScript, since it also runs before anything is installed.
import { buildSnap7 } from '../../scripts/snap7.mjs';
import { freePorts } from './free-ports.ts';

const root = fileURLToPath(new URL('../../', import.meta.url)).replace(/\/$/, '');
const built = buildSnap7(root) as { readonly program?: string; readonly why?: string };

/** As `needs` does for Debian packages: the test's options when it talks to Snap7's server. */
export function needsSnap7(): { readonly skip: boolean } {
  if (built.program !== undefined) return { skip: false };
  if (process.env['CI'] === 'true')
    throw new Error(`this test needs Snap7's server, and CI=true allows no skip: ${built.why}`);
  process.stderr.write(`skipped: needs Snap7's server: ${built.why}\n`);
  return { skip: true };
}

export interface Snap7 {
  readonly port: number;
  /** `run`, `stop`, `db 10 4 40500000`, `m 0 ff`. */
  say(line: string): Promise<void>;
  stop(): Promise<void>;
}

/** Snap7's server as a process of its own: DB10 of 256 bytes, DB20 of 64, merkers and inputs of 64. */
export async function startSnap7(): Promise<Snap7> {
  const [port] = (await freePorts(1)) as [number];
  const child = spawn(built.program!, [String(port)], { stdio: ['pipe', 'pipe', 'inherit'] });
  const gone = new Promise<void>((resolve) => child.on('exit', () => resolve()));
  const waiting: ((line: string) => void)[] = [];
  const next = () => new Promise<string>((resolve) => waiting.push(resolve));
  const ready = next();
  createInterface({ input: child.stdout }).on('line', (line) => waiting.shift()?.(line));
  if ((await ready) !== 'ready') throw new Error('Snap7 did not start');
  return {
    port,
    async say(line) {
      const done = next();
      child.stdin.write(`${line}\n`);
      await done;
    },
    async stop() {
      child.stdin.end();
      await gone;
    },
  };
}
