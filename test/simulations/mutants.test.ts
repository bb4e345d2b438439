import { spawnSync } from 'node:child_process';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { mutants as leaseMutants } from '../../simulations/leases/mutants.ts';
import { catalogue } from '../../simulations/mutants/catalogue.ts';
import { claimMutants } from '../../simulations/mutants/claims.ts';
import { membershipMutants } from '../../simulations/mutants/membership.ts';
import { hunt, type Mutant } from '../../simulations/mutants/mutant.ts';
import { permitMutants } from '../../simulations/mutants/permits.ts';
import { PlantedCore } from '../../simulations/mutants/planted-core.ts';
import { huntAll } from '../../simulations/mutants/pool.ts';
import { isGood, type MutantsReport, readable, summarize } from '../../simulations/mutants/report.ts';
import { runScenario } from '../../simulations/run.ts';

const mutantNamed = (name: string): Mutant => {
  const mutant = catalogue.find((one) => one.name === name);
  if (!mutant) throw new Error(`no mutant "${name}"`);
  return mutant;
};

describe('mutants of the membership', () => {
  it('a planted core without a mistake → the same trace as the code that ships, so the mistake is all that is planted', () => {
    for (const scenario of ['pause', 'restart']) {
      const shipped = runScenario({ scenario, agents: 6, seed: 3, durationS: 60 });
      const planted = runScenario({
        scenario,
        agents: 6,
        seed: 3,
        durationS: 60,
        core: (parts) => new PlantedCore(parts, {}),
      });
      expect(planted.traceHash).toBe(shipped.traceHash);
      expect(planted.traced).toBe(shipped.traced);
    }
  });

  const converge = 'views converge';
  const answered = 'an answered suspicion does not kill';
  it.each([
    ['no refutation', [converge, answered, 'no false death']],
    ['no verification', ['load does not grow with the site']],
    ['no local health', ['who hears badly accuses nobody']],
    ['incarnation lost at restart', ['incarnations never go back']],
    ['boot counter lost at restart', ['incarnations never go back']],
    ['late timers judged', [answered]],
    ['a word of the suspect counts for nothing', [converge]],
    ['the dead are not probed', [converge]],
    ['a burst is a death', ['no false death']],
    ['accuses while it hears nobody', ['who hears nobody accuses nobody']],
    ['no indirect probes', ['whom others reach nobody suspects']],
    ['numbers rise without a brake', ['numbers rise slowly']],
    ['a memory of death is a verdict', ['no false death']],
    ['a closed connection is a death', ['no false death']],
  ])('%s → found, while the code that ships passes the very same seeds', (name, invariants) => {
    const report = hunt(mutantNamed(name), { seeds: 8 });
    expect(report.found, report.command).toBe(true);
    expect(invariants).toContain(report.invariant);
    expect(report.shippedFails).toEqual([]);
  });
});

describe('mutants of the permits', () => {
  it.each([
    ['a permit does not linger', 'at most k repairs of a guard'],
    ['nobody asks for the permit', 'no step without its permit'],
  ])('%s → found, while the code that ships passes the same seeds', (name, invariant) => {
    expect(hunt(mutantNamed(name), { seeds: 12 })).toMatchObject({ found: true, invariant, shippedFails: [] });
  });
});

describe('the catalogue', () => {
  it('holds every mutant of leases, permits, claims and membership once', () => {
    const names = (part: string): string[] => catalogue.filter((one) => one.part === part).map(({ name }) => name);
    expect(names('leases')).toEqual([...leaseMutants.keys()]);
    expect(names('permits')).toEqual([...permitMutants.keys()]);
    expect(names('claims')).toEqual([...claimMutants.keys()]);
    expect(names('membership')).toEqual([...membershipMutants.keys()]);
    expect(new Set(catalogue.map(({ name }) => name)).size).toBe(catalogue.length);
  });

  it('one of the leases, one that only a story plants, one of the claims → found', () => {
    const lease = hunt(mutantNamed('token order unchecked'), { seeds: 50 });
    expect(lease).toMatchObject({ found: true, invariant: 'tokens only rise', story: null, shippedFails: [] });
    const story = hunt(mutantNamed('seals of a lost memory count'));
    expect(story).toMatchObject({ found: true, seed: null, seeds: 1, hits: 1, shippedFails: [] });
    expect(story.story).not.toBeNull();
    const claims = hunt(mutantNamed('run iff top-ranked'), { seeds: 30 });
    expect(claims).toMatchObject({ found: true, shippedFails: [] });
  }, 60_000);
});

