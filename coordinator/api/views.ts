import { foldAlarm } from '../alarms/alarm-fold.ts';
import { type Fleet, type MemberCount, nobody } from '../fleet/fleet.ts';
import { siteVerdict } from '../fleet/site-verdict.ts';
import type { AgentRow, AlarmRow, IncidentRow, Store } from '../store/store.ts';
import type {
  AgentView,
  AlarmView,
  DutyView,
  IncidentDetail,
  IncidentView,
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
