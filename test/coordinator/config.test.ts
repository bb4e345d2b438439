import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { loadCoordinatorConfig } from '../../coordinator/config.ts';
import { temporaryFolder } from '../support/temporary-folder.ts';

async function mistakesIn(text: string) {
  const file = join(await temporaryFolder(), 'coordinator.yaml');
  await writeFile(file, text);
  const loaded = await loadCoordinatorConfig(file, { TOKEN: 'secret' });
  return loaded.ok ? [] : loaded.error.map(({ line, path, message, remedy }) => ({ line, path, message, remedy }));
}

it('several mistakes → all at once, each with its line, its value, and what was meant', async () => {
  const mistakes = await mistakesIn(`site: demo
api:
  lissten: 127.0.0.1:8080
  listen: 127.0.0.1:99999
  token: { env: TOKEN }
broker: { listen: nowhere, users: u.json, password: { env: TOKEN } }
zzz: 1
`);
  expect(mistakes).toEqual([
    { line: undefined, path: 'data', message: '"data" is missing', remedy: 'Like this: data: data' },
    {
      line: 4,
      path: 'api.listen',
      message: 'expected a port of at most 65535, found "127.0.0.1:99999"',
      remedy: expect.stringContaining('127.0.0.1:8080'),
    },
    { line: 3, path: 'api.lissten', message: 'unknown key "lissten"', remedy: 'Did you mean "listen"?' },
    {
      line: 6,
      path: 'broker.listen',
      message: 'expected an address and a port, like 127.0.0.1:8080, found "nowhere"',
      remedy: expect.stringContaining('127.0.0.1:1883'),
    },
    { line: 7, path: 'zzz', message: 'unknown key "zzz"', remedy: 'Known here: site, data, api, broker.' },
  ]);
});

it.each(['', '7', '[]', 'site: demo'])('no map, or half of one (%j) → told, not thrown', async (text) => {
  expect((await mistakesIn(text)).length).toBeGreaterThan(0);
});
