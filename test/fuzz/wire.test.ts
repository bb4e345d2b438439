import { generateKeyPairSync, sign } from 'node:crypto';
import { expect, test } from 'vitest';
import { agentId, bootId } from '../../agent/base/ids.ts';
import { Random } from '../../agent/base/random.ts';
import { instant, wallTime } from '../../agent/base/time.ts';
import { AgentCore, freshStart } from '../../agent/core/agent-core.ts';
import type { DirectMessage } from '../../agent/core/input.ts';
import { bundleHash } from '../../agent/core/leases/ballot.ts';
import { sessionId } from '../../agent/core/leases/session.ts';
import { certificateBytes, decodeCertificate, encodeCertificate } from '../../agent/supervisor/certificate.ts';
import { encodeLine, LineReader, maxLineBytes, parseAsk, parseSay } from '../../agent/supervisor/protocol.ts';
import { bundlePartBytes, decodeBundleMessage, encodeBundleMessage } from '../../agent/wire/bundle.ts';
import { decodeArray, encodeArray } from '../../agent/wire/codec.ts';
import { decodeDirect, encodeDirect, encodedSize, maxBytesOf } from '../../agent/wire/direct.ts';
import { FrameReader, frame } from '../../agent/wire/frame.ts';
import { decodeDigest, encodeDigest } from '../../agent/wire/gossip.ts';
import { decodeAck, decodeLog, decodePresence } from '../../agent/wire/report.ts';
import { signRoster, verifyRoster } from '../../agent/wire/roster.ts';
import { readBundle, verifyBundle } from '../../agent/wire/site-bundle.ts';
import { decodePreamble, encodePreamble, planStamp, preamble } from '../../agent/wire/version.ts';
import { sitePlan } from '../../simulations/world/plan.ts';

/**
 * A hundred thousand buffers that nobody honest would send, over every decoder that reads a peer's bytes: random ones,
 * honest ones with flipped, cut, doubled and spliced bytes, and honest ones with a field exchanged and encoded well. Each
 * is either taken or refused with a short reason; none is thrown at. What is taken must be within every bound, must say
 * the same when it is written again, and does no harm to a core that hears it.
 */
const share = { direct: 60_000, digest: 6_000, preamble: 6_000, bundle: 8_000, frames: 4_000, supervisor: 8_000 };
const others = { certificate: 4_000, reports: 3_000, roster: 500, siteBundle: 500 };

test('a hundred thousand buffers in all', () => {
  const all = [...Object.values(share), ...Object.values(others)];
  expect(all.reduce((sum, count) => sum + count, 0)).toBe(100_000);
});

const plan = sitePlan({ agents: 6, duties: 3, repairs: 1, exclusive: 2, random: new Random('plan') });
const bounds = {
  agents: plan.agents.length,
  duties: plan.duties.length,
  checks: plan.checks.length,
  models: plan.models.length,
};
const hash = bundleHash('ab'.repeat(32));
const session = { agent: 1, boot: 3, id: sessionId('cd'.repeat(32)) };
const at = { cell: 7, epoch: 2 };
const life = { boot: 3, nonce: 12_345 };
const update = { member: 2, state: 'suspect', bootCounter: 3, incarnation: 1, origin: 1 } as const;
const updates = [update, { ...update, member: 4, state: 'dead', signature: new Uint8Array(64).fill(9) } as const];
const checkpoint = { duty: 1, term: 2, sequence: 3, takenAt: wallTime(1_700_000_000_000), data: new Uint8Array(40) };

