/** The steps of the story, in the order in which it is told. */
export type StepName = 'members' | 'replay' | 'repair' | 'local-alarm' | 'takeover' | 'coordinator-lost' | 'intruders';

export const storySteps: readonly StepName[] = [
  'members',
  'repair',
  'local-alarm',
  'takeover',
  'coordinator-lost',
  'intruders',
];

export const stepTitles: Readonly<Record<StepName, string>> = {
  members: 'Five members see each other, seven duties have one holder each',
  replay: 'The recorded pump plays; its alarm rises within the labelled stretch and not before',
  repair: 'A supervised process is killed; the remediation alone restarts it, and proves it',
  'local-alarm': 'The bearing wears while the broker is out of reach; the alarm stands on the box',
  takeover: 'The agent that polls the pump is killed; another goes on from its checkpoint',
  'coordinator-lost': 'The coordinator is killed; repair and takeover go on, and it learns of them later',
  intruders: 'Strangers are refused, counted and shown; an enrolled box gets in',
};
