import { execFile } from 'node:child_process';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { promisify } from 'node:util';
import type { AgentStatus } from '../../agent/wire/status.ts';
import { agentStatus, call } from '../../simulations/demo/client.ts';
import { type Spawned, spawnNode } from '../../simulations/demo/processes.ts';
import { freePorts } from '../support/free-ports.ts';
import { pumpRecording } from '../support/pump-recording.ts';

export const millwright = resolve(import.meta.dirname, '..', '..', 'millwright.ts');

/** One box, one machine that nobody answers for, one model, one rule that needs neither. */
const siteText = `millwright: 1
site: small
params: { plc-port: "502", beat: /tmp/beat }
agents:
  box-1: {}
  box-2: {}
assets:
  pump:
    connect: { modbus: { host: 127.0.0.1, port: $plc-port, unit: 1, order: abcd } }
    signals:
      vibration: { address: input:30001, type: float32, every: 500ms }
      current: { address: input:30003, type: float32, every: 500ms }
      flow: { address: input:30005, type: float32, every: 500ms }
    checks:
      heard: { stale: flow, every: 500ms, raise: 1s }
    models:
      model:
        file: pump/model
        inputs: { Vibration: vibration, Current: current, VolumeFlow: flow }
        raise: 45 of 60
        clear: 60
checks:
  disk: { disk: /, warn: above 99.9%, every: 1s }
  beat: { file-age: $beat, warn: above 60s, every: 500ms, raise: 1, clear: 1 }
`;

export interface SmallSite {
  readonly folder: string;
  /** What `site init` made. */
  readonly keys: string;
  readonly ports: { readonly mesh: number; readonly api: number; readonly broker: number; readonly console: number };
  /** A file whose age a check judges: what makes the agent say something. */
  readonly beat: string;
  readonly box: { readonly folder: string; readonly config: string; readonly data: string };
  /** Replaces text in a file of the keys folder; a pattern that is not there is an error. */
  edit(file: string, pattern: RegExp | string, by: string): void;
  startAgent(options?: { readonly config?: string }): Promise<Spawned>;
  startCoordinator(): Promise<Spawned>;
  /** `GET /v1/status` of box-1. */
  status(): Promise<AgentStatus>;
  /** `GET /api/v1/…` of the coordinator. */
  coordinator<T>(path: string): Promise<T>;
  /** Ends what runs and removes the folder. */
  dispose(): Promise<void>;
}

/** Runs the command line to its end; never throws. */
export async function run(
  args: readonly string[],
  env: Readonly<Record<string, string>> = {},
): Promise<{ code: number; stdout: string; stderr: string }> {
  try {
    const options = { env: { ...process.env, ...env }, timeout: 60_000 };
    const { stdout, stderr } = await promisify(execFile)(process.execPath, [millwright, ...args], options);
    return { code: 0, stdout, stderr };
  } catch (error) {
    const { code, stdout, stderr } = error as { code: unknown; stdout: string; stderr: string };
    return { code: typeof code === 'number' ? code : -1, stdout, stderr };
  }
}

/** Keys, configurations and a trained model, made by the same commands that a user types. Nothing runs yet. */
export async function makeSmallSite(options: { readonly data?: string } = {}): Promise<SmallSite> {
  const folder = mkdtempSync(join(tmpdir(), 'millwright-small-'));
  const [mesh = 0, api = 0, broker = 0, consolePort = 0, plc = 0, otherMesh = 0, otherApi = 0] = await freePorts(7);
  const siteFile = join(folder, 'site.yaml');
  const keys = join(folder, 'keys');
  const data = options.data ?? join(folder, 'data', 'box-1');
  const beat = join(folder, 'beat');
  writeFileSync(siteFile, siteText);
  writeFileSync(beat, '');
  const layout = join(folder, 'layout.json');
  const at = (port: number) => `127.0.0.1:${port}`;
  writeFileSync(
    layout,
    JSON.stringify({
      params: { 'plc-port': plc, beat },
      models: join(folder, 'models'),
      broker: `mqtt://${at(broker)}`,
      agents: {
        'box-1': { listen: [at(mesh)], api: at(api), data },
        'box-2': { listen: [at(otherMesh)], api: at(otherApi), data: join(folder, 'data', 'box-2') },
      },
      coordinator: { api: at(consolePort), broker: at(broker) },
    }),
  );
  const recording = join(folder, 'pump.csv');
  writeFileSync(recording, pumpRecording({ rows: 400, seed: 'small site' }));
  for (const args of [
    ['site', 'init', siteFile, '--out', keys, '--layout', layout],
    ['model', 'train', '--data', recording, '--out', join(folder, 'models', 'pump', 'model'), '--name', 'pump'],
  ]) {
    const { code, stdout, stderr } = await run(args);
    if (code !== 0) throw new Error(`millwright ${args.join(' ')} ended with ${code}:\n${stdout}${stderr}`);
  }
  const boxFolder = join(keys, 'agents', 'box-1');
  const config = join(boxFolder, 'agent.yaml');
  mkdirSync(join(folder, 'logs'));
  const started: Spawned[] = [];
  const start = async (name: string, args: readonly string[]): Promise<Spawned> => {
    const child = spawnNode(
      { name, script: millwright, args, cwd: folder, logFile: join(folder, 'logs', `${name}.log`) },
      () => {},
    );
    started.push(child);
    await child.says((line) => line['ready'] === true, 60_000);
    return child;
  };
  const token = (...path: string[]) => readFileSync(join(keys, ...path), 'utf8').trim();
  return {
    folder,
    keys,
    ports: { mesh, api, broker, console: consolePort },
    beat,
    box: { folder: boxFolder, config, data },
    edit: (file, pattern, by) => {
      const path = join(keys, file);
      const before = readFileSync(path, 'utf8');
      const after = before.replace(pattern, by);
      if (after === before) throw new Error(`${pattern} is not in ${path}:\n${before}`);
      writeFileSync(path, after);
    },
    startAgent: ({ config: other } = {}) => start('box-1', ['agent', '--config', other ?? config, '--end-with-stdin']),
    startCoordinator: () =>
      start('coordinator', [
        ...['coordinator', '--config', join(keys, 'coordinator', 'coordinator.yaml'), '--end-with-stdin'],
      ]),
    status: () => agentStatus(`http://${at(api)}`, token('agents', 'box-1', 'api.token')),
    coordinator: (path) => call('GET', `http://${at(consolePort)}/api/v1/${path}`, token('coordinator', 'api.token')),
    dispose: async () => {
      for (const child of started.reverse()) {
        child.kill('SIGTERM');
        const hung = setTimeout(() => child.kill('SIGKILL'), 10_000);
        await child.exited;
        clearTimeout(hung);
      }
      rmSync(folder, { recursive: true, force: true, maxRetries: 5 });
    },
  };
}
