import type { SparkplugMetric, SparkplugPayload } from './sparkplug.ts';

/** Metrics that one node may name; a real one has some hundreds. */
const mostNames = 10_000;

export type SparkplugVerb = 'NBIRTH' | 'NDATA' | 'NDEATH' | 'DBIRTH' | 'DDATA' | 'DDEATH';

/** A metric with its name and type, whatever the message left to the birth. */
export interface NamedMetric extends SparkplugMetric {
  readonly name: string;
  readonly device: string | undefined;
}

/**
 * What is known of one edge node: whether it lives, and what its births said about names, aliases and types. A death
 * counts only when it is that of the birth that we heard: a broker may tell the old session's death after the new birth.
 */
export class EdgeNode {
  readonly #names = new Map<string, { readonly name: string; readonly device: string | undefined }>();
  readonly #types = new Map<string, number>();
  readonly #deadDevices = new Set<string>();
  #alive: boolean | undefined;
  #bdSeq: number | undefined;
  /** Metrics whose birth was not heard, so that nobody knows what they are. */
  unknownAliases = 0;

  /** Undefined: not heard yet. */
  alive(device: string | undefined): boolean | undefined {
    return device !== undefined && this.#deadDevices.has(device) ? false : this.#alive;
  }

  /** The broker was lost: who died meanwhile is not known. */
  forget(): void {
    this.#alive = undefined;
    this.#deadDevices.clear();
  }

  /** The metrics of a message, by name. */
  take(verb: SparkplugVerb, device: string | undefined, { metrics }: SparkplugPayload): readonly NamedMetric[] {
    const bdSeq = metrics.find(({ name }) => name === 'bdSeq')?.value;
    switch (verb) {
      case 'NDEATH':
        if (bdSeq === undefined || this.#bdSeq === undefined || Number(bdSeq) === this.#bdSeq) this.#alive = false;
        return [];
      case 'DDEATH':
        if (device !== undefined && this.#deadDevices.size < mostNames) this.#deadDevices.add(device);
        return [];
      case 'NBIRTH':
        this.#names.clear();
        this.#types.clear();
        this.#deadDevices.clear();
        this.#bdSeq = bdSeq === undefined ? undefined : Number(bdSeq);
        break;
      case 'DBIRTH':
        if (device !== undefined) this.#deadDevices.delete(device);
        break;
      case 'NDATA':
      case 'DDATA':
        break;
    }
    this.#alive = true;
    const born = verb === 'NBIRTH' || verb === 'DBIRTH';
    const named: NamedMetric[] = [];
    for (const metric of metrics) {
      if (born && metric.name !== undefined && this.#names.size < mostNames && this.#types.size < mostNames) {
        if (metric.alias !== undefined) this.#names.set(metric.alias, { name: metric.name, device });
        if (metric.datatype !== undefined) this.#types.set(key(device, metric.name), metric.datatype);
      }
      const known =
        metric.name !== undefined && metric.name !== ''
          ? { name: metric.name, device }
          : metric.alias === undefined
            ? undefined
            : this.#names.get(metric.alias);
      if (known === undefined) {
        this.unknownAliases++;
        continue;
      }
      named.push({ ...metric, ...known, datatype: metric.datatype ?? this.#types.get(key(known.device, known.name)) });
    }
    return named;
  }
}

const key = (device: string | undefined, name: string): string => `${device ?? ''}\0${name}`;
