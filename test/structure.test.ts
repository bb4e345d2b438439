import { readdirSync, readFileSync } from 'node:fs';
import { dirname, join, relative } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';

const root = join(dirname(fileURLToPath(import.meta.url)), '..');

/** Folders are floors; imports go down only. The longest prefix decides. */
const floors: readonly (readonly [prefix: string, floor: number])[] = [
  ['agent/base/', 0],
  ['agent/core/membership/', 1],
  ['agent/core/duties/', 1],
  ['agent/core/health/', 1],
  ['agent/core/remediation/', 1],
  ['agent/core/reporting/', 1],
  ['agent/core/leases/', 1],
  ['agent/core/verdict/', 1],
  ['agent/core/', 2],
  ['agent/wire/', 3],
  ['agent/driver/', 4],
  ['agent/adapters/', 5],
  ['agent/supervisor/', 5],
  ['agent/api/', 5],
  ['agent/config/', 5],
  ['models/', 5],
  ['coordinator/', 5],
  ['coordinator/coordinator.ts', 6],
  ['coordinator/main.ts', 6],
  ['agent/agent.ts', 6],
  ['agent/main.ts', 6],
  ['agent/agent-face.ts', 6],
  ['agent/bundle-keeper.ts', 6],
  ['agent/guardian.ts', 6],
  ['agent/keyring.ts', 6],
  ['agent/obedience.ts', 6],
  ['agent/stops.ts', 6],
  ['agent/status.ts', 6],
  ['agent/doctor.ts', 6],
  ['agent/ask.ts', 6],
  ['agent/order-command.ts', 6],
  ['agent/plc/', 6],
  ['agent/model-command.ts', 6],
  ['agent/model-lines.ts', 6],
  ['simulations/', 6],
  ['millwright.ts', 7],
];

interface Import {
  readonly file: string;
  readonly specifier: string;
  /** Path below the root for relative imports, else undefined. */
  readonly target: string | undefined;
}

const sources = walk(root).filter(
  (file) => !file.startsWith('test/') && !file.startsWith('coordinator/console/') && file !== 'vitest.config.ts',
);
const imports = sources.flatMap(importsOf);

const floorOf = (file: string): number | undefined =>
  floors.filter(([prefix]) => file.startsWith(prefix)).sort(([a], [b]) => b.length - a.length)[0]?.[1];

