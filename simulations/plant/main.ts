import { parseArgs } from 'node:util';
import { runPlant } from './run-plant.ts';

/**
 * `node simulations/plant/main.ts [--config FILE] [--seed N] [--folder DIR] [--replay FILE --speed N] [--secure]
 * [--replay-start now|subscribed|ordered] [--opcua-port N] [--modbus-port N] [--s7-port N] [--parent-pid N] [--until-stdin-closes]`,
 * or `--list-faults [--json]`. Prints one JSON line when everything answers.
 */
const { values: flags } = parseArgs({
  options: {
    config: { type: 'string' },
    seed: { type: 'string' },
    folder: { type: 'string' },
    replay: { type: 'string' },
    speed: { type: 'string' },
    'replay-start': { type: 'string' },
    secure: { type: 'boolean' },
    'opcua-port': { type: 'string' },
    'modbus-port': { type: 'string' },
    's7-port': { type: 'string' },
    'pump-interval-ms': { type: 'string' },
    'parent-pid': { type: 'string' },
    'until-stdin-closes': { type: 'boolean' },
    'list-faults': { type: 'boolean' },
    json: { type: 'boolean' },
  },
});

await runPlant({
  ...flags,
  replayStart: flags['replay-start'],
  opcuaPort: flags['opcua-port'],
  modbusPort: flags['modbus-port'],
  s7Port: flags['s7-port'],
  pumpIntervalMs: flags['pump-interval-ms'],
  parentPid: flags['parent-pid'],
  untilStdinCloses: flags['until-stdin-closes'],
  listFaults: flags['list-faults'],
  // A program that starts us reads a line; `millwright plant` is for people.
  json: flags['list-faults'] ? flags.json : true,
});
