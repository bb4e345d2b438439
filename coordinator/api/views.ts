import { readExcerpt } from '../../agent/wire/evidence.ts';
import { foldAlarm } from '../alarms/alarm-fold.ts';
import { type Fleet, type MemberCount, nobody } from '../fleet/fleet.ts';
import { modelViews } from '../fleet/models.ts';
import { siteVerdict } from '../fleet/site-verdict.ts';
import type { AgentRow, AlarmRow, EventRow, IncidentRow, Store } from '../store/store.ts';
import type {
  AgentView,
  AlarmView,
  DutyView,
  EvidenceView,
  IncidentDetail,
  IncidentView,
  ModelView,
  RunView,
  SiteStatement,
} from './schemas.ts';

/** Turns rows and caches into what the API says (`schemas.ts`). Pure readers: nothing is changed here. */
export class Views {
  readonly #store: Store;
  readonly #fleet: Fleet;

  constructor(store: Store, fleet: Fleet) {
    this.#store = store;
    this.#fleet = fleet;
  }

  agents(): AgentView[] {
    const rows = new Map(this.#store.agents().map((row) => [row.agent, row]));
    const names = new Set([...rows.keys(), ...this.#fleet.agents().map((a) => a.agent)]);
    const seen = this.#fleet.seen();
    return [...names].sort().map((name) => this.#agent(name, rows.get(name), seen));
  }

  /** Only these, in the order given. */
  agentsNamed(names: readonly string[]): AgentView[] {
    const rows = new Map(this.#store.agents().map((row) => [row.agent, row]));
    const seen = this.#fleet.seen();
    return names.map((name) => this.#agent(name, rows.get(name), seen));
  }

  #agent(name: string, row: AgentRow | undefined, seen: ReadonlyMap<string, MemberCount>): AgentView {
    const live = this.#fleet.agent(name);
    const info = live?.info;
    const health = live?.health;
    const outbox = health?.outbox;
    return {
      agent: name,
      presence: live?.presence ?? 'unknown',
      presenceSince: live?.presenceSince ?? null,
      heardAt: row?.heardAt ?? null,
      boot: info?.boot ?? null,
      version: info?.version ?? null,
      pid: info?.pid ?? null,
      host: info?.host ?? null,
      api: info?.api ?? null,
      startedAt: info?.startedAt ?? null,
      plan: info?.plan ?? null,
      seenBy: seen.get(name) ?? nobody(),
      members: health?.members ?? [],
      duties: live?.presence === 'online' ? (health?.duties ?? []).map((d) => d.duty) : [],
      checks: (health?.checks ?? []).map((c) => ({ check: c.check, status: c.status, text: c.text ?? '' })),
      anomalous: health?.anomalous ?? [],
      maintenance:
        live?.presence === 'online'
          ? (health?.maintenance ?? []).map(({ by, order, until, ...rest }) => ({
              ...rest,
              by: by ?? null,
              order: order ?? null,
              until: until ?? null,
            }))
          : [],
      standing: health?.standing ?? null,
      localHealth: health?.localHealth ?? null,
      store: health?.store ?? null,
      outbox:
        outbox === undefined
          ? null
          : {
              pending: outbox.pending,
              bytes: outbox.bytes,
              refused: outbox.refused,
              oldestPendingAt: outbox.oldestPendingAt ?? null,
            },
      healthAt: live?.healthAt ?? null,
      stream: row === undefined ? null : { id: row.stream, highWater: row.highWater },
      quarantined: this.#store.quarantined(name),
    };
  }

  duties(): DutyView[] {
    return this.#fleet.duties().map((d) => ({
      duty: d.duty,
      kind: d.kind,
      about: d.about,
      holders: d.holders.map((h) => ({ agent: h.agent, term: h.term, since: h.since ?? null })),
    }));
  }

  /** Things of the site, as any agent's plan names them. */
  things(): { thing: string }[] {
    const names = new Set(this.#fleet.agents().flatMap(({ info }) => info?.things ?? []));
    return [...names].sort().map((thing) => ({ thing }));
  }

  models(): ModelView[] {
    return modelViews(this.#fleet.agents());
  }

  /** What is the matter with the site, `now` in wall time. */
  verdict(now: number): SiteStatement[] {
    return siteVerdict(this.#fleet.agents(), this.#fleet.seen(), now);
  }

  alarms(): AlarmView[] {
    return this.#store
      .alarms()
      .map((row) => this.#alarm(row))
      .sort(byNeed);
  }

  alarm(alarmId: string): AlarmView | undefined {
    const row = this.#store.alarm(alarmId);
    return row && this.#alarm(row);
  }

  incidents(limit: number): IncidentView[] {
    return this.#store.incidents(limit).map(incident);
  }

  incident(id: string): IncidentDetail | undefined {
    const row = this.#store.incident(id);
    if (row === undefined) return undefined;
    const entries = this.#store
      .runEntries(row.body.run)
      .map((e) => ({ entry: e.entry, at: e.ts, agent: e.agent, detail: e.detail }));
    return { ...incident(row), entries };
  }

  runs(limit: number): RunView[] {
    return this.#store.runs(limit).map(({ ts, ...row }) => ({ ...row, at: ts }));
  }

  /** What was recorded around a subject, newest first, each occurrence once. */
  evidence(subject: string, limit: number): EvidenceView[] {
    const seen = new Set<string>();
    const found: EvidenceView[] = [];
    // Told at most twice each, so this reaches as many as are wanted.
    for (const told of this.#store.evidenceTold(subject, limit * 3)) {
      const id = String(told.detail['evidence'] ?? '');
      if (found.length >= limit || seen.has(`${told.agent} ${id}`)) continue;
      seen.add(`${told.agent} ${id}`);
      found.push(evidence(told, this.#store.evidence(told.agent, id)));
    }
    return found;
  }

  #alarm(row: AlarmRow): AlarmView {
    const folded = foldAlarm(row.registers, new Set(row.acknowledged.map((a) => a.occurrence)));
    const voice = row.registers.find((r) => r.reporter === folded.reporter) ?? row.registers[0]!;
    const { body } = voice;
    const ack = row.acknowledged.find((a) => a.occurrence === folded.occurrence);
    const live = this.#fleet.agent(folded.reporter);
    const standing = folded.state === 'UNACK' || folded.state === 'ACKED';
    return {
      alarmId: row.alarmId,
      thing: body.thing,
      name: body.name,
      state: folded.state,
      blind: folded.blind,
      sourceLostSince: standing && live?.presence === 'offline' ? (live.presenceSince ?? null) : null,
      priority: body.priority,
      cause: body.cause,
      consequence: body.consequence,
      response: body.response,
      respondWithinMs: body.respondWithinMs,
      occurrence: folded.occurrence,
      reporter: folded.reporter,
      firstSampleAt: body.firstSampleAt,
      since: body.since,
      evidence: body.evidence,
      behind: body.behind ?? null,
      held: body.held ?? null,
      receivedAt: voice.receivedAt,
      acknowledgedBy: ack?.by ?? null,
      acknowledgedAt: ack?.at ?? null,
      reporters: row.registers.map((r) => ({
        reporter: r.reporter,
        term: r.term,
        state: r.state,
        occurrence: r.occurrence,
      })),
    };
  }
}

/** One evidence out of what was told of it: the curves of its last telling that has any. */
const evidence = (told: EventRow, tellings: readonly EventRow[]): EvidenceView => {
  const kept = tellings.find((row) => row.detail['stage'] === 'kept');
  let voice = told;
  let excerpt: ReturnType<typeof readExcerpt>;
  for (const row of kept === undefined ? tellings : [kept, ...tellings]) {
    excerpt = readExcerpt(String(row.detail['excerpt'] ?? ''));
    voice = row;
    if (excerpt !== undefined) break;
  }
  const [from, to] = [number(voice.detail['from']) ?? told.ts, number(voice.detail['to']) ?? told.ts];
  const first = tellings.find((row) => row.detail['stage'] === 'begun');
  return {
    evidence: String(told.detail['evidence'] ?? ''),
    agent: told.agent,
    thing: String(told.detail['thing'] ?? ''),
    occurrence: String(told.detail['occurrence'] ?? ''),
    stage: kept === undefined ? 'begun' : 'kept',
    toldAt: voice.receivedAt,
    from,
    to,
    // Before agents told it: the end of what led to it.
    at: excerpt?.at ?? number(first?.detail['to']) ?? told.ts,
    bytes: kept === undefined ? null : (number(kept.detail['bytes']) ?? null),
    sha256: kept === undefined ? null : String(kept.detail['sha256'] ?? ''),
    step: excerpt?.step ?? Math.max(0.1, (to - from) / 30_000),
    curves: excerpt?.curves ?? [],
  };
};

const number = (value: unknown): number | undefined =>
  typeof value === 'number' && Number.isFinite(value) ? value : undefined;

const incident = (row: IncidentRow): IncidentView => {
  const { type: _, ...body } = row.body;
  return {
    ...body,
    agent: row.agent,
    steps: body.steps.map((s) => ({ ...s })),
    healedAt: body.healedAt ?? null,
    mttdMs: body.mttdMs ?? null,
    mttaMs: body.mttaMs ?? null,
    mttrMs: body.mttrMs ?? null,
    receivedAt: row.receivedAt,
  };
};

const STATE_ORDER = { UNACK: 0, RTNUN: 1, ACKED: 2, NORM: 3 } as const;
const PRIORITY_ORDER = { urgent: 0, high: 1, medium: 2, low: 3 } as const;

/** Unacknowledged first, then priority, then the newest. */
const byNeed = (a: AlarmView, b: AlarmView): number =>
  STATE_ORDER[a.state] - STATE_ORDER[b.state] ||
  PRIORITY_ORDER[a.priority] - PRIORITY_ORDER[b.priority] ||
  b.since - a.since;
