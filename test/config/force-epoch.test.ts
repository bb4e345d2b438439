import { generateKeyPairSync } from 'node:crypto';
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { SealDesk } from '../../agent/adapters/seal-desk.ts';
import { openStore } from '../../agent/adapters/store/sqlite-journal.ts';
import { agentId } from '../../agent/base/ids.ts';
import { Random } from '../../agent/base/random.ts';
import { instant } from '../../agent/base/time.ts';
import { bundleFacts } from '../../agent/config/bundle-content.ts';
import { type ForceOptions, forceEpoch } from '../../agent/config/force-epoch.ts';
import { parseSite } from '../../agent/config/site-file.ts';
import { initSite, siteFolder } from '../../agent/config/site-init.ts';
import { signSite } from '../../agent/config/site-sign.ts';
import type { DirectMessage, Input } from '../../agent/core/input.ts';
import type { ForcedEpoch } from '../../agent/core/leases/ballot.ts';
import { type CellOutput, cellStamp } from '../../agent/core/leases/cell-leases.ts';
import { storedEpoch } from '../../agent/core/leases/cell-record.ts';
import { Leases } from '../../agent/core/leases/leases.ts';
import type { SitePlan } from '../../agent/core/site-plan.ts';
import { decodeDirect, encodeDirect } from '../../agent/wire/direct.ts';
import {
  type ForcedEpochFacts,
  type ForcedEpochStatement,
  forcedEpochMaxBytes,
  isForcedEpoch,
  judgeForcedEpoch,
  readForcedEpoch,
  signForcedEpoch,
} from '../../agent/wire/forced-epoch.ts';
import { type BundleCell, cellHash, readBundle, type SiteBundle } from '../../agent/wire/site-bundle.ts';
import { eventually } from '../support/eventually.ts';

const base = mkdtempSync(join(tmpdir(), 'millwright-force-'));
afterAll(() => rmSync(base, { recursive: true, force: true }));
const folder = siteFolder(join(base, 'site'));
const plant = (voters: string): string => `millwright: 1
site: plant
cells:
  line: { voters: [${voters}], permits: { rebooting: 1 } }
agents: { box-1: {}, box-2: {}, box-3: {}, box-4: {}, box-5: {} }
duties:
  historian: { process: [/opt/bridge], exclusive: true, cell: line }
`;
const next = join(base, 'next.bundle');
const statementFile = join(base, 'line.force');
const bundleAt = (path: string): SiteBundle => {
  const read = readBundle(readFileSync(path));
  if (!read.ok) throw new Error(read.error.text);
  return read.value;
};
const options = (change: Partial<ForceOptions> = {}): ForceOptions => ({
  cell: 'line',
  bundle: next,
  parent: folder.bundle,
  poweredOff: ['box-1', 'box-2'],
  key: folder.recoveryKey,
  by: 'Anna, shift lead',
  out: statementFile,
  ...change,
});
const sign = (voters: string, out: string, more: object = {}) => {
  const site = join(base, 'next.yaml');
  writeFileSync(site, plant(voters));
  return signSite({ site, key: folder.siteKey, parent: folder.bundle, out, ...more });
};

beforeAll(() => {
  const file = join(base, 'plant.yaml');
  writeFileSync(file, plant('box-1, box-2, box-3'));
  expect(initSite({ site: file, out: folder.out }).ok).toBe(true);
  expect(sign('box-3, box-4, box-5', next)).toMatchObject({ ok: true });
  expect(forceEpoch(options())).toMatchObject({ ok: true });
});

