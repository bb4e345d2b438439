import { execFile } from 'node:child_process';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { promisify } from 'node:util';
import { Random } from '../../../agent/base/random.ts';
import { writeModel } from '../../../models/commands.ts';
import { trainFromRows } from '../../../models/training/train.ts';
import { agentStatus } from '../../../simulations/demo/client.ts';
import { edgeBoxEnv, edgeBoxKnobs, type Spawned, spawnNode } from '../../../simulations/demo/processes.ts';
import { eventually } from '../../support/eventually.ts';
import { freePorts } from '../../support/free-ports.ts';
import { cpuMs, pssMb, rounded } from './measure.ts';

export interface TagFigures {
  readonly protocol: string;
  readonly tags: number;
  readonly models: number;
  readonly seconds: number;
  readonly idle: { readonly cpuPercent: number; readonly pssMb: number };
  readonly busy: { readonly cpuPercent: number; readonly pssMb: number };
  /** What reading and scoring costs: busy less idle. */
  readonly addedCpuPercent: number;
  readonly addedPssMb: number;
  /** Of the models, those that had a fresh score at the end: must be all. */
  readonly scoring: number;
}

const millwright = resolve(import.meta.dirname, '..', '..', '..', 'millwright.ts');
const devices = 5;
const tagsPerDevice = 100;
const modelsPerDevice = 10;
const inputsPerModel = 10;
const settleMs = 25_000;

/**
 * A real agent that reads 500 tags a second from real servers in another process and scores 50 models with them, against
 * the same agent with nothing to read; one after the other on the same machine, with the memory settings of an edge box.
 */
export async function benchTags(
  protocol: 'opcua' | 'modbus',
  seconds: number,
  say: (text: string) => void,
): Promise<TagFigures> {
  const folder = mkdtempSync(join(tmpdir(), 'millwright-senses-'));
  const started: Spawned[] = [];
  try {
    mkdirSync(join(folder, 'logs'));
    const spawn = (name: string, script: string, args: readonly string[], knobs: readonly string[] = []) => {
      const options = { name, script, args, knobs, env: edgeBoxEnv, cwd: folder };
      const child = spawnNode({ ...options, logFile: join(folder, 'logs', `${name}.log`) }, () => {});
      started.push(child);
      return child;
    };
    const server = spawn('tags', join(import.meta.dirname, 'tag-server.ts'), [
      protocol,
      String(devices),
      String(tagsPerDevice),
    ]);
    const { where } = (await server.says((line) => line['ready'] === true, 30_000)) as { where: readonly string[] };
    await makeModels(join(folder, 'models'));
    const weigh = async (name: string, site: string) => {
      say(`${protocol}: ${name} agent, ${settleMs / 1000} s to settle, ${seconds} s measured …`);
      const { config, api, token } = await makeSite(folder, name, site);
      const agent = spawn(name, millwright, ['agent', '--config', config, '--end-with-stdin'], edgeBoxKnobs);
      await agent.says((line) => line['ready'] === true, 60_000);
      const scoring = async () => {
        const { models } = await agentStatus(api, token);
        return models.filter(({ score }) => score !== undefined).length;
      };
      if (name === 'busy') {
        await eventually(async () => (await scoring()) === devices * modelsPerDevice, {
          deadlineMs: 90_000,
          everyMs: 500,
          what: 'a score of every model',
        });
      }
      await sleep(settleMs);
      const [cpu, at] = [cpuMs(agent.pid), performance.now()];
      const weights: number[] = [];
      for (let i = 0; i < 4; i++) {
        await sleep((seconds * 1000) / 4);
        weights.push(pssMb(agent.pid));
      }
      const cpuPercent = ((cpuMs(agent.pid) - cpu) / (performance.now() - at)) * 100;
      const scored = await scoring();
      agent.endInput();
      await agent.exited;
      const mean = weights.reduce((sum, one) => sum + one, 0) / weights.length;
      return { cpuPercent: rounded(cpuPercent, 2), pssMb: rounded(mean, 1), scored };
    };
    const idle = await weigh('idle', idleSite);
    const busy = await weigh('busy', busySite(protocol, where));
    return {
      protocol,
      tags: devices * tagsPerDevice,
      models: devices * modelsPerDevice,
      seconds,
      idle: { cpuPercent: idle.cpuPercent, pssMb: idle.pssMb },
      busy: { cpuPercent: busy.cpuPercent, pssMb: busy.pssMb },
      addedCpuPercent: rounded(busy.cpuPercent - idle.cpuPercent, 2),
      addedPssMb: rounded(busy.pssMb - idle.pssMb, 1),
      scoring: busy.scored,
    };
  } finally {
    for (const child of started.reverse()) {
      child.endInput();
      const hung = setTimeout(() => child.kill('SIGKILL'), 10_000);
      await child.exited;
      clearTimeout(hung);
    }
    rmSync(folder, { recursive: true, force: true, maxRetries: 5 });
  }
}