const honest: readonly DirectMessage[] = [
  { kind: 'ping', seq: 70, digestVersion: 3, updates: [] },
  { kind: 'ack', seq: 70, digestVersion: 3, updates },
  { kind: 'ping-request', seq: 70, target: 2, updates },
  { kind: 'nack', seq: 70, updates: [] },
  { kind: 'gossip', updates },
  { kind: 'gossip', updates: [], wants: [4, 2] },
  { kind: 'hello', boot: bootId('0f'.repeat(16)), bootCounter: 2, incarnation: 0, updates },
  { kind: 'sync', hash: 0xdead_beef, updates: [] },
  { kind: 'sync-buckets', hashes: [0xdead_beef], updates: [] },
  { kind: 'sync', hash: 0xdead_beef, digests: 0xbeef, updates: [] },
  { kind: 'sync-entries', buckets: [0], wants: [3], updates },
  { kind: 'digest-buckets', hashes: [0xdead_beef] },
  { kind: 'digest-versions', buckets: [0], versions: [{ agent: 3, bootCounter: 2, sequence: 70 }] },
  { kind: 'digest-wants', agents: [3, 0] },
  { kind: 'claim', bootCounter: 2, seq: 5, duties: [{ duty: 1, term: 2, heard: [2, 3] }], stance: 'full', unable: [0] },
  { kind: 'checkpoint', checkpoint },
  { kind: 'handover', checkpoint },
  { kind: 'handover-taken', duty: 1, term: 2, sequence: 3 },
  {
    ...{ kind: 'lease-request', ...at, session, rid: 4, leaseMs: 2_000, listHash: 99, heard: life },
    items: [{ lease: 0, counter: 4 }],
  },
  {
    ...{ kind: 'lease-answer', ...at, session: session.id, rid: 4, life, got: [{ lease: 0, counter: 4 }] },
    refused: [{ lease: 1, counter: 3, maxCounter: 5, freeInMs: 900 }],
  },
  { kind: 'lease-need-full', ...at, session: session.id, rid: 4 },
  { kind: 'lease-freed', ...at, leases: [{ lease: 0, maxCounter: 4 }] },
  { kind: 'voter-recall', ...at, life, unborn: true, former: life, round: 2 },
  {
    ...{ kind: 'voter-recalled', ...at, round: 2, remembered: life },
    memory: { longestMs: 2_000, maxCounters: [4, 5], sealedFor: hash, lingering: [] },
  },
  { kind: 'lease-seal', ...at, successor: hash },
  { kind: 'lease-epoch-wanted', ...at },
  { kind: 'lease-forced', ...at, successor: bundleHash(''), poweredOff: [], document: '{"payload":"e30"}' },
  { kind: 'lease-floors-wanted', ...at, round: 2 },
  { kind: 'lease-floors', ...at, round: 2, maxCounters: [4, 0] },
];

class Mutator {
  readonly random: Random;

  constructor(seed: string) {
    this.random = new Random(seed);
  }

  noise(most: number): Uint8Array {
    return Uint8Array.from({ length: this.random.below(most) }, () => this.random.below(256));
  }

  bytes(corpus: readonly Uint8Array[]): Uint8Array {
    const { random } = this;
    const pick = (): Uint8Array => corpus[random.below(corpus.length)]!;
    const one = Uint8Array.from(pick());
    const place = () => random.below(Math.max(1, one.length));
    switch (random.below(6)) {
      case 0:
        return this.noise(80);
      case 1:
        return one.subarray(0, place());
      case 2:
        return Buffer.concat([one.subarray(0, place()), pick().subarray(random.below(20))]);
      case 3:
        return Buffer.concat([one, random.chance(0.5) ? one : this.noise(9)]);
      default:
        for (let i = 0; i <= random.below(4) && one.length > 0; i++) {
          one[place()] = random.chance(0.5) ? awkwardBytes[random.below(awkwardBytes.length)]! : random.below(256);
        }
        return one;
    }
  }

  /** A field somewhere within, exchanged, taken out or doubled. */
  value(value: unknown): unknown {
    const { random } = this;
    if (Array.isArray(value) && value.length > 0 && random.chance(0.85)) {
      const copy: unknown[] = [...value];
      const index = random.below(copy.length);
      const how = random.below(8);
      if (how === 0) copy.splice(index, 1);
      else if (how === 1) copy.splice(index, 0, copy[index]);
      else copy[index] = this.value(copy[index]);
      return copy;
    }
    return awkward[random.below(awkward.length)];
  }
}

