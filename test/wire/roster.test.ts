import { generateKeyPairSync } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import { agentId } from '../../agent/base/ids.ts';
import { rawPublicKey, signRoster, verifyRoster } from '../../agent/wire/roster.ts';

function pair(): { secret: string; open: string } {
  const { privateKey, publicKey } = generateKeyPairSync('ed25519');
  return {
    secret: privateKey.export({ type: 'pkcs8', format: 'pem' }) as string,
    open: publicKey.export({ type: 'spki', format: 'pem' }) as string,
  };
}

const site = pair();
const one = pair();
const two = pair();
const roster = {
  site: 'plant-9',
  version: 3,
  agents: [
    { id: agentId('edge-2'), key: two.open },
    { id: agentId('edge-1'), key: one.open },
  ],
};

describe('roster', () => {
  it('signed and unchanged → verified, agents sorted by name', () => {
    const result = verifyRoster(signRoster(roster, site.secret), site.open);
    expect(result.ok && result.value.agents.map((a) => a.id)).toEqual(['edge-1', 'edge-2']);
    expect(result.ok && result.value.version).toBe(3);
    expect(result.ok && rawPublicKey(result.value.agents[0]!).length).toBe(32);
  });

  it('blanks and order of agents changed → still verified: the content is signed, not the bytes', () => {
    const parsed = JSON.parse(signRoster(roster, site.secret)) as { agents: unknown[] };
    parsed.agents.reverse();
    expect(verifyRoster(JSON.stringify(parsed), site.open).ok).toBe(true);
  });

  it.each([
    ['another name', (r: { agents: object[] }) => Object.assign(r.agents[0]!, { id: 'edge-9' })],
    ['another key', (r: { agents: object[] }) => Object.assign(r.agents[0]!, { key: pair().open })],
    ['another site', (r: { agents: object[] }) => Object.assign(r, { site: 'plant-8' })],
    ['a higher version', (r: { agents: object[] }) => Object.assign(r, { version: 4 })],
  ])('%s after signing → wrong-signature', (_name, change) => {
    const parsed = JSON.parse(signRoster(roster, site.secret));
    change(parsed);
    const result = verifyRoster(JSON.stringify(parsed), site.open);
    expect(result.ok ? 'verified' : result.error.reason).toBe('wrong-signature');
  });

  it('signed by another site key → wrong-signature', () => {
    const result = verifyRoster(signRoster(roster, pair().secret), site.open);
    expect(result.ok ? 'verified' : result.error.reason).toBe('wrong-signature');
  });

  it.each([
    ['', 'not-json'],
    ['{"site":', 'not-json'],
    ['null', 'wrong-shape'],
    ['[]', 'wrong-shape'],
    ['{"site":"a","version":1.5,"agents":[],"signature":""}', 'wrong-shape'],
    ['{"site":"a","version":1,"agents":[null],"signature":""}', 'wrong-shape'],
    ['{"site":"a","version":1,"agents":[{"id":"a","key":"AAAA"}],"signature":""}', 'bad-key'],
    ['{"site":"a","version":1,"agents":[],"signature":"zz"}', 'wrong-signature'],
  ])('content %j → refused as %s, nothing thrown', (text, reason) => {
    const result = verifyRoster(text, site.open);
    expect(result.ok ? 'verified' : result.error.reason).toBe(reason);
  });

  it('one key for two agents → refused as duplicate', () => {
    const text = signRoster(
      { ...roster, agents: [roster.agents[0]!, { id: agentId('edge-3'), key: two.open }] },
      site.secret,
    );
    const result = verifyRoster(text, site.open);
    expect(result.ok ? 'verified' : result.error.reason).toBe('duplicate');
  });
});