const head = 'millwright: 1\nsite: bench\nagents:\n  box-1: {}\n';
const idleSite = `${head}checks:\n  disk: { disk: /, warn: above 99.9%, every: 60s }\n`;

function busySite(protocol: 'opcua' | 'modbus', where: readonly string[]): string {
  const lines = [head, 'assets:'];
  for (const [device, place] of where.entries()) {
    lines.push(`  m${device}:`);
    const [host, port] = place.split(':');
    lines.push(
      protocol === 'opcua'
        ? `    connect: { opcua: { endpoint: "${place}" } }`
        : `    connect: { modbus: { host: ${host}, port: ${port}, unit: 1, order: abcd } }`,
      '    signals:',
    );
    for (let tag = 0; tag < tagsPerDevice; tag++) {
      const address = protocol === 'opcua' ? `ns=1;s=M${device}.T${tag}` : `input:${30001 + 2 * tag}, type: float32`;
      lines.push(`      t${tag}: { address: ${address}, every: 1s, fresh: 5s }`);
    }
    lines.push('    models:');
    for (let model = 0; model < modelsPerDevice; model++) {
      const inputs = Array.from({ length: inputsPerModel }, (_, i) => `i${i}: t${model * inputsPerModel + i}`).join(
        ', ',
      );
      lines.push(`      model${model}: { file: model${model}, inputs: { ${inputs} }, raise: 45 of 60, clear: 60 }`);
    }
  }
  return `${lines.join('\n')}\n`;
}

async function makeModels(folder: string): Promise<void> {
  for (let model = 0; model < modelsPerDevice; model++) {
    const random = new Random('tags', `model ${model}`);
    const rows = Array.from({ length: 400 }, () =>
      Array.from({ length: inputsPerModel }, (_, i) => 50 + model * inputsPerModel + i + random.normal()),
    );
    const names = Array.from({ length: inputsPerModel }, (_, i) => `i${i}`);
    const trained = trainFromRows(rows, names, { name: `model${model}`, everyMs: 1_000 });
    if (!trained.ok) throw new Error(trained.error.message);
    await writeModel(join(folder, `model${model}`), trained.value);
  }
}

async function makeSite(folder: string, name: string, text: string) {
  const [mesh = 0, api = 0] = await freePorts(2);
  const place = join(folder, name);
  mkdirSync(place);
  writeFileSync(join(place, 'site.yaml'), text);
  writeFileSync(
    join(place, 'layout.json'),
    JSON.stringify({
      models: join(folder, 'models'),
      agents: { 'box-1': { listen: [`127.0.0.1:${mesh}`], api: `127.0.0.1:${api}`, data: join(place, 'data') } },
    }),
  );
  const args = ['site', 'init', join(place, 'site.yaml'), '--out', join(place, 'keys')];
  await promisify(execFile)(process.execPath, [millwright, ...args, '--layout', join(place, 'layout.json')]);
  const box = join(place, 'keys', 'agents', 'box-1');
  const token = readFileSync(join(box, 'api.token'), 'utf8').trim();
  return { config: join(box, 'agent.yaml'), api: `http://127.0.0.1:${api}`, token };
}
