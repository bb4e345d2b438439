import type { Location, OnlyIn } from '../base/location.ts';
import type { CheckSpec, Dwell } from '../core/health/check.ts';
import type { Learning, ModelSpec } from '../core/health/model.ts';
import type { Over } from '../core/health/over-window.ts';
import type { CellPlan } from '../core/leases/cell-plan.ts';
import type { StepSpec, WorkflowSpec } from '../core/remediation/workflow.ts';
import type { SitePlan } from '../core/site-plan.ts';
import type { Connection, Probe, Site } from '../driver/bindings.ts';
import { probeText, probeUnit } from './explain-probes.ts';
import { formatDuration } from './quantity.ts';
import type { SiteModel, ThingModel } from './site-model.ts';

/**
 * Says in words what a site will do about one thing, types expanded and defaults filled in; without a thing, who is
 * there and who does what. What stands here is read off the compiled plan, not off the file: it is what will happen.
 */
export function explainSite(site: Site, model: SiteModel, thing?: string): string | undefined {
  if (thing === undefined) return overview(site, model);
  const found = model.byName.get(thing);
  return found === undefined ? undefined : explainThing(site, found);
}

function overview({ plan }: Site, model: SiteModel): string {
  const lines = [`Site ${plan.site}, plan ${plan.hash.slice(0, 12)}`, '', 'Agents'];
  for (const agent of plan.agents) {
    const thing = plan.things[agent.thing]!;
    const role = agent.role === 'witness' ? ', a witness' : '';
    lines.push(`  ${agent.id}  in cell ${agent.cell}${role}${thing.about === '' ? '' : `: ${thing.about}`}`);
  }
  lines.push('', 'Assets');
  for (const thing of model.things) {
    if (thing.kind === 'asset') lines.push(`  ${thing.name}${thing.about === '' ? '' : `: ${thing.about}`}`);
  }
  lines.push('', 'Cells');
  for (const cell of plan.cells) lines.push(`  ${cell.id}: ${cellText(plan, cell)}`);
  lines.push('', 'Duties: each is carried by one agent after convergence, by another when that one dies');
  for (const duty of plan.duties)
    lines.push(
      `  ${duty.id}: ${workText({ plan } as Site, duty.index)}${duty.exclusive ? ', never by two at once' : ''}`,
    );
  const counts = `${plan.signals.length} signals, ${plan.checks.length} checks, ${plan.models.length} models, ${plan.workflows.length} workflows, ${plan.alarms.length} alarms`;
  lines.push('', `${counts}. More: millwright site explain FILE THING`);
  return lines.join('\n');
}