/** The same content with the number, text or length at one place written as our encoder never writes it. */
function otherwise(value: unknown, spot: number, random: Random): Uint8Array {
  let place = 0;
  const head = (major: number, n: number, isSpot: boolean): Buffer => {
    const least = n < 24 ? 0 : n < 0x100 ? 1 : n < 0x1_0000 ? 2 : n < 2 ** 32 ? 3 : 4;
    const wide = isSpot && least < 4 ? least + 1 + random.below(4 - least) : least;
    if (wide === 0) return Buffer.of((major << 5) | n);
    const bytes = Buffer.alloc(9);
    bytes.writeBigUInt64BE(BigInt(n), 1);
    const size = 2 ** (wide - 1);
    bytes[8 - size] = (major << 5) | (23 + wide);
    return bytes.subarray(8 - size);
  };
  const float = (n: number, isSpot: boolean): Buffer => {
    const isSingle = isSpot && Math.fround(n) === n && random.chance(0.5);
    const bytes = Buffer.alloc(isSingle ? 5 : 9);
    bytes[0] = isSingle ? 0xfa : 0xfb;
    if (isSingle) bytes.writeFloatBE(n, 1);
    else bytes.writeDoubleBE(n, 1);
    return bytes;
  };
  const write = (one: unknown): Buffer => {
    const isSpot = place++ === spot;
    if (typeof one === 'number') {
      if (!Number.isSafeInteger(one) || (isSpot && random.chance(0.7))) return float(one, isSpot);
      return one >= 0 ? head(0, one, isSpot) : head(1, -1 - one, isSpot);
    }
    if (typeof one === 'boolean') return Buffer.of(one ? 0xf5 : 0xf4);
    if (typeof one === 'string') return Buffer.concat([head(3, Buffer.byteLength(one), isSpot), Buffer.from(one)]);
    if (one instanceof Uint8Array) return Buffer.concat([head(2, one.length, isSpot), one]);
    if (Array.isArray(one)) return Buffer.concat([head(4, one.length, isSpot), ...one.map(write)]);
    return Buffer.of(0xf6);
  };
  return Uint8Array.from(write(value));
}

const awkwardBytes = [0x00, 0x17, 0x18, 0x1b, 0x40, 0x5b, 0x7f, 0x80, 0x9b, 0x9f, 0xbf, 0xc0, 0xf6, 0xfb, 0xff];
const awkward: readonly unknown[] = [
  ...[0, 1, 5, 6, 23, 24, 255, 256, 65_535, 65_536, 2 ** 31 - 1, 2 ** 31, 2 ** 32 - 1, 2 ** 32],
  ...[Number.MAX_SAFE_INTEGER, -1, -(2 ** 40), 0.5, 1e300, true, false, null, '', 'x', '__proto__'],
  ...['\u0000', 'y'.repeat(300), new Uint8Array(0), new Uint8Array(16), new Uint8Array(32), new Uint8Array(64)],
  ...[[], [[]], [0], [0, 0], Array.from({ length: 700 }, (_, i) => i), [[0, 0, 1, 1, 0]], [[1, 1, [0]]]],
];

interface Outcome {
  readonly ok: boolean;
  readonly error?: { readonly reason: string; readonly text?: string };
}

/** Both happened, and often: neither a decoder that takes all nor one that refuses all has been tested. */
function expectBoth({ taken, refused }: { taken: number; refused: number }, count: number): void {
  expect(taken + refused).toBe(count);
  expect(taken).toBeGreaterThan(0);
  expect(refused).toBeGreaterThan(count / 10);
}

function judge(count: number, next: (i: number) => Outcome): void {
  const seen = { taken: 0, refused: 0 };
  for (let i = 0; i < count; i++) {
    const outcome = next(i);
    if (outcome.ok) seen.taken++;
    else {
      seen.refused++;
      const words = `${outcome.error?.reason ?? ''}${outcome.error?.text ?? ''}`;
      if (words.length === 0 || words.length > 600) throw new Error(`a refusal of ${words.length} characters`);
    }
  }
  expectBoth(seen, count);
}

