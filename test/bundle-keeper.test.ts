import { generateKeyPairSync } from 'node:crypto';
import { existsSync, mkdirSync, mkdtempSync, readdirSync, rmSync, utimesSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { err, ok } from '../agent/base/result.ts';
import { BundleKeeper, type BundleKeeperOptions } from '../agent/bundle-keeper.ts';
import { BundleStore } from '../agent/config/bundle-store.ts';
import type { EventReport } from '../agent/core/reporting/report.ts';
import type { SitePlan } from '../agent/core/site-plan.ts';
import { oneLineKey, type Roster } from '../agent/wire/roster.ts';
import {
  type BundleContent,
  bundleMaxBytes,
  cellHash,
  type SiteBundle,
  signBundle,
  verifyBundle,
} from '../agent/wire/site-bundle.ts';

function pair() {
  const { privateKey, publicKey } = generateKeyPairSync('ed25519');
  const pem = publicKey.export({ type: 'spki', format: 'pem' }) as string;
  return { secret: privateKey.export({ type: 'pkcs8', format: 'pem' }) as string, open: oneLineKey(pem) ?? '' };
}
const [site, recovery] = [pair(), pair()];
const boxes = Array.from({ length: 4 }, pair);
const founding: BundleContent = {
  site: 'riverside',
  era: 1,
  version: 1,
  parent: null,
  signingKey: site.open,
  recoveryKey: recovery.open,
  agents: boxes.map((box, i) => ({
    id: `box-${i + 1}`,
    key: box.open,
    cell: 'line',
    role: 'agent',
    labels: {},
    capacity: null,
    revoked: false,
  })),
  cells: [
    {
      id: 'line',
      epoch: 1,
      parent: null,
      voters: ['box-1', 'box-2', 'box-3'],
      lease: { leaseMs: 2000, driftPpm: 10_000, renewMs: 500, retryMs: 120, guardMs: 100 },
      leases: [{ id: 'duty:site/work', lingerMs: 0, eligible: '0123456789abcdef' }],
    },
  ],
  operators: [],
  models: [],
  siteFile: 'one',
};

const made = (content: BundleContent): { readonly bytes: Uint8Array; readonly bundle: SiteBundle } => {
  const bytes = signBundle(content, site.secret);
  const bundle = verifyBundle(bytes, { keys: [site.open] });
  if (!bundle.ok) throw new Error(bundle.error.text);
  return { bytes, bundle: bundle.value };
};
const v1 = made(founding);
const next = (before: SiteBundle, change: Partial<BundleContent>) => {
  const { hash: parent, signedBy: _, ...content } = before;
  return made({ ...content, version: before.version + 1, parent, ...change });
};
/** The next epoch of the only cell: grants hold for so long. */
const epochAfter = (before: SiteBundle, leaseMs: number) => {
  const [cell] = before.cells;
  const lease = { ...cell!.lease, leaseMs };
  return next(before, {
    cells: [{ ...cell!, lease, epoch: cell!.epoch + 1, parent: cellHash(before.site, cell!) }],
  });
};

describe('keeper of bundles', () => {
  let folder: string;
  let rosters: Roster[];
  let events: EventReport[];
  let restarts: string[];
  let connected: Set<string>;
  let epoch: number | undefined;
  let changes: number;
  let plans: string[];

  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), 'millwright-keeper-'));
    [rosters, events, restarts, changes, plans] = [[], [], [], 0, []];
    connected = new Set(['box-1', 'box-2', 'box-3', 'box-4']);
    epoch = 1;
    new BundleStore(folder).save(v1.bytes, v1.bundle);
    vi.useFakeTimers({ toFake: ['performance', 'Date'] });
  });
  afterEach(() => {
    vi.useRealTimers();
    rmSync(folder, { recursive: true, force: true });
  });

  const keeper = (name = 'box-1', change: Partial<BundleKeeperOptions> = {}): BundleKeeper =>
    new BundleKeeper({
      name,
      dataDir: folder,
      running: v1.bundle,
      // What is compiled is not looked at here: the plan only goes through.
      compile: ({ siteFile }) =>
        siteFile === 'broken' ? err('its site file has mistakes') : ok({ site: siteFile } as SitePlan),
      acceptEpochs: ({ site: what }) => void plans.push(what),
      notices: [],
      applyRoster: (roster) => void rosters.push(roster),
      changed: () => void changes++,
      connected: () => new Set([...connected].filter((one) => one !== name)),
      epochOf: () => epoch,
      startAnew: (why) => void restarts.push(why),
      report: (event) => void events.push(event),
      log: { debug() {}, info() {}, warn() {}, error() {} } as never,
      ...change,
    });
  const inForce = (): number | undefined => {
    const stored = new BundleStore(folder).load();
    return stored.ok ? stored.value?.version : undefined;
  };
  const passes = (ms: number, one: BundleKeeper): void => {
    for (let gone = 0; gone < ms; gone += 1_000) {
      vi.advanceTimersByTime(1_000);
      one.tick();
    }
  };

  it('a good one → stored, told to the others, in force for who belongs at once, and the process starts anew', () => {
    const one = keeper();
    const v2 = next(v1.bundle, { siteFile: 'two' });
    expect(one.give(v2.bytes, 'box-3')).toMatchObject({ kind: 'accepted', startsAnew: true });
    expect(one.give(v2.bytes, 'box-4')).toMatchObject({ kind: 'known' });
    expect(one.standing()).toMatchObject({ version: 2, hash: v2.bundle.hash, running: { version: 1 } });
    expect([inForce(), rosters.length, changes, plans]).toEqual([2, 1, 1, ['two']]);
    expect(events).toMatchObject([
      { name: 'bundle-accepted', subject: 'box-1', detail: { from: 'box-3', version: 2 } },
    ]);
    one.tick();
    expect(restarts).toEqual([]);
    for (const from of ['box-2', 'box-3', 'box-4']) one.heard(from, one.standing());
    one.tick();
    one.tick();
    expect(restarts).toEqual(['the bundle era 1 version 2 is in force, this process runs era 1 version 1']);
  });

  it('only keys go off the list → cut off at once, and nothing starts anew', () => {
    const one = keeper();
    const agents = founding.agents.map((agent) => ({ ...agent, revoked: agent.id === 'box-2' }));
    const v2 = next(v1.bundle, { agents });
    expect(one.give(v2.bytes, 'push')).toMatchObject({ kind: 'accepted', startsAnew: false });
    expect(rosters[0]?.agents.map(({ id }) => id)).toEqual(['box-1', 'box-3', 'box-4']);
    expect(one.standing().running.version).toBe(2);
    expect(events[0]).toMatchObject({ severity: 'warning', text: expect.stringContaining('cut off: box-2') });
    passes(60_000, one);
    expect(restarts).toEqual([]);
    expect(one.status()).toMatchObject({ revoked: ['box-2'], startsAnew: false });
    expect(one.status().peers.map(({ agent }) => agent)).toEqual(['box-3', 'box-4']);
  });

  it('it is this very box whose key goes off the list → it ends, whosever turn it is', () => {
    const one = keeper('box-3');
    const agents = founding.agents.map((agent) => ({ ...agent, revoked: agent.id === 'box-3' }));
    expect(one.give(next(v1.bundle, { agents }).bytes, 'push')).toMatchObject({ kind: 'accepted', startsAnew: true });
    one.tick();
    expect(restarts.length).toBe(1);
  });

  it.each<[string, () => Uint8Array]>([
    ['not-usable', () => next(v1.bundle, { siteFile: 'broken' }).bytes],
    ['wrong-parent', () => next(v1.bundle, { siteFile: 'two', parent: '12'.repeat(32) }).bytes],
    ['wrong-signature', () => signBundle({ ...founding, version: 2, parent: v1.bundle.hash }, pair().secret)],
    ['rival', () => made({ ...founding, siteFile: 'another' }).bytes],
    ['not-a-bundle', () => new TextEncoder().encode('{}')],
  ])('%s → nothing changes; said in the status and once as an event, however often it comes', (reason, bytes) => {
    const one = keeper();
    for (let n = 0; n < 5; n++) expect(one.give(bytes(), 'box-2')).toMatchObject({ kind: 'refused', reason });
    expect([inForce(), rosters.length, changes, one.standing().version]).toEqual([1, 0, 0, 1]);
    expect(one.status().refused).toMatchObject([{ from: 'box-2', reason, count: 5 }]);
    expect(events).toMatchObject([{ name: 'bundle-refused', severity: 'warning', detail: { from: 'box-2', reason } }]);
  });

  it('refused by many, for many reasons → the latest are kept, and no more', () => {
    const one = keeper();
    for (let n = 0; n < 50; n++) one.give(new Uint8Array(n), `peer-${n}`);
    expect(one.status().refused.length).toBe(16);
    expect(one.status().refused.at(-1)?.from).toBe('peer-49');
  });

  it('the disk refuses → the old one stays in force', () => {
    const one = keeper();
    // In the way of the file that is written first; root is refused by that as well.
    const obstacle = join(folder, 'bundle', 'site.bundle.next');
    mkdirSync(join(obstacle, 'x'), { recursive: true });
    const v2 = next(v1.bundle, { siteFile: 'two' });
    expect(one.give(v2.bytes, 'push')).toMatchObject({ kind: 'refused', reason: 'disk' });
    expect([inForce(), one.standing().version, rosters.length]).toEqual([1, 1, 0]);
    rmSync(obstacle, { recursive: true });
    expect(one.give(v2.bytes, 'push')).toMatchObject({ kind: 'accepted' });
    expect(inForce()).toBe(2);
  });

  it('two epochs ahead → the second waits until the first has begun here, and is taken then', () => {
    const v2 = epochAfter(v1.bundle, 1500);
    const v3 = epochAfter(v2.bundle, 1000);
    const before = keeper();
    expect(before.give(v3.bytes, 'box-2')).toMatchObject({ kind: 'refused', reason: 'gap' });
    expect(before.take(v2.bytes, 'box-2')).toBe('taken');
    expect(before.take(v3.bytes, 'box-2')).toBe('later');
    expect(before.status().waiting).toContain('waits until this agent runs era 1 version 2');

    const after = keeper('box-1', { running: v2.bundle });
    expect(after.give(v3.bytes, 'box-2')).toMatchObject({ kind: 'later', text: expect.stringContaining('it is in 1') });
    epoch = 2;
    expect(after.take(v3.bytes, 'box-2')).toBe('taken');
    expect([inForce(), after.status().waiting]).toEqual([3, undefined]);
    // Who is behind gets them one by one.
    const store = new BundleStore(folder);
    expect(store.next({ era: 1, version: 1 })).toEqual(Buffer.from(v2.bytes));
    expect(store.next({ era: 1, version: 2 })).toEqual(Buffer.from(v3.bytes));
  });

  it('an epoch that is to begin → begins in the process that runs; that one starts anew when the new voters speak', () => {
    const one = keeper();
    one.give(epochAfter(v1.bundle, 1500).bytes, 'box-2');
    expect(plans.length).toBe(1);
    passes(5_000, one);
    expect(restarts).toEqual([]);
    epoch = 2;
    passes(2_000, one);
    expect(restarts).toEqual([]);
    passes(2_000, one);
    expect(restarts.length).toBe(1);

    // One that does not begin, since its voters are away: the rest of the bundle is not kept waiting for ever.
    epoch = 1;
    const other = keeper('box-1', { dataDir: mkdtempSync(join(folder, 'other-')) });
    other.give(epochAfter(v1.bundle, 1500).bytes, 'box-2');
    passes(42_000, other);
    expect(restarts.length).toBe(2);
  });

  const v2 = next(v1.bundle, { siteFile: 'two' });
  const place = { era: 1, version: 2, hash: v2.bundle.hash };
  const hasIt = { ...place, running: { era: 1, version: 1 } };
  const runsIt = { ...place, running: { era: 1, version: 2 } };

  it('the others do not have it yet → nobody ends who should give it to them; not for ever', () => {
    const one = keeper();
    one.give(v2.bytes, 'push');
    for (const from of ['box-2', 'box-3']) one.heard(from, hasIt);
    passes(3_000, one);
    expect(restarts).toEqual([]);
    passes(3_000, one);
    expect(restarts.length).toBe(1);
    connected.clear();
    const alone = keeper('box-1', { dataDir: mkdtempSync(join(folder, 'other-')) });
    alone.give(v2.bytes, 'push');
    alone.tick();
    expect(restarts.length).toBe(2);
  });

  it('a voter → starts anew when those before it vote again', () => {
    const three = keeper('box-3');
    three.tick();
    three.give(v2.bytes, 'box-1');
    three.heard('box-1', runsIt);
    three.heard('box-2', hasIt);
    three.heard('box-4', hasIt);
    passes(30_000, three);
    expect(restarts).toEqual([]);
    three.heard('box-2', runsIt);
    passes(2_000, three);
    expect(restarts).toEqual([]);
    // Mute for T(1+2ρ), and a little more.
    passes(1_000, three);
    expect(restarts.length).toBe(1);
  });

  it('one before it that stays with the old one → waited for, not for ever', () => {
    const two = keeper('box-2');
    two.tick();
    two.give(v2.bytes, 'box-1');
    two.heard('box-1', hasIt);
    passes(39_000, two);
    expect(restarts).toEqual([]);
    passes(3_000, two);
    expect(restarts.length).toBe(1);
  });

  it('one before it that was away already → not waited for; one that went → for as long as a start may take', () => {
    const away = keeper('box-2');
    connected.delete('box-1');
    passes(5_000, away);
    away.give(v2.bytes, 'box-4');
    for (const from of ['box-3', 'box-4']) away.heard(from, hasIt);
    away.tick();
    expect(restarts.length).toBe(1);

    connected.add('box-1');
    const went = keeper('box-2', { dataDir: mkdtempSync(join(folder, 'other-')) });
    went.tick();
    went.give(v2.bytes, 'box-4');
    connected.delete('box-1');
    passes(28_000, went);
    expect(restarts.length).toBe(1);
    passes(4_000, went);
    expect(restarts.length).toBe(2);
  });

  it('who does not vote → starts anew when the wave before is up', () => {
    const four = keeper('box-4');
    four.tick();
    four.give(v2.bytes, 'box-1');
    passes(8_000, four);
    expect(restarts).toEqual([]);
    four.heard('box-3', runsIt);
    passes(1_000, four);
    expect(restarts).toEqual([]);
    passes(2_000, four);
    expect(restarts.length).toBe(1);
  });

  it('inbox: half a file is left alone, a whole one is taken, what is no bundle or too large is set aside', () => {
    const one = keeper();
    const inbox = join(folder, 'bundle', 'inbox');
    const v2 = next(v1.bundle, { siteFile: 'two' });
    const path = join(inbox, 'v2.bundle');
    const at = (): Date => new Date();
    writeFileSync(path, v2.bytes.subarray(0, 200));
    utimesSync(path, at(), at());
    one.tick();
    expect([readdirSync(inbox), events.length]).toEqual([['v2.bundle'], 0]);
    writeFileSync(path, v2.bytes);
    writeFileSync(join(inbox, 'large.bundle'), new Uint8Array(bundleMaxBytes + 1));
    one.tick();
    expect(inForce()).toBe(2);
    expect(readdirSync(inbox).sort()).toEqual(['large.bundle.refused', 'large.bundle.refused.txt']);
    writeFileSync(join(inbox, 'half.bundle'), v2.bytes.subarray(0, 200));
    utimesSync(join(inbox, 'half.bundle'), at(), at());
    vi.advanceTimersByTime(3_000);
    one.tick();
    expect(existsSync(join(inbox, 'half.bundle.refused'))).toBe(true);
    expect(one.status().refused.map(({ from, reason }) => [from, reason])).toEqual([
      ['inbox/large.bundle', 'unreadable'],
      ['inbox/half.bundle', 'not-a-bundle'],
    ]);
  });

  it('what the start refused → in the status and as an event like any other', () => {
    const notices = [
      { level: 'warn', text: 'site.bundle is refused: it was changed', isRefusal: true },
      { level: 'warn', text: 'there is no site.bundle; the stored bundle stays' },
    ] as const;
    const one = keeper('box-1', { notices });
    expect(one.status().refused).toMatchObject([{ from: 'start', reason: 'at-start' }]);
    expect(events.map(({ name }) => name)).toEqual(['bundle-refused']);
  });
});
