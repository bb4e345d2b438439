import { err, ok, type Result } from '../../../base/result.ts';

export type MqttAddress =
  /** The message is one number, or a JSON document in which `pointer` says where (RFC 6901); [] is the document itself. */
  | { readonly kind: 'topic'; readonly topic: string; readonly pointer: readonly string[] | undefined }
  /** A metric of an edge node, or of a device behind it. */
  | {
      readonly kind: 'sparkplug';
      readonly group: string;
      readonly node: string;
      readonly device: string | undefined;
      readonly metric: string;
    };

/** For people. */
export const mqttForm = 'line/press/temperature · line/press#/oil/temperature · spBv1.0/group/node/device:Metric/Name';

/** A topic, `topic#/json/pointer`, or `spBv1.0/group/node:metric` and `spBv1.0/group/node/device:metric`. */
export function parseMqttAddress(text: string): Result<MqttAddress, string> {
  const no = (why: string) => err(`"${text.slice(0, 80)}" is no MQTT address: ${why}`);
  const said = text.trim();
  if (said === '' || said.length > 1_000 || /[\0+]/.test(said)) return no(`say for example ${mqttForm}`);
  const sparkplug = /^spBv1\.0\/(?!STATE\/)([^/:#]+)\/([^/:#]+)(?:\/([^/:#]+))?:(.+)$/.exec(said);
  if (sparkplug !== null) {
    const [, group, node, device, metric] = sparkplug;
    return ok({ kind: 'sparkplug', group: group!, node: node!, device, metric: metric! });
  }
  if (/^spBv1\.0\/(?!STATE\/)/.test(said))
    return no('say spBv1.0/group/node:metric or spBv1.0/group/node/device:metric');
  const mark = said.indexOf('#');
  if (mark < 0) return ok({ kind: 'topic', topic: said, pointer: undefined });
  const topic = said.slice(0, mark);
  const pointer = said.slice(mark + 1);
  if (topic === '' || topic.endsWith('/')) return no('wildcards are not read: name one topic');
  if (pointer !== '' && !pointer.startsWith('/')) return no('behind # stands a JSON pointer: #/oil/temperature');
  const steps = pointer.split('/').slice(1);
  if (steps.length > 16) return no('a pointer has 16 steps at most');
  return ok({ kind: 'topic', topic, pointer: steps.map((step) => step.replaceAll('~1', '/').replaceAll('~0', '~')) });
}
