import { expect, test } from 'vitest';
import { healthSchema } from '../../agent/wire/agent-status.ts';
import { listOf, siteStatementSchema } from '../../coordinator/api/schemas.ts';
import { Fleet } from '../../coordinator/fleet/fleet.ts';
import { siteVerdict } from '../../coordinator/fleet/site-verdict.ts';

type Said = {
  class: string;
  subject?: string;
  members?: string[];
  proven?: boolean;
  since?: number;
  evidence?: string[];
  text?: string;
};

/** Agents a … f as the broker tells of them; each sees the others as `states` says, alive by default. */
class Site {
  readonly fleet = new Fleet();
  readonly names: readonly string[];
  readonly states: Record<string, string>;

  constructor(names: readonly string[], states: Record<string, string> = {}) {
    this.names = names;
    this.states = states;
    for (const name of names) this.says(name);
  }

  #tell(agent: string, leaf: 'presence' | 'health', value: object, wall = 0): void {
    expect(this.fleet.heard(agent, leaf, Buffer.from(JSON.stringify(value)), wall)).toBeUndefined();
  }

  says(agent: string, ...verdict: Said[]): this {
    this.#tell(agent, 'presence', { v: 1, boot: 'b', ts: 0, state: 'online' });
    const members = this.names.map((name) => ({ agent: name, state: this.states[name] ?? 'alive' }));
    const health = { v: 1, boot: 'b', members, verdict: verdict.map((said) => ({ text: '', ...said })) };
    expect(healthSchema.safeParse(health).error).toBeUndefined();
    this.#tell(agent, 'health', health);
    return this;
  }

  /** The broker's word that its line ended. */
  ends(agent: string, at: number): this {
    this.#tell(agent, 'presence', { v: 1, boot: 'b', ts: at, state: 'offline' }, at);
    return this;
  }

  verdict(now = 100_000) {
    const items = siteVerdict(this.fleet.agents(), this.fleet.seen(), now);
    expect(listOf(siteStatementSchema).safeParse({ items }).error).toBeUndefined();
    return items;
  }

  ids(now?: number): string[] {
    return this.verdict(now).map(({ id }) => id);
  }
}

const names = ['a', 'b', 'c', 'd', 'e', 'f'];

test('site verdict: nobody says anything → nothing is the matter', () => {
  expect(new Site(names).ids()).toEqual([]);
});

test('site verdict: several say the same → once, with the earliest sign, its witnesses and some of the evidence', () => {
  const site = new Site(names, { f: 'dead' }).ends('f', 50_000);
  for (const [i, by] of names.slice(0, 5).entries()) {
    site.says(by, { class: 'gone', subject: 'f', since: 60_000 - i, evidence: [`f did not answer ${by}`] });
  }
  expect(site.verdict()).toEqual([
    {
      id: 'gone f',
      class: 'gone',
      subject: 'f',
      other: null,
      members: [],
      proven: false,
      since: 59_996,
      saidBy: ['a', 'b', 'c', 'd', 'e'],
      witnesses: 5,
      text: '',
      evidence: ['a', 'b', 'c', 'd'].map((by) => ({ by, texts: [`f did not answer ${by}`], facts: [null] })),
    },
  ]);
});

test('site verdict: one has the proof, many only think so → proven, and the proof is the first that is shown', () => {
  const site = new Site(names);
  for (const by of names.slice(0, 4)) site.says(by, { class: 'gone', subject: 'f', evidence: ['silence'] });
  site.says('e', { class: 'gone', subject: 'f', proven: true, evidence: ['the certificate'] });
  expect(site.verdict()).toMatchObject([{ proven: true, saidBy: ['a', 'b', 'c', 'd', 'e'] }]);
  expect(site.verdict()[0]!.evidence[0]).toEqual({ by: 'e', texts: ['the certificate'], facts: [null] });
  expect(site.verdict()[0]!.evidence).toHaveLength(4);
});

