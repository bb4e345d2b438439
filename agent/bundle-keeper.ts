import { mkdirSync, readdirSync, readFileSync, renameSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Log } from './adapters/log.ts';
import type { BundleDesk } from './adapters/mesh/bundle-exchange.ts';
import { err, ok, type Result } from './base/result.ts';
import { type BundleNotice, BundleStore } from './config/bundle-store.ts';
import type { EventReport } from './core/reporting/report.ts';
import type { SitePlan } from './core/site-plan.ts';
import type { BundleStanding } from './wire/bundle.ts';
import { canonicalJson, keyId } from './wire/jws.ts';
import type { Roster } from './wire/roster.ts';
import {
  type BundleError,
  bundleMaxBytes,
  compareBundles,
  readBundle,
  rosterOf,
  type SiteBundle,
  verifyBundle,
} from './wire/site-bundle.ts';
import type { AgentStatus } from './wire/status.ts';

export interface BundleKeeperOptions {
  readonly name: string;
  readonly dataDir: string;
  /** What this process was compiled from. */
  readonly running: SiteBundle;
  /** The plan of the site that a bundle carries, or why it cannot be carried out here. */
  readonly compile: (bundle: SiteBundle) => Result<SitePlan, string>;
  /** What the start found out: told as an event like any other refusal. */
  readonly notices: readonly BundleNotice[];
  /** Epochs of cells that are to begin while this process runs on. */
  readonly acceptEpochs: (plan: SitePlan) => void;
  /** Who belongs, at once. */
  readonly applyRoster: (roster: Roster) => void;
  /** Another one is in force: the others should hear of it. */
  readonly changed: () => void;
  /** Names of all to whom a connection stands. */
  readonly connected: () => ReadonlySet<string>;
  /** The epoch that a cell speaks here; undefined where it does not concern this agent. */
  readonly epochOf: (cell: string) => number | undefined;
  /** This process should end and begin anew, from the bundle in force. Called once. */
  readonly startAnew: (why: string) => void;
  readonly report: (event: EventReport) => void;
  readonly log: Log;
}

/** What became of a bundle that somebody gave. */
export type BundleAnswer =
  | { readonly kind: 'accepted'; readonly bundle: SiteBundle; readonly startsAnew: boolean }
  | { readonly kind: 'known'; readonly bundle: SiteBundle }
  /** It is good, but something else comes first. */
  | { readonly kind: 'later'; readonly text: string }
  | { readonly kind: 'refused'; readonly reason: RefusalReason; readonly text: string };

type RefusalReason = BundleError['reason'] | 'not-usable' | 'disk' | 'unreadable' | 'at-start';

/** The agents of a cell start anew in so many waves, so that most of them are up at any time. */
const waves = 5;
/** After a start, until work that was left alone has been taken up. */
const takenUpMs = 2_000;
/** Whoever should go before us and does not is waited for no longer than this, for each before us. */
const patienceMs = 40_000;
/** A start on a slow, busy box. */
const startMs = 30_000;
/** Before a process ends, so many others should have the bundle, or all that there are, or this much time is over. */
const spreadTo = 3;
const spreadMs = 5_000;
/** Seen within this: there when the bundle came. */
const recentMs = 3_000;
/** On top of the time for which a restarted voter is mute. */
const settleMs = 500;
const keptRefusals = 16;
const tellAgainMs = 600_000;
const inboxAtOnce = 16;
const keptInInbox = 16;
/** A file that is still being copied is no bundle yet. */
const copyingMs = 2_000;

interface Refusal {
  readonly from: string;
  readonly reason: RefusalReason;
  readonly text: string;
  at: Date;
  count: number;
  toldAt: number;
}

interface Heard {
  standing: BundleStanding;
  /** Since when it runs what we have. */
  ranAt: number | undefined;
}

/**
 * Keeps the signed bundle of one running agent: judges what peers, a person's command or the inbox folder bring, stores
 * it durably, and carries it out. Whatever is refused changes nothing, and why is in the status, in the log and an event.
 *
 * **Who belongs** counts at once: a revoked agent is cut off when the bundle is accepted, without a restart.
 *
 * **Everything else** is compiled into a process, and a process is replaced, not rebuilt: a session of the leases is one
 * life of one process, a voter's promises are tied to its boot, and a start from the disk is the path that is taken
 * after every crash anyway. The price is the gap of a restart, so agents of a cell take turns: duties are handed to those
 * that are up, and of the voters one at a time is mute, so that the majority never is.
 *
 * **Epochs.** The next epoch of a cell is accepted only after the one before has begun here, since none may be skipped
 * and each must have been written down. How it begins (seals, certificate) is the leases' own matter; they do it at once,
 * in the process that runs, and the process starts anew when that is done.
 */
