import { claimOf } from '../../../agent/adapters/gateway/claims.ts';
import type { DeviceWrite } from '../../../agent/adapters/gateway/device-writer.ts';
import { openGateway } from '../../../agent/adapters/gateway/gateway.ts';
import { createWriter, writeToDevice } from '../../../agent/adapters/gateway/write-effect.ts';
import type { Connection } from '../../../agent/driver/bindings.ts';
import type { Right } from './rights.ts';

/** A gateway that is stopped between its last look at the right and the write, and says how it ended when it is woken. */
interface Order {
  readonly dir: string;
  readonly connection: Connection;
  readonly write: DeviceWrite;
  readonly right: Right;
}

const { dir, connection, write, right } = JSON.parse(process.argv[2] ?? '') as Order;
const mayAct = (): boolean => {
  process.kill(process.pid, 'SIGSTOP');
  return true;
};
const end = await writeToDevice({
  gate: openGateway({ dir }),
  writer: createWriter({ connection, pki: dir }),
  claim: claimOf('plc:conveyor', right, { mayAct }),
  write,
  timeoutMs: 10_000,
  signal: new AbortController().signal,
});
process.stdout.write(JSON.stringify(end));
