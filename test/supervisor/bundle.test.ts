import { describe, expect, it } from 'vitest';
import { bundle } from '../../agent/supervisor/bundle.ts';

const from = (files: Readonly<Record<string, string>>) => (name: string) => files[name] ?? '';

describe('one file of several', () => {
  it('TypeScript without its types, and emitted JavaScript → both run, each module once and in a scope of its own', () => {
    const files = {
      main: `import { spawn as start, } from 'node:child_process';
import { total as sum, Count } from "./count.js";
import { one } from './one.ts';
const own = 1;
globalThis.told = [typeof start, sum(one, own), new Count().it];`,
      count: `import { one } from './one.ts';
const own = 41;
export const total = (a, b) => a + b + own;
export class Count { it = one; }
export {};`,
      one: 'globalThis.loads = (globalThis.loads ?? 0) + 1; export const one = 1;'.replace('; ', ';\n'),
    };
    const text = bundle('main', from(files));
    const scope = { told: undefined as unknown, loads: 0 };
    new Function('require', 'globalThis', text)(
      (name: string) => (name === 'node:child_process' ? { spawn() {} } : {}),
      scope,
    );
    expect(scope).toEqual({ told: ['function', 43, 1], loads: 1 });
  });

  it.each([
    ['a default import', `import fs from 'node:fs';`, /main: import fs/],
    ['a library', `import { z } from 'zod';`, /main imports zod/],
    ['another folder', `import { x } from '../base/x.ts';`, /main imports \.\.\/base/],
    ['a default export', 'export default 1;', /main: export default/],
    ['a circle', `import { x } from './main.ts';`, /main → main/],
  ])('%s → refused by name', (_, main, complaint) => {
    expect(() => bundle('main', from({ main }))).toThrow(complaint);
  });
});