export class BundleKeeper implements BundleDesk {
  readonly #options: BundleKeeperOptions;
  readonly #store: BundleStore;
  readonly #inbox: string;
  #current: SiteBundle;
  /** Compiled into this process, or equal to what is. */
  #running: SiteBundle;
  #acceptedAt = 0;
  /** Since when all epochs of the bundle in force are spoken here. */
  #begunAt: number | undefined;
  #endsSoon = false;
  /** The bundle in force has no place for this box with this key. */
  #isOut = false;
  readonly #refusals: Refusal[] = [];
  readonly #heard = new Map<string, Heard>();
  readonly #connectedAt = new Map<string, number>();
  #waiting: string | undefined;

  constructor(options: BundleKeeperOptions) {
    this.#options = options;
    this.#store = new BundleStore(options.dataDir);
    this.#inbox = join(options.dataDir, 'bundle', 'inbox');
    this.#current = options.running;
    this.#running = options.running;
    for (const { level, text, isRefusal } of options.notices) {
      if (isRefusal) this.#refuse('start', 'at-start', text);
      else options.log[level]({ bundle: options.running.hash.slice(0, 12) }, text);
    }
    try {
      mkdirSync(this.#inbox, { recursive: true, mode: 0o700 });
    } catch {
      // A disk that takes nothing is told by the store; bundles still come from peers, and go.
    }
  }

  get bundle(): SiteBundle {
    return this.#current;
  }

  standing(): BundleStanding {
    const { era, version, hash } = this.#current;
    return { era, version, hash, running: { era: this.#running.era, version: this.#running.version } };
  }

  next(after: { readonly era: number; readonly version: number }): Uint8Array | undefined {
    return this.#store.next(after);
  }

  heard(from: string, standing: BundleStanding): void {
    const before = this.#heard.get(from);
    const runs = compareBundles(standing.running, this.#current) >= 0;
    this.#heard.set(from, { standing, ranAt: runs ? (before?.ranAt ?? performance.now()) : undefined });
  }

  /** From a peer. */
  take(bytes: Uint8Array, from: string): 'taken' | 'later' | 'refused' {
    const answer = this.give(bytes, from);
    if (answer.kind === 'later') return 'later';
    // One that is known already was not what the peer had announced.
    return answer.kind === 'accepted' ? 'taken' : 'refused';
  }

  /** Judges the bytes of a bundle; when it is accepted, it is in force when this returns. */
  give(bytes: Uint8Array, from: string): BundleAnswer {
    const current = this.#current;
    const verified = verifyBundle(bytes, { keys: [] }, current);
    if (!verified.ok) return this.#refuse(from, verified.error.reason, verified.error.text);
    const bundle = verified.value;
    if (bundle.hash === current.hash) return { kind: 'known', bundle };
    const belongs = this.#belongs(bundle);
    const plan = belongs ? this.#options.compile(bundle) : undefined;
    if (plan?.ok === false) return this.#refuse(from, 'not-usable', plan.error);
    this.#waiting = this.#comesFirst(bundle);
    if (this.#waiting !== undefined) return { kind: 'later', text: this.#waiting };
    try {
      this.#store.save(bytes, bundle, current);
    } catch (error) {
      return this.#refuse(from, 'disk', `it could not be stored: ${(error as Error).message}`);
    }
    this.#current = bundle;
    this.#acceptedAt = performance.now();
    for (const heard of this.#heard.values()) heard.ranAt = undefined;
    this.#isOut = !belongs;
    const startsAnew = !belongs || matterOf(bundle) !== matterOf(this.#running);
    if (!startsAnew) this.#running = bundle;
    const kept = new Set(bundle.agents.filter(({ revoked }) => !revoked).map(({ key }) => key));
    const cut = current.agents.filter(({ key, revoked }) => !revoked && !kept.has(key));
    this.#options.applyRoster(rosterOf(bundle));
    this.#begunAt = undefined;
    if (plan?.ok) this.#options.acceptEpochs(plan.value);
    const { log, report, name } = this.#options;
    const text = `the bundle ${called(bundle)} is in force, from ${from}${cut.length === 0 ? '' : `; cut off: ${cut.map(({ id }) => id).join(', ')}`}`;
    log.info({ bundle: bundle.hash.slice(0, 12), from, startsAnew }, text);
    report({
      type: 'event',
      name: 'bundle-accepted',
      subject: name,
      severity: cut.length === 0 ? 'notice' : 'warning',
      text,
      detail: { era: bundle.era, version: bundle.version, hash: bundle.hash, from, cutOff: cut.length },
    });
    this.#options.changed();
    return { kind: 'accepted', bundle, startsAnew };
  }

  /** Call about once a second. */
  tick(): void {
    const now = performance.now();
    for (const name of this.#options.connected()) this.#connectedAt.set(name, now);
    const listed = new Set(this.#current.agents.map(({ id }) => id));
    for (const name of this.#heard.keys()) if (!listed.has(name)) this.#heard.delete(name);
    for (const name of this.#connectedAt.keys()) if (!listed.has(name)) this.#connectedAt.delete(name);
    this.#lookIntoInbox();
    if (this.#endsSoon || this.#running === this.#current || !this.#isOurTurn(now)) return;
    this.#endsSoon = true;
    this.#options.startAnew(
      `the bundle ${called(this.#current)} is in force, this process runs ${called(this.#running)}`,
    );
  }

  status(): NonNullable<AgentStatus['bundle']> {
    const { era, version, hash, signedBy } = this.#current;
    const connected = this.#options.connected();
    return {
      era,
      version,
      hash,
      signedBy: signedBy === '' ? undefined : keyId(signedBy),
      running: { era: this.#running.era, version: this.#running.version },
      startsAnew: this.#running !== this.#current,
      waiting: this.#waiting,
      revoked: this.#current.agents.filter((agent) => agent.revoked).map(({ id }) => id),
      peers: this.#current.agents
        .filter(({ id, revoked }) => id !== this.#options.name && !revoked)
        .map(({ id }) => {
          const standing = this.#heard.get(id)?.standing;
          return {
            agent: id,
            connected: connected.has(id),
            era: standing?.era,
            version: standing?.version,
            hash: standing?.hash,
            running: standing?.running,
          };
        }),
      refused: this.#refusals.map(({ from, reason, text, at, count }) => ({
        from,
        reason,
        text,
        at: at.toISOString(),
        count,
      })),
    };
  }

  /** One that says that this box is out is lawful all the same: the agent ends with it. */
  #belongs(bundle: SiteBundle): boolean {
    const key = this.#running.agents.find(({ id }) => id === this.#options.name)?.key;
    return bundle.agents.some(({ id, revoked, key: one }) => id === this.#options.name && !revoked && one === key);
  }

  #comesFirst(next: SiteBundle): string | undefined {
    const current = this.#current;
    const epoch = (id: string): number | undefined => current.cells.find((cell) => cell.id === id)?.epoch;
    const rises = next.cells.some((cell) => cell.epoch > (epoch(cell.id) ?? cell.epoch));
    if (!rises || next.era > current.era) return undefined;
    if (this.#running !== current) return `${called(next)} waits until this agent runs ${called(current)}`;
    for (const cell of current.cells) {
      const here = this.#options.epochOf(cell.id);
      if (here !== undefined && here < cell.epoch) {
        return `${called(next)} waits until epoch ${cell.epoch} of cell ${cell.id} has begun here; it is in ${here}`;
      }
    }
    return undefined;
  }

  /** When others have the bundle; then the agents of a cell in waves, its voters when those before them vote again. */
  #isOurTurn(now: number): boolean {
    if (this.#isOut) return true;
    const { name, connected } = this.#options;
    const waited = now - this.#acceptedAt;
    const here = connected();
    const having = [...here].filter((one) => {
      const standing = this.#heard.get(one)?.standing;
      return standing !== undefined && compareBundles(standing, this.#current) >= 0;
    });
    if (having.length < Math.min(spreadTo, here.size) && waited < spreadMs) return false;
    if (!this.#haveEpochsBegun(now) && waited < patienceMs) return false;

    const cell = this.#running.agents.find(({ id }) => id === name)?.cell;
    const members = this.#running.agents.filter((agent) => agent.cell === cell && !agent.revoked);
    const index = members.findIndex(({ id }) => id === name);
    const width = Math.ceil(members.length / waves);
    const former = members[index - width];
    const isLate = waited > Math.ceil(index / width) * patienceMs;
    if (former !== undefined && !isLate && !this.#isPast(former.id, takenUpMs, now)) return false;
    for (const { voters, leases, lease } of this.#running.cells) {
      const position = leases.length === 0 ? -1 : voters.indexOf(name);
      if (position <= 0 || waited > position * patienceMs) continue;
      const muteMs = mutedFor(lease);
      if (!voters.slice(0, position).every((voter) => this.#isPast(voter, muteMs, now))) return false;
    }
    return true;
  }

  /** Runs what is in force, for so long already; or was not there when it came, or does not come back. */
  #isPast(name: string, forMs: number, now: number): boolean {
    const ranAt = this.#heard.get(name)?.ranAt;
    if (ranAt !== undefined) return now - ranAt >= forMs;
    if (this.#options.connected().has(name)) return false;
    const seenAt = this.#connectedAt.get(name);
    return seenAt === undefined || seenAt < this.#acceptedAt - recentMs || now - seenAt >= startMs;
  }

  /**
   * The epochs begin first, in all processes at once: one that starts anew has its voters mute, and were they sealed one
   * by one, the cell would have no majority for as long as all starts take together.
   */
  #haveEpochsBegun(now: number): boolean {
    const before = (id: string) => this.#running.cells.find((cell) => cell.id === id);
    const risen = this.#current.cells.filter(({ id, epoch }) => {
      return epoch > (before(id)?.epoch ?? epoch) && this.#options.epochOf(id) !== undefined;
    });
    if (risen.some((cell) => (this.#options.epochOf(cell.id) ?? cell.epoch) < cell.epoch)) return false;
    this.#begunAt ??= now;
    const leases = risen.flatMap(({ id, lease }) => [lease, before(id)?.lease ?? lease]);
    return now - this.#begunAt >= Math.max(0, ...leases.map(mutedFor));
  }

  #refuse(from: string, reason: RefusalReason, text: string): Extract<BundleAnswer, { kind: 'refused' }> {
    const now = performance.now();
    const at = this.#refusals.findIndex((one) => one.from === from && one.text === text);
    const known = at < 0 ? undefined : this.#refusals.splice(at, 1)[0];
    const refusal: Refusal = known ?? {
      from,
      reason,
      text,
      at: new Date(),
      count: 0,
      toldAt: Number.NEGATIVE_INFINITY,
    };
    refusal.count++;
    refusal.at = new Date();
    this.#refusals.push(refusal);
    if (this.#refusals.length > keptRefusals) this.#refusals.shift();
    if (now - refusal.toldAt >= tellAgainMs) {
      refusal.toldAt = now;
      const { log, report, name } = this.#options;
      log.warn({ from, reason }, `a bundle is refused, ${called(this.#current)} stays in force: ${text}`);
      report({
        type: 'event',
        name: 'bundle-refused',
        subject: name,
        severity: 'warning',
        text: `a bundle from ${from} is refused, ${called(this.#current)} stays in force: ${text}`.slice(0, 1_000),
        detail: { from, reason, version: this.#current.version, count: refusal.count },
      });
    }
    return { kind: 'refused', reason, text };
  }

  /** Files that a person, or whatever rolls out here, laid into the folder. */
  #lookIntoInbox(): void {
    let names: string[];
    try {
      names = readdirSync(this.#inbox).sort();
    } catch {
      return;
    }
    for (const old of names.filter((name) => name.endsWith('.refused')).slice(0, -keptInInbox)) {
      rmSync(join(this.#inbox, old), { force: true });
      rmSync(join(this.#inbox, `${old}.txt`), { force: true });
    }
    for (const name of names.filter((one) => one.endsWith('.bundle')).slice(0, inboxAtOnce)) {
      const path = join(this.#inbox, name);
      try {
        const bytes = readWhole(path);
        const age = Date.now() - statSync(path).mtimeMs;
        const isCopied = bytes.ok && age >= 0 && age < copyingMs && !readBundle(bytes.value).ok;
        if (isCopied) continue;
        const answer: BundleAnswer = bytes.ok
          ? this.give(bytes.value, `inbox/${name}`)
          : this.#refuse(`inbox/${name}`, 'unreadable', bytes.error);
        if (answer.kind === 'later') continue;
        if (answer.kind !== 'refused') {
          rmSync(path, { force: true });
          continue;
        }
        renameSync(path, `${path}.refused`);
        writeFileSync(`${path}.refused.txt`, `${answer.reason}: ${answer.text}\n`, { mode: 0o600 });
      } catch (error) {
        // It went away while we looked, or the disk takes nothing: both pass, and we look again.
        this.#options.log.debug({ file: path, error: String(error) }, 'a file of the inbox was left alone');
      }
    }
  }
}

/** What a process is compiled from; who belongs, keys and numbers are not in it. */
function matterOf(bundle: SiteBundle): string {
  return canonicalJson({
    siteFile: bundle.siteFile,
    models: bundle.models,
    cells: bundle.cells,
    agents: bundle.agents.map(({ id, cell, role, labels, capacity }) => ({ id, cell, role, labels, capacity })),
  });
}

/** How long a voter is mute that starts, and a little more. */
const mutedFor = ({ leaseMs, driftPpm }: SiteBundle['cells'][number]['lease']): number =>
  leaseMs * (1 + (2 * driftPpm) / 1e6) + settleMs;

const called = ({ era, version }: Pick<SiteBundle, 'era' | 'version'>): string => `era ${era} version ${version}`;

function readWhole(path: string): Result<Uint8Array, string> {
  const { size } = statSync(path);
  if (size > bundleMaxBytes) return err(`${size} bytes, at most ${bundleMaxBytes}`);
  try {
    return ok(readFileSync(path));
  } catch (error) {
    return err(`it cannot be read: ${(error as NodeJS.ErrnoException).code ?? String(error)}`);
  }
}
