import { readFileSync } from 'node:fs';
import { cpus, totalmem } from 'node:os';
import { setTimeout as sleep } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import { benchScore } from '../../models/bench.ts';
import { until } from '../../simulations/demo/client.ts';
import { DemoSite } from '../../simulations/demo/demo-site.ts';

/**
 * `npm run bench [-- --json] [--trials N] [--idle-seconds N]`: the figures of the README, measured on the demo's own
 * real processes. Wall-clock figures are upper bounds on a shared machine; memory and CPU time are what they are.
 */
const { values } = parseArgs({
  options: { json: { type: 'boolean' }, trials: { type: 'string' }, 'idle-seconds': { type: 'string' } },
});
const trials = Number(values.trials ?? 10);
const idleSeconds = Number(values['idle-seconds'] ?? 60);
const say = (text: string) => process.stderr.write(`${text}\n`);

/** From the stat file: user and system time of a process in seconds (proc(5), fields 14 and 15, USER_HZ = 100). */
function cpuSeconds(pid: number): number {
  const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  return (Number(fields[11]) + Number(fields[12])) / 100;
}

/** Proportional set size in MB: shared pages are divided among those who share them. */
function pssMb(pid: number): number {
  const text = readFileSync(`/proc/${pid}/smaps_rollup`, 'utf8');
  return Number(/^Pss:\s+(\d+) kB/m.exec(text)?.[1] ?? Number.NaN) / 1024;
}

function spread(values: readonly number[]) {
  const sorted = [...values].sort((a, b) => a - b);
  const at = (q: number) => sorted[Math.min(sorted.length - 1, Math.floor(q * sorted.length))] ?? Number.NaN;
  return { p50: Math.round(at(0.5)), max: Math.round(sorted.at(-1) ?? Number.NaN), all: sorted.map(Math.round) };
}

const site = await DemoSite.prepare({
  replayFile: undefined,
  speed: 40,
  broker: undefined,
  sabotage: undefined,
  say,
  keep: false,
});
for (const signal of ['SIGINT', 'SIGTERM'] as const)
  process.on(signal, () => void site.stop().then(() => process.exit(1)));
try {
  await site.start();
  const everybody = site.started();
  const allAlive = () =>
    until('all members alive', 60_000, async () => {
      const statuses = await site.statuses(everybody);
      return statuses.every((status) =>
        everybody.every((name) => status.members.find((member) => member.agent === name)?.state === 'alive'),
      );
    });
  await allAlive();

  say(`idle for ${idleSeconds} s …`);
  await sleep(15_000);
  const before = new Map(site.boxes().map((box) => [box.name, cpuSeconds(box.process?.pid ?? 0)]));
  const began = performance.now();
  await sleep(idleSeconds * 1000);
  const minutes = (performance.now() - began) / 60_000;
  const statuses = await site.statuses(everybody);
  const idle = site.boxes().map((box) => {
    const pid = box.process?.pid ?? 0;
    const status = statuses.find((entry) => entry.agent === box.name);
    return {
      agent: box.name,
      duties: status?.duties.filter((duty) => duty.mine).map((duty) => duty.duty) ?? [],
      pssMb: Math.round(pssMb(pid) * 10) / 10,
      cpuSecondsPerMinute: Math.round(((cpuSeconds(pid) - (before.get(box.name) ?? 0)) / minutes) * 100) / 100,
    };
  });

  const detection: number[] = [];
  const takeover: number[] = [];
  for (let trial = 1; trial <= trials; trial++) {
    const duty = 'pump-skid/poll';
    const holder = await site.holderOf(duty);
    const victim = site.box(holder.agent);
    const survivors = everybody.filter((name) => name !== victim.name);
    victim.process?.kill('SIGKILL');
    const killed = performance.now();
    let knownAt: number | undefined;
    let runsAt: number | undefined;
    await until(
      'death known and duty taken over',
      30_000,
      async () => {
        const now = await site.statuses(survivors);
        const at = performance.now();
        if (now.every((s) => s.members.find((m) => m.agent === victim.name)?.state === 'dead')) knownAt ??= at;
        if (now.some((s) => s.duties.some((d) => d.duty === duty && d.mine))) runsAt ??= at;
        return knownAt !== undefined && runsAt !== undefined;
      },
      20,
    );
    detection.push((knownAt ?? Number.NaN) - killed);
    takeover.push((runsAt ?? Number.NaN) - killed);
    say(
      `trial ${trial}/${trials}: known after ${Math.round(detection.at(-1) ?? 0)} ms, runs after ${Math.round(takeover.at(-1) ?? 0)} ms`,
    );
    await victim.process?.exited;
    await site.startAgent(victim.name);
    await allAlive();
    await sleep(1_000);
  }
  say('scoring …');
  const score = await benchScore();
  const result = {
    machine: {
      cpus: cpus().length,
      model: cpus()[0]?.model,
      memoryGiB: Math.round(totalmem() / 1024 ** 3),
      node: process.versions.node,
    },
    crashKnownToAllMs: spread(detection),
    dutyRunsElsewhereMs: spread(takeover),
    idleAgents: idle,
    score,
  };
  if (values.json === true) process.stdout.write(`${JSON.stringify(result)}\n`);
  else {
    process.stdout.write(
      [
        `crash of an agent → all survivors have it dead   p50 ${result.crashKnownToAllMs.p50} ms, max ${result.crashKnownToAllMs.max} ms (${trials} trials)`,
        `crash of an agent → its duty runs elsewhere      p50 ${result.dutyRunsElsewhereMs.p50} ms, max ${result.dutyRunsElsewhereMs.max} ms`,
        ...idle.map(
          (agent) =>
            `${agent.agent}: PSS ${agent.pssMb} MB, ${agent.cpuSecondsPerMinute} CPU-s/min  ${agent.duties.join(', ') || '(no duty)'}`,
        ),
        `one window scored: p50 ${score.p50Ms.toFixed(3)} ms, p99 ${score.p99Ms.toFixed(3)} ms`,
        '',
      ].join('\n'),
    );
  }
} finally {
  await site.stop();
}
process.exit(0);
