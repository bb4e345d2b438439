import { writeFileSync } from 'node:fs';
import { Random } from '../../agent/base/random.ts';
import type { SitePlan } from '../../agent/core/site-plan.ts';
import { inWords, type Names } from '../faults/fault.ts';
import { clock, textOf } from '../html/markup.ts';
import { simulationPage, table } from '../html/page.ts';
import { Story } from '../html/story.ts';
import { gaps } from '../html/timeline.ts';
import type { Violation } from '../invariants/invariants.ts';
import { row, type Spread, spreadText, violationLines } from '../report.ts';
import { playScenario, type Run, type RunOptions } from '../run.ts';
import { type ScenarioOptions, settleMs } from '../scenarios/scenario.ts';
import type { CommandEdge, SimulateOptions } from './command.ts';
import { eventLog, LogFile, witnesses } from './event-log.ts';
import { Progress } from './progress.ts';
import { drawPlantFaults, plantRates } from './site-faults.ts';
import { SiteSurroundings } from './surroundings.ts';
import { leadMs, TimeLapse, tailMs } from './time-lapse.ts';

/** A site file, compiled by whoever may read one, and the people it names. */
export interface SiteQuestion {
  readonly file: string;
  readonly plan: SitePlan;
  /** Who may acknowledge an alarm: whom it would have called. */
  readonly people: readonly string[];
  readonly days: number;
  readonly seed: number;
  /** Plays the quiet hours as well. */
  readonly inFull: boolean;
  readonly checkDeterminism?: boolean | undefined;
}

export interface DutyAccount {
  readonly duty: string;
  readonly exclusive: boolean;
  /** Times it had no runner, the longest of them and all of them together. */
  readonly gaps: number;
  readonly longestMs: number;
  readonly withoutRunnerMs: number;
  /** When the longest began, in words of the calendar. */
  readonly longestAt: string | null;
  readonly moves: number;
}

export interface AlarmAccount {
  readonly alarm: string;
  readonly priority: string;
  readonly times: number;
  readonly firstAt: string;
  readonly respondWithinMs: number;
  readonly response: string;
  readonly calls: readonly string[];
  /** It stood before anything went wrong: healthy readings are a guess, and this one does not suit it. */
  readonly stoodAlready: boolean;
}

export interface RepairAccount {
  readonly workflow: string;
  readonly outcome: string;
  readonly times: number;
}

/** What the owner of a site wants to know of a month of it. */
export interface SiteReport {
  readonly scenario: 'site';
  readonly site: string;
  readonly file: string;
  readonly days: number;
  readonly agents: number;
  readonly seed: number;
  readonly violations: readonly Violation[];
  readonly faults: readonly { readonly at: string; readonly what: string }[];
  readonly detection: Spread;
  readonly firstDetection: Spread;
  readonly takeover: Spread;
  readonly falseDeaths: number;
  readonly duties: readonly DutyAccount[];
  readonly alarms: readonly AlarmAccount[];
  readonly repairs: readonly RepairAccount[];
  readonly notified: Readonly<Record<string, number>>;
  readonly bytesPerSecondPerAgent: number;
  readonly messagesPerSecondPerAgent: number;
  /** How much of the calendar was played message by message, and whether leaving out the rest was fair. */
  readonly played: {
    readonly hours: number;
    readonly ofHours: number;
    readonly windows: number;
    /** Windows in whose last two minutes a member or a duty still changed: something went on beyond them. */
    readonly restless: number;
  };
  readonly assumed: typeof plantRates;
  readonly events: number;
  readonly eventsPerCpuSecond: number | null;
  readonly agentSecondsPerCpuSecond: number | null;
  readonly traceHash: string;
  readonly deterministic: boolean | null;
}

interface SiteRun {
  readonly report: SiteReport;
  readonly run: Run;
  readonly story: Story;
  readonly lapse: TimeLapse;
}

const quietMs = 120_000;

