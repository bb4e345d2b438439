import { expect, test as it, onTestFinished } from 'vitest';
import { MaintenanceOrders } from '../../agent/adapters/maintenance-orders.ts';
import { instant } from '../../agent/base/time.ts';
import type { AgentCore } from '../../agent/core/agent-core.ts';
import type { Input } from '../../agent/core/input.ts';
import { obedience, takeUpMaintenance } from '../../agent/obedience.ts';
import { temporaryFolder } from '../support/temporary-folder.ts';

const open = (dir: string): MaintenanceOrders => {
  const orders = new MaintenanceOrders(dir);
  onTestFinished(() => orders.close());
  return orders;
};
const hour = 3_600_000;
const begun = 1_700_000_000_000;
const press = { thing: 'press', since: begun, until: begun + 2 * hour, by: 'anna', why: 'bearing', order: 'o1' };

it('maintenance orders: restart in the middle → what is left of it; a clock set back gives no more than was ordered', async () => {
  const dir = await temporaryFolder();
  open(dir).keep(press);
  const next = open(dir);
  expect(next.standing(begun + hour)).toEqual([{ ...press, leftMs: hour }]);
  expect(next.standing(begun - 100 * hour)).toEqual([{ ...press, leftMs: 2 * hour }]);
});

it('maintenance orders: a later one for the same thing, one that was ended, one that is over → one, none, none', async () => {
  const dir = await temporaryFolder();
  const orders = open(dir);
  orders.keep(press);
  orders.keep({ ...press, until: begun + hour, order: 'o2' });
  expect(orders.standing(begun).map(({ order }) => order)).toEqual(['o2']);
  orders.forget('press');
  orders.forget('press');
  expect(orders.standing(begun)).toEqual([]);
  orders.keep(press);
  expect(orders.standing(begun + 2 * hour)).toEqual([]);
  // Forgotten for good, whatever the clock says next.
  expect(open(dir).standing(begun)).toEqual([]);
});

it('obedience: maintenance ordered, agent started anew, ended → the core hears of each, the person by name; of what is gone nothing', async () => {
  const dir = await temporaryFolder();
  const core = { plan: { things: [{ id: 'press', index: 4 }] } } as unknown as AgentCore;
  const heard: Input[] = [];
  const deliver = (input: Input) => void heard.push(input);
  const clocks = { now: () => instant(1_000), wall: () => begun };
  const work = open(dir);
  const obey = obedience(core, deliver, clocks, work);
  const maintain = { verb: 'maintain', thing: 'press', forMs: hour, why: 'bearing' } as const;
  expect(obey(maintain, 'anna, order 0a1b', 'o1')).toMatchObject({ ok: true });
  expect(obey({ ...maintain, thing: 'pump' }, 'anna, order 0a1b', 'o2')).toEqual({
    ok: false,
    error: 'this site has no thing pump',
  });
  const begin = { kind: 'maintenance-ordered', thing: 4, until: instant(1_000 + hour), by: 'anna', why: 'bearing', order: 'o1' }; // biome-ignore format: one input
  expect(heard.splice(0)).toEqual([begin]);
  work.keep({ ...press, thing: 'gone' });
  takeUpMaintenance(core, deliver, clocks, open(dir));
  expect(heard.splice(0)).toEqual([{ ...begin, again: true }]);
  expect(work.standing(begun).map(({ thing }) => thing)).toEqual(['press']);
  obey({ verb: 'end-maintenance', thing: 'press' }, 'boris, order 2c3d', 'o3');
  expect(heard).toMatchObject([{ until: undefined, by: 'boris', order: 'o3' }]);
  expect(open(dir).standing(begun)).toEqual([]);
});