function explainThing(site: Site, thing: ThingModel): string {
  const { plan } = site;
  const lines: string[] = [];
  const kind = thing.kind === 'site' ? 'the site itself' : `${thing.kind === 'agent' ? 'agent' : 'asset'}`;
  const types = thing.types.length === 0 ? '' : `, is ${thing.types.join(' and ')}`;
  lines.push(
    `${thing.name}: ${thing.about === '' ? kind : `${thing.about} (${kind}${types})`}${thing.about === '' ? types : ''}`,
  );
  const connection = site.connections.get(thing.index);
  if (connection !== undefined) lines.push(`  Reached over ${connectionText(connection)}.`);
  if (thing.source !== undefined) lines.push(`  Read through ${thing.source}.`);
  if (thing.needs.length > 0) lines.push(`  Needs ${thing.needs.join(', ')}.`);
  for (const { id, things, at, why } of plan.maintenance ?? []) {
    if (!things.includes(thing.index)) continue;
    lines.push(`  In maintenance ${id} (${at}): its alarms are held back, visibly, and nobody acts on it. ${why}.`);
  }
  const agent = plan.agents.find((one) => one.thing === thing.index);
  const votes = plan.cells.filter((cell) => agent !== undefined && cell.voters.includes(agent.index));
  if (agent?.role === 'witness') lines.push('  Witness: it votes and never carries a duty.');
  if (votes.length > 0) lines.push(`  Votes in ${votes.map((cell) => cell.id).join(', ')}.`);
  if (agent?.capacity !== undefined) lines.push(`  Carries at most ${agent.capacity} duties.`);
  if (thing.labels.size > 0) lines.push(`  Labels ${[...thing.labels].map(([k, v]) => `${k}=${v}`).join(', ')}.`);
  const section = (title: string, items: readonly string[]): void => {
    if (items.length > 0)
      lines.push('', `  ${title}`, ...items.map((item) => `    ${item.replaceAll('\n', '\n    ')}`));
  };
  const mine = <T extends { readonly thing: number | undefined }>(all: readonly T[]): T[] =>
    all.filter((one) => one.thing === thing.index);

  section(
    'Duties',
    mine(plan.duties).map((duty) => `${duty.id}: ${dutyText(site, duty.index)}`),
  );
  section(
    'Signals',
    mine(plan.signals).map((signal) => {
      const over = signal.derived?.over === undefined ? '' : `, ${overText(signal.derived.over)}`;
      const times = `every ${formatDuration(signal.everyMs)}, stale after ${formatDuration(signal.freshMs)}`;
      const tag = site.tags.get(signal.index);
      if (tag === undefined) {
        const of = signal.derived?.inputs.map((input) => plan.signals[input]!.id).join(', ') || 'nothing';
        return `${signal.id}: ${signal.unit ?? 'a number'}, reckoned from ${of}${over}, ${times}`;
      }
      const scale =
        tag.scale === undefined
          ? ''
          : `, raw ${tag.scale.rawLo}..${tag.scale.rawHi} is ${tag.scale.lo}..${tag.scale.hi}${signal.unit === undefined ? '' : ` ${signal.unit}`}`;
      const states =
        signal.states === undefined
          ? ''
          : `, ${[...signal.states].map(([code, name]) => `${code} ${name}`).join(', ')}`;
      const accept = signal.acceptUncertain ? ', uncertain counts as good' : '';
      const still = tag.frozenMs === undefined ? '' : `, bad when it has not moved for ${formatDuration(tag.frozenMs)}`;
      const deadband =
        tag.change === undefined
          ? ''
          : `, told anew from a change of ${tag.change.by === 'share' ? `${Number((tag.change.share * 100).toPrecision(6))} % of its range` : `${tag.change.value}${signal.unit === undefined ? '' : ` ${signal.unit}`}`} on`;
      return `${signal.id}: ${signal.unit ?? tag.type} at ${tag.address}${over}, ${times}${scale}${deadband}${still}${states}${accept}`;
    }),
  );
  section(
    'Checks',
    mine(plan.checks).map((check) => checkText(site, check)),
  );
  section(
    'Models',
    mine(plan.models).map((one) => {
      if (one.learn !== undefined) return learningText(site, one, one.learn);
      const inputs = one.inputs.map((input) => `${input.name} from ${plan.signals[input.signal]!.id}`).join(', ');
      return `${one.id}: scores ${one.file} over ${inputs}; anomalous ${dwellText(one.raise, 'scores')} over its threshold, good again ${dwellText(one.clear, 'scores')}.${statesText(site, one)}${trustText(one)} ${where(site, one.runsOn)}`;
    }),
  );
  section(
    'Workflows',
    mine(plan.workflows).map((workflow) => workflowText(site, workflow)),
  );
  section(
    'Alarms',
    mine(plan.alarms).map((alarm) => {
      const when =
        alarm.when === undefined
          ? 'raised when a workflow failed'
          : `when ${plan.conditions[alarm.when]!.source.trim()}`;
      const local =
        alarm.local === undefined ? '' : `\nAt the machine: runs ${alarm.local.join(' ')} raised (or cleared).`;
      const response = alarm.response === '' ? 'nothing is said to do' : alarm.response;
      return `${alarm.id} (${alarm.priority}): ${when}.\nCause: ${alarm.cause}. Consequence: ${alarm.consequence}.\nTo do within ${formatDuration(alarm.respondWithinMs)}: ${response}.\nSays so when it cannot judge for ${formatDuration(alarm.blindAfterMs)}.${alarm.neverFolds === true ? ' Shown for itself also when something that it needs is down.' : ''} ${where(site, alarm.runsOn)}${local}`;
    }),
  );
  section(
    'Exceptions',
    thing.exceptions.map((one) => `${one.path} is ${one.to}, because: ${one.why}`),
  );
  return lines.join('\n');
}

