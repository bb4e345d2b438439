import { crash } from './crash.ts';
import { killers } from './killers.ts';
import { loss } from './loss.ts';
import { partition } from './partition.ts';
import { pause } from './pause.ts';
import { repair } from './repair.ts';
import { restart } from './restart.ts';
import type { Scenario } from './scenario.ts';
import { swarm } from './swarm.ts';

export const scenarios: readonly Scenario[] = [crash, partition, loss, pause, restart, repair, swarm, ...killers];

export const scenarioNamed = (name: string): Scenario | undefined =>
  scenarios.find((scenario) => scenario.name === name);
