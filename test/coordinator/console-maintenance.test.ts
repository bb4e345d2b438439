import { generateKeyPairSync } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import { judgeOrder, readOrder } from '../../agent/wire/order.ts';
import { oneLineKey } from '../../agent/wire/roster.ts';
import type { AgentView, OrderView } from '../../coordinator/api/schemas.ts';
import { givenOf, silentMs, worksOf } from '../../coordinator/console/source/maintenance-view.ts';
import { orderLine, readSigner, signOrder } from '../../coordinator/console/source/order-signing.ts';

const { privateKey, publicKey } = generateKeyPairSync('ed25519');
const pem = privateKey.export({ type: 'pkcs8', format: 'pem' }) as string;
const key = oneLineKey(publicKey.export({ type: 'spki', format: 'pem' }) as string) ?? '';
const anna = { name: 'anna', key, may: ['order'] as const };
const now = 1_700_000_000_000;

describe('console: signs an order as the command line does', () => {
  it('with a person’s key → an agent believes it, and it says what was asked', async () => {
    const signer = await readSigner('anna', pem);
    expect(signer.key.extractable).toBe(false);
    const what = { verb: 'maintain', thing: 'press-7', forMs: 7_200_000, why: 'bearing “7” — neu, 轴承' } as const;
    const { document, id } = await signOrder(signer, { site: 'hall', agent: 'edge-1', what }, now);
    const read = readOrder(document, [anna]);
    if (!read.ok) throw new Error(read.error.text);
    expect(read.value).toMatchObject({ site: 'hall', agent: 'edge-1', by: 'anna', id, what });
    expect(judgeOrder(read.value, { site: 'hall', agent: 'edge-1', wallMs: now, verb: 'maintain' })).toBeUndefined();
    expect(judgeOrder(read.value, { site: 'hall', agent: 'edge-2', wallMs: now })?.reason).toBe('other-agent');
    const stranger = generateKeyPairSync('ed25519').publicKey.export({ type: 'spki', format: 'pem' }) as string;
    const wrong = readOrder(document, [{ ...anna, key: oneLineKey(stranger) ?? '' }]);
    expect(wrong.ok ? '' : wrong.error.reason).toBe('wrong-signature');
    // The id that people compare by eye is the one in the head.
    const { protected: head } = JSON.parse(Buffer.from(document).toString()) as { protected: string };
    expect(JSON.parse(Buffer.from(head, 'base64url').toString())).toMatchObject({ kid: signer.keyId });
  });

  it('a file that is no such key → refused before anything is sent', async () => {
    const rsa = generateKeyPairSync('rsa', { modulusLength: 2_048 });
    await expect(readSigner('anna', 'nothing')).rejects.toThrow('no private key');
    await expect(
      readSigner('anna', rsa.privateKey.export({ type: 'pkcs8', format: 'pem' }) as string),
    ).rejects.toThrow();
  });

  it('the line to type → one for all boxes, whatever stands in the reason', () => {
    const act = { verb: 'maintain', thing: 'press-7', forMs: 5_400_000, why: `it's; rm -rf $HOME` } as const;
    expect(orderLine(act, 'anna', 'hall', ['a', 'b'], 'http://10.0.0.2:8080')).toBe(
      "for agent in a b; do millwright order maintain press-7 --for 90m --why 'it'\\''s; rm -rf $HOME' --key people/anna.key " +
        '--by anna --site hall --agent $agent --coordinator http://10.0.0.2:8080 --token api.token; done',
    );
  });
});

const box = (agent: string, maintenance: AgentView['maintenance'], presence: AgentView['presence'] = 'online') =>
  ({ agent, presence, maintenance }) as AgentView;
const press = { maintenance: 'order:anna', things: ['press-7'], why: 'bearing', by: 'anna', order: 'o1', until: now };
const weekly = {
  maintenance: 'weekly',
  things: ['press-7', 'pump'],
  why: 'service',
  by: null,
  order: null,
  until: null,
};

describe('console: maintenance', () => {
  it('what several boxes say → one, with who confirmed it and who does not know it', () => {
    const works = worksOf([
      box('a', [weekly, press]),
      box('b', [{ ...press, until: now + 3_000, order: 'o2' }, weekly]),
      box('c', []),
      box('d', [press], 'offline'),
    ]);
    expect(works).toMatchObject([
      { things: ['press-7'], by: 'anna', until: now + 3_000, confirmed: ['a', 'b'], missing: ['c'] },
      { maintenance: 'weekly', by: null, confirmed: ['a', 'b'], missing: ['c'] },
    ]);
    // Begun anew on one box only: two ends are two.
    expect(worksOf([box('a', [press]), box('b', [{ ...press, until: now + 600_000 }])]).length).toBe(2);
  });

  it('an order → pending until its box answers, silent when it does not, refused with the reason', () => {
    const sent = ['1', '2', '3', '4'].map((id) => ({ id, agent: `box-${id}`, at: now, failed: undefined }));
    const orders = [
      { id: '1', state: 'obeyed' },
      { id: '2', state: 'refused', reason: 'may-not', text: 'anna may nothing' },
      { id: '3', state: 'carried' },
    ] as OrderView[];
    const states = (at: number) =>
      givenOf([...sent, { id: '', agent: 'box-5', at: now, failed: 'no broker' }], orders, at).map(({ state, text }) =>
        `${state} ${text}`.trim(),
      );
    expect(states(now + 1_000)).toEqual(['confirmed', 'refused anna may nothing', 'pending', 'pending', 'not-sent no broker']); // biome-ignore format: one list
    expect(states(now + silentMs + 1)).toEqual(['confirmed', 'refused anna may nothing', 'silent', 'silent', 'not-sent no broker']); // biome-ignore format: one list
  });
});
