import type { DemoSite } from './demo-site.ts';

/** What the view shows, as the agents themselves and the coordinator tell it. */
interface Picture {
  readonly members: string;
  readonly duties: readonly (readonly [duty: string, holder: string])[];
  readonly checks: string;
  readonly alarms: readonly string[];
  readonly incidents: readonly string[];
  readonly coordinator: string;
}

const everyMs = 1_000;
const bold = (text: string) => `\x1b[1m${text}\x1b[22m`;
const grey = (text: string) => `\x1b[90m${text}\x1b[39m`;

/**
 * The live status: redrawn in place on a terminal, plain lines about what changed anywhere else. Only what is not
 * normal stands out. Returns the function that ends it.
 */
export function showLive(site: DemoSite, out: NodeJS.WriteStream, header: readonly string[]): () => void {
  let stopped = false;
  let drawn = 0;
  let last = new Set<string>();
  const draw = async () => {
    const picture = await look(site);
    if (stopped) return;
    if (out.isTTY) {
      const lines = [...header, '', ...render(picture, out.columns ?? 100)];
      out.write(`${drawn > 0 ? `\x1b[${drawn}A` : ''}${lines.map((line) => `\x1b[2K${line}\n`).join('')}\x1b[0J`);
      drawn = lines.length;
      return;
    }
    const lines = plain(picture);
    for (const line of lines) if (!last.has(gist(line))) out.write(`${new Date().toISOString()} ${line}\n`);
    last = new Set(lines.map(gist));
  };
  if (!out.isTTY) for (const line of header) out.write(`${line}\n`);
  let timer: NodeJS.Timeout | undefined;
  const loop = () => {
    draw()
      .catch(() => {})
      .finally(() => {
        if (!stopped) timer = setTimeout(loop, everyMs);
      });
  };
  loop();
  return () => {
    stopped = true;
    clearTimeout(timer);
  };
}

async function look(site: DemoSite): Promise<Picture> {
  const settled = await Promise.allSettled(site.started().map((name) => site.status(name)));
  const statuses = settled.flatMap((result) => (result.status === 'fulfilled' ? [result.value] : []));
  const first = statuses[0];
  const holders = new Map<string, string[]>();
  for (const status of statuses) {
    for (const { duty, mine } of status.duties) {
      if (!holders.has(duty)) holders.set(duty, []);
      if (mine) holders.get(duty)?.push(status.agent);
    }
  }
  const bad = statuses.flatMap((status) =>
    status.checks
      .filter((check) => !['ok', 'idle'].includes(check.status))
      .map((check) => `${check.check} ${check.status.toUpperCase()} ${check.text}`),
  );
  const all = statuses.reduce((sum, status) => sum + status.checks.length, 0);
  let alarms: string[] = [];
  let incidents: string[] = [];
  let coordinator = 'answers';
  try {
    const alarmRows = await site.coordinator.get<{ items: Record<string, string | number>[] }>('alarms');
    alarms = alarmRows.items
      .filter((row) => row['state'] !== 'NORM')
      .map(
        (row) =>
          `${row['state']} ${row['priority']} ${row['alarmId']} since ${clock(Number(row['since']))}: ${row['response']}`,
      );
    const incidentRows = await site.coordinator.get<{ items: Record<string, string | number | null>[] }>(
      'incidents?limit=5',
    );
    incidents = incidentRows.items.map(
      (row) =>
        `${row['outcome']} ${row['workflow']} on ${row['agent']}: found after ${ms(row['mttdMs'])}, healed after ${ms(row['mttrMs'])}`,
    );
  } catch {
    coordinator = 'does not answer; the hall goes on without it';
  }
  const members = first
    ? first.members
        .map((member) => `${member.agent} ${member.state === 'unknown' ? 'on the shelf' : member.state}`)
        .join(' · ')
    : 'no agent answers';
  return {
    members,
    duties: [...holders].map(([duty, who]) => [duty, who.length === 0 ? 'nobody' : who.join(' and ')] as const),
    checks: bad.length === 0 ? `${all} judged, all well` : `${all} judged: ${bad.join(' · ')}`,
    alarms,
    incidents,
    coordinator,
  };
}

function render(picture: Picture, width: number): string[] {
  const cut = (text: string) => (text.length > width - 1 ? `${text.slice(0, width - 2)}…` : text);
  return [
    `${bold('Members')}      ${cut(picture.members)}`,
    `${bold('Coordinator')}  ${picture.coordinator}`,
    `${bold('Duties')}`,
    ...picture.duties.map(([duty, who]) => `  ${duty.padEnd(24)} ${who}`),
    `${bold('Checks')}       ${cut(picture.checks)}`,
    `${bold('Alarms')}       ${picture.alarms.length === 0 ? grey('nothing needs you') : ''}`,
    ...picture.alarms.map((line) => `  ${cut(line)}`),
    `${bold('Incidents')}    ${picture.incidents.length === 0 ? grey('none so far') : ''}`,
    ...picture.incidents.map((line) => `  ${cut(line)}`),
    '',
    grey('Ctrl-C ends everything and leaves nothing behind.'),
  ];
}

function plain(picture: Picture): string[] {
  return [
    `members: ${picture.members}`,
    `coordinator: ${picture.coordinator}`,
    ...picture.duties.map(([duty, who]) => `duty ${duty}: ${who}`),
    `checks: ${picture.checks}`,
    ...picture.alarms.map((line) => `alarm ${line}`),
    ...picture.incidents.map((line) => `incident ${line}`),
  ];
}

/** A line without its figures: "stale 12 s" after "stale 11 s" is no news. Names keep theirs (`edge-2`). */
export const gist = (line: string): string => line.replace(/(?<![\w.-])\d+(\.\d+)?(?![\w.-])/g, '#');

const clock = (wall: number): string => new Date(wall).toLocaleTimeString('en-GB');
const ms = (value: unknown): string => (typeof value === 'number' ? `${(value / 1000).toFixed(1)} s` : 'unknown');
