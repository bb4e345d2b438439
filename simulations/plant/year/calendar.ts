import type { Random } from '../../../agent/base/random.ts';
import type { Surroundings } from '../surroundings.ts';
import type { YearParameters } from './parameters.ts';

const dayMinutes = 1440;

/** What a minute of a hall's year is like. */
export interface Minute extends Surroundings {
  readonly running: boolean;
}

/**
 * The healthy life of one hall: seasons and weather, shifts and weekends, orders of several products with changeovers
 * between them. Asked minute by minute, in order.
 */
export class Calendar {
  readonly shift: YearParameters['shifts'][number];
  readonly #given: YearParameters;
  readonly #random: Random;
  readonly #products: readonly number[];
  readonly #winter: number;
  #weather = 0;
  #load = 1;
  #orderLeft = 0;
  #changeoverLeft = 0;

  constructor(given: YearParameters, random: Random) {
    this.#given = given;
    this.#random = random;
    this.shift = given.shifts[random.below(given.shifts.length)]!;
    const { products, loadLow, loadHigh } = given.orders;
    this.#products = Array.from({ length: products }, () => random.between(loadLow, loadHigh));
    // The year begins on any day: some learn in winter, some in summer.
    this.#winter = random.between(0, 365);
  }

  minute(at: number): Minute {
    const { air, orders } = this.#given;
    const day = at / dayMinutes;
    const random = this.#random;
    const calm = 1 / (air.weatherDays * dayMinutes);
    this.#weather += -calm * this.#weather + Math.sqrt(2 * calm) * air.weather * random.normal();
    const season = -Math.cos((2 * Math.PI * (day + this.#winter)) / 365) * air.season;
    const afternoon = -Math.cos(2 * Math.PI * (day - 3 / 24)) * air.day;
    const here = air.mean + season + afternoon + this.#weather;

    const weekday = Math.floor(day) % 7;
    const hour = (at % dayMinutes) / 60;
    let running = weekday < this.shift.days && hour >= this.shift.from && hour < this.shift.to;
    if (running && this.#changeoverLeft > 0) {
      this.#changeoverLeft--;
      running = false;
    } else if (running && --this.#orderLeft < 0) {
      this.#orderLeft = 60 * (orders.leastHours + random.exponential(orders.meanHours - orders.leastHours));
      this.#load = this.#products[random.below(this.#products.length)]! * (1 + orders.jitter * random.normal());
      this.#changeoverLeft = Math.round(random.between(...orders.changeoverMinutes));
    }
    return { air: here, load: this.#load, running };
  }
}
