import type { ModelView } from '../../api/schemas.ts';

/** What a person may want to do about a model now, the most pressing first; worked out without a browser. */
export interface Advice {
  readonly word: 'adviseRevert' | 'adviseRetrain' | 'advisePromote' | 'adviseWait' | 'adviseDrop' | 'adviseConfirm' | 'adviseInspect' | 'adviseMissing'; // biome-ignore format: one list
  /** What to type on its box; undefined: nothing to type. */
  readonly command: string | undefined;
}

/** A shadow is compared over so many windows before anybody should promote it. */
export const enoughWindows = 1_000;
/** … and is no better where it raises alone in more than this share of them. */
const mostAlone = 0.02;

export function adviceFor(model: ModelView): Advice[] {
  const { agent, shadow, previous, falseAlarmRate, limit, drift, state, kind, file } = model;
  if (agent === null) return [{ word: 'adviseMissing', command: undefined }];
  const act = (verb: string): string => `millwright model ${verb} ${model.model} --config agents/${agent}/agent.yaml`;
  const found: Advice[] = [];
  if (state === 'refused') {
    found.push({
      word: 'adviseInspect',
      command: file === null ? undefined : `millwright model inspect models/${file}`,
    });
  }
  const isUnreliable = falseAlarmRate !== null && limit !== null && falseAlarmRate > limit;
  if (isUnreliable && previous !== null && !isWorse(previous.falseAlarmRate, falseAlarmRate)) {
    found.push({ word: 'adviseRevert', command: act('revert') });
  }
  if (shadow !== null) {
    const isRefused = shadow.state === 'refused';
    const isYoung = (shadow.windows ?? 0) < enoughWindows || shadow.agreement === null;
    const alone = (shadow.onlyShadow ?? 0) / Math.max(1, shadow.windows ?? 0);
    const isLouder = isWorse(shadow.falseAlarmRate, falseAlarmRate) || alone > mostAlone;
    if (isRefused) found.push({ word: 'adviseDrop', command: act('drop') });
    else if (isYoung) found.push({ word: 'adviseWait', command: undefined });
    else if (isLouder) found.push({ word: 'adviseDrop', command: act('drop') });
    else found.push({ word: 'advisePromote', command: act('promote') });
    // What is strange now would become what is usual: never trained while something is.
  } else if (kind === 'file' && state === 'normal' && (drift === 'moved' || isUnreliable)) {
    found.push({ word: 'adviseRetrain', command: act('retrain') });
  }
  if (state === 'anomalous' && kind === 'file') found.push({ word: 'adviseConfirm', command: act('confirm') });
  return found;
}

const isWorse = (one: number | null, other: number | null): boolean => one !== null && other !== null && one > other;

/** What needs somebody first. */
const urgency = (model: ModelView): number => {
  if (model.state === 'refused' || model.state === 'missing') return 0;
  if (model.seat === 'reverted' || (model.falseAlarmRate ?? 0) > (model.limit ?? 1)) return 1;
  if (model.drift === 'moved') return 2;
  return model.shadow === null ? 4 : 3;
};

export const byUrgency = (a: ModelView, b: ModelView): number =>
  urgency(a) - urgency(b) || (a.model < b.model ? -1 : a.model > b.model ? 1 : 0);
