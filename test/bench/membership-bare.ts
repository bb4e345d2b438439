import { generateKeyPairSync } from 'node:crypto';
import { parseArgs } from 'node:util';
import { type AgentId, agentId } from '../../agent/base/ids.ts';
import { presets } from '../../agent/core/membership/options.ts';
import type { Voucher } from '../../agent/core/membership/statements.ts';
import { ed25519Voucher } from '../../agent/wire/statement.ts';
import { BareMesh } from '../core/membership/bare-mesh.ts';

/**
 * `node test/bench/membership-bare.ts`: the failure detector alone, in virtual time, as one line of JSON.
 *
 * --what speed      events and agent-seconds per CPU-second, messages per agent, memory (default)
 * --what detection  crashes in turn: when the first, and when the last of the others holds it dead
 * --what soak       hours of calm or loss: false deaths, load
 */
const { values } = parseArgs({
  options: {
    what: { type: 'string', default: 'speed' },
    agents: { type: 'string', default: '1000' },
    seconds: { type: 'string', default: '30' },
    loss: { type: 'string', default: '0' },
    preset: { type: 'string', default: 'lan' },
    seed: { type: 'string', default: '1' },
    trials: { type: 'string', default: '100' },
    warm: { type: 'string', default: 'presume' },
    set: { type: 'string', multiple: true, default: [] },
    /** Members 0 and 1 watch each other closely. */
    watch: { type: 'boolean', default: false },
    /** Statements are signed, with real keys, and so the members greet each other. */
    signed: { type: 'boolean', default: false },
  },
});

const size = Number(values.agents);
const seconds = Number(values.seconds);
const loss = Number(values.loss);
const seed = Number(values.seed);
const options = {
  ...presets[values.preset as keyof typeof presets],
  ...Object.fromEntries(values.set.map((pair) => [pair.split('=')[0], Number(pair.split('=')[1])])),
};
/** Time for signatures and for checking them, and how many of each. */
const signing = { signed: 0, verified: 0, cpuMs: 0 };
const pairs = values.signed ? Array.from({ length: size }, () => generateKeyPairSync('ed25519')) : [];
const agentIds = pairs.map((_, index) => agentId(`box-${index}`));
const numbers = new Map(agentIds.map((id, index) => [id, index]));
const keyOf = (agent: AgentId) => pairs[numbers.get(agent) ?? -1]?.publicKey;
const voucher = (self: number): Voucher => {
  const inner = ed25519Voucher({ site: 'bench', agentIds, key: pairs[self]!.privateKey, keyOf });
  const timed = <T>(what: 'signed' | 'verified', act: () => T): T => {
    const began = performance.now();
    const result = act();
    signing[what]++;
    signing.cpuMs += performance.now() - began;
    return result;
  };
  return {
    sign: (update) => timed('signed', () => inner.sign(update)),
    verify: (update) => timed('verified', () => inner.verify(update)),
  };
};
const warm = values.signed ? 'greet' : values.warm === 'greet' ? 'greet' : 'presume';

const cpuMs = () => {
  const { user, system } = process.cpuUsage();
  return (user + system) / 1000;
};
const round = (n: number, digits = 0) => Math.round(n * 10 ** digits) / 10 ** digits;
const quantile = (sorted: readonly number[], q: number) =>
  round(sorted[Math.min(sorted.length - 1, Math.floor(q * sorted.length))] ?? Number.NaN);

function speed(): object {
  const mesh = new BareMesh({ size, options, seed, loss, warm });
  mesh.run(3_000);
  const events = mesh.events;
  const messages = mesh.messages;
  const began = cpuMs();
  mesh.run(3_000 + seconds * 1000);
  const cpuS = (cpuMs() - began) / 1000;
  return {
    cpuS: round(cpuS, 2),
    eventsPerCpuSecond: round((mesh.events - events) / cpuS),
    agentSecondsPerCpuSecond: round((size * seconds) / cpuS),
    eventsPerAgentSecond: round((mesh.events - events) / size / seconds, 1),
    messagesPerAgentSecond: round((mesh.messages - messages) / size / seconds, 2),
    rssMb: round(process.memoryUsage.rss() / 1e6),
    falseDeaths: mesh.falseDeaths,
  };
}

