// Stands in for an agent: holds process duties until it is killed. Its one argument is JSON: {dataDir, argv, weak}.
// `weak` leaves out the namespace, as on a box that allows none.
import { type Containment, findContainment } from '../../../agent/adapters/connections/containment.ts';
import { createProcessRunner } from '../../../agent/adapters/duty-runners/process.ts';
import { entryId } from '../../../agent/base/ids.ts';
import { wallTime } from '../../../agent/base/time.ts';

const { dataDir, argv, weak } = JSON.parse(process.argv[2] ?? '') as {
  dataDir: string;
  argv: string[];
  weak: boolean;
};
const found = await findContainment();
const containment: Containment = weak ? { ...found, kind: 'parent-death', whole: found.single, depth: 0 } : found;
const runner = createProcessRunner({
  agent: 'edge-1',
  dataDir,
  containment,
  deliver: (input) => process.stdout.write(`${JSON.stringify(input)}\n`),
  clock: { wall: () => wallTime(Date.now()) },
  log: { debug() {}, info() {}, warn() {}, error() {} },
});
runner.start(
  {
    index: 0,
    id: entryId('labels/service'),
    thing: undefined,
    work: { kind: 'process', argv, env: new Map() },
    eligible: [0],
    exclusive: false,
    critical: false,
    refusedBecause: new Map(),
    weight: new Map(),
  },
  1,
  undefined,
);
setInterval(() => {}, 1_000);
