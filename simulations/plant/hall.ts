import { Random } from '../../agent/base/random.ts';
import { Conveyor } from './conveyor.ts';
import { Faults } from './faults.ts';
import { Press } from './press.ts';
import { PumpSkid } from './pump-skid.ts';

/**
 * The three machines and what ties them together: the pump's loop cools the press, the press feeds the conveyor.
 * Pure: time comes in as `dt`, chance from the seed, so the same seed and steps give the same values.
 */
export class Hall {
  readonly faults = new Faults();
  readonly pump: PumpSkid;
  readonly press: Press;
  readonly conveyor: Conveyor;

  constructor(seed: number | string) {
    const random = new Random(seed, 'hall');
    this.pump = new PumpSkid(random.fork('pump'), this.faults);
    this.press = new Press(random.fork('press'), this.faults);
    this.conveyor = new Conveyor(random.fork('conveyor'), this.faults);
  }

  /** `dt` in seconds, at most one. */
  step(dt: number): void {
    this.faults.step(dt);
    this.pump.step(dt);
    const before = this.press.strokes;
    this.press.step(dt, this.pump.flow);
    this.conveyor.step(dt, this.press.strokes - before);
  }
}
