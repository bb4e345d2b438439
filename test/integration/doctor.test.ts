import { chmodSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { z } from 'zod';
import { makeSmallSite, run, type SmallSite } from './small-site.ts';

const Diagnosis = z.object({
  ok: z.boolean(),
  findings: z.array(
    z.object({
      about: z.string(),
      state: z.enum(['ok', 'warn', 'fail']),
      text: z.string(),
      remedy: z.string().optional(),
    }),
  ),
});

/** One site with a coordinator that runs; each test breaks one thing and mends it again. */
describe('doctor', { timeout: 60_000 }, () => {
  let site: SmallSite;
  beforeAll(async () => {
    site = await makeSmallSite();
    await site.startCoordinator();
  }, 120_000);
  afterAll(() => site?.dispose(), 30_000);

  const examine = async (config = site.box.config) => {
    const { code, stdout, stderr } = await run(['doctor', '--config', config, '--json']);
    expect(stderr).toBe('');
    const diagnosis = Diagnosis.parse(JSON.parse(stdout));
    return { code, ...diagnosis, fails: diagnosis.findings.filter((finding) => finding.state === 'fail') };
  };

  test('a box that is well → nothing fails, broker and keys are ok, exit code 0', async () => {
    const { code, ok, fails, findings } = await examine();
    expect(fails).toEqual([]);
    expect({ code, ok }).toEqual({ code: 0, ok: true });
    const well = findings.filter((finding) => finding.state === 'ok').map((finding) => finding.about);
    expect(well).toEqual(
      expect.arrayContaining([
        'versions',
        'agent.yaml',
        'site bundle',
        'keys',
        'disk',
        'port mesh',
        'port API',
        'broker',
        'model',
      ]),
    );
    // Every warning says what to do about it.
    for (const finding of findings) if (finding.state === 'warn') expect(finding.remedy).toBeTruthy();
  });

  const mistakes: readonly {
    readonly what: string;
    readonly make: (site: SmallSite) => () => void;
    readonly about: string;
    readonly text: RegExp;
    readonly remedy: RegExp;
  }[] = [
    {
      what: 'a key that others can read',
      make: ({ box }) => {
        chmodSync(join(box.folder, 'agent.key'), 0o644);
        return () => chmodSync(join(box.folder, 'agent.key'), 0o600);
      },
      about: 'agent key',
      text: /can be read by others/,
      remedy: /^chmod 600 .*agent\.key$/,
    },
    {
      what: 'the key of another box',
      make: ({ edit }) => {
        edit('agents/box-1/agent.yaml', 'key: agent.key', 'key: ../box-2/agent.key');
        return () => edit('agents/box-1/agent.yaml', 'key: ../box-2/agent.key', 'key: agent.key');
      },
      about: 'agent key',
      text: /not the key on the signed list/,
      remedy: /agent\.key/,
    },
    {
      what: 'no bundle',
      make: ({ edit }) => {
        edit('agents/box-1/agent.yaml', '../../site.bundle', '../../no-such.bundle');
        return () => edit('agents/box-1/agent.yaml', '../../no-such.bundle', '../../site.bundle');
      },
      about: 'site bundle',
      text: /there is no .*no-such\.bundle/,
      remedy: /site\.bundle/,
    },
    {
      what: 'a bundle that somebody changed',
      make: ({ edit }) => {
        edit('site.bundle', '"payload":"ey', '"payload":"ez');
        return () => edit('site.bundle', '"payload":"ez', '"payload":"ey');
      },
      about: 'site bundle',
      text: /sign/i,
      remedy: /site\.bundle/,
    },
    {
      what: 'a password that the broker does not know',
      make: ({ edit, box }) => {
        writeFileSync(join(box.folder, 'wrong.password'), 'not-the-password\n', { mode: 0o600 });
        edit('agents/box-1/agent.yaml', 'file: broker.password', 'file: wrong.password');
        return () => edit('agents/box-1/agent.yaml', 'file: wrong.password', 'file: broker.password');
      },
      about: 'broker',
      text: /refuses the password of box-1/,
      remedy: /broker\.password/,
    },
  ];

  test.for(mistakes)(
    '$what → it fails, is named, and the remedy says what to do; exit code 1',
    async ({ make, about, text, remedy }) => {
      const mend = make(site);
      try {
        const { code, ok, fails } = await examine();
        expect(fails).toEqual([
          { about, state: 'fail', text: expect.stringMatching(text), remedy: expect.stringMatching(remedy) },
        ]);
        expect({ code, ok }).toEqual({ code: 1, ok: false });
      } finally {
        mend();
      }
    },
  );

  const wrong = `name: Box 1!
bundle: ../../site.bundle
daat: data
listen: [127.0.0.1]
key: agent.key
mesh: { key: ../../mesh.psk, site-key: ../../site.pub, mdns: perhaps }
broker: { url: "http://broker", username: box-1, password: secret }
`;
  const named = [/name/, /daat.*data/s, /127\.0\.0\.1/, /mdns/, /password/];

  test('an agent.yaml full of mistakes → all of them at once, and the agent refuses it with exit code 2', async () => {
    const config = join(site.box.folder, 'wrong.yaml');
    writeFileSync(config, wrong);
    try {
      const { code, fails } = await examine(config);
      expect(fails.map((finding) => finding.about)).toEqual(['agent.yaml']);
      for (const mistake of named) expect(fails[0]?.text).toMatch(mistake);
      expect(code).toBeGreaterThan(0);
      const agent = await run(['agent', '--config', config]);
      expect(agent.code).toBe(2);
      for (const mistake of named) expect(agent.stderr).toMatch(mistake);
      expect(agent.stderr + JSON.stringify(fails)).not.toContain('secret }');
    } finally {
      rmSync(config);
    }
  });
});