function learningText(site: Site, one: ModelSpec, learn: Learning): string {
  const { plan } = site;
  const inputs = [
    ...one.inputs.map(({ name, signal }) => `${name} from ${plan.signals[signal]!.id}`),
    ...learn.checks.map(({ name, check }) => `${name} from the check ${plan.checks[check]!.id}`),
  ].join(', ');
  const { onlyIn = [] } = one;
  const states = onlyIn.length === 0 ? '' : `, only while ${onlyInText(site, onlyIn)}`;
  const hold =
    learn.holdRows === 0
      ? ''
      : ` What is new is learnt when it has lasted ${formatDuration(learn.holdRows * learn.rowMs)}.`;
  return (
    `${one.id}: learns on the box what is usual for ${inputs}, in means over ${formatDuration(learn.rowMs)}${states}; ` +
    `judges after ${formatDuration(learn.afterRows * learn.rowMs)}, sensitivity ${learn.sensitivity}.${hold} Anomalous ${dwellText(one.raise, 'scores')} ` +
    `of what it never saw, good again ${dwellText(one.clear, 'scores')}. ${where(site, one.runsOn)}`
  );
}

const statesText = (site: Site, { onlyIn = [] }: ModelSpec): string =>
  onlyIn.length === 0
    ? ''
    : ` Only while ${onlyInText(site, onlyIn)}: what it sees in other states is not judged, does not count for or against it, and trains no other.`;

function trustText({ shadow, falseAlarms, retrainMs }: ModelSpec): string {
  const limit = Number(((falseAlarms ?? 0.05) * 100).toPrecision(3));
  return [
    shadow === undefined ? '' : ` ${shadow.file} is scored beside it and raises nothing.`,
    ` Where more than ${limit} % of its windows are false alarms, the model before scores again.`,
    retrainMs === undefined
      ? ''
      : ` Every ${formatDuration(retrainMs)} another one is trained on the box, as a shadow.`,
  ].join('');
}

function cellText(plan: SitePlan, cell: CellPlan): string {
  const names = cell.voters.map((voter) => plan.agents[voter]!.id);
  const permits = new Map<string, number>();
  for (const { of } of cell.leases) {
    if (of.kind === 'permit') permits.set(of.permit, Math.max(permits.get(of.permit) ?? 0, of.slot));
  }
  const duties = cell.leases.filter((lease) => lease.of.kind === 'duty').length;
  if (cell.leases.length === 0) {
    return names.length === 0
      ? 'nothing in it is exclusive, nobody votes'
      : `nothing in it is exclusive; ${names.join(', ')} would vote`;
  }
  const what = [
    ...(duties === 0 ? [] : [`${duties} exclusive ${duties === 1 ? 'duty' : 'duties'}`]),
    ...[...permits].map(([permit, slots]) => `${slots} at once ${permit}`),
  ];
  const who =
    names.length === 1
      ? `${names[0]} alone decides: while it is away nothing changes hands, and what is held lapses`
      : `a majority of ${names.join(', ')} decides`;
  return `${what.join(', ')}; ${who}; grants hold ${formatDuration(cell.options.leaseMs)}, epoch ${cell.epoch}`;
}

/** What exclusive means for this duty, here: who decides, what a lost box and a cut cable do. */
function exclusiveText(plan: SitePlan, index: number): string {
  const cell = plan.cells.find((one) => one.leases.some(({ of }) => of.kind === 'duty' && of.duty === index));
  if (cell === undefined) return '.\nRather on two for a moment than on none';
  const names = cell.voters.map((voter) => plan.agents[voter]!.id);
  const lease = formatDuration(cell.options.leaseMs);
  const majority = names.length === 1 ? `${names[0]}` : `a majority of ${names.join(', ')}`;
  const who = plan.duties[index]!.eligible.length;
  const lost =
    who === 1
      ? 'When that agent is lost nobody takes over'
      : `When its box is lost another takes over ${lease} later, or at once when only the process or the agent died`;
  return `.\nExclusive: never on two at once, perhaps on none for a while. It runs only while ${majority} of cell ${cell.id} grants it, for ${lease} at a time. ${lost}; an agent that cannot reach ${names.length === 1 ? names[0] : 'the majority'} stops it within ${lease}`;
}

function dutyText(site: Site, index: number): string {
  const duty = site.plan.duties[index]!;
  const critical = duty.critical ? '.\nCritical: it moves at once, even when many agents vanish together' : '';
  return `${workText(site, index)}${exclusiveText(site.plan, index)}${critical}`;
}

