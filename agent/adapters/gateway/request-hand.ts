import type { Instant } from '../../base/time.ts';
import type { StepAction } from '../../core/remediation/workflow.ts';
import type { ActionRequest } from '../../driver/ports.ts';
import { readSecret } from '../plc/secret.ts';
import { claimOf, type Gate } from './claims.ts';
import { sendHttpEffect } from './http-effect.ts';
import type { EffectEnd } from './write-effect.ts';

type RequestAction = Extract<StepAction, { kind: 'http.request' }>;

/** Carries out an `http.request` step. Never rejects. */
export type RequestHand = (request: ActionRequest, action: RequestAction, signal: AbortSignal) => Promise<EffectEnd>;

export interface RequestHandOptions {
  /** Undefined: this agent keeps no floors, so it sends nothing. */
  readonly gate: Gate | undefined;
  /** The holder's clock: no effect begins after its right by it. */
  readonly elapsed: () => Instant;
}

/**
 * Steps that ask a device behind HTTP to do something, with the token of the run's permit or duty. Secrets of headers are
 * read when they are used, and kept nowhere. The effect's name is (run, step, try): one that is tried again in doubt
 * carries the same one, and a device that knows `Idempotency-Key` does it once; a new try after a known failure does not.
 */
export function createRequestHand({ gate, elapsed }: RequestHandOptions): RequestHand {
  return async ({ run, step, try: attempt, timeoutMs, fence }, action, signal) => {
    if (fence === undefined || gate === undefined) return nothing('there is no right to send it under');
    const headers: Record<string, string> = {};
    for (const [name, text] of action.headers) {
      try {
        headers[name.toLowerCase()] = await textOf(text);
      } catch (error) {
        return nothing((error as Error).message);
      }
    }
    const { until } = fence;
    const mayAct = () => until === undefined || elapsed() < until;
    const key = `${run}/${step}/${attempt}`.slice(-200);
    return sendHttpEffect({
      gate,
      claim: { ...claimOf(`http:${URL.parse(action.url)?.host ?? ''}`.slice(0, 200), fence, { mayAct }), key },
      effect: { method: action.method, url: action.url, headers, body: action.body },
      timeoutMs,
      signal,
    });
  };
}

const textOf = async (text: string): Promise<string> =>
  text.startsWith('env:')
    ? readSecret({ from: 'env', name: text.slice(4) })
    : text.startsWith('file:')
      ? readSecret({ from: 'file', path: text.slice(5) })
      : text;

const nothing = (detail: string): EffectEnd => ({ outcome: 'failed', detail, untouched: true });
