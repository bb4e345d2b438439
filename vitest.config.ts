import { defineConfig } from 'vitest/config';

/** Tests that play the whole product: many processes each, so they come after the others. */
const whole = ['test/simulations/demo/**/*.test.ts', 'test/integration/**/*.test.ts', 'test/browser/**/*.test.ts'];
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
    projects:
      process.env['MILLWRIGHT_TESTS'] === 'long'
        ? [{ test: { ...common, name: 'long', include: long } }]
        : [
            {
              test: {
                ...common,
                name: 'parts',
                include: ['test/**/*.test.ts'],
                exclude: [...whole, ...long],
                sequence: { groupOrder: 0 },
              },
            },
            { test: { ...common, name: 'whole', include: whole, exclude: long, sequence: { groupOrder: 1 } } },
          ],
  },
});
