import type { ConditionIndex, DutyIndex, SignalIndex, ThingIndex } from '../base/ids.ts';
import type { SitePlan } from '../core/site-plan.ts';

/**
 * What a site file says that only adapters need: how to reach things, where a tag lives, what a probe runs. The core
 * never sees it. Together with the plan it is everything that the configuration gives.
 */
export interface Site {
  readonly plan: SitePlan;
  readonly connections: ReadonlyMap<ThingIndex, Connection>;
  readonly tags: ReadonlyMap<SignalIndex, Tag>;
  /** What workflows may write on devices, by the number in their steps. */
  readonly writes?: ReadonlyMap<number, WriteTarget>;
  /** Signals of other machines that the holder of a poll duty reads along, for what is made of several. */
  readonly alongside?: ReadonlyMap<DutyIndex, readonly SignalIndex[]>;
  readonly people: ReadonlyMap<string, Person>;
  /** Folder that relative model files start from. */
  readonly modelRoot: string;
  /** IANA zone of all times in the site file; UTC when it names none. */
  readonly zone?: string;
}

export type Secret = { readonly from: 'env'; readonly name: string } | { readonly from: 'file'; readonly path: string };

export type Connection =
  | {
      readonly kind: 'opcua';
      readonly endpoint: string;
      readonly security: 'none' | 'sign' | 'sign-and-encrypt';
      /** Basic256Sha256 unless said. */
      readonly policy?: 'basic256sha256' | 'aes128-sha256-rsaoaep' | 'aes256-sha256-rsapss' | undefined;
      readonly user: string | undefined;
      readonly secret: Secret | undefined;
    }
  | {
      readonly kind: 'modbus';
      readonly host: string;
      readonly port: number;
      readonly unit: number;
      /** Byte order of 32-bit values as sent: abcd big-endian, cdab swapped words, badc swapped bytes, dcba both. */
      readonly order: 'abcd' | 'cdab' | 'badc' | 'dcba';
      /** A serial line in place of host and port: Modbus RTU. */
      readonly serial?: SerialLine | undefined;
      /** Breath between two requests, milliseconds; 2 unless said. */
      readonly pauseMs?: number | undefined;
    }
  | {
      readonly kind: 's7';
      readonly host: string;
      readonly port: number;
      readonly rack: number;
      readonly slot: number;
      readonly pauseMs?: number | undefined;
    }
  | {
      readonly kind: 'mqtt';
      /** `mqtt://host:1883`, `mqtts://host:8883`. */
      readonly url: string;
      readonly user: string | undefined;
      readonly secret: Secret | undefined;
      /** File of the certificate authority for `mqtts`; the system's own unless said. */
      readonly ca?: string | undefined;
    };

export interface SerialLine {
  /** Device file: /dev/ttyUSB0. */
  readonly path: string;
  readonly baud: number;
  readonly parity: 'none' | 'even' | 'odd';
  readonly stopBits: 1 | 2;
}

/** Where a signal lives on its source, and how raw numbers become its unit. */
export interface Tag {
  readonly signal: SignalIndex;
  /** Stable name for reports: `thing/name`. */
  readonly name: string;
  readonly source: ThingIndex;
  /** As the connection's protocol writes it: agent/adapters/plc/README.md has them all. */
  readonly address: string;
  readonly type: 'bool' | 'int16' | 'uint16' | 'int32' | 'uint32' | 'float32' | 'float64';
  /** Raw lo..hi → lo..hi in the unit; more than 5 % outside is quality bad. */
  readonly scale:
    | { readonly rawLo: number; readonly rawHi: number; readonly lo: number; readonly hi: number }
    | undefined;
  readonly everyMs: number;
  readonly unit: string | undefined;
  /** Deadband: a value within this of the one told last is nothing new. In the unit, or a share of the range. */
  readonly change?: { readonly by: 'value'; readonly value: number } | { readonly by: 'share'; readonly share: number };
  /** The very same raw value for so long is quality bad. */
  readonly frozenMs?: number;
}

/** Where a value goes that a workflow writes. What may be written was judged when the site file was compiled. */
export interface WriteTarget {
  /** `thing/name`. */
  readonly name: string;
  /** The connected thing. */
  readonly source: ThingIndex;
  readonly address: string;
  readonly type: Tag['type'];
  /**
   * Where the device's program shows which token it took last: the write then is token, sequence and value in one frame.
   * Undefined: a plain value, compared with nothing on the device.
   */
  readonly mark: string | undefined;
  /** Condition without which nothing is ever written here. */
  readonly onlyIf?: ConditionIndex;
}

