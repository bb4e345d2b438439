import { crash } from './crash.ts';
import { loss } from './loss.ts';
import { partition } from './partition.ts';
import { pause } from './pause.ts';
import { repair } from './repair.ts';
import { restart } from './restart.ts';
import type { Scenario } from './scenario.ts';

export const scenarios: readonly Scenario[] = [crash, partition, loss, pause, restart, repair];

export const scenarioNamed = (name: string): Scenario | undefined =>
  scenarios.find((scenario) => scenario.name === name);
