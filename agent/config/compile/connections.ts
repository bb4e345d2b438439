import type { Connection, Secret } from '../../driver/bindings.ts';
import type { Path } from '../site-document.ts';
import { isPlaceholder, type ThingModel } from '../site-model.ts';
import type { SiteContext } from './context.ts';
import { secretOf } from './probes.ts';

const protocols = ['opcua', 'modbus', 's7', 'mqtt'] as const;

/** How the devices of a site are reached. */
export function compileConnections(site: SiteContext): void {
  const { model, findings, connections } = site;
  for (const thing of model.things) {
    if (thing.connect === undefined) continue;
    const connection = compile(thing);
    if (connection !== undefined) connections.set(thing.index, connection);
  }

  function compile(thing: ThingModel): Connection | undefined {
    const path: Path = [...thing.path, 'connect'];
    const { opcua, modbus, s7, mqtt } = thing.connect!;
    if ([opcua, modbus, s7, mqtt].filter((one) => one !== undefined).length !== 1) {
      if (!thing.broken.has('connect'))
        findings.at(
          path,
          'missing',
          `${thing.name} needs one connection: ${protocols.join(', ').replace(/, (\w+)$/, ' or $1')}`,
          {
            at: 'key',
          },
        );
      return undefined;
    }
    if (opcua !== undefined) {
      if (!/^opc\.tcp:\/\/[^/\s]+/.test(opcua.endpoint)) {
        findings.at(
          [...path, 'opcua', 'endpoint'],
          'value',
          `"${opcua.endpoint}" is no OPC UA endpoint: say opc.tcp://host:4840`,
        );
      }
      if (opcua.policy !== undefined && (opcua.security ?? 'none') === 'none') {
        findings.at([...path, 'opcua', 'policy'], 'value', 'A policy needs `security: sign` or `sign-and-encrypt`');
      }
      return {
        kind: 'opcua',
        endpoint: opcua.endpoint,
        security: opcua.security ?? 'none',
        policy: opcua.policy,
        user: opcua.user,
        secret: maybe(opcua.secret),
      };
    }
    if (modbus !== undefined) {
      const below: Path = [...path, 'modbus'];
      const { host, serial } = modbus;
      if ((host === undefined) === (serial === undefined) || (serial !== undefined && modbus.port !== undefined)) {
        findings.at(below, 'missing', 'Modbus goes over `host` (and `port`) or over `serial`: say one of them', {
          at: 'key',
        });
      }
      return {
        kind: 'modbus',
        host: host ?? '',
        port: whole(below, modbus, 'port', 502, 65_535),
        unit: whole(below, modbus, 'unit', 1, 255),
        order: modbus.order ?? 'abcd',
        serial:
          serial === undefined
            ? undefined
            : {
                path: serial.path,
                baud: serial.baud ?? 19_200,
                parity: serial.parity ?? 'even',
                stopBits: serial['stop-bits'] ?? (serial.parity === 'none' ? 2 : 1),
              },
        pauseMs: pauseOf(below, modbus.pause),
      };
    }
    if (s7 !== undefined) {
      const below: Path = [...path, 's7'];
      return {
        kind: 's7',
        host: s7.host,
        port: whole(below, s7, 'port', 102, 65_535),
        rack: whole(below, s7, 'rack', 0, 7),
        slot: whole(below, s7, 'slot', 2, 31),
        pauseMs: pauseOf(below, s7.pause),
      };
    }
    const { url, user, secret, ca } = mqtt!;
    if (!/^mqtts?:\/\/[^/\s]+/.test(url) && !isPlaceholder(url)) {
      findings.at([...path, 'mqtt', 'url'], 'value', `"${url}" is no broker: say mqtt://host:1883`);
    }
    return { kind: 'mqtt', url, user, secret: maybe(secret), ca };
  }

  function whole<K extends string>(
    path: Path,
    said: { readonly [key in K]?: number | string | undefined },
    key: K,
    fallback: number,
    most: number,
  ): number {
    const given = said[key];
    if (given === undefined) return fallback;
    const number = Number(given);
    if (Number.isInteger(number) && number >= 0 && number <= most) return number;
    findings.at([...path, key], 'value', `${JSON.stringify(given)} is no ${key}: a whole number to ${most}`);
    return fallback;
  }

  function pauseOf(path: Path, said: string | number | undefined): number | undefined {
    if (said === undefined) return undefined;
    const ms = site.milliseconds(said);
    if (ms !== undefined && ms <= 10_000) return ms;
    findings.at([...path, 'pause'], 'value', `${JSON.stringify(said)} is no pause: a time up to 10s, such as 20ms`);
    return undefined;
  }
}

const maybe = (text: string | undefined): Secret | undefined => (text === undefined ? undefined : secretOf(text));