/** What a check runs. Roots and sockets are injectable in the adapter, never here. */
export type Probe =
  | { readonly kind: 'cpu' }
  | { readonly kind: 'memory' }
  | { readonly kind: 'disk' | 'inode'; readonly path: string }
  | { readonly kind: 'load'; readonly minutes: 1 | 5 | 15 }
  | { readonly kind: 'temperature'; readonly sensor: string | undefined }
  | { readonly kind: 'network'; readonly interface: string; readonly measure: 'link' | 'rate' | 'errors' }
  | { readonly kind: 'clock-synchronised' | 'clock-jumps' }
  /** Against a time server, or as chrony says. */
  | { readonly kind: 'clock-offset'; readonly against: HostPort | undefined }
  /** The process of a duty that this agent holds, or any process by the name of its executable. */
  | { readonly kind: 'process'; readonly duty: DutyIndex }
  | { readonly kind: 'process-name'; readonly name: string }
  /** A unit of systemd. */
  | { readonly kind: 'service'; readonly unit: string }
  /** By name or id; `socket`: where its engine listens, else the usual places. */
  | { readonly kind: 'container'; readonly name: string; readonly socket: string | undefined }
  | { readonly kind: 'tcp'; readonly host: string; readonly port: number }
  | {
      readonly kind: 'tls';
      readonly host: string;
      readonly port: number;
      /** Name that is asked for and judged; the host unless said. */
      readonly name: string | undefined;
      /** File of certificates (PEM) that are trusted instead of the system's. */
      readonly ca: string | undefined;
      /** A certificate that nobody whom we know vouches for is bad. */
      readonly trusted: boolean;
    }
  | { readonly kind: 'ping'; readonly host: string }
  /** What the controller behind a connection says of itself; `expect`: beginning of the hash of its program. */
  | {
      readonly kind: 'plc';
      readonly source: ThingIndex;
      readonly question: 'mode' | 'scan' | 'program' | 'service';
      readonly expect: string | undefined;
    }
  | {
      readonly kind: 'dns';
      readonly name: string;
      readonly type: 'A' | 'AAAA' | 'CNAME' | 'MX' | 'NS' | 'PTR' | 'TXT';
      /** Asked instead of the box's own servers. */
      readonly server: HostPort | undefined;
      /** Must be among the answers. */
      readonly expect: string | undefined;
    }
  | {
      readonly kind: 'http';
      readonly url: string;
      readonly status: number | undefined;
      readonly contains: string | undefined;
    }
  | { readonly kind: 'file-age'; readonly path: string }
  /** Patterns are RE2's. Lines that match count, unless they match `except` as well. */
  | { readonly kind: 'log'; readonly path: string; readonly match: string; readonly except: string | undefined }
  | {
      readonly kind: 'mqtt';
      /** `mqtt://host:1883` or `mqtts://host:8883`. */
      readonly url: string;
      readonly topic: string;
      readonly user: string | undefined;
      readonly secret: Secret | undefined;
    }
  | {
      readonly kind: 'sql';
      readonly database:
        | { readonly kind: 'sqlite'; readonly path: string }
        | {
            readonly kind: 'postgres';
            readonly host: string;
            readonly port: number;
            readonly database: string;
            readonly user: string | undefined;
            readonly secret: Secret | undefined;
            readonly tls: boolean;
          };
      readonly query: string;
    }
  /** Any monitoring plugin: exit code 0–3, first line text, performance data. */
  | {
      readonly kind: 'plugin';
      readonly argv: readonly string[];
      /** Item of its performance data that becomes the check's value, and the unit that its limits are in. */
      readonly perf?: { readonly label: string; readonly unit: 's' | 'B' | '%' | '' } | undefined;
    };

/** What the probes of one kind ask, without the word for the kind. */
export type ProbeOf<K extends Probe['kind']> = Omit<Extract<Probe, { kind: K }>, 'kind'>;

export interface HostPort {
  readonly host: string;
  readonly port: number;
}

export interface Person {
  readonly name: string;
  readonly may: readonly ('acknowledge' | 'shelve' | 'order' | 'approve')[];
}
