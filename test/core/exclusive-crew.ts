import { agentId, bootId, entryId } from '../../agent/base/ids.ts';
import { Random } from '../../agent/base/random.ts';
import { instant, wallTime } from '../../agent/base/time.ts';
import { AgentCore } from '../../agent/core/agent-core.ts';
import type { DutySpec } from '../../agent/core/duties/duty.ts';
import type { Fence } from '../../agent/core/duties/exclusive-duties.ts';
import { dutyDefaults } from '../../agent/core/duties/options.ts';
import type { Effect } from '../../agent/core/effect.ts';
import type { Input } from '../../agent/core/input.ts';
import type { CellPlan } from '../../agent/core/leases/cell-plan.ts';
import { type CellEntry, type CellRecord, foldCell } from '../../agent/core/leases/cell-record.ts';
import { leaseDefaults } from '../../agent/core/leases/options.ts';
import { sessionId } from '../../agent/core/leases/session.ts';
import { lan } from '../../agent/core/membership/options.ts';
import type { JournalEntry } from '../../agent/core/remediation/journal-entry.ts';
import type { WorkflowSpec } from '../../agent/core/remediation/workflow.ts';
import type { SitePlan } from '../../agent/core/site-plan.ts';

export const lingerMs = 8_000;

const poll = (agents: number): DutySpec => ({
  index: 0,
  id: entryId('pump/poll'),
  thing: undefined,
  work: { kind: 'watch', thing: 0 },
  exclusive: true,
  critical: false,
  eligible: Array.from({ length: agents }, (_, agent) => agent),
  refusedBecause: new Map(),
  weight: new Map(),
});

/** Agents of one cell with one exclusive duty, and a permit with some slots; all of them vote. */
export function exclusivePlan(agents: number, slots = 1, workflows: readonly WorkflowSpec[] = []): SitePlan {
  const everybody = Array.from({ length: agents }, (_, agent) => agent);
  const duty = poll(agents);
  const cell: CellPlan = {
    index: 0,
    id: 'line',
    members: everybody,
    voters: everybody.slice(0, 3),
    epoch: 1,
    options: leaseDefaults,
    leases: [
      { id: 'duty:pump/poll', of: { kind: 'duty', duty: 0 }, eligible: everybody, lingerMs: 0 },
      ...Array.from({ length: slots }, (_, slot) => ({
        id: `guard:line/reboot/slot-${slot + 1}`,
        of: { kind: 'permit' as const, permit: 'reboot', slot: slot + 1 },
        eligible: everybody,
        lingerMs,
      })),
    ],
  };
  return {
    site: 'exclusive',
    version: 1,
    hash: 'exclusive',
    agents: everybody.map((index) => ({
      index,
      id: agentId(`box-${index}`),
      thing: index,
      cell: 'line',
      labels: new Map(),
      role: 'agent' as const,
      capacity: undefined,
    })),
    cells: [cell],
    things: everybody.map((index) => ({
      index,
      id: `box-${index}`,
      about: '',
      agent: index,
      state: undefined,
      lockout: undefined,
    })),
    signals: [],
    checks: [],
    models: [],
    conditions: [],
    duties: [duty],
    workflows,
    alarms: [],
    membership: lan,
    dutyOptions: dutyDefaults,
  };
}

export interface Box {
  readonly index: number;
  core: AgentCore | undefined;
  boots: number;
  frozenUntil: number;
  /** The right under which the duty runs here; undefined: it does not. */
  running: Fence | undefined;
  readonly leases: { readonly cell: string; readonly entry: CellEntry }[];
  readonly journal: JournalEntry[];
  readonly events: string[];
  /** Steps of workflows under way. */
  acting: number;
}

/** Whole cores on one clock: wires of 1 ms, disks of 2 ms, runners that start and stop within some milliseconds. */
export class ExclusiveCrew {
  readonly plan: SitePlan;
  readonly boxes: readonly Box[];
  now = 1_000;
  /** What the runner says to a start. */
  startFails: (box: number) => boolean = () => false;
  stopMs = 5;
  stepMs = 500;
  readonly cut = new Set<string>();
  readonly stops: { readonly box: number; readonly atOnce: boolean; readonly at: number }[] = [];
  /** Rights that went with steps of workflows. */
  readonly rights: { readonly box: number; readonly lease: string | undefined; readonly token: string | undefined }[] =
    [];
  readonly taken: { readonly box: number; readonly term: number; readonly checkpoint: number | undefined }[] = [];
  readonly #queue: { readonly at: number; readonly order: number; readonly act: () => void }[] = [];
  #order = 0;

  constructor(plan: SitePlan) {
    this.plan = plan;
    this.boxes = plan.agents.map(({ index }) => ({
      index,
      core: undefined,
      boots: 0,
      frozenUntil: 0,
      running: undefined,
      leases: [],
      journal: [],
      events: [],
      acting: 0,
    }));
  }

  start(index: number): void {
    const box = this.boxes[index]!;
    box.boots++;
    const records = new Map<string, CellRecord>();
    for (const { cell, entry } of box.leases) {
      const record = foldCell(records.get(cell), entry);
      if (record) records.set(cell, record);
    }
    const boot = bootId(`${index}`.padStart(16, '0') + `${box.boots}`.padStart(16, '0'));
    const core = new AgentCore({
      plan: this.plan,
      identity: { self: index, boot, bootCounter: box.boots },
      random: new Random(index, `life ${box.boots}`),
      restored: {
        incarnation: 0,
        journal: [...box.journal],
        checkpoints: [],
        alarms: [],
        leases: { records, isStoreWhole: true },
      },
    });
    box.core = core;
    this.deliver(index, { kind: 'started', wall: wallTime(1_700_000_000_000 + this.now) });
    for (const other of this.boxes) {
      if (other === box || other.core === undefined) continue;
      this.deliver(index, { kind: 'peer-connected', peer: other.index });
      this.deliver(other.index, { kind: 'peer-connected', peer: index });
    }
  }