test.each<[string, (site: Site) => Site, string[]]>([
  ['both ends of a path complain → one path', (s) => s.says('a', { class: 'link', subject: 'c' }).says('c', { class: 'link', subject: 'a' }), ['link a c']],
  ['a box says that it is cut off, the others that it is gone → cut off', (s) => s.says('f', { class: 'i-am-cut' }).says('a', { class: 'gone', subject: 'f' }), ['i-am-cut f']],
  ['a segment, and some know of one of its boxes only → the segment', (s) => s.says('a', { class: 'segment', subject: 'sw', members: ['e', 'f'] }).says('b', { class: 'gone', subject: 'f' }), ['segment sw']],
  ['a box of the segment says it is cut off → the segment', (s) => s.says('a', { class: 'segment', subject: 'sw', members: ['e', 'f'] }).says('f', { class: 'i-am-cut' }), ['segment sw']],
  ['a box of the segment is proven dead → both', (s) => s.says('a', { class: 'segment', subject: 'sw', members: ['e', 'f'] }, { class: 'gone', subject: 'f', proven: true }), ['segment sw', 'gone f']],
  ['slow ones → each', (s) => s.says('b', { class: 'i-am-slow' }).says('a', { class: 'i-am-slow' }), ['i-am-slow a', 'i-am-slow b']],
  ['most lost the coordinator, one still tells → the coordinator', (s) => s.says('a', { class: 'coordinator' }), ['coordinator']],
  ['a class of a newer release → in its own words', (s) => s.says('a', { class: 'gremlins', text: 'there are gremlins' }), ['other a gremlins']],
  ['several troubles → the largest first', (s) => s.says('a', { class: 'i-am-slow' }, { class: 'link', subject: 'b' }, { class: 'gone', subject: 'f' }, { class: 'segment', subject: 'sw', members: ['d', 'e'] }), ['segment sw', 'gone f', 'link a b', 'i-am-slow a']],
])('site verdict: %s', (_, tell, ids) => { expect(tell(new Site(names)).ids()).toEqual(ids); }); // biome-ignore format: a table

test('site verdict: its line ended, the others see it alive → its own line, unless it is a restart or was said otherwise', () => {
  const site = new Site(names).ends('f', 90_000);
  expect(site.ids(94_999)).toEqual([]);
  expect(site.verdict(95_000)).toMatchObject([
    { id: 'my-uplink f', subject: 'f', since: 90_000, saidBy: [], evidence: [{ by: 'coordinator' }] },
  ]);
  site.says('a', { class: 'gone', subject: 'f' });
  expect(site.ids()).toEqual(['gone f']);
});

test('site verdict: its line ended after it left in order, or was seen to die → no word of its line', () => {
  for (const f of ['left', 'dead']) expect(new Site(names, { f }).ends('f', 0).ids()).toEqual([]);
});

test('site verdict: the lines of most ended while they live → the coordinator, with those who are not heard', () => {
  const site = new Site(names);
  for (const name of ['c', 'd', 'e', 'f']) site.ends(name, 80_000);
  expect(site.verdict()).toMatchObject([{ id: 'coordinator', members: ['c', 'd', 'e', 'f'], since: 80_000 }]);
});

test('site verdict: who is offline said it last → it does not count any more', () => {
  expect(new Site(names).says('a', { class: 'link', subject: 'b' }).ends('a', 99_000).ids()).toEqual([]);
});

test('site verdict: 300 slow boxes with clocks ahead → bounded, and nothing began in the future', () => {
  const many = Array.from({ length: 300 }, (_, i) => `box-${i}`);
  const site = new Site(many);
  for (const name of many) site.says(name, { class: 'i-am-slow', since: 1e15 });
  const items = site.verdict();
  expect(items).toHaveLength(200);
  expect(items.every(({ since }) => since === 100_000)).toBe(true);
});