test('direct messages and leases → taken within bounds, or refused; the core bears what is taken', () => {
  const mutator = new Mutator('direct');
  const corpus = honest.map((message) => {
    const encoded = encodeDirect(message);
    if (!encoded.ok) throw new Error(encoded.error.text);
    return encoded.value;
  });
  const arrays = corpus.map((bytes) => {
    const decoded = decodeArray(bytes, 65_600);
    if (!decoded.ok) throw new Error(decoded.error.text);
    return decoded.value;
  });
  const core = new AgentCore({
    plan,
    identity: { self: 0, boot: bootId('01'.repeat(16)), bootCounter: 1 },
    random: new Random('core'),
    restored: freshStart,
  });
  core.step(instant(0), { kind: 'started', wall: wallTime(1_700_000_000_000) });
  const kinds = new Set<string>();
  let [same, written] = [0, 0];
  judge(share.direct, (i) => {
    let bytes: Uint8Array;
    if (i % 2 === 0) bytes = mutator.bytes(corpus);
    else if (i % 8 === 1) {
      const which = mutator.random.below(arrays.length);
      bytes = otherwise(arrays[which], mutator.random.below(12), mutator.random);
      const isSame = Buffer.compare(bytes, corpus[which]!) === 0;
      isSame ? same++ : written++;
      if (decodeDirect(bytes, bounds).ok !== isSame) throw new Error(`two encodings of ${honest[which]!.kind}`);
    } else {
      const array = arrays[mutator.random.below(arrays.length)]!;
      const mutated = mutator.value(array);
      bytes = encodeArray(Array.isArray(mutated) ? mutated : [mutated]);
    }
    const result = decodeDirect(bytes, bounds);
    if (!result.ok) return result;
    const message = result.value;
    kinds.add(message.kind);
    if (bytes.length > maxBytesOf(message.kind)) throw new Error(`${message.kind} of ${bytes.length} bytes`);
    const again = encodeDirect(message);
    if (!again.ok || Buffer.compare(again.value, bytes) !== 0) throw new Error(`${message.kind} is not what was sent`);
    if (encodedSize(message) !== bytes.length) throw new Error(`${message.kind}: its size is reckoned wrongly`);
    const from = 1 + (i % 5);
    const now = instant(i / 10);
    core.step(now, { kind: 'message-received', from, message });
    if (core.deadline() <= now) core.step(now, { kind: 'ticked', lateMs: 0 });
    return result;
  });
  expect(written).toBeGreaterThan(same);
  expect([...kinds].sort()).toEqual([...new Set(honest.map((message) => message.kind))].sort());
  for (const [what, held] of Object.entries(core.membership.load)) {
    if (held > 512) throw new Error(`${what} grew to ${held}`);
  }
});

const pairs = [0, 1].map(() => generateKeyPairSync('ed25519'));

test('digests, badly signed and well → refused, or within the plan', () => {
  const mutator = new Mutator('digest');
  const [topic, stamp] = ['mw/1/plant/line-1/health', planStamp('plan')];
  const limits = { agents: 20, duties: 20, checks: 20, models: 5 };
  const digest = {
    ...{ agent: 1, bootCounter: 2, sequence: 3, judges: [4], anomalous: [1], localHealth: 1 },
    ...{ checks: [{ check: 2, status: 'warn' as const }], duties: [{ duty: 1, term: 2 }] },
    coordinator: 'connected' as const,
  };
  const key = pairs[0]!.privateKey;
  const whole = encodeDigest(digest, stamp, topic, key);
  const envelope = decodeArray(whole, 16_384);
  if (!envelope.ok) throw new Error('no envelope');
  const fields = decodeArray(envelope.value[1] as Uint8Array, 16_384);
  if (!fields.ok) throw new Error('no fields');
  judge(share.digest, (i) => {
    let bytes = i % 8 === 1 ? otherwise(envelope.value, i % 3, mutator.random) : mutator.bytes([whole]);
    if (i % 4 === 0) {
      const mutated = mutator.value(fields.value);
      const payload = encodeArray(Array.isArray(mutated) ? mutated : [mutated]);
      const text = Buffer.concat([Buffer.from(`millwright digest 1\n${topic}\n`), payload]);
      bytes = encodeArray([10, payload, sign(null, text, key)]);
    }
    const result = decodeDigest(bytes, stamp, topic, limits, () => pairs[0]!.publicKey);
    if (!result.ok) return result;
    // The signature is over the payload alone; its envelope must have one form, too.
    const again = encodeDigest(result.value, stamp, topic, key);
    if (i % 4 !== 0 && Buffer.compare(again, bytes) !== 0) throw new Error('a digest in another form');
    const { agent, checks, duties, judges } = result.value;
    const isWithin = agent < 20 && checks.length <= 20 && duties.length <= 20 && judges.length <= 20;
    return isWithin ? result : { ok: false };
  });
});

