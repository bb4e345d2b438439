import type * as UA from 'node-opcua-client';
import { err, ok, type Result } from '../../base/result.ts';
import type { AnswerAge } from './answer-age.ts';
import { reasonOf, within } from './keep-connected.ts';
import type { OpcUaDriver } from './opcua-driver.ts';
import type { ControllerFact, ControllerQuestion, SourceClock } from './source.ts';

/** Server_ServerStatus_State and Server_ServiceLevel, the same on every server (Part 6, annex A). */
const stateNode = 'i=2259';
const levelNode = 'i=2267';

/** Part 5, 12.6: ServerState. */
const states = [
  'RUNNING',
  'FAILED',
  'NO CONFIGURATION',
  'SUSPENDED',
  'SHUTDOWN',
  'TEST',
  'COMMUNICATION FAULT',
  'UNKNOWN',
];

/** Part 4, 6.6.2.4.2: 0 maintenance, 1 no data, 2 to 199 degraded, 200 to 255 healthy. */
const levelText = (level: number): string =>
  level >= 200 ? 'healthy' : level >= 2 ? 'degraded' : level === 1 ? 'no data' : 'maintenance';

/** What an OPC UA server says of itself. Scan time and program have no place in the standard's own variables. */
export async function askServer(
  ua: OpcUaDriver,
  session: UA.ClientSession,
  question: ControllerQuestion,
  ms: number,
): Promise<Result<ControllerFact, string>> {
  if (question === 'scan' || question === 'program')
    return err(`OPC UA has no ${question === 'scan' ? 'scan time' : 'program'}`);
  try {
    const nodeId = question === 'mode' ? stateNode : levelNode;
    const data = await within(session.read({ nodeId, attributeId: ua.AttributeIds.Value }), ms, 'server status');
    const value: unknown = data.value?.value;
    if (data.statusCode.value >>> 30 === 2 || typeof value !== 'number')
      return err(`the server says ${data.statusCode.name}`);
    if (question === 'service')
      return ok({ is: 'service', level: value, text: `service level ${value}, ${levelText(value)}` });
    const text = states[value] ?? `state ${value}`;
    return ok({ is: 'mode', mode: value === 0 ? 'run' : value === 5 || value === 7 ? 'between' : 'stop', text });
  } catch (error) {
    return err(reasonOf(error));
  }
}

/**
 * Asks the server for its state again and again, one question at a time, so that `age` knows how late it answers. `told`
 * is called with each answer, `over` when there is none within `ms`, which ends the asking as well. Returns what ends it.
 */
export function keepAsking(
  ua: OpcUaDriver,
  session: UA.ClientSession,
  age: AnswerAge,
  clock: Pick<SourceClock, 'now'>,
  ms: number,
  told: () => void,
  over: (reason: string) => void,
): () => void {
  let ended = false;
  let next: NodeJS.Timeout | undefined;
  const answered = (): void => {
    if (ended) return;
    next = setTimeout(ask, age.answered(clock.now()));
    told();
  };
  const ask = (): void => {
    age.ask(clock.now());
    const read = session.read({ nodeId: stateNode, attributeId: ua.AttributeIds.Value });
    within(read, ms, 'the server answers too late').then(answered, (error: unknown) => {
      // A refusal is an answer, too.
      if ((error as { response?: unknown } | null)?.response === undefined) over(reasonOf(error));
      else answered();
    });
  };
  ask();
  return () => {
    ended = true;
    clearTimeout(next);
  };
}
