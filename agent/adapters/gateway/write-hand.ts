import type { ThingIndex } from '../../base/ids.ts';
import type { Instant } from '../../base/time.ts';
import type { StepAction } from '../../core/remediation/workflow.ts';
import type { Site } from '../../driver/bindings.ts';
import type { ActionRequest } from '../../driver/ports.ts';
import { encodeWords } from '../plc/register-block.ts';
import { claimOf, type Gate } from './claims.ts';
import type { DeviceWrite } from './device-writer.ts';
import type { LentConnection } from './lent-connection.ts';
import { createWriter, type EffectEnd, writeToDevice } from './write-effect.ts';

type WriteAction = Extract<StepAction, { kind: 'plc.write' }>;

/** Carries out a `plc.write` step. Never rejects. */
export type WriteHand = (request: ActionRequest, action: WriteAction, signal: AbortSignal) => Promise<EffectEnd>;

export interface WriteHandOptions {
  readonly site: Pick<Site, 'plan' | 'connections' | 'writes'>;
  /** Undefined: this agent keeps no floors, so it writes nothing. */
  readonly gate: Gate | undefined;
  readonly pki: string;
  /** The holder's clock: no effect begins after its right by it. */
  readonly elapsed: () => Instant;
  /** Connections that are open already: a device that this agent polls is written to over the same one. */
  readonly lend?: (source: ThingIndex) => LentConnection | undefined;
}

/**
 * Steps that write to devices. Each goes with the token of the run's permit or duty, and with one name for the step of
 * the run: tried again under the same right, a device that compares numbers carries it out once.
 */
export function createWriteHand({ site, gate, pki, elapsed, lend }: WriteHandOptions): WriteHand {
  return async ({ run, step, timeoutMs, fence }, action, signal) => {
    const target = site.writes?.get(action.write);
    const connection = target && site.connections.get(target.source);
    if (target === undefined || connection === undefined) return nothing(`the site has no write ${action.name}`);
    if (fence === undefined || gate === undefined) return nothing('there is no right to write under');
    const { address, type, mark } = target;
    const order = connection.kind === 'modbus' ? connection.order : 'abcd';
    const command = type === 'bool' ? [action.value] : encodeWords(type, action.value, order);
    if (command === undefined) return nothing(`${action.value} is no ${type}`);
    const write: DeviceWrite =
      mark === undefined
        ? { kind: 'value', address, type, value: action.value }
        : { kind: 'block', address, shows: mark, command };
    const { until } = fence;
    const mayAct = () => until === undefined || elapsed() < until;
    const open = lend?.(target.source);
    const lent = open && (() => open);
    const device = site.plan.things[target.source]?.id ?? String(target.source);
    return writeToDevice({
      gate,
      writer: createWriter({ connection, pki, lent }),
      claim: claimOf(`plc:${device}`, fence, { mayAct, key: nameOf(run, step) }),
      write,
      timeoutMs,
      signal,
    });
  };
}

const nameOf = (run: string, step: number): string => `${run}/${step}`.slice(-200);
const nothing = (detail: string): EffectEnd => ({ outcome: 'failed', detail, untouched: true });