export function simulateSite(
  question: SiteQuestion,
  edge: {
    readonly cpuMs?: () => number;
    readonly progress?: RunOptions['progress'];
    readonly log?: (line: string) => void;
  } = {},
): SiteRun {
  const { plan, days, seed } = question;
  const random = new Random(seed, `site ${plan.hash}`);
  const spanMs = days * 86_400_000;
  const lapse = new TimeLapse(drawPlantFaults(random.fork('faults'), plan, days), spanMs, settleMs, question.inFull);
  const options: ScenarioOptions = {
    agents: plan.agents.length,
    duties: plan.duties.length,
    repairs: 0,
    durationS: Math.ceil(lapse.runMs / 1000),
    network: {
      latencyMs: 0.4,
      jitterMs: 0.2,
      loss: 0.0005,
      duplication: 0,
      reordering: 0,
      stalls: 0.0005,
      stallMs: 200,
    },
    membership: {},
    clockDrift: 0.0001,
    diskMs: 4,
    dutyStartMs: 150,
    dutyFailure: 0,
    faults: lapse.faults,
  };
  const around = new SiteSurroundings(plan);
  const story = new Story();
  const changes: number[] = [];
  const told = edge.log;
  const asked: RunOptions = {
    scenario: 'site',
    agents: plan.agents.length,
    seed,
    options,
    plan,
    core: around.core,
    surroundings: around,
    cpuMs: edge.cpuMs,
    progress: edge.progress,
    witness: witnesses([
      story.witness,
      {
        memberChanged: (atMs) => void changes.push(atMs),
        dutyRunning: (atMs) => void changes.push(atMs),
      },
      told && eventLog(told, { duty: (duty) => plan.duties[duty]!.id }),
    ]),
  };
  const run = question.checkDeterminism ? playTwiceWithFreshSurroundings(asked, plan) : playScenario(asked);
  const { report } = run;
  const runMs = report.virtualSeconds * 1000;
  const names = namesOf(plan);
  const restless = lapse.windows.filter(({ runFromMs, fromMs, toMs }) => {
    const end = runFromMs + toMs - fromMs;
    return changes.some((at) => at > Math.max(runFromMs + settleMs + leadMs, end - quietMs) && at < end);
  });
  return {
    run,
    story,
    lapse,
    report: {
      scenario: 'site',
      site: plan.site,
      file: question.file,
      days,
      agents: plan.agents.length,
      seed,
      violations: report.violations,
      faults: lapse.faults.map((fault) => ({ at: lapse.nameOf(fault.atMs), what: inWords(fault, names) })),
      detection: report.detection,
      firstDetection: report.firstDetection,
      takeover: report.takeover,
      falseDeaths: report.falseDeaths,
      duties: plan.duties.map(({ index, id, exclusive }) => dutyAccount(story, index, id, exclusive, runMs, lapse)),
      alarms: alarmAccounts(around, lapse, question.people),
      repairs: repairAccounts(around),
      notified: Object.fromEntries(around.notified),
      bytesPerSecondPerAgent: report.bytesPerSecondPerAgent,
      messagesPerSecondPerAgent: report.messagesPerSecondPerAgent,
      played: {
        hours: Math.round((runMs / 3_600_000) * 10) / 10,
        ofHours: days * 24,
        windows: lapse.windows.length,
        restless: restless.length,
      },
      assumed: plantRates,
      events: report.events,
      eventsPerCpuSecond: report.eventsPerCpuSecond,
      agentSecondsPerCpuSecond: report.agentSecondsPerCpuSecond,
      traceHash: report.traceHash,
      deterministic: report.deterministic,
    },
  };
}