test('preambles', () => {
  const mutator = new Mutator('preamble');
  const corpus = [encodePreamble(preamble('plant', 'plan', ['a', 'b'].map(agentId)))];
  judge(share.preamble, () => decodePreamble(mutator.bytes(corpus)));
});

test('words about bundles', () => {
  const mutator = new Mutator('bundle');
  const corpus = [
    encodeBundleMessage({ kind: 'standing', era: 1, version: 2, hash, running: { era: 1, version: 1 } }),
    encodeBundleMessage({ kind: 'want', era: 1, version: 2, hash }),
    encodeBundleMessage({ kind: 'head', bytes: 70_000 }),
    encodeBundleMessage({ kind: 'part', bytes: new Uint8Array(50) }),
    encodeBundleMessage({ kind: 'not-now' }),
  ];
  judge(share.bundle, () => {
    const bytes = mutator.bytes(corpus);
    const result = decodeBundleMessage(bytes);
    if (result.ok && result.value.kind === 'part' && result.value.bytes.length > bundlePartBytes + 64)
      return { ok: false };
    return result;
  });
});

test('frames in chunks of any size → whole frames alone, and never more held than one', () => {
  const mutator = new Mutator('frames');
  const most = 600;
  const corpus = [frame(new Uint8Array(5)), frame(new Uint8Array(200)), Uint8Array.of(0xff, 0xff, 0xff, 0xff)];
  let reader = new FrameReader(most);
  const seen = { taken: 0, refused: 0 };
  for (let i = 0; i < share.frames; i++) {
    const chunk = mutator.random.chance(0.5) ? corpus[mutator.random.below(2)]! : mutator.bytes(corpus);
    const isWhole = reader.push(chunk, (bytes) => {
      if (bytes.length > most) throw new Error('a frame above the limit');
    });
    if (reader.held > most + 3) throw new Error(`${reader.held} bytes held`);
    if (isWhole) seen.taken++;
    else {
      seen.refused++;
      reader = new FrameReader(most);
    }
  }
  expectBoth(seen, share.frames);
});

test('lines between agent and supervisor → taken or dropped, and an endless line is forgotten', () => {
  const mutator = new Mutator('supervisor');
  const stamp = { at: 1, cpu: 1 };
  const corpus = [
    { do: 'session', cell: 'line-1', epoch: 1, targets: [{ host: '10.0.0.1', port: 4000 }], guardMs: 100 },
    { do: 'extend', duty: 'press', until: 12_345.5, ...stamp },
    { do: 'stop', duty: 'press', graceMs: 2_000 },
    { do: 'beat' },
    { is: 'session', cell: 'line-1', epoch: 1, id: 'ab'.repeat(32) },
    { is: 'started', duty: 'press', pid: 77 },
    { is: 'exited', duty: 'press', code: 1, signal: null, reason: 'it ended', expired: true },
    { is: 'stopped', duty: 'press' },
  ].map((message) => Buffer.from(`${JSON.stringify(message)}\n`));
  const seen = { taken: 0, refused: 0 };
  const reader = new LineReader((line) => {
    const parsed = parseAsk(line) ?? parseSay(line);
    if (parsed === undefined) seen.refused++;
    else {
      if (encodeLine(parsed).length > maxLineBytes) throw new Error('longer than it may be sent');
      seen.taken++;
    }
  });
  for (let i = 0; i < share.supervisor; i++) {
    if (i % 1_000 === 500) for (let j = 0; j < 3; j++) reader.push(Buffer.alloc(40_000, 0x20));
    reader.push(mutator.random.chance(0.1) ? corpus[i % corpus.length]! : Buffer.from(mutator.bytes(corpus)));
  }
  expect(reader.oversized).toBeGreaterThan(0);
  expect(seen.taken).toBeGreaterThan(100);
  expect(seen.refused).toBeGreaterThan(1_000);
});

