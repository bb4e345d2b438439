import { afterEach, expect, it } from 'vitest';
import { eventually } from '../support/eventually.ts';
import { type ExclusiveSite, makeExclusiveSite, overlaps } from './exclusive-site.ts';

let site: ExclusiveSite;
afterEach(() => site.dispose());

it.each([false, true])(
  'a voter that granted the right starts anew, under box supervisors: %s → the right goes on under a larger token, in the very same program',
  async (supervised) => {
    site = await makeExclusiveSite({ supervised });
    await Promise.all([0, 1, 2].map((index) => site.start(index)));
    const holder = await eventually(() => site.writer(), { deadlineMs: 20_000, what: 'somebody writes' });
    const granted = async () =>
      (await holder.status()).duties[0]?.lease?.voters.every(({ answer }) => answer === 'granted');
    await eventually(granted, { deadlineMs: 20_000, what: 'all voters grant it' });
    const other = site.agents.findIndex((agent) => agent !== holder);
    const { token, pid } = site.effects().at(-1)!;
    const before = site.agents[other]!.pid();
    site.signal(other, 'SIGKILL');
    // A supervisor starts it by itself.
    if (supervised) await eventually(() => site.agents[other]!.pid() !== before, { deadlineMs: 30_000 });
    else await site.start(other);
    // It knows the token and has forgotten whose it is, so it refuses it.
    const renumbered = await eventually(
      () => {
        const last = site.effects().at(-1)!;
        return last.token > token ? last : undefined;
      },
      { deadlineMs: 30_000, what: 'the program writes with a larger token' },
    );
    expect(renumbered).toMatchObject({ pid, agent: holder.name });
    const { lease } = (await holder.status()).duties[0]!;
    expect(lease?.token).toBe(site.effects().at(-1)!.token);
    expect(overlaps(site.effects())).toEqual([]);
  },
  120_000,
);