/** The second playing must not find what the first left in the hands of its surroundings. */
function playTwiceWithFreshSurroundings(asked: RunOptions, plan: SitePlan): Run {
  const first = playScenario(asked);
  const around = new SiteSurroundings(plan);
  const again = playScenario({
    ...asked,
    core: around.core,
    surroundings: around,
    witness: undefined,
    progress: undefined,
  });
  const deterministic = again.report.traceHash === first.report.traceHash;
  const text = `the same seed gave ${first.report.traceHash} and then ${again.report.traceHash}`;
  const violations = deterministic
    ? first.report.violations
    : [...first.report.violations, { invariant: 'determinism', atMs: 0, text }];
  return { ...first, report: { ...first.report, deterministic, violations } };
}

const namesOf = (plan: SitePlan): Names => ({
  agent: (agent) => plan.agents[agent]?.id ?? `box ${agent}`,
  thing: (thing) => plan.things[thing]?.id ?? `thing ${thing}`,
  duty: (duty) => plan.duties[duty]?.id ?? `duty ${duty}`,
});

function dutyAccount(
  story: Story,
  duty: number,
  id: string,
  exclusive: boolean,
  runMs: number,
  lapse: TimeLapse,
): DutyAccount {
  const shifts = story.shifts.filter((shift) => shift.duty === duty);
  const found = gaps(shifts, settleMs, runMs).filter(({ toMs }) => toMs > settleMs);
  const longest = found.reduce((most, gap) => (gap.toMs - gap.fromMs > most.toMs - most.fromMs ? gap : most), {
    fromMs: 0,
    toMs: 0,
  });
  return {
    duty: id,
    exclusive,
    gaps: found.length,
    longestMs: Math.round(longest.toMs - longest.fromMs),
    withoutRunnerMs: Math.round(found.reduce((sum, { fromMs, toMs }) => sum + toMs - fromMs, 0)),
    longestAt: found.length === 0 ? null : lapse.nameOf(longest.fromMs),
    moves: Math.max(0, shifts.length - 1),
  };
}

function alarmAccounts(around: SiteSurroundings, lapse: TimeLapse, people: readonly string[]): AlarmAccount[] {
  const firstFault = lapse.faults[0]?.atMs ?? Number.POSITIVE_INFINITY;
  const seen = new Set<string>();
  const found = new Map<string, AlarmAccount>();
  for (const { atMs, report } of around.told) {
    if (report.type !== 'alarm' || report.state !== 'on') continue;
    // Two may report one occurrence, and one may repeat it for a coordinator that comes back.
    const occurrence = `${report.alarmId} ${report.occurrence}`;
    if (seen.has(occurrence)) continue;
    seen.add(occurrence);
    const known = found.get(report.alarmId);
    found.set(
      report.alarmId,
      known
        ? { ...known, times: known.times + 1 }
        : {
            alarm: report.alarmId,
            priority: report.priority,
            times: 1,
            firstAt: lapse.nameOf(atMs),
            respondWithinMs: report.respondWithinMs,
            response: report.response,
            calls: people,
            stoodAlready: atMs < firstFault,
          },
    );
  }
  const order = ['urgent', 'high', 'medium', 'low'];
  return [...found.values()].sort((a, b) => order.indexOf(a.priority) - order.indexOf(b.priority) || b.times - a.times);
}

function repairAccounts(around: SiteSurroundings): RepairAccount[] {
  const found = new Map<string, RepairAccount>();
  for (const { report } of around.told) {
    if (report.type !== 'incident') continue;
    const { workflow, outcome } = report;
    const key = `${workflow} ${outcome}`;
    found.set(key, { workflow, outcome, times: (found.get(key)?.times ?? 0) + 1 });
  }
  return [...found.values()].sort((a, b) => (a.workflow < b.workflow ? -1 : a.workflow > b.workflow ? 1 : 0));
}

// The command