test('datagrams with death certificates', () => {
  const mutator = new Mutator('certificate');
  const corpus = [encodeCertificate(new Uint8Array(32).fill(3))];
  judge(others.certificate, () => {
    const datagram = Buffer.from(mutator.bytes(corpus));
    const secret = decodeCertificate(datagram);
    if (secret === undefined) return { ok: false, error: { reason: 'none of ours' } };
    if (secret.length !== 32 || datagram.length < certificateBytes) throw new Error('not a secret');
    return { ok: true };
  });
});

test('what goes to the coordinator and comes back', () => {
  const mutator = new Mutator('report');
  const corpus = [
    { v: 1, type: 'ack', stream: 'a', upto: 4, hash: 'ab'.repeat(32), want: [[1, 2]] },
    { v: 1, type: 'hello', agent: 'a', boot: 'b', stream: 's' },
    { v: 1, seq: 1, type: 'event', boot: 'b', ts: 1, data: { type: 'event' } },
    { online: true, boot: 'ab'.repeat(16), at: 1 },
  ].map((message) => Buffer.from(JSON.stringify(message)));
  let refused = 0;
  for (let i = 0; i < others.reports; i++) {
    const bytes = mutator.bytes(corpus);
    for (const result of [decodeAck(bytes), decodeLog(bytes), decodePresence(bytes)]) {
      if (!result.ok && result.error.reason.length > 0 && result.error.reason.length < 2_000) refused++;
    }
  }
  expect(refused).toBeGreaterThan(others.reports);
});

test('lists of agents and site bundles with changed bytes → never believed', () => {
  const mutator = new Mutator('bundle');
  const pem = (pair: (typeof pairs)[0]): string => pair.publicKey.export({ type: 'spki', format: 'pem' }) as string;
  const secret = pairs[0]!.privateKey.export({ type: 'pkcs8', format: 'pem' }) as string;
  const oneLine = (text: string): string => text.replace(/-----[A-Z ]+-----|\s/g, '');
  const agents = [{ id: agentId('box-1'), key: oneLine(pem(pairs[1]!)) }];
  const roster = signRoster({ site: 'plant', version: 1, agents }, secret);
  expect(verifyRoster(roster, pem(pairs[0]!)).ok).toBe(true);
  const parsed = (text: string): string => JSON.stringify(JSON.parse(text));
  for (let i = 0; i < others.roster; i++) {
    const bytes = mutator.bytes([Buffer.from(roster)]);
    const text = Buffer.from(bytes).toString('utf8');
    const result = verifyRoster(text, pem(pairs[0]!));
    if (result.ok && parsed(text) !== parsed(roster)) throw new Error('a changed list is believed');
  }
  for (let i = 0; i < others.siteBundle; i++) {
    const bytes = mutator.bytes([
      Buffer.from(roster),
      Buffer.from('{"payload":"e30","protected":"e30","signature":"AA"}'),
    ]);
    expect(readBundle(bytes).ok).toBe(false);
    expect(verifyBundle(bytes, { keys: [oneLine(pem(pairs[0]!))] }).ok).toBe(false);
  }
});
