import { bootId } from '../../agent/base/ids.ts';
import { Random } from '../../agent/base/random.ts';
import { instant, never, wallTime } from '../../agent/base/time.ts';
import { AgentCore, freshStart } from '../../agent/core/agent-core.ts';
import type { Input } from '../../agent/core/input.ts';
import type { JournalEntry } from '../../agent/core/remediation/journal-entry.ts';
import type { ReportBody } from '../../agent/core/reporting/report.ts';
import type { SitePlan } from '../../agent/core/site-plan.ts';
import { Driver } from '../../agent/driver/driver.ts';
import type { ActionRequest } from '../../agent/driver/ports.ts';

/**
 * The first agent of a plan with the real core and driver, a clock that stands until it is moved, a journal that is
 * durable at once, and hands that only write down what they were told. Who feeds it samples and scores is the test.
 */
export class PaperBox {
  readonly core: AgentCore;
  readonly driver: Driver;
  readonly reports: ReportBody[] = [];
  readonly journal: JournalEntry[] = [];
  readonly issued: ActionRequest[] = [];
  now = 1_000;
  #armed: number = never;

  constructor(plan: SitePlan) {
    const later = (input: Input): void => queueMicrotask(() => this.driver.deliver(input));
    this.core = new AgentCore({
      plan,
      identity: { self: 0, boot: bootId('b'.repeat(32)), bootCounter: 1 },
      random: new Random(1),
      restored: freshStart,
    });
    this.driver = new Driver(this.core, {
      clock: {
        now: () => instant(this.now),
        wall: () => wallTime(1_700_000_000_000 + this.now),
        arm: (at) => {
          this.#armed = at;
        },
      },
      mesh: { send: () => {}, publish: () => {}, tellDigests: () => {} },
      journal: {
        append: (token, entries) => {
          this.journal.push(...entries);
          later({ kind: 'persisted', token });
        },
        saveIncarnation: () => {},
        saveCheckpoint: () => {},
        setLocalAlarm: () => {},
      },
      outbox: { publish: ({ body }) => this.reports.push(body) > 0 },
      checks: { run: () => {} },
      duties: {
        start: (duty) => later({ kind: 'duty-started', duty }),
        stop: (duty) => later({ kind: 'duty-stopped', duty }),
      },
      actions: {
        baseline: (run, step) => later({ kind: 'baseline-read', run, step, baseline: '' }),
        issue: (request) => {
          this.issued.push(request);
          later({ ...request, kind: 'action-completed', outcome: 'ok', detail: '' });
        },
        probe: () => {},
        cancel: () => {},
      },
      hooks: { run: () => {} },
      observer: { observe: () => {} },
    });
    this.driver.deliver({ kind: 'started', wall: wallTime(1_700_000_000_000) });
    this.driver.deliver({ kind: 'clock-read', wall: wallTime(1_700_000_000_000), trusted: true });
  }

  /** Lets virtual time go by, with every wake-up in it and what follows from them. */
  async pass(ms: number): Promise<void> {
    const end = this.now + ms;
    for (;;) {
      await new Promise((resolve) => setImmediate(resolve));
      if (this.#armed > end) break;
      this.now = Math.max(this.now, this.#armed);
      this.#armed = never;
      this.driver.wake();
    }
    this.now = end;
  }
}
