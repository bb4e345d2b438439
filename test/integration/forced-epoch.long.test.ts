import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, expect, it } from 'vitest';
import { signSite } from '../../agent/config/site-sign.ts';
import type { AgentStatus } from '../../agent/wire/status.ts';
import { eventually } from '../support/eventually.ts';
import { type ExclusiveSite, makeExclusiveSite, overlaps } from './exclusive-site.ts';
import { run } from './small-site.ts';

let site: ExclusiveSite;
afterEach(() => site.dispose());

it('two of three boxes are gone for good → said with the way out; the epoch is forced, the work goes on, and a box that returns follows', async () => {
  site = await makeExclusiveSite();
  await Promise.all([0, 1, 2].map((index) => site.start(index)));
  await eventually(() => site.writer() !== undefined, { deadlineMs: 20_000, what: 'somebody writes' });
  for (const gone of [0, 1]) site.signal(gone, 'SIGKILL');
  const last = site.agents[2]!;
  const cellOf = async (index = 2): Promise<AgentStatus['cells'][number] | undefined> =>
    (await site.agents[index]!.status()).cells[0];
  await eventually(async () => (await cellOf())?.majority.here === 1, {
    deadlineMs: 15_000,
    what: 'it knows who is gone',
  });
  const data = join(site.folder, 'data', 'box-3');
  const said = await run(['status', '--data', data]);
  expect(said.stdout).toContain('1 of its voters are in reach, 2 are needed; box-1, box-2 missing');
  expect(said.stdout).toContain('millwright site force-epoch --cell line');

  const keys = join(site.folder, 'keys');
  const file = join(site.folder, 'site.yaml');
  writeFileSync(file, readFileSync(file, 'utf8').replace('[box-1, box-2, box-3]', '[box-3]'));
  const [next, statement] = [join(site.folder, 'next.bundle'), join(site.folder, 'line.force')];
  expect(signSite({ site: file, key: join(keys, 'site.key'), parent: join(keys, 'site.bundle'), out: next }).ok).toBe(
    true,
  );
  const force = await run([
    ...['site', 'force-epoch', '--cell', 'line', '--parent', join(keys, 'site.bundle'), '--bundle', next],
    ...['--powered-off', 'box-1,box-2', '--key', join(keys, 'recovery.key'), '--by', 'shift lead', '--out', statement],
  ]);
  expect(force, force.stdout + force.stderr).toMatchObject({ code: 0 });

  const early = await run(['site', 'push', statement, '--data', data]);
  expect(early).toMatchObject({ code: 1, stderr: expect.stringContaining('push that bundle first') });
  const pushed = await run(['site', 'push', next, '--data', data, '--wait', '0s']);
  expect(pushed, pushed.stdout + pushed.stderr).toMatchObject({ code: 0 });
  await new Promise((resolve) => setTimeout(resolve, 3_000));
  expect((await cellOf())?.epoch).toBe(1);

  const forced = await run(['site', 'push', statement, '--data', data, '--json']);
  expect(forced, forced.stdout + forced.stderr).toMatchObject({ code: 0 });
  expect(JSON.parse(forced.stdout)).toMatchObject({ cell: 'line', epoch: 2, begun: true });
  await eventually(() => site.effects().at(-1)?.token.startsWith('0002') === true && site.writer() === last, {
    deadlineMs: 60_000,
    what: 'the work goes on at box-3 in epoch 2',
  });
  expect(await run(['site', 'push', statement, '--data', data])).toMatchObject({
    code: 1,
    stderr: expect.stringContaining('which is in epoch 2 by now'),
  });

  await site.start(0);
  await eventually(async () => (await cellOf(0))?.epoch === 2, { deadlineMs: 60_000, what: 'box-1 follows' });
  expect(overlaps(site.effects())).toEqual([]);
}, 240_000);
