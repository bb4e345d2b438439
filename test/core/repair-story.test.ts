import { join } from 'node:path';
import { expect, test } from 'vitest';
import { bootId } from '../../agent/base/ids.ts';
import { Random } from '../../agent/base/random.ts';
import { type Instant, instant, never, wallTime } from '../../agent/base/time.ts';
import { loadSite } from '../../agent/config/site-file.ts';
import { AgentCore, freshStart } from '../../agent/core/agent-core.ts';
import type { LocalAlarm } from '../../agent/core/effect.ts';
import type { Input } from '../../agent/core/input.ts';
import type { JournalEntry } from '../../agent/core/remediation/journal-entry.ts';
import type { ReportBody } from '../../agent/core/reporting/report.ts';
import { Driver } from '../../agent/driver/driver.ts';
import type { ActionRequest, Ports } from '../../agent/driver/ports.ts';

/**
 * One box of the demo's own site in virtual time: the real core, the real driver, hands and senses of paper. It shows
 * that the parts fit each other, which none of their own tests can.
 */
class Box {
  now = instant(1_000);
  armed: Instant = never;
  readonly journal: JournalEntry[] = [];
  readonly reports: ReportBody[] = [];
  readonly alarms = new Map<string, LocalAlarm>();
  readonly hooks: string[] = [];
  readonly issued: ActionRequest[] = [];
  readonly running = new Set<number>();
  readonly polling = new Set<number>();
  readonly site = siteOf();
  readonly core: AgentCore;
  readonly driver: Driver;
  /** Bearing of the press, mm/s. */
  rms = 2;
  restartHelps = true;
  #queue: { at: number; seq: number; run: () => void }[] = [];
  #seq = 0;

  constructor() {
    const { plan } = this.site;
    const self = plan.agents.find((agent) => agent.id === 'edge-1')?.index ?? 0;
    this.core = new AgentCore({
      plan,
      identity: { self, boot: bootId('b'.repeat(32)), bootCounter: 1 },
      random: new Random(1),
      restored: freshStart,
    });
    this.driver = new Driver(this.core, this.#ports());
    this.driver.deliver({ kind: 'started', wall: wallTime(1_700_000_000_000) });
  }

  check(id: string): string {
    const spec = this.site.plan.checks.find((check) => check.id === id);
    return spec === undefined ? 'no such check' : this.core.health.status(spec.index);
  }

  duty(id: string): number {
    const duty = this.site.plan.duties.find((one) => one.id === id);
    if (duty === undefined) throw new Error(`no duty ${id}`);
    return duty.index;
  }

  later(ms: number, run: () => void): void {
    this.#queue.push({ at: this.now + ms, seq: this.#seq++, run });
  }

  pass(ms: number): void {
    const end = this.now + ms;
    for (;;) {
      this.#queue.sort((a, b) => a.at - b.at || a.seq - b.seq);
      const event = this.#queue[0];
      const next = Math.min(event?.at ?? Number.POSITIVE_INFINITY, this.armed);
      if (next > end) break;
      this.now = instant(Math.max(this.now, next));
      if (event !== undefined && event.at <= this.armed) {
        this.#queue.shift();
        event.run();
      } else {
        this.armed = never;
        this.driver.wake();
      }
    }
    this.now = instant(end);
  }

  #ports(): Ports {
    const deliver = (input: Input): void => this.driver.deliver(input);
    const { plan } = this.site;
    return {
      clock: {
        now: () => this.now,
        wall: () => wallTime(1_700_000_000_000 + this.now),
        arm: (at) => (this.armed = at),
      },
      mesh: { send: () => {}, publish: () => {}, tellDigests: () => {} },
      journal: {
        append: (token, entries) =>
          this.later(2, () => {
            this.journal.push(...entries);
            deliver({ kind: 'persisted', token });
          }),
        saveIncarnation: () => {},
        saveCheckpoint: () => {},
        setLocalAlarm: (alarm) => this.alarms.set(alarm.alarmId, alarm),
      },
      outbox: { publish: (report) => this.reports.push(report.body) > 0 },
      checks: {
        run: (check) =>
          this.later(3, () => {
            const probe = plan.checks[check]?.source;
            const what = probe?.kind === 'probe' ? (probe.probe as { kind: string; duty?: number }) : undefined;
            const status = what?.kind !== 'process' || this.running.has(what.duty ?? -1) ? 'ok' : 'crit';
            deliver({
              kind: 'check-observed',
              check,
              observation: { status, value: undefined, text: `it is ${status}`, perf: [] },
            });
          }),
      },
      duties: {
        start: (duty) =>
          this.later(5, () => {
            const work = plan.duties[duty]?.work;
            if (work?.kind === 'process') this.running.add(duty);
            if (work?.kind === 'poll') this.#poll(duty);
            deliver({ kind: 'duty-started', duty });
          }),
        stop: (duty) => this.later(5, () => deliver({ kind: 'duty-stopped', duty })),
      },
      actions: {
        baseline: (run, step) => this.later(1, () => deliver({ kind: 'baseline-read', run, step, baseline: 'pid 1' })),
        issue: (request) => {
          this.issued.push(request);
          this.later(30, () => {
            if (request.action.kind === 'process.restart' && this.restartHelps) this.running.add(request.action.duty);
            deliver({ ...request, kind: 'action-completed', outcome: 'ok', detail: 'started' });
          });
        },
        probe: () => {},
        cancel: () => {},
      },
      hooks: { run: (alarm, _argv, transition) => this.hooks.push(`${plan.alarms[alarm]?.id} ${transition}`) },
      observer: { observe: () => {} },
    };
  }

