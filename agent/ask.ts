import { readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { apiAddressFile } from './api/status-api.ts';
import type { Result } from './base/result.ts';
import { err, ok } from './base/result.ts';
import { loadAgent, readSecret } from './config/agent-file.ts';
import { formatProblems } from './config/problem.ts';
import { parseDuration } from './config/quantity.ts';
import { modelLines } from './model-lines.ts';
import { isForcedEpoch } from './wire/forced-epoch.ts';
import type { OrderedAct } from './wire/order.ts';
import { bundleMaxBytes, compareBundles } from './wire/site-bundle.ts';
import type { AgentStatus, BundleStatus, DutyExplanation, LeaseStatus } from './wire/status.ts';

/**
 * The commands that ask a running agent of this box: `millwright explain …`, `millwright agent drain`. They go by its
 * local API; exit code 0 done, 1 the agent said no or cannot be asked, 2 wrong use, 3 something is left to do.
 */
export interface AgentDoor {
  /** agent.yaml … */
  readonly config?: string | undefined;
  /** … or the data folder of an agent that started without one … */
  readonly data?: string | undefined;
  /** … or its API itself, with the file that its token stands in. */
  readonly api?: string | undefined;
  readonly token?: string | undefined;
  readonly json?: boolean | undefined;
}

interface Reached {
  readonly url: string;
  readonly token: string;
}

const answerWithinMs = 5_000;
const everyMs = 500;
/** Longer than any duty that can move needs: two claims, a start, and a few failed tries elsewhere. */
const waitDefaultMs = 60_000;

export async function explainDutyCommand(name: string, door: AgentDoor): Promise<number> {
  const reached = reach(door);
  if (!reached.ok) return complain(reached.error, 2, door.json);
  if (!/^[^/]+\/[^/]+$/.test(name)) {
    return complain(
      `"${name}" names no duty: say thing/name as in the site file, for example press-1/poll`,
      2,
      door.json,
    );
  }
  const path = `/v1/duties/${name.split('/').map(encodeURIComponent).join('/')}`;
  const answer = await ask<DutyExplanation>(reached.value, 'GET', path);
  if (!answer.ok) return complain(answer.error, 1, door.json);
  process.stdout.write(door.json ? `${JSON.stringify(answer.value)}\n` : explained(answer.value));
  return 0;
}

export async function statusCommand(door: AgentDoor): Promise<number> {
  const reached = reach(door);
  if (!reached.ok) return complain(reached.error, 2, door.json);
  const answer = await ask<AgentStatus>(reached.value, 'GET', '/v1/status');
  if (!answer.ok) return complain(answer.error, 1, door.json);
  process.stdout.write(door.json ? `${JSON.stringify(answer.value)}\n` : statusText(answer.value));
  return 0;
}

/** For people: what is the matter and why first, then who lives and what runs here. */
export function statusText(status: AgentStatus): string {
  const { members, verdict } = status;
  const alive = members.filter((member) => member.state === 'alive').length;
  const others = members.filter((member) => member.state !== 'alive').map(({ agent, state }) => `${agent} ${state}`);
  const mine = status.duties.filter((duty) => duty.mine).map((duty) => duty.duty);
  const on = status.alarms.filter((alarm) => alarm.state !== 'off').map(alarmText);
  const failing = status.checks
    .filter((check) => check.status !== 'ok')
    .map(({ check, status: is, behind }) => `${check} ${is}${behind === undefined ? '' : ` (behind ${behind})`}`);
  return [
    `${status.agent} of ${status.site}, plan ${status.plan.version}, boot ${status.bootCounter}, since ${status.started_at}`,
    ...(verdict.length === 0 ? ['verdict: nothing is the matter'] : []),
    ...verdict.flatMap(({ text, since, evidence }) => [
      `verdict: ${text}, since ${since}`,
      ...evidence.map((item) => `  ${item}`),
    ]),
    `members: ${alive} of ${members.length} alive${others.length === 0 ? '' : `; ${others.join(', ')}`}`,
    ...(status.bundle === undefined ? [] : bundleLines(status.bundle)),
    `duties here: ${mine.join(', ') || 'none'}`,
    ...leasesText(status),
    ...(status.models ?? []).flatMap(modelLines),
    `checks: ${failing.join(', ') || 'all ok'}`,
    ...(status.budget === undefined || status.budget.shedding.level === 0
      ? []
      : [`budget: step ${status.budget.shedding.level} of shedding: ${status.budget.shedding.what}`]),
    `alarms: ${on.join(', ') || 'none'}`,
    ...(status.maintenance ?? []).map(
      ({ maintenance, things, why, until }) =>
        `maintenance ${maintenance}: ${things.join(', ')} (${why})${until === undefined ? '' : `, until ${new Date(until).toISOString()}`}`,
    ),
    `coordinator: ${status.coordinator}, ${status.outbox.pending} reports to say`,
    '',
  ].join('\n');
}

function alarmText({ alarm, state, behind, held }: AgentStatus['alarms'][number]): string {
  const aside = held !== undefined ? ` (held back by ${held})` : behind !== undefined ? ` (behind ${behind})` : '';
  return `${alarm} ${state}${aside}`;
}

/** Exclusive duties with who holds them and by what right; then this agent's vote in each cell. */
function leasesText({ duties, cells }: AgentStatus): string[] {
  const held = duties.flatMap(({ duty, holder, mine, lease }) => {
    if (lease === undefined) return [];
    const right = mine ? `here, token ${lease.token}, ${lease.leftMs} ms left` : (holder ?? 'nobody');
    const answers = lease.voters.filter(({ answer }) => answer === 'granted').length;
    const voters = mine ? `, ${answers} of ${lease.voters.length} voters answer` : '';
    const warning = lease.unprotected === undefined ? '' : `; UNPROTECTED: ${lease.unprotected}`;
    return [`exclusive: ${duty}: ${right}${voters}${warning}`];
  });
  const votes = cells.flatMap(({ cell, epoch, vote, floors, majority, rebirth, conflict }) => {
    const trouble = conflict ? '; the site file changes its leases without a new epoch: sign it as a bundle' : '';
    const shut =
      floors === undefined || floors.done
        ? ''
        : `; the gateway is shut: ${floors.read} of ${floors.needed} voters have told what was granted before`;
    const own = vote === undefined ? 'no vote here' : `this vote is ${voteWords[vote] ?? vote}`;
    const lost =
      rebirth?.isStranded === true
        ? `${rebirth.remember} of its voters remember what was granted, ${rebirth.needed} are needed`
        : majority.here < majority.needed
          ? `${majority.here} of its voters are in reach, ${majority.needed} are needed; ${majority.missing.join(', ')} missing`
          : undefined;
    return [
      `cell ${cell}, epoch ${epoch}: ${own}${shut}${trouble}`,
      ...(lost === undefined ? [] : [`  ${lost}: nothing exclusive begins here. ${forceRemedy(cell)}`]),
    ];
  });
  return [...held, ...votes];
}

/** What a state of a vote means for whoever waits for it; the others speak for themselves. */
const voteWords: Readonly<Record<string, string>> = {
  mute: 'mute until what it promised before its start has run out',
  failed: 'failed: its store refuses, and it votes no more until the agent is started anew',
};

/** The way out when a majority does not come back. */
const forceRemedy = (cell: string): string =>
  `Bring the others back. Only if they are gone for good, or their memory is: name voters that live in the site file (or sign with --next-epoch ${cell}), site sign, site push, then millwright site force-epoch --cell ${cell} with the recovery key`;

/** Which bundle counts, who is behind, and what was refused. */
function bundleLines(bundle: BundleStatus): string[] {
  const { era, version, hash, startsAnew, waiting, revoked, refused } = bundle;
  const behind = bundle.peers.filter(
    ({ connected, running }) => connected && (running === undefined || compareBundles(running, bundle) < 0),
  );
  return [
    `bundle: era ${era} version ${version}, ${hash.slice(0, 12)}${startsAnew ? `; this process runs version ${bundle.running.version} and starts anew in its turn` : ''}`,
    ...(behind.length === 0 ? [] : [`  behind: ${behind.map(({ agent }) => agent).join(', ')}`]),
    ...(revoked.length === 0 ? [] : [`  revoked: ${revoked.join(', ')}`]),
    ...(waiting === undefined ? [] : [`  ${waiting}`]),
    ...refused.map(
      ({ from, at, text, count }) => `  refused from ${from}, ${at}${count > 1 ? ` (${count} times)` : ''}: ${text}`,
    ),
  ];
}

/** For people: who holds it, and every agent with its rank, its score and why. */
export function explained(duty: DutyExplanation): string {
  const kind = [duty.exclusive ? 'exclusive' : 'available', ...(duty.critical ? ['critical'] : [])].join(', ');
  const where = duty.holder === undefined ? 'nobody carries it' : `${duty.holder} carries it, term ${duty.term}`;
  const rows = duty.candidates.map(({ agent, rank, score, eligible, reason }) => [
    rank === undefined ? '–' : String(rank + 1),
    agent,
    eligible ? score.toFixed(2) : '–',
    reason,
  ]);
  const table = [['rank', 'agent', 'score', 'why'], ...rows];
  const widths = [0, 1, 2].map((column) => Math.max(...table.map((row) => row[column]?.length ?? 0)));
  const lines = table.map((row) => `  ${row.map((cell, i) => cell.padEnd(widths[i] ?? 0)).join('  ')}`.trimEnd());
  const remarks = [...leaseLines(duty.lease), ...duty.remarks];
  return [`${duty.duty} (${kind}): ${where}`, ...lines, ...remarks.map((remark) => `  ${remark}`), ''].join('\n');
}

/** The right to an exclusive duty, as this agent sees it. */
function leaseLines(lease: LeaseStatus | undefined): string[] {
  if (lease === undefined) return [];
  const votes = lease.voters.map(({ agent, answer, agoMs }) =>
    answer === 'granted'
      ? `${agent} granted ${agoMs ?? 0} ms ago`
      : `${agent} ${answer === 'taken' ? 'keeps it for another' : 'is silent'}`,
  );
  const right = lease.held
    ? `lease held: token ${lease.token}, ${lease.leftMs} ms left if nobody answers any more`
    : lease.promisedTo === undefined
      ? 'lease: not held here'
      : `lease: promised to ${lease.promisedTo} by this agent's vote`;
  return [
    `${right}; cell ${lease.cell}, epoch ${lease.epoch}`,
    // Who does not try has heard nobody.
    ...(lease.token === undefined ? [] : [`voters: ${votes.join(', ')}`]),
    ...(lease.unprotected === undefined ? [] : [`unprotected: ${lease.unprotected}`]),
  ];
}

export interface DrainOptions extends AgentDoor {
  /** Signed by a person, rather than by having the token of this box: private key and name. */
  readonly key?: string | undefined;
  readonly by?: string | undefined;
  readonly for?: string | undefined;
  readonly undo?: boolean | undefined;
  /** How long to watch until all is given away; `0s` only orders. */
  readonly wait?: string | undefined;
}

export async function drainCommand(options: DrainOptions): Promise<number> {
  const { json } = options;
  const forMs = options.for === undefined ? ok(undefined) : parseDuration(options.for);
  if (!forMs.ok) return complain(`--for: ${forMs.error}`, 2, json);
  const waitMs = options.wait === undefined ? ok(waitDefaultMs) : parseDuration(options.wait);
  if (!waitMs.ok) return complain(`--wait: ${waitMs.error}`, 2, json);
  if (options.undo && options.for !== undefined) {
    return complain('--undo takes the order back; --for does not go with it', 2, json);
  }
  const reached = reach(options);
  if (!reached.ok) return complain(reached.error, 2, json);
  if ((options.key === undefined) !== (options.by === undefined)) {
    return complain('--key and --by go together: who orders, and that person’s private key', 2, json);
  }
  const { key, by } = options;
  const signed = async (what: OrderedAct): Promise<Result<unknown, string>> => {
    const status = await ask<AgentStatus>(reached.value, 'GET', '/v1/status');
    if (!status.ok) return status;
    const { site, agent } = status.value;
    const { signedOrder } = await import('./order-command.ts');
    const order = signedOrder({ site, agent, what }, { key: key ?? '', by: by ?? '' });
    return order.ok ? ask(reached.value, 'POST', '/v1/orders', order.value.bytes) : order;
  };
  if (options.undo) {
    const undone = await (key === undefined ? ask(reached.value, 'DELETE', '/v1/drain') : signed({ verb: 'undrain' }));
    if (!undone.ok) return complain(undone.error, 1, json);
    process.stdout.write(json ? `${JSON.stringify({ drain: null })}\n` : 'this agent takes duties again\n');
    return 0;
  }
  const body = forMs.value === undefined ? {} : { forMs: forMs.value };
  const ordered = await (key === undefined
    ? ask(reached.value, 'POST', '/v1/drain', body)
    : signed({ verb: 'drain', forMs: forMs.value ?? null }));
  if (!ordered.ok) return complain(ordered.error, 1, json);

  const end = performance.now() + waitMs.value;
  let before: readonly string[] = [];
  for (;;) {
    const status = await ask<AgentStatus>(reached.value, 'GET', '/v1/status');
    if (!status.ok) return complain(status.error, 1, json);
    const { agent, drain } = status.value;
    if (drain === undefined)
      return complain(`${agent} no longer drains: its time is over, or it was taken back`, 1, json);
    const { remaining } = drain;
    if (!json) for (const duty of before) if (!remaining.includes(duty)) process.stdout.write(`  ${duty} given away\n`);
    before = remaining;
    const isOver = remaining.length === 0 || performance.now() >= end;
    if (!isOver) {
      await new Promise((resolve) => setTimeout(resolve, everyMs));
      continue;
    }
    if (json) process.stdout.write(`${JSON.stringify({ agent, drain })}\n`);
    else process.stdout.write(drained(agent, drain, waitMs.value > 0));
    return remaining.length === 0 || waitMs.value === 0 ? 0 : 3;
  }
}

function drained(agent: string, drain: NonNullable<AgentStatus['drain']>, hasWaited: boolean): string {
  const until = drain.until === undefined ? 'until it is taken back (--undo) or starts anew' : `until ${drain.until}`;
  if (drain.remaining.length === 0) return `${agent} carries nothing, and takes nothing ${until}\n`;
  const what = hasWaited ? 'still carries, since nobody else has taken it over' : 'gives away';
  const hint = hasWaited ? `  millwright explain duty ${drain.remaining[0]} says why\n` : '';
  return `${agent} takes nothing ${until}; it ${what}: ${drain.remaining.join(', ')}\n${hint}`;
}

export interface PushOptions extends AgentDoor {
  /** The same as `api`. */
  readonly agent?: string | undefined;
  /** How long to watch until it is everywhere; `0s` only pushes. */
  readonly wait?: string | undefined;
}

/** Gives a bundle to one agent, which spreads it, and watches until all that can be reached run it. */
export async function pushCommand(file: string, { agent, ...rest }: PushOptions): Promise<number> {
  const { json } = rest;
  const door: AgentDoor = { ...rest, api: rest.api ?? agent };
  const waitMs = rest.wait === undefined ? ok(waitDefaultMs) : parseDuration(rest.wait);
  if (!waitMs.ok) return complain(`--wait: ${waitMs.error}`, 2, json);
  const reached = reach(door);
  if (!reached.ok) return complain(reached.error.replace('--api HOST:PORT', '--agent HOST:PORT'), 2, json);
  let bytes: Uint8Array;
  try {
    if (statSync(file).size > bundleMaxBytes) return complain(`${file} is too large for a bundle`, 2, json);
    bytes = readFileSync(file);
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    return complain(code === 'ENOENT' ? `there is no ${file}` : `${file} cannot be read: ${code}`, 2, json);
  }
  if (isForcedEpoch(bytes)) return pushForcedEpoch(bytes, door, reached.value, waitMs.value);
  const pushed = await ask<{ readonly era: number; readonly version: number; readonly known: boolean }>(
    reached.value,
    'POST',
    '/v1/bundle',
    bytes,
  );
  if (!pushed.ok) return complain(pushed.error, 1, json);
  const { era, version, known } = pushed.value;
  const name = `era ${era} version ${version}`;
  if (!json) process.stdout.write(known ? `${name} was there already\n` : `${name} is in force at this agent\n`);

  const end = performance.now() + waitMs.value;
  const told = new Set<string>();
  // Who was there is awaited, also while it starts anew.
  const seen = new Set<string>();
  let newest: AgentStatus | undefined;
  for (;;) {
    // An agent that starts anew does not answer for a while, and perhaps elsewhere then.
    const now = reach(door);
    const status = now.ok ? await ask<AgentStatus>(now.value, 'GET', '/v1/status') : now;
    if (status.ok) newest = status.value;
    for (const { agent: peer, connected } of newest?.bundle?.peers ?? []) if (connected) seen.add(peer);
    const wanted = { era, version };
    const spread = newest?.bundle && spreadOf(newest.agent, newest.bundle, wanted, seen);
    if (!json) {
      for (const one of spread?.run ?? []) if (!told.has(one)) process.stdout.write(`  ${one} runs it\n`);
      for (const one of spread?.run ?? []) told.add(one);
    }
    const isOver = status.ok && spread !== undefined && spread.lack.length === 0;
    if (!isOver && performance.now() < end) {
      await new Promise((resolve) => setTimeout(resolve, everyMs));
      continue;
    }
    const { run, lack, away } = spread ?? { run: [], lack: [], away: [] };
    const isLeft = !isOver && waitMs.value > 0;
    if (json) process.stdout.write(`${JSON.stringify({ ok: true, era, version, known, run, lack, away })}\n`);
    else {
      if (isLeft && lack.length > 0) process.stdout.write(`not yet: ${lack.join(', ')}; millwright status says why\n`);
      if (isLeft && lack.length === 0) process.stdout.write('this agent does not answer yet\n');
      if (away.length > 0) process.stdout.write(`not in reach, they get it when they are: ${away.join(', ')}\n`);
    }
    return isLeft ? 3 : 0;
  }
}

/** Gives the statement to one agent, and watches until its cell speaks the next epoch there; others hear of it there. */
async function pushForcedEpoch(bytes: Uint8Array, door: AgentDoor, to: Reached, waitMs: number): Promise<number> {
  const pushed = await ask<{ readonly cell: string; readonly epoch: number }>(to, 'POST', '/v1/forced-epoch', bytes);
  if (!pushed.ok) return complain(pushed.error, 1, door.json);
  const { cell, epoch } = pushed.value;
  const end = performance.now() + waitMs;
  let spoken: number | undefined;
  do {
    const status = await ask<AgentStatus>(to, 'GET', '/v1/status');
    if (status.ok) spoken = status.value.cells.find((each) => each.cell === cell)?.epoch;
    if (spoken !== undefined && spoken > epoch) break;
    if (waitMs > 0) await new Promise((resolve) => setTimeout(resolve, everyMs));
  } while (performance.now() < end);
  const isBegun = spoken !== undefined && spoken > epoch;
  if (door.json) process.stdout.write(`${JSON.stringify({ ok: true, cell, epoch: epoch + 1, begun: isBegun })}\n`);
  else if (isBegun) {
    process.stdout.write(
      `epoch ${epoch + 1} of ${cell} has begun at this agent, by force; whoever it meets follows.\n` +
        '  Its voters are mute for the time of a grant, and permits stay taken for as long as a step may run.\n',
    );
  } else process.stdout.write(`not yet: epoch ${epoch + 1} of ${cell}; millwright status says why\n`);
  return isBegun || waitMs === 0 ? 0 : 3;
}

/** Who runs this bundle or a newer one, who does not yet, and who cannot be asked. */
function spreadOf(
  self: string,
  bundle: BundleStatus,
  wanted: { readonly era: number; readonly version: number },
  seen: ReadonlySet<string>,
): { readonly run: readonly string[]; readonly lack: readonly string[]; readonly away: readonly string[] } {
  const runs = (running: BundleStatus['running'] | undefined): boolean =>
    running !== undefined && compareBundles(running, wanted) >= 0;
  const all = [{ agent: self, running: bundle.running }, ...bundle.peers];
  const isThere = (agent: string): boolean => agent === self || seen.has(agent);
  const names = (those: typeof all): string[] => those.map(({ agent }) => agent);
  return {
    run: names(all.filter(({ running }) => runs(running))),
    lack: names(all.filter(({ agent, running }) => isThere(agent) && !runs(running))),
    away: names(all.filter(({ agent, running }) => !isThere(agent) && !runs(running))),
  };
}

/** Where the agent's API is, and its token. Every way to say it is tried in the order of how exactly it was said. */
export function reach({ config, data, api, token }: AgentDoor): Result<Reached, string> {
  if (api !== undefined && token !== undefined) return withToken(api, token);
  if (config !== undefined) {
    const loaded = loadAgent(config);
    if (!loaded.ok) return err(`${config}:\n${formatProblems(loaded.error)}`);
    const { api: door, data: folder } = loaded.value;
    if (door === undefined) return err(`${config} has no api: add one, and start the agent anew`);
    const secret = readSecret(door.token);
    if (!secret.ok) return err(`token of the API: ${secret.error}`);
    const address = noted(folder) ?? (door.port === 0 ? undefined : `http://${bracketed(door.host)}:${door.port}`);
    if (address === undefined) return err(`no agent runs with ${config}: its API has no address`);
    return ok({ url: address, token: secret.value });
  }
  if (data !== undefined) {
    const address = api ?? noted(data);
    if (address === undefined) {
      return err(`no agent with an API runs on ${data}: start it with --api 127.0.0.1:7431, or say --api and --token`);
    }
    return withToken(address, token ?? join(data, 'api.token'));
  }
  return err('which agent? Say --config agent.yaml, or --data FOLDER, or --api HOST:PORT and --token FILE');
}

function withToken(address: string, file: string): Result<Reached, string> {
  try {
    const token = readFileSync(file, 'utf8').trim();
    return ok({ url: address.includes('://') ? address : `http://${address}`, token });
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    return err(`--token: ${code === 'ENOENT' ? `there is no ${file}` : `${file} cannot be read: ${code}`}`);
  }
}

function noted(folder: string): string | undefined {
  try {
    return readFileSync(join(folder, apiAddressFile), 'utf8').trim() || undefined;
  } catch {
    return undefined;
  }
}

const bracketed = (host: string): string => (host.includes(':') ? `[${host}]` : host);

export async function ask<T>(
  { url, token }: Reached,
  method: string,
  path: string,
  body?: object | Uint8Array,
  withinMs = answerWithinMs,
): Promise<Result<T, string>> {
  const isBytes = body instanceof Uint8Array;
  let response: Response;
  let text: string;
  try {
    response = await fetch(new URL(path, url), {
      method,
      headers: {
        authorization: `Bearer ${token}`,
        ...(body === undefined ? {} : { 'content-type': isBytes ? 'application/octet-stream' : 'application/json' }),
      },
      ...(body === undefined ? {} : { body: isBytes ? Uint8Array.from(body) : JSON.stringify(body) }),
      signal: AbortSignal.timeout(withinMs),
    });
    text = await response.text();
  } catch (error) {
    const cause = error instanceof Error ? (error.cause as NodeJS.ErrnoException | undefined)?.code : undefined;
    return err(`no agent answers at ${url}${cause === undefined ? '' : ` (${cause})`}: does it run?`);
  }
  try {
    const answer = JSON.parse(text) as T & { message?: string; remedy?: string };
    if (response.ok) return ok(answer);
    return err(
      [answer.message, answer.remedy].filter((line) => line !== undefined).join('\n') || `HTTP ${response.status}`,
    );
  } catch {
    return err(`what answers at ${url} is no agent of millwright`);
  }
}

export function complain(message: string, code: number, json: boolean | undefined): number {
  if (json) process.stdout.write(`${JSON.stringify({ ok: false, message })}\n`);
  else process.stderr.write(`${message}\n`);
  return code;
}