describe('site force-epoch', () => {
  it('a majority named → a statement under the recovery key, and a person is told what it is worth', () => {
    const made = forceEpoch(options({ at: new Date('2026-01-31T12:00:00Z') }));
    expect(made).toMatchObject({
      ok: true,
      value: {
        statement: {
          site: 'plant',
          cell: 'line',
          epoch: 1,
          poweredOff: ['box-1', 'box-2'],
          issuer: 'Anna, shift lead',
          at: '2026-01-31T12:00:00.000Z',
        },
        notes: [expect.stringContaining('box-1 and box-2 are off'), expect.stringContaining('two may act at once')],
      },
    });
    expect(isForcedEpoch(readFileSync(statementFile))).toBe(true);
    expect(isForcedEpoch(readFileSync(next))).toBe(false);
  });

  const other = join(base, 'other.key');
  writeFileSync(other, generateKeyPairSync('ed25519').privateKey.export({ type: 'pkcs8', format: 'pem' }));
  it.each<[string, Partial<ForceOptions>, string]>([
    ['the signing key', { key: folder.siteKey }, 'is forced under the recovery key'],
    ['a stranger’s key', { key: other }, 'is forced under the recovery key'],
    ['no key at all', { key: next }, 'is no Ed25519 private key'],
    ['a key that is not there', { key: join(base, 'nowhere') }, 'there is no'],
    ['too few attested', { poweredOff: ['box-1'] }, 'box-2, box-3 were not attested to be off, and are a majority'],
    ['the same one twice', { poweredOff: ['box-2', 'box-2'] }, 'are a majority'],
    ['one that does not vote', { poweredOff: ['box-1', 'box-4'] }, 'box-4 does not vote in epoch 1'],
    ['nobody', { poweredOff: [] }, 'are a majority'],
    ['another cell', { cell: 'hall' }, 'has no cell "hall"'],
    ['the bundle of now for the next', { bundle: folder.bundle }, 'site sign --next-epoch'],
    ['the two bundles the wrong way round', { bundle: folder.bundle, parent: next }, 'no epoch is skipped'],
    ['a site file for a bundle', { bundle: folder.siteFile }, 'it is no site bundle'],
    ['nobody’s name', { by: '' }, 'issuer'],
    ['a folder for the file', { out: base }, 'cannot be written'],
  ])('%s → refused, and nothing is written', (_, change, why) => {
    const out = join(base, 'refused.force');
    const made = forceEpoch(options({ out, ...change }));
    expect(made.ok ? 'signed' : made.error).toContain(why);
    expect(existsSync(out)).toBe(false);
  });

  it('the voters are the same, and their memory is gone → the epoch rises though nothing changed', () => {
    const again = join(base, 'again.bundle');
    expect(sign('box-1, box-2, box-3', again, { nextEpoch: ['hall'] }).ok).toBe(false);
    const signed = sign('box-1, box-2, box-3', again, { nextEpoch: ['line'] });
    expect(signed).toMatchObject({
      ok: true,
      value: { changes: ['cell line goes on to epoch 2, with all as it was: its voters begin anew'] },
    });
    const made = forceEpoch(options({ bundle: again, out: join(base, 'again.force') }));
    expect(made.ok && made.value.notes).toEqual(
      expect.arrayContaining([
        'box-1, box-2 vote in the next epoch too',
        'the next epoch has no majority without box-1, box-2: they must come back first',
      ]),
    );
  });
});

describe('a statement that forces an epoch', () => {
  const recovery = (): string => bundleAt(folder.bundle).recoveryKey;
  const bytes = (): Buffer => readFileSync(statementFile);
  const statement = (): ForcedEpochStatement => {
    const read = readForcedEpoch(bytes(), recovery());
    if (!read.ok) throw new Error(read.error.text);
    return read.value;
  };
  const pem = (): string => readFileSync(folder.recoveryKey, 'utf8');

  it('changed in any byte, or signed by another key → never believed', () => {
    const good = bytes();
    expect(readForcedEpoch(good, recovery()).ok).toBe(true);
    let believed = 0;
    for (let at = 0; at < good.length - 1; at++) {
      const changed = Buffer.from(good);
      changed[at] = changed[at]! ^ 1;
      const read = readForcedEpoch(changed, recovery());
      // The `kid` is for people: it is covered like all else.
      if (read.ok) believed++;
    }
    expect(believed).toBe(0);
    expect(readForcedEpoch(good, bundleAt(folder.bundle).signingKey)).toMatchObject({
      error: { reason: 'wrong-signature' },
    });
  });

  it.each<[string, (good: Buffer) => Uint8Array, string]>([
    ['nothing', () => Buffer.alloc(0), 'not-a-statement'],
    ['cut short', (good) => good.subarray(0, 100), 'not-a-statement'],
    ['a bundle', () => readFileSync(next).subarray(0, forcedEpochMaxBytes), 'not-a-statement'],
    ['far too long', () => Buffer.alloc(forcedEpochMaxBytes + 1, 32), 'too-large'],
    ['binary', () => Buffer.from([0xff, 0xfe, 0]), 'not-a-statement'],
  ])('%s → %s', (_, make, reason) => {
    expect(readForcedEpoch(make(bytes()), recovery())).toMatchObject({ ok: false, error: { reason } });
    expect(() => isForcedEpoch(make(bytes()))).not.toThrow();
  });

  it('what no agent would read → is not signed', () => {
    for (const change of [{ poweredOff: [] }, { epoch: 0 }, { epoch: 0xffff }, { at: 'today' }, { parent: 'x' }]) {
      expect(() => signForcedEpoch({ ...statement(), ...change }, pem())).toThrow();
    }
    expect(() => signForcedEpoch({ ...statement(), more: 1 } as ForcedEpochStatement, pem())).toThrow();
  });

  const line = (): BundleCell => bundleAt(next).cells[0]!;
  const facts = (change: Partial<ForcedEpochFacts> = {}): ForcedEpochFacts => ({
    site: 'plant',
    epoch: 1,
    voters: ['box-1', 'box-2', 'box-3'],
    next: line(),
    ...change,
  });
  it.each<[string, Partial<ForcedEpochStatement>, () => Partial<ForcedEpochFacts>, string | undefined]>([
    ['all as it should be', {}, () => ({}), undefined],
    [
      'three of five',
      { poweredOff: ['box-1', 'box-2', 'box-4'] },
      () => ({ voters: ['box-1', 'box-2', 'box-3', 'box-4', 'box-5'] }),
      undefined,
    ],
    ['another site', { site: 'other' }, () => ({}), 'wrong-site'],
    ['a cell that is none of this box', {}, () => ({ epoch: undefined }), 'no-such-cell'],
    ['a cell that the bundle does not have', {}, () => ({ next: undefined }), 'no-such-cell'],
    ['an epoch that is over', {}, () => ({ epoch: 2 }), 'stale-epoch'],
    ['an epoch that has not begun here', { epoch: 2 }, () => ({}), 'not-yet'],
    ['the bundle is not here yet', {}, () => ({ next: { ...line(), epoch: 1, parent: null } }), 'other-successor'],
    ['a rival bundle is here', {}, () => ({ next: { ...line(), voters: ['box-3'] } }), 'other-successor'],
    ['another epoch before it', { parent: '0'.repeat(64) }, () => ({}), 'other-parent'],
    ['somebody who never voted', { poweredOff: ['box-1', 'box-9'] }, () => ({}), 'no-voter'],
    ['too few attested', { poweredOff: ['box-3'] }, () => ({}), 'too-few'],
    ['two of five', {}, () => ({ voters: ['box-1', 'box-2', 'box-3', 'box-4', 'box-5'] }), 'too-few'],
  ])('%s', (_, change, known, reason) => {
    expect(judgeForcedEpoch({ ...statement(), ...change }, facts(known()))?.reason).toBe(reason);
  });

  it('the chain of the bundles and the statement agree on what the epochs are called', () => {
    const [before, after] = [bundleAt(folder.bundle).cells[0]!, line()];
    expect(statement()).toMatchObject({ parent: cellHash('plant', before), successor: cellHash('plant', after) });
    expect(after.parent).toBe(statement().parent);
  });
});

