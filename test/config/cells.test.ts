import { describe, expect, it } from 'vitest';
import { leaseOptions } from '../../agent/config/compile/cells.ts';
import { explainSite } from '../../agent/config/explain.ts';
import { formatProblems } from '../../agent/config/problem.ts';
import { parseSite } from '../../agent/config/site-file.ts';
import { trialSite } from '../../agent/config/site-init.ts';
import { storedEpoch, viewOf } from '../../agent/core/leases/cell-record.ts';
import { leaseDefaults } from '../../agent/core/leases/options.ts';
import { presets } from '../../agent/core/membership/options.ts';

const plant = `millwright: 1
site: plant
cells:
  line-3: { voters: [press-a, press-b, gateway-1], lease: 800ms, permits: { rebooting: 2 } }
  line-4: {}
agents:
  press-a: { cell: line-3, capacity: 4 }
  press-b: { cell: line-3 }
  gateway-1: { cell: line-3, role: witness }
  box-4: { cell: line-4 }
assets:
  plc:
    cell: line-3
    connect: { modbus: { host: 10.3.0.9, clients: 1 } }
    signals:
      speed: { address: "holding:1" }
  hmi:
    cell: line-3
    duties:
      run: { process: [/opt/hmi], exclusive: false }
    checks:
      up: { process: run }
    workflows:
      restart:
        when: crit("up")
        permit: rebooting
        steps: [{ process.restart: run, timeout: 7s }, { command.run: [/bin/x], timeout: 20s, lands-within: 9s }]
        budget: 3 per 1d
        verify: ok("up")
duties:
  historian: { process: [/opt/bridge], exclusive: true, critical: true, cell: line-3 }
  lone: { process: [/opt/lone], exclusive: true, cell: line-4 }
workflows:
  nightly: { at: daily 02:00, exclusive: true, cell: line-3, budget: 2 per 1d, steps: [{ command.run: [/bin/x] }], verify: not(dead("press-a")) }
`;
const parsed = parseSite(plant, 'site.yaml');
const site = parsed.site!;
const { plan } = site;
const name = (agent: number): string => plan.agents[agent]!.id;

