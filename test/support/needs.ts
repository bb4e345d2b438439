import { existsSync } from 'node:fs';
import { delimiter, join } from 'node:path';

/** What a test may need beyond npm: a Debian package, told by a file that it brings, or root. */
export type Need =
  | 'mosquitto'
  | 'chromium'
  | 'monitoring-plugins-basic'
  | 'postgresql'
  | 'iproute2'
  | 'iptables'
  | 'python3'
  | 'root';

const presence: Record<Need, () => boolean> = {
  mosquitto: () => program('mosquitto'),
  chromium: () => program('chromium'),
  'monitoring-plugins-basic': () => existsSync('/usr/lib/nagios/plugins/check_load'),
  postgresql: () => existsSync('/usr/lib/postgresql'),
  iproute2: () => program('ip'),
  iptables: () => program('iptables'),
  python3: () => program('python3'),
  root: () => process.getuid?.() === 0,
};

const folders = [...(process.env['PATH'] ?? '').split(delimiter), '/usr/sbin', '/sbin'].filter(
  (folder) => folder !== '',
);

const program = (name: string): boolean => folders.some((folder) => existsSync(join(folder, name)));

/** Which of these are missing here. */
export const missing = (...needs: readonly Need[]): readonly Need[] => needs.filter((need) => !presence[need]());

/**
 * The test's options when it needs something from outside: `test(name, needs('mosquitto'), …)`. What is missing makes
 * a skip that names it on standard error; with CI=true a missing thing is a failure, since a silent skip there would
 * pass for a proof.
 */
export function needs(...wanted: readonly Need[]): { readonly skip: boolean } {
  const absent = missing(...wanted);
  if (absent.length === 0) return { skip: false };
  const what = absent.map((need) => (need === 'root' ? 'root' : `the Debian package ${need}`)).join(' and ');
  if (process.env['CI'] === 'true') throw new Error(`this test needs ${what}, and CI=true allows no skip`);
  process.stderr.write(`skipped: needs ${what}\n`);
  return { skip: true };
}