function workText({ plan }: Site, index: number): string {
  const duty = plan.duties[index]!;
  const who = duty.eligible.map((agent) => plan.agents[agent]!.id);
  const by =
    who.length === plan.agents.length && who.length > 1
      ? 'any agent'
      : who.length === 1
        ? who[0]!
        : `one of ${who.join(', ')}`;
  const work = duty.work;
  switch (work.kind) {
    case 'poll':
      return `reads all signals of ${plan.things[work.source]!.id}, by ${by}`;
    case 'process':
      return `keeps ${work.argv.join(' ')} running, by ${by}`;
    case 'schedule':
      return `starts ${plan.workflows[work.workflow]!.id} at its times (${plan.workflows[work.workflow]!.at}), by ${by}`;
    case 'upload':
      return `sends each new line of ${work.file} to the coordinator, by ${by}`;
    case 'watch':
      return `runs the checks of ${plan.things[work.thing]!.id}, by ${by}`;
  }
}

function checkText(site: Site, check: CheckSpec): string {
  const { plan } = site;
  const raise = dwellText(check.raise, 'readings');
  const parts: string[] = [];
  let unit = '';
  let what: string;
  if (check.source.kind === 'signal') {
    const signal = plan.signals[check.source.signal]!;
    unit = signal.unit === undefined ? '' : ` ${signal.unit}`;
    what = signal.id;
    if (check.source.judge === 'staleness') parts.push(`CRIT when ${what} is stale, ${raise}`);
    if (check.source.judge === 'quality') parts.push(`WARN when ${what} is uncertain, CRIT when it is bad, ${raise}`);
  } else if (check.source.kind === 'probe') {
    const probe = check.source.probe as Probe;
    what = probeText(site, probe);
    unit = probeUnit(probe);
    if ((check.warn === undefined && check.crit === undefined) || probe.kind === 'plugin')
      parts.push(`CRIT when ${what} fails, ${raise}`);
  } else what = 'the condition';
  for (const [grade, limit] of [
    ['WARN', check.warn],
    ['CRIT', check.crit],
  ] as const) {
    if (limit !== undefined) parts.push(`${grade} when ${what} is ${limit.side} ${limit.value}${unit}, ${raise}`);
  }
  for (const [grade, when] of [
    ['WARN', check.warnWhen],
    ['CRIT', check.critWhen],
  ] as const) {
    if (when !== undefined) parts.push(`${grade} when ${plan.conditions[when]!.source.trim()}, ${raise}`);
  }
  const back = check.deadband > 0 ? ` and ${check.deadband * 100} % inside the limit` : '';
  const only = check.onlyIn.length === 0 ? '' : ` Idle unless ${onlyInText(site, check.onlyIn)}.`;
  const needs = (check.needs ?? []).map((one) => plan.things[one]!.id);
  const behind = needs.length === 0 ? '' : ` Explained when ${needs.join(' or ')} is down.`;
  return `${check.id}: ${parts.join('; ')}; good again ${dwellText(check.clear, 'readings')}${back}. Looked at every ${formatDuration(check.everyMs)}.${only}${behind} ${where(site, check.runsOn)}`;
}

