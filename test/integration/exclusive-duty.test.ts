import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { afterEach, describe, expect, it } from 'vitest';
import { eventually } from '../support/eventually.ts';
import { type ExclusiveSite, makeExclusiveSite, overlaps } from './exclusive-site.ts';

const leaseMs = 2_000;

describe('an exclusive duty on three agents', () => {
  let site: ExclusiveSite;

  afterEach(() => site.dispose());

  async function holder(except?: number): Promise<number> {
    const agent = await eventually(
      () => {
        const writer = site.writer();
        return writer !== undefined && writer !== site.agents[except ?? -1] ? writer : undefined;
      },
      { deadlineMs: 15_000, what: 'somebody writes' },
    );
    return site.agents.indexOf(agent);
  }

  it('holder killed, nobody to certify it → another one takes over after T; the witness votes and never holds', async () => {
    site = await makeExclusiveSite({ witness: true });
    await Promise.all([0, 1, 2].map((index) => site.start(index)));
    const first = await holder();
    expect(first).toBeLessThan(2);
    // On a busy box a lease may be lost and granted anew while everything starts: what counts is that both agree in the end.
    const status = await eventually(
      async () => {
        const seen = await site.agents[first]!.status();
        const isAgreed = seen.duties[0]?.lease?.token === site.effects().at(-1)!.token;
        // Two of three votes are enough to begin; its own may be mute a little longer.
        return isAgreed && seen.cells[0]?.vote === 'voting' ? seen : undefined;
      },
      { deadlineMs: 15_000, what: 'the agent names the token that its program writes with, and votes' },
    );
    expect(status.duties).toMatchObject([
      {
        duty: 'site/writer',
        mine: true,
        holder: site.agents[first]!.name,
        lease: { held: true, unprotected: expect.stringContaining('supervise') },
      },
    ]);
    expect(status.cells).toMatchObject([{ cell: 'line', epoch: 1, vote: 'voting', conflict: false }]);

    const killedAt = performance.now();
    site.signal(first, 'SIGKILL');
    const second = await holder(first);
    expect(performance.now() - killedAt).toBeGreaterThan(leaseMs / 2);
    expect(second).toBe(1 - first);
    expect(overlaps(site.effects())).toEqual([]);
    expect(site.effects().some(({ agent }) => agent === 'box-3')).toBe(false);
    const [seen] = (await site.agents[2]!.status()).duties;
    expect(seen).toMatchObject({ mine: false, holder: site.agents[second]!.name });
    expect(seen?.lease?.token).toBeUndefined();

    // The former holder returns: its gateway begins from what the voters know, and never saw there itself.
    const { token } = site.effects().at(-1)!;
    await site.start(first);
    await eventually(async () => (await site.agents[first]!.status()).cells[0]?.floors?.done === true, {
      deadlineMs: 15_000,
      what: 'a majority of the voters told what was granted',
    });
    const db = new DatabaseSync(join(site.folder, 'data', site.agents[first]!.name, 'gateway.db'), { readOnly: true });
    const raised = db.prepare('SELECT token FROM raised WHERE lease = ?').get('duty:site/writer');
    db.close();
    expect(String(raised?.['token']) >= token).toBe(true);
    // A witness can hold nothing, so nothing passes its gateway and nothing needs to be read.
    expect((await site.agents[2]!.status()).cells[0]).not.toHaveProperty('floors');
  }, 90_000);

  it('under box supervisors: frozen for 5 s → ended on time and no overlap; killed → certified, taken over at once', async () => {
    site = await makeExclusiveSite({ supervised: true });
    await Promise.all([0, 1, 2].map((index) => site.start(index)));
    const first = await holder();
    const frozenAt = performance.now();
    site.signal(first, 'SIGSTOP');
    const second = await holder(first);
    await new Promise((resolve) => setTimeout(resolve, Math.max(0, 5_000 - (performance.now() - frozenAt))));
    site.signal(first, 'SIGCONT');
    await eventually(
      async () => {
        const [duty] = (await site.agents[first]!.status()).duties;
        return duty?.mine === false && duty.holder === site.agents[second]!.name;
      },
      { deadlineMs: 10_000, what: 'who was frozen knows that it carries it no more' },
    );
    expect(overlaps(site.effects())).toEqual([]);

    const killedAt = performance.now();
    site.signal(second, 'SIGKILL');
    // Its supervisor starts it anew, and then the statement goes: it is looked for from the beginning.
    const proof = `${site.agents[second]!.name} is dead, proven by its certificate`;
    const proven = eventually(
      async () => (await site.agents[first]!.status()).verdict.some(({ text }) => text === proof),
      { deadlineMs: leaseMs, everyMs: 20, what: 'a voter says that the death is proven' },
    );
    await Promise.all([holder(second), proven]);
    // Without the certificate it would be T at least; most of this is the start of a program on a busy box.
    expect(performance.now() - killedAt).toBeLessThan(leaseMs - 500);
    expect(overlaps(site.effects())).toEqual([]);
  }, 90_000);
});