describe('a hunt', () => {
  /** Breaks on these seeds; the code that ships, on those. */
  const mutant = (planted: readonly number[], shipped: readonly number[] = []): Mutant => ({
    part: 'leases',
    name: 'planted',
    seeds: 10,
    trial: (seed, isPlanted) =>
      (isPlanted ? planted : shipped).includes(seed) ? { invariant: 'order', text: `seed ${seed}` } : undefined,
  });

  it.each([
    ['on its third seed', mutant([3, 5]), {}, { found: true, seed: 3, seeds: 3, hits: 1 }],
    ['and goes on to see how often', mutant([3, 5]), { atLeast: 6 }, { found: true, seed: 3, seeds: 6, hits: 2 }],
    ['from another first seed', mutant([3, 5]), { from: 4 }, { found: true, seed: 5, seeds: 2, hits: 1 }],
    ['not within what was asked', mutant([30]), {}, { found: false, seed: null, seeds: 10, invariant: null }],
    ['never beyond the most', mutant([1, 2, 3]), { seeds: 2, atLeast: 9 }, { found: true, seeds: 2, hits: 2 }],
    ['a story once', { ...mutant([1]), story: 'told' }, { atLeast: 5 }, { found: true, seed: null, seeds: 1 }],
  ])('finds it %s', (_, planted, options, report) => {
    expect(hunt(planted, options)).toMatchObject({ ...report, shippedFails: [] });
  });

  it('the code that ships breaks something on the same seed → said, and nothing is good any more', () => {
    const report = hunt(mutant([2], [1]));
    expect(report.found).toBe(true);
    expect(report.shippedFails).toEqual([{ seed: 1, invariant: 'order', text: 'seed 1' }]);
    const all = summarize([report], 1);
    expect(isGood(all)).toBe(false);
    expect(readable(all)).toContain('THE CODE AS IT SHIPS broke something on 1 of the same 2 seeds');
  });

  it('something not found, or ended early → not good; all found → good', () => {
    const found = hunt(mutant([1]));
    const missed = hunt(mutant([]));
    expect(isGood(summarize([found], 1))).toBe(true);
    expect(isGood(summarize([found], 2))).toBe(false);
    expect(isGood(summarize([found, missed], 2))).toBe(false);
    expect(readable(summarize([missed], 1))).toContain(missed.command);
  });

  it('a trial that breaks itself → no report at all, and says which', async () => {
    await expect(huntAll([mutant([1])], { jobs: 1 })).rejects.toThrow('leases, planted: ');
  });
});

describe('npm run sim:mutants', () => {
  const run = (...words: string[]) =>
    spawnSync(process.execPath, [join(import.meta.dirname, '../../simulations/mutants/main.ts'), ...words], {
      encoding: 'utf8',
      env: { ...process.env, NODE_OPTIONS: '' },
    });

  it('--json → how many were planted and found, and by which seed', () => {
    const { status, stdout } = run('--json', '--only', 'brake', '--seeds', '2', '--from', '5', '--jobs', '1');
    const report = JSON.parse(stdout) as MutantsReport;
    expect(report).toMatchObject({ planted: 1, found: 1, shippedFails: 0, seeds: 2, isComplete: true });
    expect(report.mutants[0]).toMatchObject({
      part: 'membership',
      found: true,
      seed: 5,
      invariant: 'numbers rise slowly',
    });
    expect(status).toBe(0);
  });

  it('a seed that does not find it → exit code 1, a table, and what to try', () => {
    const { status, stdout } = run('--part', 'leases', '--only', 'answers to another life', '--seeds', '1');
    expect(stdout).toContain('NOT FOUND');
    expect(stdout).toContain("--only 'answers to another life count'");
    expect(status).toBe(1);
  });

  it.each([
    [['--only', 'nothing of that name'], 'see --list'],
    [['--part', 'verdicts'], 'there are leases, permits, claims, membership'],
    [['--loud'], '--loud'],
  ])('%j → exit code 2 and why', (words, why) => {
    const { status, stderr } = run(...words);
    expect(stderr).toContain(why);
    expect(status).toBe(2);
  });
});