function workflowText(site: Site, workflow: WorkflowSpec): string {
  const { plan } = site;
  const source = (index: number): string => plan.conditions[index]!.source.trim();
  const start =
    workflow.when !== undefined
      ? `when ${source(workflow.when)}`
      : workflow.at !== undefined
        ? `at ${workflow.at} (${site.zone ?? 'UTC'})`
        : 'started by another workflow or a person';
  const guards: string[] = [];
  if (workflow.onlyIf !== undefined) guards.push(`only if ${source(workflow.onlyIf)}`);
  if (workflow.onlyIn.length > 0) guards.push(`only while ${onlyInText(site, workflow.onlyIn)}`);
  if (workflow.lockout !== undefined)
    guards.push(`never under ${plan.signals[workflow.lockout]!.id}, nor while nobody knows`);
  const lines = [
    `${workflow.id}: ${start}${guards.length === 0 ? '' : `, ${guards.join(', ')}`}. ${where(site, workflow.runsOn)}`,
    ...workflow.steps.map((step, i) => `${i + 1}. ${stepText(site, step)}`),
    `Then ${source(workflow.verify)} must hold for ${formatDuration(workflow.soakMs)}, beginning within ${formatDuration(workflow.verifyTimeoutMs)}; unknown does not count.`,
    `At most ${workflow.budget.count} per ${formatDuration(workflow.budget.perMs)}, at least ${formatDuration(workflow.cooldownMs)} apart; the same within ${formatDuration(workflow.quietMs)} is a relapse.`,
  ];
  const next = workflow.ifFailed.map((one) =>
    one.kind === 'alarm' ? `alarm ${plan.alarms[one.alarm]!.id}` : `workflow ${plan.workflows[one.workflow]!.id}`,
  );
  if (workflow.permit !== undefined) {
    const cell = plan.cells[workflow.permit.cell]!;
    const slots = cell.leases.filter(({ of }) => of.kind === 'permit' && of.permit === workflow.permit?.name);
    const linger = formatDuration(slots[0]?.lingerMs ?? 0);
    lines.push(
      `At most ${slots.length} at once in cell ${cell.id}: it holds the permit ${workflow.permit.name} from its first step to its last, and does not begin while a majority of ${cell.voters.map((voter) => plan.agents[voter]!.id).join(', ')} does not answer. Lost in the middle, the permit stays taken for ${linger}.`,
    );
  }
  lines.push(`If it failed: ${next.join(', then ')}.`);
  return lines.join('\n');
}

function stepText({ plan }: Site, step: StepSpec): string {
  const action = step.action;
  const what =
    action.kind === 'process.restart'
      ? `restarts the process of ${plan.duties[action.duty]!.id}`
      : action.kind === 'command.run'
        ? `runs ${action.argv.join(' ')}`
        : action.kind === 'plc.write'
          ? `writes ${action.value} to ${action.name}${action.onlyIf === undefined ? '' : `, only if ${plan.conditions[action.onlyIf]!.source.trim()}`}`
          : action.kind === 'http.request'
            ? `sends ${action.method} to ${action.url}`
            : action.kind === 'wait'
              ? `waits ${formatDuration(action.ms)}`
              : `tells ${action.people.join(', ')}: ${action.text}`;
  const retry =
    step.retry.times === 0
      ? ''
      : `, tried ${step.retry.times} times more after ${formatDuration(step.retry.backoffMs)}`;
  const doubt = {
    idempotent: 'in doubt it may be done again',
    probeable: 'in doubt it looks first',
    'fire-once': 'in doubt a person decides',
  }[step.doubt];
  return `${what} (within ${formatDuration(step.timeoutMs)}${retry}; ${doubt})`;
}

const onlyInText = ({ plan }: Site, onlyIn: readonly OnlyIn[]): string =>
  onlyIn.map((one) => `${plan.things[plan.signals[one.state]!.thing]!.id} is ${one.states.join(' or ')}`).join(' and ');

function where({ plan }: Site, location: Location): string {
  if (location.on === 'agent') return `On ${plan.agents[location.agent]!.id}.`;
  if (location.on === 'every') return 'On every agent for itself.';
  return `By whoever holds ${plan.duties[location.duty]!.id}.`;
}

function overText({ what, ms, perMs }: Over): string {
  const word = what === 'rate' ? `change per ${formatDuration(perMs).replace(/^1 /, '')}` : what;
  return `its ${word} over ${formatDuration(ms)}`;
}

function dwellText(dwell: Dwell, what: string): string {
  if (dwell.kind === 'count')
    return dwell.n === 1 ? `after one ${what.replace(/s$/, '')}` : `after ${dwell.n} ${what} in a row`;
  if (dwell.kind === 'of') return `after ${dwell.k} of ${dwell.n} ${what}`;
  return `after ${formatDuration(dwell.ms)}`;
}

const connectionText = (connection: Connection): string =>
  connection.kind === 'opcua'
    ? `OPC UA at ${connection.endpoint} (security ${connection.security}${connection.security === 'none' ? '' : `, ${connection.policy ?? 'basic256sha256'}`})`
    : connection.kind === 's7'
      ? `S7 at ${connection.host}:${connection.port}, rack ${connection.rack}, slot ${connection.slot}`
      : connection.kind === 'mqtt'
        ? `topics of the broker ${connection.url}`
        : `Modbus ${connection.serial === undefined ? `TCP at ${connection.host}:${connection.port}` : `RTU on ${connection.serial.path}, ${connection.serial.baud} baud`}, unit ${connection.unit}, order ${connection.order}`;
