import { readdirSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { formatProblem } from '../../agent/config/problem.ts';
import { checkSite, parseSite } from '../../agent/config/site-file.ts';

const folder = join(dirname(fileURLToPath(import.meta.url)), 'fixtures');
const demo = join(folder, '..', '..', '..', 'simulations', 'demo', 'site.yaml');

/** One file per mistake; its last lines say what the checker must say, all of it and nothing else. */
const fixtures = readdirSync(folder).filter((file) => file.endsWith('.yaml'));

describe('site file: mistakes', () => {
  it('fixtures → are there, one for each thing that the checker says', () => {
    expect(fixtures.length).toBeGreaterThan(30);
  });

  it.each(fixtures)('%s → is told in words, at its place, once', (file) => {
    const text = readFileSync(join(folder, file), 'utf8');
    const expected = [...text.matchAll(/^# says: (.*)$/gm)].map((match) => match[1]);
    expect(expected.length).toBeGreaterThan(0);
    const { site, problems } = parseSite(text, file);
    expect(problems.map((problem) => formatProblem(problem).slice(file.length + 1))).toEqual(expected);
    expect(site === undefined).toBe(problems.some((problem) => problem.severity === 'error'));
  });

  it('ten presses of one type with one slip → one problem that counts them', () => {
    const presses = Array.from({ length: 10 }, (_, i) => `  press-${i}: { is: press, source: plc }`).join('\n');
    const { problems } = parseSite(
      `millwright: 1
site: plant
types:
  press:
    signals:
      oil: { address: s=Oil, unit: bar }
    checks:
      oil: { signal: oil, crit: below 2 mm }
agents: { box-1: {} }
assets:
  plc: { connect: { opcua: { endpoint: "opc.tcp://10.0.0.5:4840" } } }
${presses}
`,
      'site.yaml',
    );
    expect(problems.map((problem) => problem.message)).toEqual([
      'Limit in mm, signal in bar: these cannot be compared (in 10 presses)',
    ]);
  });

  it('an exception with a slip in one of two presses → is told at the exception, not at the type', () => {
    const text = readFileSync(join(folder, '14-no-why.yaml'), 'utf8').replace(
      'but: { checks/vibration/crit: above 9 mm/s }',
      'but: { checks/vibration/crit: above 9 bar, why: old guide rails }',
    );
    const { problems } = parseSite(text, 'site.yaml');
    expect(problems).toHaveLength(1);
    expect(problems[0]).toMatchObject({ path: 'assets/press-8/but/checks/vibration/crit', code: 'dimension' });
  });

  it('mistakes of shape and of meaning → come in the same run', () => {
    const { problems } = parseSite(
      'millwright: 1\nsite: plant\nagents: { box-1: {} }\ncolour: red\nchecks:\n  disk: { disk: /, crit: above 2 bar }\n',
      'site.yaml',
    );
    expect(problems.map((problem) => problem.code)).toEqual(['unknown-key', 'dimension']);
  });

  it('a file that is missing, empty, or too large → one problem, no throw', () => {
    expect(checkSite(join(folder, 'nowhere.yaml')).problems).toMatchObject([{ code: 'unreadable' }]);
    expect(parseSite('', 'site.yaml').problems).toMatchObject([{ code: 'shape' }]);
    expect(parseSite(`a: ${'x'.repeat(1_100_000)}`, 'site.yaml').problems).toMatchObject([{ code: 'too-large' }]);
  });

  it('a good file with any line cut, doubled or scrambled → problems or a site, never a throw', {
    timeout: 60_000,
  }, () => {
    const lines = readFileSync(demo, 'utf8').split('\n');
    fc.assert(
      fc.property(
        fc.nat(lines.length - 1),
        fc.constantFrom('drop', 'double', 'cut', 'scramble', 'indent'),
        fc.string({ maxLength: 12, unit: 'binary' }),
        fc.nat(60),
        (index, how, noise, at) => {
          const line = lines[index] ?? '';
          const changed =
            how === 'drop'
              ? []
              : how === 'double'
                ? [line, line]
                : how === 'cut'
                  ? [line.slice(0, at)]
                  : how === 'indent'
                    ? [`  ${line}`]
                    : [line.slice(0, at) + noise + line.slice(at)];
          const { site, problems } = parseSite(
            [...lines.slice(0, index), ...changed, ...lines.slice(index + 1)].join('\n'),
            'x',
          );
          expect(site !== undefined || problems.length > 0).toBe(true);
          for (const problem of problems) {
            expect(problem.line).toBeGreaterThanOrEqual(1);
            expect(problem.column).toBeGreaterThanOrEqual(1);
            expect(problem.message).not.toContain('undefined');
          }
        },
      ),
      { numRuns: 60, seed: 1 },
    );
  });
});