  startAll(): this {
    for (const { index } of this.boxes) this.start(index);
    return this;
  }

  kill(index: number): void {
    const box = this.boxes[index]!;
    box.core = undefined;
    box.running = undefined;
    box.acting = 0;
  }

  deliver(index: number, input: Input): void {
    const box = this.boxes[index]!;
    const { core } = box;
    if (core === undefined) return;
    if (box.frozenUntil > this.now) {
      this.at(box.frozenUntil + 0.1, () => {
        if (box.core === core) this.deliver(index, input);
      });
      return;
    }
    const order = (effect: Effect) => (effect.kind.startsWith('persist') ? 0 : effect.kind === 'send' ? 1 : 2);
    const effects = [...core.step(instant(this.now), input)].sort((a, b) => order(a) - order(b));
    for (const effect of effects) this.#carryOut(box, core, effect);
    this.#arm(box, core);
  }

  holders(): number[] {
    return this.boxes.filter(({ running }) => running !== undefined).map(({ index }) => index);
  }

  at(at: number, act: () => void): void {
    this.#queue.push({ at, order: this.#order++, act });
  }

  run(forMs: number, each?: () => void): this {
    const until = this.now + forMs;
    for (;;) {
      let first = 0;
      for (let i = 1; i < this.#queue.length; i++) {
        const [a, b] = [this.#queue[i]!, this.#queue[first]!];
        if (a.at < b.at || (a.at === b.at && a.order < b.order)) first = i;
      }
      const next = this.#queue[first];
      if (next === undefined || next.at > until) break;
      this.#queue.splice(first, 1);
      this.now = Math.max(this.now, next.at);
      next.act();
      each?.();
    }
    this.now = until;
    return this;
  }

  runUntil(condition: () => boolean, mostMs = 30_000): number {
    const from = this.now;
    while (!condition()) {
      if (this.now - from > mostMs) throw new Error(`not within ${mostMs} ms`);
      this.run(5);
    }
    return this.now - from;
  }

  #carryOut(box: Box, core: AgentCore, effect: Effect): void {
    const later = (ms: number, input: () => Input) =>
      this.at(this.now + ms, () => {
        if (box.core === core) this.deliver(box.index, input());
      });
    switch (effect.kind) {
      case 'send': {
        const { to, message } = effect;
        if (this.cut.has(`${box.index}-${to}`) || this.cut.has(`${to}-${box.index}`)) return;
        this.at(this.now + 1, () => this.deliver(to, { kind: 'message-received', from: box.index, message }));
        return;
      }
      case 'publish':
        for (const { index } of this.boxes) {
          if (index === box.index || this.cut.has(`${box.index}-${index}`)) continue;
          this.at(this.now + 2, () => this.deliver(index, { kind: 'digest-received', digest: effect.digest }));
        }
        return;
      case 'persist-leases':
        later(2, () => {
          for (const entry of effect.entries) {
            box.leases.push({ cell: effect.cell, entry: structuredClone(entry) });
          }
          return { kind: 'leases-persisted', token: effect.token };
        });
        return;
      case 'persist':
        later(2, () => {
          box.journal.push(...effect.entries);
          return { kind: 'persisted', token: effect.token };
        });
        return;
      case 'open-session':
        later(1, () => ({
          kind: 'session-opened',
          cell: effect.cell,
          epoch: effect.epoch,
          id: sessionId(`${box.index}.${box.boots}.${effect.epoch}`),
        }));
        return;
      case 'start-duty':
        this.taken.push({ box: box.index, term: effect.term, checkpoint: effect.checkpoint?.data[0] });
        later(10, () => {
          if (this.startFails(box.index)) return { kind: 'duty-failed', duty: effect.duty, reason: 'no such program' };
          box.running = effect.fence;
          return { kind: 'duty-started', duty: effect.duty };
        });
        return;
      case 'extend-duty':
        if (box.running) box.running = effect.fence;
        return;
      case 'stop-duty': {
        const atOnce = effect.atOnce === true;
        this.stops.push({ box: box.index, atOnce, at: this.now });
        later(atOnce ? 1 : this.stopMs, () => {
          box.running = undefined;
          return { kind: 'duty-stopped', duty: effect.duty };
        });
        return;
      }
      case 'read-baseline':
        return later(1, () => ({ kind: 'baseline-read', run: effect.run, step: effect.step, baseline: '' }));
      case 'issue-action':
        box.acting++;
        this.rights.push({ box: box.index, lease: effect.fence?.lease, token: effect.fence?.token });
        this.at(this.now + this.stepMs, () => {
          if (box.core !== core) return;
          box.acting--;
          const { run, step, issue } = effect;
          this.deliver(box.index, {
            kind: 'action-completed',
            run,
            step,
            try: effect.try,
            issue,
            outcome: 'ok',
            detail: '',
          });
        });
        return;
      case 'report':
        if (effect.report.body.type === 'event')
          box.events.push(`${effect.report.body.name}: ${effect.report.body.text}`);
        return;
      default:
        return;
    }
  }

  #arm(box: Box, core: AgentCore): void {
    const deadline = core.deadline();
    if (deadline === Number.POSITIVE_INFINITY) return;
    const wake = () => {
      if (box.core !== core || core.deadline() > this.now) return;
      if (box.frozenUntil > this.now) {
        this.at(box.frozenUntil, wake);
        return;
      }
      this.deliver(box.index, { kind: 'ticked', lateMs: Math.max(0, this.now - core.deadline()) });
    };
    this.at(Math.max(deadline, this.now + 0.01), wake);
  }
}
