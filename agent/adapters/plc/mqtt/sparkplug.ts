import protobuf from 'protobufjs/light.js';
import { err, ok, type Result } from '../../../base/result.ts';

/** The part of Sparkplug B's payload that carries numbers (Eclipse Sparkplug 3.0, chapter 6.4). Other fields are skipped. */
const root = protobuf.Root.fromJSON({
  nested: {
    Payload: {
      fields: {
        timestamp: { type: 'uint64', id: 1 },
        metrics: { type: 'Metric', id: 2, rule: 'repeated' },
        seq: { type: 'uint64', id: 3 },
      },
    },
    Metric: {
      oneofs: { value: { oneof: ['int', 'long', 'float', 'double', 'boolean'] } },
      fields: {
        name: { type: 'string', id: 1 },
        alias: { type: 'uint64', id: 2 },
        timestamp: { type: 'uint64', id: 3 },
        datatype: { type: 'uint32', id: 4 },
        historical: { type: 'bool', id: 5 },
        isNull: { type: 'bool', id: 7 },
        properties: { type: 'PropertySet', id: 9 },
        int: { type: 'uint32', id: 10 },
        long: { type: 'uint64', id: 11 },
        float: { type: 'float', id: 12 },
        double: { type: 'double', id: 13 },
        boolean: { type: 'bool', id: 14 },
      },
    },
    PropertySet: {
      fields: {
        keys: { type: 'string', id: 1, rule: 'repeated' },
        values: { type: 'PropertyValue', id: 2, rule: 'repeated' },
      },
    },
    PropertyValue: { fields: { int: { type: 'uint32', id: 3 }, long: { type: 'uint64', id: 4 } } },
  },
});
const payloadType = root.lookupType('Payload');

const longestPayload = 1024 * 1024;
const mostMetrics = 10_000;

export interface SparkplugMetric {
  readonly name: string | undefined;
  readonly alias: string | undefined;
  /** Milliseconds since 1970, as the node says. */
  readonly timestamp: number | undefined;
  readonly datatype: number | undefined;
  readonly historical: boolean;
  /** Raw as carried; `signed` makes a number of it once the type is known. Undefined: null, or no number. */
  readonly value: number | bigint | boolean | undefined;
  /** The property "Quality": 0 bad, 192 good, 500 stale; undefined when it is not said. */
  readonly quality: number | undefined;
}

export interface SparkplugPayload {
  readonly timestamp: number | undefined;
  readonly seq: number | undefined;
  readonly metrics: readonly SparkplugMetric[];
}

interface RawMetric {
  readonly name?: string;
  readonly alias?: unknown;
  readonly timestamp?: unknown;
  readonly datatype?: number;
  readonly historical?: boolean;
  readonly isNull?: boolean;
  readonly properties?: {
    readonly keys?: readonly string[];
    readonly values?: readonly { readonly int?: number; readonly long?: unknown }[];
  };
  readonly value?: string;
  readonly int?: number;
  readonly long?: unknown;
  readonly float?: number;
  readonly double?: number;
  readonly boolean?: boolean;
}

/** Bytes of a birth, data or death message. They may come from anybody: whatever is none is refused, with the reason. */
export function decodeSparkplug(bytes: Uint8Array): Result<SparkplugPayload, string> {
  if (bytes.length > longestPayload) return err(`a payload of ${bytes.length} bytes`);
  let raw: { readonly timestamp?: unknown; readonly seq?: unknown; readonly metrics?: readonly RawMetric[] };
  try {
    raw = payloadType.toObject(payloadType.decode(bytes), { longs: String, oneofs: true }) as typeof raw;
  } catch (error) {
    return err(`no Sparkplug payload: ${String((error as Error).message).slice(0, 80)}`);
  }
  const metrics = raw.metrics ?? [];
  if (metrics.length > mostMetrics) return err(`a payload of ${metrics.length} metrics`);
  return ok({ timestamp: numberOf(raw.timestamp), seq: numberOf(raw.seq), metrics: metrics.map(metricOf) });
}

function metricOf(raw: RawMetric): SparkplugMetric {
  const at = raw.properties?.keys?.indexOf('Quality') ?? -1;
  const property = at < 0 ? undefined : raw.properties?.values?.[at];
  const kind = raw.isNull === true ? undefined : raw.value;
  return {
    name: raw.name,
    alias: raw.alias === undefined ? undefined : String(raw.alias),
    timestamp: numberOf(raw.timestamp),
    datatype: raw.datatype,
    historical: raw.historical === true,
    value:
      kind === 'int'
        ? raw.int
        : kind === 'long'
          ? BigInt(String(raw.long))
          : kind === 'float'
            ? raw.float
            : kind === 'double'
              ? raw.double
              : kind === 'boolean'
                ? raw.boolean
                : undefined,
    quality: property === undefined ? undefined : (property.int ?? numberOf(property.long)),
  };
}

const numberOf = (value: unknown): number | undefined => {
  const number = value === undefined ? Number.NaN : Number(value);
  return Number.isFinite(number) ? number : undefined;
};

/** Signed types travel as unsigned ones (Sparkplug 3.0, 6.4.16); the type may have been said in the birth only. */
export function signed(value: SparkplugMetric['value'], datatype: number | undefined): number | boolean | undefined {
  if (typeof value === 'bigint') return Number(datatype === 4 ? BigInt.asIntN(64, value) : value);
  if (typeof value !== 'number') return value;
  switch (datatype) {
    case 1:
      return (value << 24) >> 24;
    case 2:
      return (value << 16) >> 16;
    case 3:
      return value | 0;
    default:
      return value;
  }
}

/** For tests and for the plant: the same schema the other way round. */
export const encodeSparkplug = (payload: object): Uint8Array =>
  payloadType.encode(payloadType.fromObject(payload)).finish();