/** `millwright simulate --site FILE --days N`. Exit codes as for scenarios. */
export function siteCommand(
  site: Pick<SiteQuestion, 'file' | 'plan' | 'people'>,
  options: SimulateOptions,
  edge: CommandEdge,
): number {
  const days = Number(options.days ?? 30);
  const seed = options.seed === '' ? Number.NaN : Number(options.seed ?? 1);
  const mistakes = [
    days > 0 && days <= 366 ? '' : `--days ${options.days}: expected up to 366`,
    Number.isSafeInteger(seed) && seed >= 0 ? '' : `--seed ${options.seed}: expected a whole number`,
    site.plan.agents.length >= 2 ? '' : `${site.file}: one agent alone has nobody to take over; a simulation needs two`,
    ...(['scenario', 'agents', 'seeds', 'loss', 'duration', 'replay', 'save', 'shrink', 'transport'] as const).map(
      (name) => (options[name] === undefined ? '' : `--${name}: the site file says it all; not with --site`),
    ),
  ].filter((text) => text !== '');
  if (mistakes.length > 0) {
    edge.err(`${mistakes.join('\n')}\n`);
    return 2;
  }
  const command = `millwright simulate --site ${site.file} --days ${days} --seed ${seed}${options.inFull ? ' --in-full' : ''}`;
  const progress = new Progress(edge);
  const log = options.log === undefined ? undefined : new LogFile(options.log);
  const question: SiteQuestion = {
    ...site,
    days,
    seed,
    inFull: options.inFull ?? false,
    checkDeterminism: options.checkDeterminism,
  };
  if (!options.json) edge.out(siteHead(question));
  let lengthMs = 0;
  const found = simulateSite(question, {
    cpuMs: edge.cpuMs,
    progress: (ms, events) => {
      lengthMs ||= new TimeLapse(
        drawPlantFaults(new Random(seed, `site ${site.plan.hash}`).fork('faults'), site.plan, days),
        days * 86_400_000,
        settleMs,
        question.inFull,
      ).runMs;
      progress.at(ms / lengthMs, `${(ms / 3_600_000).toFixed(1)} h played, ${events} events`);
    },
    ...(log ? { log: (line) => log.write(line) } : {}),
  });
  log?.close();
  const { report } = found;
  progress.end(`${days} days, ${report.played.hours} h of them message by message, ${report.events} events`);
  if (options.report !== undefined) writeFileSync(options.report, sitePage(question, found, command));
  if (options.json) edge.out(`${JSON.stringify({ ...report, again: command })}\n`);
  else edge.out(`${siteTail(report)}\nagain:\n  ${command}\n`);
  return report.violations.length === 0 ? 0 : 1;
}

const fidelity = ({ played, days }: SiteReport): string =>
  played.hours >= played.ofHours
    ? `All ${played.ofHours} hours were played message by message.`
    : `${played.hours} of ${played.ofHours} hours were played message by message, in ${played.windows} windows: each fault from ${clock(
        leadMs,
      )} before it until ${clock(tailMs)} after its end. The quiet hours of the ${days} days are left out; in ${
        played.restless === 0 ? 'no window' : `${played.restless} of them`
      } did a member or a duty still change in the last two minutes.`;

function siteHead({ plan, days, seed, inFull, file }: SiteQuestion): string {
  const rows: [string, string][] = [
    ['site file', file],
    ['agents', String(plan.agents.length)],
    ['duties', `${plan.duties.length}, ${plan.duties.filter(({ exclusive }) => exclusive).length} of them exclusive`],
    ['days', String(days)],
    ['quiet hours', inFull ? 'played as well' : 'left out'],
    ['assumed per 30 days', ''],
    ...plantRates.map(({ what, per, times, lasts }): [string, string] => [
      '',
      `${times} × per ${per}: ${what} (${lasts})`,
    ]),
  ];
  return `${[`site ${plan.site}, seed ${seed}`, '', ...rows.map(([a, b]) => row(a, b, 22))].join('\n')}\n`;
}

