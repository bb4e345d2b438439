import { type AgentDoor, ask, complain, reach } from './ask.ts';

/** A fit on the box takes its time: a minute of CPU at the lowest priority. */
const fitWithinMs = 280_000;

/** `millwright model promote` and its like: what a person wants of a model on a running agent. */
export async function modelActCommand(act: string, model: string, door: AgentDoor): Promise<number> {
  const reached = reach(door);
  if (!reached.ok) return complain(reached.error, 2, door.json);
  if (!/^[^/]+\/[^/]+$/.test(model)) {
    return complain(
      `"${model}" names no model: say thing/name as in the site file, for example press-7/bearing`,
      2,
      door.json,
    );
  }
  const path = `/v1/models/${model.split('/').map(encodeURIComponent).join('/')}/${act}`;
  const answer = await ask(reached.value, 'POST', path, undefined, act === 'retrain' ? fitWithinMs : undefined);
  if (!answer.ok) return complain(answer.error, 1, door.json);
  const words: Readonly<Record<string, string>> = {
    promote: 'its shadow scores now; the one before stands by',
    drop: 'its shadow is gone',
    confirm: 'what it raised counts as right',
    revert: 'the one before scores again',
    retrain: 'another one was trained from the recorder and is scored as a shadow',
  };
  process.stdout.write(
    door.json ? `${JSON.stringify({ ok: true, model, act })}\n` : `${model}: ${words[act] ?? act}\n`,
  );
  return 0;
}
