import { parseMqttAddress } from '../adapters/plc/mqtt/address.ts';
import { parseRegister } from '../adapters/plc/register-block.ts';
import { parseS7Address, tagTypeOf } from '../adapters/plc/s7/address.ts';
import { err, ok, type Result } from '../base/result.ts';
import type { Connection, Secret, Tag } from '../driver/bindings.ts';

/** What a person named on the command line: one device, and the values to look at. */
export interface Target {
  /** For the title: a thing's name, or the address. */
  readonly name: string;
  readonly connection: Connection;
  readonly tags: readonly Tag[];
}

export interface LoginWords {
  readonly user?: string | undefined;
  /** `env:NAME` or `file:/path`. */
  readonly secret?: string | undefined;
  readonly security?: string | undefined;
}

/** For people. */
export const urlForms = [
  'opc.tcp://host:4840',
  's7://host:102?rack=0&slot=2',
  'modbus://host:502/1?order=abcd',
  'modbus-rtu:///dev/ttyUSB0?unit=1&baud=19200&parity=even',
  'mqtt://host:1883',
] as const;

/** `opc.tcp://…`, `s7://…`, `modbus://…`, `modbus-rtu://…`, `mqtt://…` → a connection as a site file would say it. */
export function parseDeviceUrl(text: string, { user, secret, security }: LoginWords): Result<Connection, string> {
  const url = URL.parse(text);
  const no = (why: string) => err(`"${text}" is no device: ${why}`);
  const form = `say ${urlForms.join(', or ')}`;
  if (url === null) return no(form);
  if (url.password !== '') return no('a password stands in the open here: use --user and --secret env:NAME');
  const said = url.searchParams;
  const host = url.hostname.replace(/^\[|\]$/g, '');
  let wrong: string | undefined;
  const number = (key: string, given: string | null, fallback: number, most: number): number => {
    if (given === null || given === '') return fallback;
    const value = Number(given);
    if (Number.isInteger(value) && value >= 0 && value <= most) return value;
    wrong ??= `${key} is a whole number to ${most}`;
    return fallback;
  };
  const word = <W extends string>(key: string, words: readonly W[], fallback: W): W => {
    const given = said.get(key);
    if (given === null) return fallback;
    const found = words.find((one) => one === given);
    if (found === undefined) wrong ??= `${key} is one of ${words.join(', ')}`;
    return found ?? fallback;
  };
  const secretOf = (): Secret | undefined => {
    if (secret === undefined) return undefined;
    if (secret.startsWith('env:')) return { from: 'env', name: secret.slice(4) };
    if (secret.startsWith('file:')) return { from: 'file', path: secret.slice(5) };
    wrong ??= 'a secret is said as env:NAME or file:/path';
    return undefined;
  };
  const order = () => word('order', ['abcd', 'cdab', 'badc', 'dcba'], 'abcd');
  let connection: Connection;
  switch (url.protocol) {
    case 'opc.tcp:': {
      const mode = (['none', 'sign', 'sign-and-encrypt'] as const).find((one) => one === (security ?? 'none'));
      if (mode === undefined) wrong ??= 'security is none, sign or sign-and-encrypt';
      connection = { kind: 'opcua', endpoint: text, security: mode ?? 'none', user, secret: secretOf() };
      break;
    }
    case 's7:':
      connection = {
        kind: 's7',
        host,
        port: number('port', url.port, 102, 65_535),
        rack: number('rack', said.get('rack'), 0, 7),
        slot: number('slot', said.get('slot'), 2, 31),
      };
      break;
    case 'modbus:':
      connection = {
        kind: 'modbus',
        host,
        port: number('port', url.port, 502, 65_535),
        unit: number('the unit', url.pathname.slice(1), 1, 255),
        order: order(),
      };
      break;
    case 'modbus-rtu:': {
      const parity = word('parity', ['none', 'even', 'odd'], 'even');
      connection = {
        kind: 'modbus',
        host: '',
        port: 502,
        unit: number('unit', said.get('unit'), 1, 255),
        order: order(),
        serial: {
          path: url.pathname,
          baud: number('baud', said.get('baud'), 19_200, 4_000_000),
          parity,
          stopBits: parity === 'none' ? 2 : 1,
        },
      };
      break;
    }
    case 'mqtt:':
    case 'mqtts:':
      connection = { kind: 'mqtt', url: text, user, secret: secretOf() };
      break;
    default:
      return no(form);
  }
  if (wrong !== undefined) return no(wrong);
  if (host === '' && url.protocol !== 'modbus-rtu:') return no(form);
  return ok(connection);
}

const types = ['bool', 'int16', 'uint16', 'int32', 'uint32', 'float32', 'float64'] as const;
/** Of one range: more is a scan, not a look. */
const longestRange = 200;

/** `holding:40001@float32`, `holding:40001..40010`, `DB10,REAL4`, a node id, a topic → tags. All mistakes at once. */
export function parseAddresses(
  connection: Connection,
  texts: readonly string[],
  everyMs: number,
): Result<readonly Tag[], readonly string[]> {
  const tags: Tag[] = [];
  const problems: string[] = [];
  const add = (address: string, type: Tag['type']) =>
    tags.push({
      signal: tags.length,
      name: address,
      source: 0,
      address,
      type,
      scale: undefined,
      everyMs,
      unit: undefined,
    });
  for (const text of texts) {
    const typed = /^(.+)@([a-z0-9]+)$/.exec(text);
    const said = connection.kind === 'modbus' ? typed?.[2] : undefined;
    const address = said === undefined ? text : typed![1]!;
    const type = types.find((one) => one === said);
    if (said !== undefined && type === undefined) {
      problems.push(`"${text}": ${said} is none of ${types.join(', ')}`);
      continue;
    }
    switch (connection.kind) {
      case 'modbus': {
        const range = /^(coil|discrete|input|holding):(\d{1,6})\.\.(\d{1,6})$/.exec(address);
        const bit = /^(coil|discrete):/.test(address);
        const [from, to] = range === null ? [0, 0] : [Number(range[2]), Number(range[3])];
        const width = bit
          ? 1
          : { bool: 1, int16: 1, uint16: 1, int32: 2, uint32: 2, float32: 2, float64: 4 }[type ?? 'uint16'];
        const all = range === null ? [address] : [];
        for (let at = from; range !== null && at <= to && all.length <= longestRange; at += width)
          all.push(`${range[1]}:${at}`);
        if (all.length === 0 || all.length > longestRange) {
          problems.push(`"${text}" is no range: from the lower to the higher, ${longestRange} values at most`);
        } else if (all.some((one) => parseRegister({ address: one, type: type ?? 'uint16' }) === undefined)) {
          problems.push(
            `"${text}" is no Modbus address: say holding:40011, holding:40011@float32, input:30001..30010 or coil:1`,
          );
        } else for (const one of all) add(one, bit ? 'bool' : (type ?? 'uint16'));
        break;
      }
      case 's7': {
        const parsed = parseS7Address(address);
        if (parsed.ok) add(address, tagTypeOf(parsed.value.type));
        else problems.push(parsed.error);
        break;
      }
      case 'mqtt': {
        const parsed = parseMqttAddress(address);
        if (parsed.ok) add(address, 'float64');
        else problems.push(parsed.error);
        break;
      }
      case 'opcua':
        if (/^(ns=\d+;)?[isgb]=.+$/.test(address)) add(address, 'float64');
        else problems.push(`"${text}" is no OPC UA node id: say for example ns=2;s=Press7.Speed`);
    }
  }
  return problems.length > 0 ? err(problems) : ok(tags);
}
