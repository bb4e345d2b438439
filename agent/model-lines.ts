import type { AgentStatus } from './wire/status.ts';

/** A model, what it says now, and why it may be believed, or not. */
export function modelLines({
  model,
  state,
  score,
  threshold,
  trust,
  ...told
}: AgentStatus['models'][number]): string[] {
  const figure = (value: number) => Number(value.toPrecision(3));
  const says = [
    ...(typeof score !== 'number' || typeof threshold !== 'number'
      ? []
      : [`score ${figure(score)} of ${figure(threshold)}`]),
    ...(told.class === undefined ? [] : [`class ${told.class}`]),
    ...(told.forecast === undefined ? [] : [`forecast ${told.forecast}`]),
  ];
  const head = `model ${model}: ${state}${says.length === 0 ? '' : `, ${says.join(', ')}`}`;
  if (trust === undefined) return [head];
  const rate = ({ falseAlarmRate, windows }: { falseAlarmRate?: number | undefined; windows: number }) =>
    falseAlarmRate === undefined
      ? `${windows} windows, too few settled to tell its false alarms`
      : `${windows} windows, false alarms ${figure(falseAlarmRate * 100)} %`;
  const { incumbent, shadow, previous, lastFit, drift } = trust;
  return [
    head,
    ...(incumbent === undefined
      ? []
      : [
          `  ${incumbent.file} since ${trust.since} (${trust.why}): ${rate(incumbent)}, ${figure(trust.limit * 100)} % allowed`,
        ]),
    ...(shadow === undefined
      ? []
      : [
          shadow.state === 'refused'
            ? `  shadow ${shadow.file}: refused: ${shadow.why}`
            : `  shadow ${shadow.file}: ${shadow.state === 'shed' ? `${shadow.why}; ` : ''}${rate(shadow)}; ${shadow.agreement === undefined ? 'not compared yet' : `agrees in ${figure(shadow.agreement * 100)} %, alone above in ${shadow.onlyShadow} windows, the other in ${shadow.onlyIncumbent}`}`,
        ]),
    ...(previous === undefined
      ? []
      : [`  stands by: ${previous.file}: ${previous.state === 'shed' ? `${previous.why}; ` : ''}${rate(previous)}`]),
    ...(lastFit?.outcome === 'none' ? [`  not trained anew on ${lastFit.at}: ${lastFit.why}`] : []),
    ...(drift.state === 'moved'
      ? [
          `  inputs are not those of its training: ${drift.inputs
            .filter((one) => one.moved)
            .map((one) => `${one.name} by ${figure(one.shift)} deviations`)
            .join(', ')}`,
        ]
      : []),
  ];
}
