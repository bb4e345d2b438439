import type { Server, Socket } from 'node:net';
import { join } from 'node:path';
import type { UAVariable } from 'node-opcua';
import { lateLine } from './late-line.ts';
import type { OpcUaTag } from './register-map.ts';
import type { TokenLadder } from './token-ladder.ts';

export interface OpcUaFaceOptions {
  readonly host: string;
  /** 0 takes a free one. */
  readonly port: number;
  /** Where keys and certificates live; nothing is written anywhere else. */
  readonly folder: string;
  /** Also offer Sign and SignAndEncrypt with Basic256Sha256, and no anonymous login when `users` are given. */
  readonly secure: boolean;
  readonly users: ReadonlyMap<string, string>;
  readonly machines: Readonly<Record<string, readonly OpcUaTag[]>>;
  /** Ids of tags that clients may write (`Press.Oil.Target`), and what hears of it. */
  readonly writable?: ReadonlyMap<string, (value: number) => void>;
  /** A program that compares tokens: `Ladder.Block` is what it reads, `Ladder.Mark` what it shows; arrays of UInt16. */
  readonly ladder?: TokenLadder;
  /** How late everything goes out that the server says, at the moment: a device that is overloaded. Default: not at all. */
  readonly delayMs?: () => number;
  /** Called with the node id whenever a client begins to monitor a value. */
  readonly onMonitored: (nodeId: string) => void;
}

export interface OpcUaFace {
  readonly endpoint: string;
  /** Writes one value as the device would: with its own stamp. NaN becomes a bad reading. */
  write(machine: string, tag: string, value: number, at: Date): void;
  /** All tags of a machine but these keep value and stamp, and are called uncertain: the last usable value. */
  standStill(machine: string, but: readonly string[]): void;
  stop(): Promise<void>;
}