describe('cells', () => {
  it('a revoked agent → every cell knows that its seals do not count; plan and epoch stay the same', () => {
    const bundle = { revoked: new Set(['press-b']) };
    const changed = parseSite(plant, 'site.yaml', { bundle }).site!.plan;
    expect(changed.hash).toBe(plan.hash);
    expect(changed.cells.map((cell) => cell.revoked?.map(name))).toEqual([['press-b'], ['press-b']]);
    const ids = plan.agents.map(({ id }) => id);
    const [before, after] = [storedEpoch(plan.cells[0]!, ids), storedEpoch(changed.cells[0]!, ids)];
    expect(after).toEqual({ ...before, revoked: ['press-b'] });
    expect(viewOf(after, ids).spec.revoked).toEqual([1]);
  });

  it('site file → voters, times, and one lease for each exclusive duty and each slot of a permit, in order', () => {
    expect(formatProblems(parsed.problems)).toBe('');
    const [three, four] = plan.cells;
    expect(three).toMatchObject({ index: 0, id: 'line-3', epoch: 1 });
    expect(three!.members.map(name)).toEqual(['press-a', 'press-b', 'gateway-1']);
    expect(three!.voters.map(name)).toEqual(['press-a', 'press-b', 'gateway-1']);
    expect(three!.options).toEqual({ leaseMs: 800, drift: 0.01, renewMs: 200, retryMs: 48, guardMs: 40 });
    expect(three!.leases.map(({ id, lingerMs, eligible }) => [id, lingerMs, eligible.map(name).join()])).toEqual([
      ['duty:plc/poll', 0, 'press-a,press-b'],
      ['duty:site/historian', 0, 'press-a,press-b'],
      ['duty:site/nightly', 0, 'press-a,press-b'],
      ['guard:line-3/rebooting/slot-1', 29_000, 'press-a,press-b'],
      ['guard:line-3/rebooting/slot-2', 29_000, 'press-a,press-b'],
    ]);
    expect(four!.voters.map(name)).toEqual(['box-4']);
    expect(four!.options).toEqual(leaseDefaults);
  });

  it('words of agents and duties → role, capacity, exclusive, critical, permit', () => {
    expect(plan.agents.map(({ role, capacity }) => [role, capacity])).toEqual([
      ['agent', 4],
      ['agent', undefined],
      ['witness', undefined],
      ['agent', undefined],
    ]);
    const words = plan.duties.map(({ id, exclusive, critical }) => [id, exclusive, critical]);
    expect(words).toEqual([
      ['plc/poll', true, false],
      ['hmi/run', false, false],
      ['site/historian', true, true],
      ['site/lone', true, false],
      ['site/nightly', true, false],
    ]);
    for (const duty of plan.duties) expect(duty.eligible.map(name)).not.toContain('gateway-1');
    expect(plan.duties[0]!.refusedBecause.get(2)).toBe('is a witness: it votes and carries nothing');
    expect(plan.workflows.map(({ id, permit }) => [id, permit])).toEqual([
      ['hmi/restart', { cell: 0, name: 'rebooting' }],
      ['site/nightly', undefined],
    ]);
  });

  it('epochs → 1 unless the bundle says otherwise, and they belong to the hash of the plan', () => {
    const later = parseSite(plant, 'site.yaml', { bundle: { epochs: new Map([['line-3', 7]]) } }).site!.plan;
    expect(later.cells.map((cell) => cell.epoch)).toEqual([7, 1]);
    expect(later.hash).not.toBe(plan.hash);
  });

  it('pace fast → members probed faster and grants of 800 ms, for at most ten agents', () => {
    const quick = (agents: number) => {
      const text = trialSite(agents, 'fast');
      return parseSite(text, 'site.yaml');
    };
    const { plan: ten } = quick(10).site!;
    expect(ten.membership).toEqual(presets.fast);
    expect(ten.cells[0]?.options.leaseMs).toBe(800);
    expect(quick(11).problems.map((problem) => problem.message)).toEqual([
      'Pace fast is for wired cells of at most 10 agents, cell has 11: say lan',
    ]);
  });

  it('lease of T → the other times in the proportions of the defaults', () => {
    expect(leaseOptions(leaseDefaults.leaseMs)).toEqual(leaseDefaults);
    for (const t of [400, 800, 10_000]) {
      const { renewMs, guardMs, retryMs } = leaseOptions(t);
      expect(renewMs).toBeLessThanOrEqual(t / 4);
      expect(guardMs).toBeLessThan(t / 4);
      expect(retryMs).toBeLessThan(renewMs);
    }
  });

  it('explain → says in words what exclusive means here', () => {
    const all = explainSite(site, parsed.model!) ?? '';
    expect(all).toContain(
      'line-3: 3 exclusive duties, 2 at once rebooting; a majority of press-a, press-b, gateway-1 decides; grants hold 800 ms, epoch 1',
    );
    expect(all).toContain('line-4: 1 exclusive duty; box-4 alone decides');
    expect(all).toContain('gateway-1  in cell line-3, a witness');
    const duties = explainSite(site, parsed.model!, 'site') ?? '';
    expect(duties).toContain(
      'Exclusive: never on two at once, perhaps on none for a while. It runs only while a majority of press-a, press-b, gateway-1 of cell line-3 grants it, for 800 ms at a time.',
    );
    expect(duties).toContain('Critical: it moves at once');
    const hmi = explainSite(site, parsed.model!, 'hmi') ?? '';
    expect(hmi).toContain('Rather on two for a moment than on none');
    expect(hmi).toContain('At most 2 at once in cell line-3');
    expect(hmi).toContain('the permit stays taken for 29 s');
    expect(explainSite(site, parsed.model!, 'gateway-1')).toContain('Witness: it votes and never carries a duty.');
  });
});