function siteTail(report: SiteReport): string {
  const lines = ['', fidelity(report), '', 'what went wrong'];
  for (const { at, what } of report.faults.slice(0, 60)) lines.push(row(at, what, 16));
  if (report.faults.length > 60) lines.push(`  … and ${report.faults.length - 60} more`);
  lines.push('', 'how soon deaths were seen');
  lines.push(row('known to the first', spreadText(report.firstDetection)));
  lines.push(row('known to all', spreadText(report.detection)));
  lines.push(row('duty running elsewhere', spreadText(report.takeover)));
  lines.push(row('boxes held dead that lived', String(report.falseDeaths)));
  lines.push('', 'how long each duty had no runner');
  for (const duty of report.duties) lines.push(row(duty.duty, dutyWords(duty)));
  lines.push('', 'what mended itself');
  if (report.repairs.length === 0) lines.push('  nothing had to');
  for (const { workflow, outcome, times } of report.repairs) lines.push(row(workflow, `${times} × ${outcome}`));
  lines.push('', 'what would have called whom');
  if (report.alarms.length === 0) lines.push('  nobody');
  for (const alarm of report.alarms) lines.push(row(alarm.alarm, alarmWords(alarm)));
  for (const [who, times] of Object.entries(report.notified)) lines.push(row(who, `notified ${times} × by workflows`));
  lines.push('', ...violationLines(report.violations), '');
  return lines.join('\n');
}

const dutyWords = ({ gaps: times, withoutRunnerMs, longestMs, longestAt, moves }: DutyAccount): string =>
  times === 0
    ? `never, ${moves} moves`
    : `${clock(withoutRunnerMs)} in ${times} ${times === 1 ? 'gap' : 'gaps'}, the longest ${clock(longestMs)} on ${longestAt}; ${moves} moves`;

const alarmWords = ({ priority, times, firstAt, calls, respondWithinMs, stoodAlready }: AlarmAccount): string =>
  `${times} × ${priority}, first on ${firstAt}; ${calls.length === 0 ? 'nobody may acknowledge it' : calls.join(', ')} within ${clock(respondWithinMs)}${
    stoodAlready ? ' (stood before anything went wrong: the readings made up for it do not suit it)' : ''
  }`;

function sitePage(question: SiteQuestion, { report, run, story, lapse }: SiteRun, command: string): string {
  const alarms = report.alarms.map((alarm): [string, string] => [
    alarm.alarm,
    `${alarmWords(alarm)}. ${alarm.response}`,
  ]);
  const none = (text: string): string => `<p class="soft">${text}</p>`;
  const more = `
<section><h2>How long each duty had no runner</h2>${table(report.duties.map((duty) => [duty.duty, dutyWords(duty)]))}</section>
<div class="pair"><section><h2>What would have called whom</h2>${alarms.length === 0 ? none('Nobody.') : table(alarms)}${
    Object.keys(report.notified).length === 0
      ? ''
      : table(Object.entries(report.notified).map(([who, times]) => [who, `notified ${times} × by workflows`]))
  }</section>
<section><h2>What mended itself</h2>${
    report.repairs.length === 0
      ? none('Nothing had to.')
      : table(report.repairs.map(({ workflow, outcome, times }) => [workflow, `${times} × ${outcome}`]))
  }</section></div>
<section><h2>What was assumed</h2><p>${textOf(fidelity(report))} For the agents no time passes between the windows; machines answer with healthy readings, and models are not run.</p>${table(
    plantRates.map(({ what, per, times, lasts }) => [what, `${times} × per ${per} in 30 days, ${lasts}`]),
  )}</section>`;
  return simulationPage({
    report: run.report,
    samples: run.samples,
    story,
    names: run.names,
    faultNames: namesOf(question.plan),
    command,
    title: `${report.site}, ${report.days} days`,
    about: `${report.agents} agents, a calendar of ${report.days} days with ${report.faults.length} things going wrong and right again.${
      report.played.hours < report.played.ofHours ? ' The time lines leave the quiet hours out.' : ''
    }`,
    nameOf: (ms) => lapse.nameOf(ms),
    more,
  });
}