describe('one agent that gets it', () => {
  const planOf = (path: string): SitePlan => {
    const bundle = bundleAt(path);
    const { site, problems } = parseSite(bundle.siteFile, path, { modelRoot: base, bundle: bundleFacts(bundle) });
    if (site === undefined) throw new Error(JSON.stringify(problems));
    return site.plan;
  };

  /** Leases of one box on its real journal. `now` only rises. */
  class Box {
    readonly self: number;
    readonly dir: string;
    readonly bundle: string;
    now = 0;
    leases!: Leases;
    desk!: SealDesk;
    observed: string[] = [];
    floors = new Map<string, number>();
    forgeries = 0;
    store!: ReturnType<typeof openStore>;

    constructor(self: number, dir: string, bundle = next) {
      this.self = self;
      this.dir = dir;
      this.bundle = bundle;
    }

    start(): this {
      const plan = planOf(folder.bundle);
      const agentIds = plan.agents.map(({ id }) => agentId(id));
      this.store = openStore({
        dir: this.dir,
        deliver: (input: Input) => {
          if (input.kind !== 'leases-persisted') return;
          this.written++;
          this.do((out) => this.leases.persisted(this.time(), input.token, out));
        },
        log: { debug() {}, info() {}, warn() {}, error() {} } as never,
        duties: [],
      });
      const restored = this.store.restore().leases;
      this.leases = new Leases({
        cells: plan.cells,
        self: this.self,
        agentIds,
        boot: () => 1,
        random: new Random(this.self, `life ${this.now}`),
        records: restored?.records ?? new Map(),
        isStoreWhole: restored?.isStoreWhole ?? true,
      });
      const hash = storedEpoch(planOf(this.bundle).cells[0]!, agentIds).hash;
      this.desk = new SealDesk({
        site: 'plant',
        self: this.self,
        agentIds,
        key: generateKeyPairSync('ed25519').privateKey,
        keyOf: () => undefined,
        leases: () => this.leases,
        forged: () => this.forgeries++,
        bundle: () => bundleAt(this.bundle),
        epochHash: () => hash,
      });
      this.do((out) => this.leases.start(this.time(), out));
      return this;
    }

    time = () => ({ elapsed: instant(this.now), monotonic: instant(this.now) });

    do(act: (out: CellOutput[]) => void): void {
      const out: CellOutput[] = [];
      act(out);
      for (const output of out) {
        if (output.kind === 'persist') this.store.persistLeases(output.token, output.cell, output.entries);
        if (output.kind === 'observe') this.observed.push(output.what);
        if (output.kind === 'floors') for (const { lease, token } of output.floors) this.floors.set(lease, token.epoch);
      }
    }

    isFounded = (): boolean => this.written > 0;
    written = 0;

    isIn = (epoch: number): Promise<unknown> => eventually(() => this.leases.cells[0]!.epoch === epoch);

    /** As it arrives from a peer: by the wire, past the desk. */
    hear(message: DirectMessage): boolean {
      const encoded = encodeDirect(message);
      if (!encoded.ok) throw new Error(encoded.error.text);
      const decoded = decodeDirect(encoded.value, { agents: 5, duties: 1, leases: 2 } as never);
      if (!decoded.ok) throw new Error(decoded.error.text);
      const checked = this.desk.checked({ kind: 'message-received', from: 0, message: decoded.value as DirectMessage });
      if (checked?.kind !== 'message-received') return false;
      this.do((out) => this.leases.message(this.time(), 0, 1, checked.message as ForcedEpoch, out));
      return true;
    }
  }

  const box = (name: string, bundle = next): Box => new Box(3, mkdtempSync(join(base, `${name}-`)), bundle).start();
  const raw = (change: Partial<ForcedEpoch> = {}): ForcedEpoch => ({
    kind: 'lease-forced',
    cell: cellStamp('line'),
    epoch: 1,
    successor: '' as never,
    poweredOff: [],
    document: readFileSync(statementFile, 'utf8'),
    ...change,
  });

  it('from a person → the epoch begins, floors rise to it, and it is on the disk with the statement', async () => {
    const one = box('person');
    await eventually(() => one.isFounded());
    const judged = one.desk.forced(readFileSync(statementFile));
    expect(judged).toMatchObject({ ok: true, value: { epoch: 1, poweredOff: [0, 1] } });
    one.do((out) =>
      one.leases.accept(
        one.time(),
        'line',
        storedEpoch(
          planOf(next).cells[0]!,
          planOf(next).agents.map(({ id }) => id),
        ),
        out,
      ),
    );
    if (judged.ok) one.do((out) => one.leases.message(one.time(), 3, 1, judged.value, out));
    await one.isIn(2);
    expect(one.observed).toContain('forced');
    expect([...new Set(one.floors.values())]).toEqual([2]);
    one.store.close();

    const again = new Box(3, one.dir).start();
    expect(again.leases.cells[0]!.epoch).toBe(2);
    expect(again.leases.cells[0]!.voterNames).toEqual(['box-3', 'box-4', 'box-5']);
    // A peer that still speaks the old epoch is shown what this box was shown.
    const said: CellOutput[] = [];
    const wanted: DirectMessage = { kind: 'lease-epoch-wanted', cell: cellStamp('line'), epoch: 1 };
    again.leases.message(again.time(), 4, 1, wanted, said);
    expect(said).toMatchObject([{ kind: 'send', to: 4, message: { document: readFileSync(statementFile, 'utf8') } }]);
    again.store.close();
  });

  it('from a peer, with the bundle here → believed by the signature alone, whoever brought it', async () => {
    const one = box('peer');
    await eventually(() => one.isFounded());
    one.do((out) =>
      one.leases.accept(
        one.time(),
        'line',
        storedEpoch(
          planOf(next).cells[0]!,
          planOf(next).agents.map(({ id }) => id),
        ),
        out,
      ),
    );
    // What a peer says beside the document counts for nothing.
    expect(one.hear(raw({ successor: 'ab'.repeat(32) as never, poweredOff: [0, 1, 2] }))).toBe(true);
    await one.isIn(2);
    expect(one.hear(raw())).toBe(false);
    expect(one.forgeries).toBe(0);
    one.store.close();
  });

  it('from a peer, before the bundle is here → not yet, and nobody is blamed', () => {
    const one = box('early', folder.bundle);
    expect(one.hear(raw())).toBe(false);
    expect(one.desk.forced(readFileSync(statementFile))).toMatchObject({
      error: { reason: 'other-successor', text: expect.stringContaining('push that bundle first') },
    });
    expect(one.forgeries).toBe(0);
    expect(one.leases.cells[0]!.epoch).toBe(1);
    one.store.close();
  });

  it('forged, for another cell, or garbage → dropped, and said of whom it came', () => {
    const one = box('forged');
    const key = generateKeyPairSync('ed25519').privateKey.export({ type: 'pkcs8', format: 'pem' }) as string;
    const read = readForcedEpoch(readFileSync(statementFile), bundleAt(next).recoveryKey);
    const forged = read.ok ? Buffer.from(signForcedEpoch(read.value, key)).toString('utf8') : '';
    expect(one.hear(raw({ document: forged }))).toBe(false);
    expect(one.hear(raw({ document: '{}' }))).toBe(false);
    expect(one.hear(raw({ cell: cellStamp('hall') }))).toBe(false);
    expect(one.forgeries).toBe(2);
    expect(one.leases.cells[0]!.epoch).toBe(1);
    one.store.close();
  });
});
