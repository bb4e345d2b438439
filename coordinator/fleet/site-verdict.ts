import type { SiteStatement } from '../api/schemas.ts';
import { type FleetAgent, type MemberCount, nobody } from './fleet.ts';

/**
 * What is the matter with the site, in as few statements as explain it. Each agent says what it sees from its own box; a
 * person wants it once, whoever said it. So the same statement of several is one with several witnesses, a path is one
 * whichever end complains, and what a larger trouble explains is folded into it as further evidence.
 *
 * Two things no agent can say here: who lost its own line to the broker has none to say so by, and when all lost it
 * nobody has. Both follow from a presence that ended while the mesh goes on seeing the agent alive.
 *
 * Only agents that are online have a say; what the others said last may be long over. For people: nothing is decided
 * by it. Bounded: as many statements as `most`, as many witnesses and pieces of evidence as a page shows.
 */
export function siteVerdict(
  agents: readonly FleetAgent[],
  seen: ReadonlyMap<string, MemberCount>,
  now: number,
): SiteStatement[] {
  const online = agents.filter(({ presence }) => presence === 'online');
  const found = new Map<string, Draft>();
  for (const { agent, health } of online) {
    for (const said of health?.verdict ?? []) take(found, agent, said);
  }
  fold(found);
  addUnheard(found, agents, seen, now);
  const witnesses = (subject: string | null): number => online.filter(({ agent }) => agent !== subject).length;
  return [...found.values()]
    .map(({ saidBy, members, ...draft }) => ({
      ...draft,
      since: Math.min(now, draft.since),
      members: [...members].sort(),
      saidBy: [...saidBy].sort(),
      witnesses: witnesses(draft.subject),
    }))
    .sort((a, b) => order.indexOf(a.class) - order.indexOf(b.class) || a.since - b.since || (a.id < b.id ? -1 : 1))
    .slice(0, most);
}

/** Statements that a page shows; a site with more of them has one trouble that is larger than all of these. */
const most = 200;
const evidenceKept = 4;
/** A presence that ended this long ago is no restart any more. */
const unheardAfterMs = 5_000;

/** The largest trouble first. */
const order: readonly SiteStatement['class'][] = [
  'segment',
  'gone',
  'i-am-cut',
  'coordinator',
  'my-uplink',
  'link',
  'i-am-slow',
  'other',
];

interface Draft extends Omit<SiteStatement, 'members' | 'saidBy' | 'witnesses'> {
  readonly members: Set<string>;
  readonly saidBy: Set<string>;
  since: number;
  proven: boolean;
}

type Said = NonNullable<NonNullable<FleetAgent['health']>['verdict']>[number];

const isKnown = (word: string): word is SiteStatement['class'] => (order as readonly string[]).includes(word);

function take(found: Map<string, Draft>, by: string, said: Said): void {
  const kind = isKnown(said.class) ? said.class : 'other';
  const [subject, other] = about(kind, by, said);
  const id = kind === 'other' ? `other ${by} ${said.class}` : [kind, subject, other].filter(Boolean).join(' ');
  let draft = found.get(id);
  if (draft === undefined) {
    const { text } = said;
    draft = { id, class: kind, subject, other, text, since: said.since ?? Number.POSITIVE_INFINITY, proven: false, members: new Set(), saidBy: new Set(), evidence: [] }; // biome-ignore format: one record
    found.set(id, draft);
  }
  for (const member of said.members ?? []) draft.members.add(member);
  draft.saidBy.add(by);
  draft.since = Math.min(draft.since, said.since ?? Number.POSITIVE_INFINITY);
  draft.proven ||= said.proven === true;
  const texts = [...(said.evidence ?? [])];
  const facts = texts.map((_, i) => said.facts?.[i] ?? null);
  // Who has the proof is shown, however many only think so.
  if (said.proven === true) draft.evidence.unshift({ by, texts, facts });
  else draft.evidence.push({ by, texts, facts });
  draft.evidence.length = Math.min(draft.evidence.length, evidenceKept);
}

/** A box, and the other end if it is a path. */
function about(kind: SiteStatement['class'], by: string, { subject }: Said): [string | null, string | null] {
  switch (kind) {
    case 'gone':
    case 'segment':
      return [subject ?? null, null];
    case 'link': {
      const [one = by, two = null] = [by, subject ?? ''].filter((end) => end !== '').sort();
      return [one, two];
    }
    case 'coordinator':
      return [null, null];
    default:
      return [by, null];
  }
}

/** A box that says itself that it is cut off is not gone, and whose switch failed is neither. */
function fold(found: Map<string, Draft>): void {
  const segments = [...found.values()].filter((draft) => draft.class === 'segment');
  for (const [id, draft] of [...found]) {
    if (draft.subject === null || (draft.class !== 'gone' && draft.class !== 'i-am-cut')) continue;
    // A proven death is one of its own: its supervisor could speak.
    const cause = draft.proven
      ? undefined
      : (segments.find(({ members }) => members.has(draft.subject!)) ??
        (draft.class === 'gone' ? found.get(`i-am-cut ${draft.subject}`) : undefined));
    if (cause === undefined) continue;
    found.delete(id);
    for (const by of draft.saidBy) cause.saidBy.add(by);
    cause.since = Math.min(cause.since, draft.since);
    cause.evidence.push(...draft.evidence.slice(0, evidenceKept - cause.evidence.length));
  }
}

/** Who lives in the eyes of the others and is not heard here. */
function addUnheard(
  found: Map<string, Draft>,
  agents: readonly FleetAgent[],
  seen: ReadonlyMap<string, MemberCount>,
  now: number,
): void {
  const isMissing = (agent: string): boolean =>
    found.has(`gone ${agent}`) || [...found.values()].some((d) => d.class === 'segment' && d.members.has(agent));
  const unheard = agents.filter(({ agent, presence, presenceSince }) => {
    const { alive, suspect, dead, left } = seen.get(agent) ?? nobody();
    const isSilent = presence === 'offline' && presenceSince !== undefined && now - presenceSince >= unheardAfterMs;
    return isSilent && alive > suspect + dead + left && !isMissing(agent);
  });
  if (unheard.length === 0) return;
  const since = Math.min(...unheard.map(({ presenceSince }) => presenceSince!));
  const said = found.get('coordinator');
  if (said !== undefined || unheard.length * 2 > agents.length) {
    const draft = said ?? unheardDraft('coordinator', null, since, 0);
    for (const { agent } of unheard) draft.members.add(agent);
    draft.since = Math.min(draft.since, since);
    found.set(draft.id, draft);
    return;
  }
  for (const { agent, presenceSince } of unheard) {
    const { alive } = seen.get(agent) ?? nobody();
    const draft = unheardDraft('my-uplink', agent, presenceSince!, alive);
    found.set(draft.id, draft);
  }
}

function unheardDraft(kind: 'coordinator' | 'my-uplink', subject: string | null, since: number, alive: number): Draft {
  const id = subject === null ? kind : `${kind} ${subject}`;
  const facts = [{ kind: 'seen-alive', n: alive }];
  const evidence = alive === 0 ? [] : [{ by: 'coordinator', texts: [`${alive} agents see it alive`], facts }];
  return { id, class: kind, subject, other: null, members: new Set(), proven: false, since, saidBy: new Set(), text: '', evidence }; // biome-ignore format: one record
}
