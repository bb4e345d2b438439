import { randomBytes } from 'node:crypto';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { DemoSite } from './demo-site.ts';
import type { StepName } from './steps.ts';

/**
 * Breaks the mechanism behind one step, from outside: by what the site file says, what lies on disk, who holds which
 * key. The shipped code knows nothing of it. A story that still succeeds has a check that cannot fail.
 */
export interface Sabotage {
  readonly step: StepName;
  /** What is broken, in words. */
  readonly about: string;
  readonly siteFile?: (text: string) => string;
  readonly prepared?: (site: DemoSite) => void;
  readonly beforeAgents?: (site: DemoSite) => void;
  readonly beforeCoordinatorRestart?: (site: DemoSite) => void;
  readonly intruderKey?: (site: DemoSite) => string;
}

const sabotages: readonly Sabotage[] = [
  {
    step: 'members',
    about: 'edge-5 has another mesh key, so it cannot become a member',
    prepared: (site) => {
      const { folder, config } = site.box('edge-5');
      writeFileSync(
        join(folder, 'other.psk'),
        `/key/swarm/psk/1.0.0/\n/base16/\n${randomBytes(32).toString('hex')}\n`,
        { mode: 0o600 },
      );
      replaceIn(config, /^(\s+key:) \.\.\/\.\.\/mesh\.psk$/m, '$1 other.psk');
    },
  },
  {
    step: 'replay',
    about: 'the model gets voltage where it was fitted on flow, and flow where it was fitted on voltage',
    siteFile: (text) =>
      replaced(replaced(text, /(VolumeFlowRateRMS:) flow/, '$1 voltage'), /(\bVoltage:) voltage/, '$1 flow'),
  },
  {
    step: 'repair',
    about: 'the restart step runs a command that exits 0 and changes nothing',
    siteFile: (text) => replaced(text, /- process\.restart: run/, '- command.run: [/bin/true]'),
  },
  {
    step: 'local-alarm',
    about: 'the vibration check waits a minute before it is raised',
    siteFile: (text) => replaced(text, /raise: 3 of 5, clear: 10s/, 'raise: 60s, clear: 10s'),
  },
  {
    step: 'takeover',
    about: 'only one box may poll the pump, so nobody can take over',
    siteFile: (text) => replaced(text, /(pump-skid:\n\s+about: [^\n]+\n\s+cell: hall\n)/, '$1    via: [edge-3]\n'),
  },
  {
    step: 'coordinator-lost',
    about: 'the restarted coordinator does not know the agents’ credentials, so their outboxes stay full',
    beforeCoordinatorRestart: (site) => {
      const file = join(site.keys, 'broker', 'broker-users.json');
      const { users } = JSON.parse(readFileSync(file, 'utf8')) as { users: { role: string }[] };
      writeFileSync(file, JSON.stringify({ users: users.filter((user) => user.role !== 'agent') }));
    },
  },
  {
    step: 'intruders',
    about: 'the stranger holds the key of an enrolled box, so the list lets it in',
    intruderKey: (site) => join(site.box(site.spare).folder, 'agent.key'),
  },
];

export const sabotageOf = (step: string): Sabotage | undefined => sabotages.find((entry) => entry.step === step);

export const sabotagedSteps = sabotages.map((entry) => entry.step);

/** A sabotage that finds nothing to break must not pass for one. */
function replaced(text: string, pattern: RegExp, by: string): string {
  const after = text.replace(pattern, by);
  if (after === text) throw new Error(`sabotage: ${pattern} is not in the file`);
  return after;
}

function replaceIn(file: string, pattern: RegExp, by: string): void {
  writeFileSync(file, replaced(readFileSync(file, 'utf8'), pattern, by));
}
