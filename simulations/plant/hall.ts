import { Random } from '../../agent/base/random.ts';
import { Compressor } from './compressor.ts';
import { Conveyor } from './conveyor.ts';
import { Faults } from './faults.ts';
import { Oven } from './oven.ts';
import { Press } from './press.ts';
import { PumpSkid } from './pump-skid.ts';
import { nominal, type Surroundings } from './surroundings.ts';

/**
 * The five machines and what ties them together: the pump's water cools press and oven, the compressor's air clamps in
 * the press, the belt brings blanks to the press and its parts to the oven, and every stroke uses air.
 *
 * Pure: time comes in as `dt`, chance from the seed, so the same seed and steps give the same values.
 */
export class Hall {
  readonly faults = new Faults();
  readonly pump: PumpSkid;
  readonly press: Press;
  readonly conveyor: Conveyor;
  readonly oven: Oven;
  readonly compressor: Compressor;

  constructor(seed: number | string) {
    const random = new Random(seed, 'hall');
    this.pump = new PumpSkid(random.fork('pump'), this.faults);
    this.press = new Press(random.fork('press'), this.faults);
    this.conveyor = new Conveyor(random.fork('conveyor'), this.faults);
    this.oven = new Oven(random.fork('oven'), this.faults);
    this.compressor = new Compressor(random.fork('compressor'), this.faults);
  }

  /**
   * `dt` in seconds. A tenth shows how things start and stop; a minute is enough for who looks at how they stand (each
   * part then comes to where it would, and a change passes from one machine to the next in one step).
   */
  step(dt: number, surroundings: Surroundings = nominal): void {
    this.faults.step(dt);
    this.pump.step(dt, surroundings);
    const before = this.press.strokes;
    const supply = { cooling: this.pump.flow, air: this.compressor.pressure, blanks: this.conveyor.blanks };
    this.press.step(dt, supply, surroundings);
    const strokes = this.press.strokes - before;
    this.compressor.step(dt, strokes / dt, surroundings);
    this.conveyor.step(dt, strokes, surroundings);
    this.oven.step(dt, this.conveyor.rate, this.pump.flow, surroundings);
  }
}