describe('structure', () => {
  it('every source file → stands on a named floor', () => {
    expect(sources.length).toBeGreaterThan(30);
    expect(sources.filter((file) => floorOf(file) === undefined)).toEqual([]);
  });

  it('imports → go down only, or stay on their own floor', () => {
    const upward = imports
      .filter(({ target }) => target !== undefined)
      .filter(({ file, target }) => (floorOf(target ?? '') ?? 99) > (floorOf(file) ?? -1))
      .map(({ file, target }) => `${file} → ${target}: lift what is shared to a lower floor, or hand it in as a port`);
    expect(upward).toEqual([]);
  });

  it('parts of the core → do not import their siblings', () => {
    const part = (path: string) => /^agent\/core\/([a-z]+)\//.exec(path)?.[1];
    const crossing = imports
      .filter(({ file, target }) => part(file) !== undefined && part(target ?? '') !== undefined)
      .filter(({ file, target }) => part(file) !== part(target ?? ''))
      .map(
        ({ file, target }) => `${file} → ${target}: what parts share stands in agent/base; agent-core.ts connects them`,
      );
    expect(crossing).toEqual([]);
  });

  it('base and core → import nothing but each other: no library, nothing of Node', () => {
    const foreign = imports
      .filter(({ file }) => (floorOf(file) ?? 9) <= 2)
      .filter(({ target }) => target === undefined)
      .map(({ file, specifier }) => `${file} → ${specifier}: the core is values in, values out; put it in an adapter`);
    expect(foreign).toEqual([]);
  });

  it('driver → imports nothing of Node or a library: completions come back as inputs', () => {
    const foreign = imports
      .filter(({ file, target }) => file.startsWith('agent/driver/') && target === undefined)
      .map(({ file, specifier }) => `${file} → ${specifier}`);
    expect(foreign).toEqual([]);
  });

  it('supervisor → imports its own folder and four modules of Node, nothing else', () => {
    const foreign = imports
      .filter(({ file }) => file.startsWith('agent/supervisor/') && !/\/(launch|bundle)\.ts$/.test(file))
      .filter(({ specifier, target }) =>
        target === undefined
          ? !/^node:(child_process|dgram|fs|stream)$/.test(specifier)
          : !target.startsWith('agent/supervisor/') || /\/(launch|bundle)\.ts$/.test(target),
      )
      .map(({ file, specifier }) => `${file} → ${specifier}: it stands beside every agent and has to stay small`);
    expect(foreign).toEqual([]);
  });

  it('coordinator → knows of the agent only base and wire: the contract between the two lives there', () => {
    const beyond = imports
      .filter(({ file }) => file.startsWith('coordinator/'))
      .filter(({ target }) => target !== undefined && !/^(coordinator|agent\/base|agent\/wire)\//.test(target))
      .map(({ file, target }) => `${file} → ${target}: add it to agent/wire`);
    expect(beyond).toEqual([]);
  });

  it('simulations → never import adapters, config or models: real processes are started from outside', () => {
    const inside = imports
      .filter(({ file }) => file.startsWith('simulations/'))
      .filter(({ target }) => target !== undefined && (floorOf(target) ?? 0) === 5)
      .map(({ file, target }) => `${file} → ${target}: start it as a process, or model it in a world`);
    expect(inside).toEqual([]);
  });

  it('pure floors and driver → never name a clock, chance or a timer', () => {
    const banned =
      /\b(Math\.random|Date\.now|new Date\(|performance\.|setTimeout|setInterval|setImmediate|queueMicrotask|process\.|console\.|fetch\(|async |await |Promise)/;
    const found = sources
      .filter((file) => /^agent\/(base|core|driver)\//.test(file))
      .flatMap((file) =>
        stripComments(readFileSync(join(root, file), 'utf8'))
          .split('\n')
          .map((line, index) => ({ line, at: `${file}:${index + 1}` }))
          .filter(({ line }) => banned.test(line.replace(/'[^']*'/g, "''")))
          .map(
            ({ line, at }) =>
              `${at} ${line.trim()}: time comes as \`now\`, chance as \`Random\`, completions as inputs`,
          ),
      );
    expect(found).toEqual([]);
  });

  it('processes → are started by argument vector, never through a shell', () => {
    const found = sources
      .flatMap((file) =>
        stripComments(readFileSync(join(root, file), 'utf8'))
          .split('\n')
          .map((line, index) => ({ line, at: `${file}:${index + 1}` })),
      )
      .filter(({ line }) =>
        /\bshell:\s*true|(?<![.\w])(exec|execSync)\(['"`]|['"]\/?(bin\/)?sh['"],\s*\[['"]-c/.test(line),
      )
      .map(({ at, line }) => `${at} ${line.trim()}`);
    expect(found).toEqual([]);
  });

  it('imports → carry their extension, so that Node runs the files as they are written', () => {
    const bare = imports
      .filter(({ target }) => target !== undefined && !/\.(ts|mjs|json)$/.test(target))
      .map(({ file, specifier }) => `${file} → ${specifier}`);
    expect(bare).toEqual([]);
  });
});

function walk(folder: string): string[] {
  return readdirSync(folder, { withFileTypes: true }).flatMap((entry) => {
    if (entry.name.startsWith('.') || ['node_modules', 'dist'].includes(entry.name)) return [];
    const path = join(folder, entry.name);
    if (entry.isDirectory()) return walk(path);
    return entry.name.endsWith('.ts') && !entry.name.endsWith('.d.ts') ? [relative(root, path)] : [];
  });
}

function importsOf(file: string): Import[] {
  const text = stripComments(readFileSync(join(root, file), 'utf8'));
  const found: Import[] = [];
  for (const match of text.matchAll(/(?:\bfrom\s*|\bimport\s*\(\s*|^\s*import\s+)['"]([^'"]+)['"]/gm)) {
    const specifier = match[1] ?? '';
    const target = specifier.startsWith('.') ? relative(root, join(root, dirname(file), specifier)) : undefined;
    found.push({ file, specifier, target });
  }
  return found;
}

function stripComments(text: string): string {
  return text
    .replace(/\/\*[\s\S]*?\*\//g, (block) => block.replace(/[^\n]/g, ' '))
    .replace(/(^|[^:'"`])\/\/.*$/gm, '$1');
}
