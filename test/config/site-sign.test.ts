import { createPublicKey, generateKeyPairSync } from 'node:crypto';
import {
  copyFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { siteFromBundle } from '../../agent/config/agent-flags.ts';
import { BundleStore } from '../../agent/config/bundle-store.ts';
import { enrolAgent, initSite, siteFolder } from '../../agent/config/site-init.ts';
import { type SignOptions, signSite } from '../../agent/config/site-sign.ts';
import { oneLineKey } from '../../agent/wire/roster.ts';
import { rosterOf, type SiteBundle, verifyBundle } from '../../agent/wire/site-bundle.ts';

const base = mkdtempSync(join(tmpdir(), 'millwright-sign-'));
afterAll(() => rmSync(base, { recursive: true, force: true }));

const plant = `millwright: 1
site: plant
cells:
  line: { voters: [box-1, box-2, box-3] }
agents:
  box-1: { labels: { hw: n100 } }
  box-2: {}
  box-3: { role: witness }
duties:
  historian: { process: [/opt/bridge], exclusive: true, cell: line }
`;
const out = join(base, 'site');
const folder = siteFolder(out);
const read = (path: string): Buffer => readFileSync(path);
const keys = (): string[] => [read(folder.sitePub).toString(), read(folder.recoveryPub).toString()];
const verified = (path: string, current?: SiteBundle): SiteBundle => {
  const bundle = verifyBundle(read(path), { keys: keys() }, current);
  if (!bundle.ok) throw new Error(bundle.error.text);
  return bundle.value;
};
let count = 0;
let next = '';
const site = (text: string): string => {
  const path = join(base, `site-${count}.yaml`);
  writeFileSync(path, text);
  return path;
};
const sign = (text: string, options: Partial<SignOptions> = {}) =>
  signSite({ site: site(text), key: folder.siteKey, parent: folder.bundle, out: next, ...options });
const refusal = (text: string, options: Partial<SignOptions> = {}): string => {
  const signed = sign(text, options);
  if (signed.ok) return 'signed';
  return [signed.error.message, ...signed.error.problems.map((problem) => problem.message)].join('\n');
};
const newKey = (name: string): { open: string; secret: string } => {
  const { privateKey, publicKey } = generateKeyPairSync('ed25519');
  const [open, secret] = [join(base, `${name}.pub`), join(base, `${name}.key`)];
  writeFileSync(open, publicKey.export({ type: 'spki', format: 'pem' }));
  writeFileSync(secret, privateKey.export({ type: 'pkcs8', format: 'pem' }));
  return { open, secret };
};

let founding: SiteBundle;
beforeAll(() => {
  const file = join(base, 'plant.yaml');
  writeFileSync(file, plant);
  const made = initSite({ site: file, out });
  expect(made.ok).toBe(true);
  founding = verified(folder.bundle);
});
beforeEach(() => {
  count++;
  next = join(base, `next-${count}.bundle`);
});

describe('site init', () => {
  it('founds the site → era 1, version 1, signed, every key of the roster in it', () => {
    expect(founding).toMatchObject({ site: 'plant', era: 1, version: 1, parent: null, siteFile: plant });
    expect(founding.cells).toMatchObject([{ id: 'line', epoch: 1, parent: null, voters: ['box-1', 'box-2', 'box-3'] }]);
    expect(founding.agents).toMatchObject([
      { id: 'box-1', role: 'agent', labels: { hw: 'n100' } },
      { id: 'box-2', role: 'agent' },
      { id: 'box-3', role: 'witness' },
    ]);
    const listed = JSON.parse(read(folder.roster).toString()) as { agents: unknown };
    expect(rosterOf(founding).agents).toEqual(listed.agents);
    expect(statSync(folder.recoveryKey).mode & 0o777).toBe(0o600);
  });

  it('one more agent enrolled → the next bundle has it, on top of the last', () => {
    const own = join(base, 'enrol');
    const file = join(base, 'enrol.yaml');
    writeFileSync(file, plant);
    expect(initSite({ site: file, out: own }).ok).toBe(true);
    const there = siteFolder(own);
    const before = verifyBundle(read(there.bundle), { keys: [read(there.sitePub).toString()] });
    writeFileSync(there.siteFile, plant.replace('  box-3:', '  box-4: {}\n  box-3:'));
    expect(enrolAgent({ out: own, name: 'box-4' })).toMatchObject({ ok: true });
    const after = verifyBundle(read(there.bundle), { keys: [] }, before.ok ? before.value : undefined);
    expect(after).toMatchObject({ ok: true, value: { version: 2 } });
    expect(after.ok && after.value.agents.map((agent) => agent.id)).toContain('box-4');
  });
});

describe('site sign', () => {
  it('content changed → next version on top of the parent, the epoch stays', () => {
    const signed = sign(`${plant}checks:\n  disk: { disk: /, crit: above 95% }\n`);
    expect(signed).toMatchObject({ ok: true, value: { changes: ['the site file changed'] } });
    const bundle = verified(next, founding);
    expect(bundle).toMatchObject({ era: 1, version: 2, parent: founding.hash });
    expect(bundle.cells).toEqual(founding.cells);
    expect(bundle.agents).toEqual(founding.agents);
  });

  it.each([
    [
      'voters',
      plant.replace('[box-1, box-2, box-3]', '[box-1]'),
      'cell line goes on to epoch 2: voters box-1, box-2, box-3 → box-1',
    ],
    ['times', plant.replace('box-3] }', 'box-3], lease: 4s }'), 'cell line goes on to epoch 2: grants hold 4000 ms'],
    ['leases', plant.replace('historian', 'bridge'), 'its exclusive duties or permits, or who may hold them'],
    [
      'who may hold them',
      plant.replace('cell: line }', 'cell: line, where: label("hw") == "n100" }'),
      'or who may hold them',
    ],
  ])('%s of a cell changed → its epoch rises by one and names the one before', (_what, text, words) => {
    const signed = sign(text);
    expect(signed.ok && signed.value.changes.join('\n')).toContain(words);
    const bundle = verified(next, founding);
    expect(bundle.cells[0]?.epoch).toBe(2);
    const later = join(base, `later-${count}.bundle`);
    expect(sign(plant, { parent: next, out: later }).ok).toBe(true);
    expect(verified(later, bundle).cells[0]?.epoch).toBe(3);
  });

  it('cell taken out of the file → stays in the bundle with a higher epoch and nobody votes', () => {
    const text = plant.replace('  line: {', '  hall: {').replace('cell: line', 'cell: hall');
    expect(sign(text).ok).toBe(true);
    expect(verified(next, founding).cells.map(({ id, epoch, voters }) => [id, epoch, voters.length])).toEqual([
      ['hall', 1, 3],
      ['line', 2, 0],
    ]);
  });

  it('agent revoked → off the roster, and it is said where its vote will be missing', () => {
    const signed = sign(plant, { revoke: ['box-2'] });
    expect(signed.ok && signed.value.changes).toEqual([
      'box-2 is revoked: cut off at once',
      'box-2 is revoked and still votes in line: its vote is missing there, name another',
    ]);
    expect(rosterOf(verified(next, founding)).agents.map((agent) => agent.id)).toEqual(['box-1', 'box-3']);
    const later = join(base, `later-${count}.bundle`);
    expect(sign(plant, { parent: next, out: later }).ok).toBe(true);
    expect(verified(later, verified(next, founding)).agents[1]).toMatchObject({ id: 'box-2', revoked: true });
  });

  it('people who give orders → known by the key in the site file, the one beside the site’s own, or as they were', () => {
    const [mine, beside] = [newKey('anna-own'), newKey('anna-beside')];
    const people = (key = '') => `${plant}people: { anna: { may: [order]${key} }, ben: { may: [acknowledge] } }\n`;
    const keyOf = (signed: ReturnType<typeof sign>) => signed.ok && signed.value.bundle.operators;
    expect(keyOf(sign(people()))).toEqual([]);
    mkdirSync(folder.people, { recursive: true });
    copyFileSync(beside.open, join(folder.people, 'anna.pub'));
    const one = (path: string) => [{ name: 'anna', key: oneLineKey(read(path).toString()), may: ['order'] }];
    expect(keyOf(sign(people(), { out: join(base, 'beside.bundle') }))).toEqual(one(beside.open));
    const own = join(base, 'own.bundle');
    const raw = createPublicKey(read(mine.open)).export({ type: 'spki', format: 'der' }).subarray(-32);
    const written = sign(people(`, key: "ed25519:${raw.toString('base64')}"`), { out: own });
    expect(keyOf(written)).toEqual(one(mine.open));
    rmSync(folder.people, { recursive: true });
    expect(keyOf(sign(people(), { parent: own, out: join(base, 'kept.bundle') }))).toEqual(one(mine.open));
  });

  it('new signing key → named by the old one; the recovery key alone begins an era', () => {
    const fresh = newKey('fresh');
    expect(sign(plant, { newKey: fresh.open }).ok).toBe(true);
    const later = join(base, `later-${count}.bundle`);
    expect(refusal(plant, { parent: next, out: later })).toContain('as the key of the next bundle');
    expect(refusal(plant, { parent: next, out: later, key: fresh.secret })).toContain('--parent-key');
    const chained = { parent: next, out: later, key: fresh.secret, parentKeys: [folder.sitePub] };
    expect(refusal(plant, chained)).toBe('signed');

    const era = join(base, `era-${count}.bundle`);
    expect(refusal(plant, { out: era, newEra: true })).toContain('a new era is signed by the recovery key');
    expect(refusal(plant, { out: era, newEra: true, key: folder.recoveryKey })).toContain('needs a new signing key');
    const rescued = sign(plant, { out: era, newEra: true, key: folder.recoveryKey, newKey: fresh.open });
    expect(rescued).toMatchObject({ ok: true, value: { bundle: { era: 2, version: 2 } } });
    expect(verified(era, verified(next, founding)).era).toBe(2);
  });

  it.each<[string, () => string, string]>([
    [
      'parent changed after signing',
      () => {
        const bad = join(base, 'bad.bundle');
        writeFileSync(
          bad,
          read(folder.bundle)
            .toString()
            .replace(/"payload":"(.)/, (_, c) => `"payload":"${c === 'a' ? 'b' : 'a'}`),
        );
        return refusal(plant, { parent: bad });
      },
      'it was changed after signing',
    ],
    ['parent that is not there', () => refusal(plant, { parent: '/nowhere' }), 'millwright site init founds a site'],
    [
      'older than what stands there',
      () => {
        expect(sign(plant).ok).toBe(true);
        const third = join(base, 'third.bundle');
        expect(sign(plant, { parent: next, out: third }).ok).toBe(true);
        return refusal(plant, { out: third });
      },
      'has version 3, the parent 1: sign on top of the newest',
    ],
    ['a stranger key', () => refusal(plant, { key: newKey('stranger').secret }), 'no key that this box trusts'],
    ['no key at all', () => refusal(plant, { key: folder.psk }), 'is no Ed25519 private key'],
    [
      'two voters of one key',
      () => {
        const key = `"ed25519:${Buffer.from(founding.agents[0]!.key, 'base64').subarray(12).toString('base64')}"`;
        return refusal(plant.replace('box-2: {}', `box-2: { key: ${key} }`));
      },
      'box-1 and box-2 have one key: two votes in line of one box',
    ],
    [
      'a cell without voters',
      () => refusal(plant.replace('{ voters: [box-1, box-2, box-3] }', '{}')),
      'say whose majority decides',
    ],
    ['two voters', () => refusal(plant.replace(', box-3]', ']')), 'line has 2 voters: name 1, 3 or 5'],
    [
      'a duty nobody is eligible for',
      () => refusal(plant.replace('cell: line }', 'cell: line, where: label("hw") == "n97" }')),
      'Nobody may run historian: no agent in line has the label hw=n97',
    ],
    ['an agent without a key', () => refusal(plant.replace('agents:', 'agents:\n  box-9: {}')), 'box-9 has no key'],
    [
      'another site',
      () => refusal(plant.replace('site: plant', 'site: hall')),
      'is site "hall", the parent is of "plant"',
    ],
    ['a mistake in the file', () => refusal(plant.replace('agents', 'agnets')), 'has mistakes; nothing was signed'],
    ['somebody unknown revoked', () => refusal(plant, { revoke: ['box-7'] }), 'there is no agent "box-7" to revoke'],
  ])('%s → refused in words, nothing written', (_what, attempt, words) => {
    const before = existsSync(next);
    expect(attempt()).toContain(words);
    if (!before && !_what.startsWith('older')) expect(existsSync(next)).toBe(false);
  });
});

describe('bundle in force on a box', () => {
  const trust = () => ({ keys: keys() });
  const inForce = (dataDir: string, file: string) => siteFromBundle({ dataDir, file, trust: trust() });

  it('newer and valid → taken and kept; older, forged or damaged → refused, the last one stays', () => {
    const data = mkdtempSync(join(base, 'data-'));
    expect(inForce(data, folder.bundle)).toMatchObject({ ok: true, value: { bundle: { version: 1 }, notices: [] } });
    expect(sign(plant.replace('[box-1, box-2, box-3]', '[box-1]')).ok).toBe(true);
    const now = inForce(data, next);
    expect(now).toMatchObject({ ok: true, value: { bundle: { version: 2 } } });
    expect(now.ok && now.value.site.plan.cells[0]).toMatchObject({ epoch: 2, voters: [0] });

    expect(inForce(data, folder.bundle)).toMatchObject({ ok: true, value: { bundle: { version: 2 }, notices: [] } });
    const torn = join(data, 'torn.bundle');
    writeFileSync(torn, read(next).subarray(0, 700));
    const kept = inForce(data, torn);
    expect(kept).toMatchObject({ ok: true, value: { bundle: { version: 2 } } });
    expect(kept.ok && kept.value.notices[0]?.text).toContain('cut short, or another file; version 2');
    expect(inForce(data, '/nowhere')).toMatchObject({ ok: true, value: { bundle: { version: 2 } } });
  });

  it('chain of keys → a box that followed it starts again, although site.pub is the old one', () => {
    const data = mkdtempSync(join(base, 'data-'));
    const fresh = newKey(`fresh-${count}`);
    expect(sign(plant, { newKey: fresh.open }).ok).toBe(true);
    const later = join(base, `later-${count}.bundle`);
    const chained = { parent: next, out: later, key: fresh.secret, parentKeys: [folder.sitePub] };
    expect(sign(plant, chained).ok).toBe(true);
    expect(inForce(data, later)).toMatchObject({ ok: false });
    for (const [file, version] of [
      [folder.bundle, 1],
      [next, 2],
      [later, 3],
      ['/nowhere', 3],
    ] as const) {
      expect(inForce(data, file)).toMatchObject({ ok: true, value: { bundle: { version } } });
    }
  });

  it('away for two epochs → refused at once, and taken step by step from a box that saw both', () => {
    const data = mkdtempSync(join(base, 'data-'));
    const chain = [folder.bundle];
    const votes = ['[box-1, box-2, box-3]', '[box-1]', '[box-1]', '[box-2]', '[box-2]'];
    for (const [i, voters] of votes.entries()) {
      if (i === 0) continue;
      const path = join(base, `chain-${count}-${i}.bundle`);
      const text = `${plant.replace('[box-1, box-2, box-3]', voters)}# ${i}\n`;
      expect(sign(text, { parent: chain[i - 1]!, out: path }).ok).toBe(true);
      chain.push(path);
    }
    for (const file of chain) expect(inForce(data, file).ok).toBe(true);
    const store = new BundleStore(data);

    const away = mkdtempSync(join(base, 'data-'));
    const taken: number[] = [];
    expect(inForce(away, folder.bundle).ok).toBe(true);
    const last = inForce(away, chain[4]!);
    expect(last.ok && last.value.notices[0]?.text).toContain('the bundles between come first');
    for (let at = founding; taken.length < 5; ) {
      const bytes = store.next(at);
      const file = join(base, `fetched-${count}.bundle`);
      writeFileSync(file, bytes ?? '');
      const now = inForce(away, file);
      if (!now.ok || now.value.bundle.version === at.version) break;
      at = now.value.bundle;
      taken.push(at.version);
    }
    expect(taken).toEqual([2, 4, 5]);
    expect(readdirSync(join(data, 'bundle', 'steps'))).toHaveLength(2);
  });

  it('stored bundle damaged on the disk → told, and the one beside the agent is judged anew', () => {
    const data = mkdtempSync(join(base, 'data-'));
    expect(inForce(data, folder.bundle).ok).toBe(true);
    const stored = join(data, 'bundle', 'site.bundle');
    writeFileSync(stored, read(stored).subarray(0, 900));
    const again = inForce(data, folder.bundle);
    expect(again).toMatchObject({ ok: true, value: { bundle: { version: 1 } } });
    expect(again.ok && again.value.notices[0]?.text).toContain('is damaged');
    expect(inForce(data, '/nowhere')).toMatchObject({ ok: true, value: { bundle: { version: 1 }, notices: [{}] } });
  });

  it('without site.pub → the first bundle is believed, later ones must follow from it', () => {
    const data = mkdtempSync(join(base, 'data-'));
    const blind = (file: string) => siteFromBundle({ dataDir: data, file, trust: { keys: [] } });
    const first = blind(folder.bundle);
    expect(first.ok && first.value.notices[0]?.text).toContain('believed from now on');
    const other = join(base, `other-${count}`);
    const file = join(base, 'plant.yaml');
    expect(initSite({ site: file, out: other }).ok).toBe(true);
    const refused = blind(siteFolder(other).bundle);
    expect(refused).toMatchObject({ ok: true, value: { bundle: { hash: founding.hash } } });
    expect(refused.ok && refused.value.notices[0]?.text).toContain('is refused');
  });
});
