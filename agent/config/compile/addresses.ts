import { mqttForm, parseMqttAddress } from '../../adapters/plc/mqtt/address.ts';
import { parseS7Address, tagTypeOf } from '../../adapters/plc/s7/address.ts';
import type { Tag } from '../../driver/bindings.ts';
import { isPlaceholder } from '../site-model.ts';
import type { ConnectShape } from '../site-schema.ts';

export type Protocol = keyof typeof names;

const names = { opcua: 'OPC UA', modbus: 'Modbus', s7: 'S7', mqtt: 'MQTT' } as const;

/** The protocol of a connection; undefined when it names none, or several. */
export function protocolOf(connect: ConnectShape | undefined): Protocol | undefined {
  const said = (Object.keys(names) as Protocol[]).filter((one) => connect?.[one] !== undefined);
  return said.length === 1 ? said[0] : undefined;
}

export const protocolName = (protocol: Protocol): string => names[protocol];

/** Why this is no address of the protocol; undefined: it is one. One page for all: agent/adapters/plc/README.md. */
export function addressProblem(protocol: Protocol, address: string): string | undefined {
  if (isPlaceholder(address)) return undefined;
  switch (protocol) {
    case 'modbus':
      return /^(holding|input|coil|discrete):\d{1,6}$/.test(address)
        ? undefined
        : `"${address}" is no Modbus address: say holding:40011, input:30001, coil:1 or discrete:1`;
    case 'opcua':
      return /^(ns=\d+;)?[isgb]=.+$/.test(address)
        ? undefined
        : `"${address}" is no OPC UA node id: say for example "ns=2;s=Press7.Speed"`;
    case 's7': {
      const parsed = parseS7Address(address);
      return parsed.ok ? undefined : parsed.error;
    }
    case 'mqtt': {
      const parsed = parseMqttAddress(address);
      return parsed.ok ? undefined : `${parsed.error}`.replace(mqttForm, mqttForm.split(' · ').slice(0, 2).join(' · '));
    }
  }
}

/** What the address itself says about the type; undefined: nothing. */
export function typeFromAddress(protocol: Protocol | undefined, address: string): Tag['type'] | undefined {
  if (/^(coil|discrete):/.test(address)) return 'bool';
  if (protocol !== 's7') return undefined;
  const parsed = parseS7Address(address);
  return parsed.ok ? tagTypeOf(parsed.value.type) : undefined;
}
