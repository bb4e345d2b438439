import { defineConfig } from 'vitest/config';
import { LongestFirst } from './test/longest-first.ts';

/** Tests that play the whole product: many processes each, so they come after the others. */
const whole = ['test/simulations/demo/**/*.test.ts', 'test/integration/**/*.test.ts', 'test/browser/**/*.test.ts'];
/**
 * Values in, values out: they keep nothing in the process, so that one serves them all. A process of its own costs each
 * file 0.4 CPU seconds, which is more than most of these take.
 */
const pure = [
  ...['core', 'wire', 'paper', 'transcripts', 'fuzz', 'driver', 'config'].map((part) => `test/${part}/**/*.test.ts`),
  'test/simulations/*.test.ts',
  ...['world', 'leases', 'verdicts'].map((part) => `test/simulations/${part}/*.test.ts`),
];
/** Minutes more, by `npm run test:long`. */
const long = ['test/**/*.long.test.ts'];
const common = {
  pool: 'forks',
  // Two cores: more workers make real-process tests starve each other.
  maxWorkers: 2,
  testTimeout: 30_000,
  hookTimeout: 60_000,
} as const;

export default defineConfig({
  test: {
    sequence: { sequencer: LongestFirst },
    projects:
      process.env['MILLWRIGHT_TESTS'] === 'long'
        ? [{ test: { ...common, name: 'long', include: long } }]
        : [
            {
              test: {
                ...common,
                name: 'parts',
                include: ['test/**/*.test.ts'],
                exclude: [...whole, ...pure, ...long],
                sequence: { groupOrder: 0 },
              },
            },
            {
              test: {
                ...common,
                name: 'pure',
                include: pure,
                exclude: long,
                isolate: false,
                sequence: { groupOrder: 0 },
              },
            },
            { test: { ...common, name: 'whole', include: whole, exclude: long, sequence: { groupOrder: 1 } } },
          ],
  },
});
