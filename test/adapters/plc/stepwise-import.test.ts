import { expect, test } from 'vitest';
import { driverSteps } from '../../../agent/adapters/plc/opcua-driver.ts';
import { importStepwise } from '../../../agent/adapters/plc/stepwise-import.ts';

test('stepwise import: the OPC UA client → every step is found, the loop turns between them, and the client is the usual one', async () => {
  let turns = 0;
  let loading = true;
  const count = () => {
    turns++;
    if (loading) setImmediate(count);
  };
  setImmediate(count);
  const { loaded, missed } = await importStepwise('node-opcua-client', driverSteps);
  loading = false;
  expect(missed).toEqual([]);
  expect(turns).toBeGreaterThanOrEqual(driverSteps.length);
  expect(loaded).toBe(await import('node-opcua-client'));
});

test('stepwise import: a step that is not there → left out and named, the package is loaded all the same', async () => {
  const { loaded, missed } = await importStepwise('cborg', ['no-such-package', 'cborg > nothing-of-it']);
  expect(missed).toEqual(['no-such-package', 'cborg > nothing-of-it']);
  expect(loaded).toBe(await import('cborg'));
});