/** A real OPC UA server (node-opcua) over the machines' tags. Read-only for clients but for what is said to be writable. */
export async function openOpcUaFace(options: OpcUaFaceOptions): Promise<OpcUaFace> {
  const ua = await import('node-opcua');
  const { setDebugLogger, setErrorLogger, setWarningLogger } = ua;
  // Its loggers print on standard output, which here carries JSON lines only.
  for (const set of [setDebugLogger, setWarningLogger, setErrorLogger]) set(() => {});

  const store = (name: string, accept: boolean) =>
    new ua.OPCUACertificateManager({
      rootFolder: join(options.folder, name),
      automaticallyAcceptUnknownCertificate: accept,
      disableFileWatchers: true,
    });
  const none = [ua.MessageSecurityMode.None];
  const server = new ua.OPCUAServer({
    port: options.port,
    host: options.host,
    hostname: options.host,
    resourcePath: '',
    nodesets: [ua.nodesets.standard],
    securityModes: options.secure
      ? [...none, ua.MessageSecurityMode.Sign, ua.MessageSecurityMode.SignAndEncrypt]
      : none,
    securityPolicies: options.secure
      ? [ua.SecurityPolicy.None, ua.SecurityPolicy.Basic256Sha256]
      : [ua.SecurityPolicy.None],
    allowAnonymous: options.users.size === 0,
    userManager: { isValidUser: (user: string, password: string) => options.users.get(user) === password },
    serverCertificateManager: store('server', true),
    userCertificateManager: store('users', false),
    serverInfo: { applicationUri: 'urn:millwright:plant', productUri: 'millwright-plant' },
    maxConnectionsPerEndpoint: 64,
    // 0: every write goes out to those who ask for sampling interval 0; else writes within 50 ms are folded into one.
    serverCapabilities: { minSupportedSampleRate: 0, maxSessions: 64 },
    onCreateMonitoredItem: async (_subscription, item) => {
      options.onMonitored(item.node?.nodeId.toString() ?? '');
      return ua.StatusCodes.Good;
    },
  });
  await server.initialize();
  const space = server.engine.addressSpace!;
  const namespace = space.getOwnNamespace();
  const tags = new Map<string, { variable: UAVariable; type: number }>();
  for (const [machine, list] of Object.entries(options.machines)) {
    const folder = namespace.addObject({
      organizedBy: space.rootFolder.objects,
      browseName: machine,
      nodeId: `s=${machine}`,
    });
    for (const tag of list) {
      const heard = options.writable?.get(`${machine}.${tag.name}`);
      const variable = namespace.addVariable({
        componentOf: folder,
        browseName: tag.name,
        description: tag.unit === undefined ? tag.about : `${tag.about}, ${tag.unit}`,
        nodeId: `s=${machine}.${tag.name}`,
        dataType: tag.type,
        minimumSamplingInterval: 0,
        accessLevel: heard === undefined ? 'CurrentRead' : 'CurrentRead | CurrentWrite',
        userAccessLevel: heard === undefined ? 'CurrentRead' : 'CurrentRead | CurrentWrite',
      });
      const type = ua.DataType[tag.type];
      const empty = tag.type === 'Boolean' ? false : 0;
      variable.setValueFromSource(
        { dataType: type, value: empty },
        ua.StatusCodes.BadWaitingForInitialData,
        new Date(),
      );
      if (heard !== undefined) variable.on('value_changed', (data) => heard(Number(data.value.value)));
      tags.set(`${machine}.${tag.name}`, { variable, type });
    }
  }
  if (options.ladder !== undefined) addLadder(options.ladder);
  await server.start();
  if (options.delayMs !== undefined) holdBack(options.delayMs);

  /** On the server's own sockets and not on a relay before them: its address stays the one that it tells its clients. */
  function holdBack(delayMs: () => number): void {
    for (const endpoint of server.endpoints) {
      const { _server: listener } = endpoint as unknown as { readonly _server: Server };
      listener.prependListener('connection', (socket: Socket) => {
        socket.write = lateLine(socket, delayMs) as Socket['write'];
      });
    }
  }

  function addLadder(program: TokenLadder): void {
    const folder = namespace.addObject({
      organizedBy: space.rootFolder.objects,
      browseName: 'Ladder',
      nodeId: 's=Ladder',
    });
    const words = (name: string, access: string, get: () => readonly number[], set: (value: number[]) => void) =>
      namespace.addVariable({
        componentOf: folder,
        browseName: name,
        nodeId: `s=Ladder.${name}`,
        dataType: 'UInt16',
        valueRank: 1,
        accessLevel: access,
        userAccessLevel: access,
        value: {
          get: () =>
            new ua.Variant({
              dataType: ua.DataType.UInt16,
              arrayType: ua.VariantArrayType.Array,
              value: Uint16Array.from(get()),
            }),
          set: (variant: { readonly value: unknown }) => {
            if (!(variant.value instanceof Uint16Array)) return ua.StatusCodes.BadTypeMismatch;
            set(Array.from(variant.value));
            return ua.StatusCodes.Good;
          },
        },
      });
    let block: number[] = [];
    words(
      'Block',
      'CurrentRead | CurrentWrite',
      () => block,
      (value) => {
        block = value;
        program.scan(value);
      },
    );
    words(
      'Mark',
      'CurrentRead',
      () => program.mark,
      () => {},
    );
  }

  return {
    endpoint: server.getEndpointUrl(),
    write(machine, tag, value, at) {
      const entry = tags.get(`${machine}.${tag}`);
      if (entry === undefined) return;
      const { variable, type } = entry;
      if (Number.isNaN(value)) {
        const empty = type === ua.DataType.Boolean ? false : 0;
        variable.setValueFromSource({ dataType: type, value: empty }, ua.StatusCodes.BadSensorFailure, at);
        return;
      }
      const raw = type === ua.DataType.Boolean ? value !== 0 : value;
      variable.setValueFromSource({ dataType: type, value: raw }, ua.StatusCodes.Good, at);
    },
    standStill(machine, but) {
      for (const [id, { variable }] of tags) {
        if (!id.startsWith(`${machine}.`) || but.includes(id.slice(machine.length + 1))) continue;
        const { value, statusCode, sourceTimestamp } = variable.readValue();
        if (!statusCode.isGood()) continue;
        variable.setValueFromSource(value, ua.StatusCodes.UncertainLastUsableValue, sourceTimestamp ?? new Date());
      }
    },
    async stop() {
      await server.shutdown(0);
      server.dispose();
    },
  };
}