function detection(): object {
  const firsts: number[] = [];
  const alls: number[] = [];
  let missed = 0;
  let falseDeaths = 0;
  // Several crashes per mesh, well apart; a fresh mesh when a tenth of it is dead.
  const perMesh = Math.max(1, Math.floor(size / 10));
  for (let trial = 0, mesh: BareMesh | undefined, used = 0; trial < Number(values.trials); trial++, used++) {
    if (!mesh || used >= perMesh) {
      mesh = new BareMesh({ size, options, seed: seed * 100_003 + trial, loss, warm });
      if (values.watch) {
        mesh.members[0]!.watchClosely([1]);
        mesh.members[1]!.watchClosely([0]);
      }
      mesh.run(5_000 + ((trial * 7919) % 1000));
      used = 0;
    }
    const victim = values.watch && used === 0 ? 0 : (used * 9 + 5) % size;
    const living = mesh.up.reduce((a, b) => a + b, 0) - 1;
    const at = mesh.now;
    let first = 0;
    let known = 0;
    mesh.up[victim] = 0;
    const knows = new Set<number>();
    mesh.changed = (now, by, change) => {
      if (change.member !== victim) return;
      if (change.to === 'dead' && !knows.has(by)) {
        knows.add(by);
        if (knows.size === 1) first = now - at;
        if (knows.size === living) known = now - at;
      }
    };
    const enough = mesh;
    mesh.run(at + 60_000, () => known > 0 && enough !== undefined);
    mesh.changed = () => {};
    if (known > 0) {
      firsts.push(first);
      alls.push(known);
    } else missed++;
    mesh.run(mesh.now + 2_000 + ((trial * 131) % 400));
    falseDeaths += mesh.falseDeaths;
    mesh.falseDeaths = 0;
  }
  firsts.sort((a, b) => a - b);
  alls.sort((a, b) => a - b);
  const of = (sorted: readonly number[]) => ({
    p50Ms: quantile(sorted, 0.5),
    p99Ms: quantile(sorted, 0.99),
    maxMs: quantile(sorted, 1),
  });
  return { trials: firsts.length, first: of(firsts), all: of(alls), missed, falseDeaths };
}

function soak(): object {
  const mesh = new BareMesh({ size, options, seed, loss, warm, weigh: true, ...(values.signed ? { voucher } : {}) });
  // After a start all greet all, and what that sets off takes its time.
  const settledAt = warm === 'greet' ? 60_000 : 3_000;
  mesh.run(settledAt);
  const { messages, bytes } = mesh;
  const suspected = { count: 0 };
  Object.assign(signing, { signed: 0, verified: 0, cpuMs: 0 });
  mesh.changed = (_at, _by, change) => {
    if (change.to === 'suspect') suspected.count++;
  };
  const began = cpuMs();
  mesh.run(settledAt + seconds * 1000);
  return {
    agentHours: round((size * seconds) / 3600, 1),
    hours: round(seconds / 3600, 2),
    falseDeaths: mesh.falseDeaths,
    suspicionsPerAgentHour: round(suspected.count / ((size * seconds) / 3600), 4),
    bytesPerSecondPerAgent: round((mesh.bytes - bytes) / size / seconds, 1),
    messagesPerSecondPerAgent: round((mesh.messages - messages) / size / seconds, 2),
    cpuS: round((cpuMs() - began) / 1000, 1),
    cpuMsPerAgentHour: round((cpuMs() - began) / ((size * seconds) / 3600), 1),
    ...(values.signed ? { ...signing, cpuMs: round(signing.cpuMs, 1) } : {}),
  };
}

const result = values.what === 'detection' ? detection() : values.what === 'soak' ? soak() : speed();
const { what, preset } = values;
process.stdout.write(`${JSON.stringify({ what, agents: size, preset, loss, seed, seconds, ...result })}\n`);
