import { ModbusSource } from './modbus.ts';
import { MqttSource } from './mqtt/source.ts';
import { OpcUaSource } from './opcua.ts';
import { S7Source } from './s7/source.ts';
import type { PlcSource, SourceOptions } from './source.ts';

/** The source for a connection. Its driver is loaded when it first connects; who has no such device pays nothing. */
export function createSource(options: SourceOptions): PlcSource {
  const { connection } = options;
  switch (connection.kind) {
    case 'opcua':
      return new OpcUaSource({ ...options, connection });
    case 'modbus':
      return new ModbusSource({ ...options, connection });
    case 's7':
      return new S7Source({ ...options, connection });
    case 'mqtt':
      return new MqttSource({ ...options, connection });
  }
}
