import { appendFileSync } from 'node:fs';
import { type Claim, openGateway } from '../../../agent/adapters/gateway/gateway.ts';

/** Dies as if the power went, after its floor is durable and before its effect. */
const [dir = '', claim = '', effects = ''] = process.argv.slice(2);
const gateway = openGateway({ dir });
const dies = (): boolean => {
  process.kill(process.pid, 'SIGKILL');
  return true;
};
gateway.perform({ ...(JSON.parse(claim) as Claim), mayAct: dies }, () => appendFileSync(effects, 'done\n'));