  #poll(duty: number): void {
    if (this.polling.has(duty)) return;
    this.polling.add(duty);
    for (const signal of this.site.plan.signals.filter((one) => one.duty === duty)) {
      const read = (): void => {
        const value = signal.id === 'press/bearing-rms' ? this.rms : signal.id === 'press/oil-pressure' ? 5 : 1;
        this.driver.deliver({
          kind: 'sample-received',
          sample: {
            signal: signal.index,
            value,
            quality: 'good',
            sourceTime: wallTime(1_700_000_000_000 + this.now),
            receiveTime: this.now,
          },
        });
        this.later(signal.everyMs, read);
      };
      this.later(signal.everyMs, read);
    }
  }
}

function siteOf() {
  const loaded = loadSite(join(import.meta.dirname, '..', '..', 'simulations', 'demo', 'site.yaml'));
  if (!loaded.ok) throw new Error(JSON.stringify(loaded.error));
  return loaded.value;
}

test('a service dies → its check, then the remediation and nothing else, restarts it; verified, with its figures', () => {
  const box = new Box();
  box.pass(10_000);
  const duty = box.duty('label-service/run');
  expect(box.core.duties.mine(duty)).toBe(true);
  expect(box.check('label-service/up')).toBe('ok');
  expect(box.issued, 'a start is no fault').toEqual([]);
  const killedAt = box.now;
  box.running.delete(duty);
  box.pass(15_000);
  expect(box.issued.map((request) => request.action)).toEqual([{ kind: 'process.restart', duty }]);
  expect(box.check('label-service/up')).toBe('ok');
  const incidents = box.reports.flatMap((body) => (body.type === 'incident' ? [body] : []));
  expect(incidents).toMatchObject([{ outcome: 'HEALED', workflow: 'label-service/restart', thing: 'label-service' }]);
  const { mttdMs, mttaMs, mttrMs, firstBadAt, healedAt } = incidents[0]!;
  expect(mttdMs).toBe(0);
  expect(mttaMs).toBeLessThan(100);
  expect(mttrMs).toBeGreaterThan(500);
  expect(mttrMs).toBeLessThan(2_000);
  expect(firstBadAt - wallTime(1_700_000_000_000 - 1_000 + killedAt)).toBeLessThanOrEqual(210);
  expect((healedAt ?? 0) - firstBadAt).toBe(mttrMs);
  const entries = box.journal.filter((entry) => entry.kind !== 'heartbeat').map((entry) => entry.kind);
  expect(entries).toEqual(['open', 'intent', 'done', 'verify', 'soak', 'end']);
});

test('a service that does not stay up → FAILED, its alarm stands; mended by hand → it goes', () => {
  const box = new Box();
  box.pass(10_000);
  const duty = box.duty('label-service/run');
  box.restartHelps = false;
  box.running.delete(duty);
  box.pass(20_000);
  expect(box.alarms.get('down.label-service')).toMatchObject({ state: 'on' });
  box.running.add(duty);
  box.pass(60_000);
  expect(box.alarms.get('down.label-service')).toMatchObject({ state: 'off' });
});

test('the bearing wears → local alarm with its first stamps, record before hook, within the dwell', () => {
  const box = new Box();
  box.pass(10_000);
  expect(box.check('press/vibration')).toBe('ok');
  box.rms = 7.9;
  const from = box.now;
  box.pass(600);
  const alarm = box.alarms.get('bearing-wear.press');
  expect(alarm).toMatchObject({ state: 'on', evidence: 'bearing-rms 7.9 mm/s above 7.1 mm/s' });
  expect((alarm?.since ?? 0) - (alarm?.firstSampleAt ?? 0)).toBe(200);
  expect((alarm?.firstSampleAt ?? 0) - (1_700_000_000_000 - 1_000 + from)).toBeLessThanOrEqual(101);
  expect(box.hooks).toEqual(['press/bearing-wear raised']);
  expect(box.reports).toContainEqual(
    expect.objectContaining({ type: 'alarm', alarmId: 'bearing-wear.press', state: 'on' }),
  );
  box.rms = 2;
  box.pass(15_000);
  expect(box.alarms.get('bearing-wear.press')).toMatchObject({ state: 'off' });
});
