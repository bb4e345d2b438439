import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { expect, test } from 'vitest';

const folder = fileURLToPath(new URL('../../../agent/adapters/plc', import.meta.url));

/** How the drivers' clients change a device. A socket's own `write` is another matter: see the S7 requests below. */
const hands =
  /\b(writeFC\w*|writeCoils?|writeRegisters?|writeSingleNode|writeItems?|maskWrite\w*|customFunction|callMethod|publish|publishAsync)\b|session\.(write|call)\b|Node Control/;

test('sources, whatever the protocol → contain no way to change a device', () => {
  const files = readdirSync(folder, { recursive: true, encoding: 'utf8' }).filter((name) => name.endsWith('.ts'));
  expect(files.length).toBeGreaterThan(15);
  const found = files.flatMap((name) => {
    const text = readFileSync(join(folder, name), 'utf8');
    const code = text.replaceAll(/\/\*[\s\S]*?\*\/|\/\/.*$/gm, '');
    const hand = hands.exec(code)?.[0];
    return hand === undefined ? [] : [`${name}: ${hand}: what changes a device stands in agent/adapters/gateway`];
  });
  expect(found).toEqual([]);
});

test('S7 requests → greeting, read and status are all that is ever built', async () => {
  const frame = await import('../../../agent/adapters/plc/s7/frame.ts');
  const built = Object.keys(frame).filter((name) => name.endsWith('Request'));
  expect(built.sort()).toEqual(['connectRequest', 'moreRequest', 'readRequest', 'setupRequest', 'userDataRequest']);
  // Function codes of jobs: 0xf0 greets, 4 reads. 5 would write, 0x1a … 0x1f load, 0x28 and 0x29 start and stop.
  const range = { area: 'db', block: 1, from: 0, bytes: 2 } as const;
  expect(frame.setupRequest(1)[17]).toBe(0xf0);
  expect(frame.readRequest(1, [range])[17]).toBe(0x04);
});
