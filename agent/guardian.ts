import type { Log } from './adapters/log.ts';
import { type CertificateReceiver, receiveCertificates } from './adapters/supervisor/certificate-receiver.ts';
import {
  connectSupervisor,
  type Say,
  type SupervisorClient,
  supervisorFd,
} from './adapters/supervisor/supervisor-client.ts';

/** What the box supervisor says of itself, or what is said in its absence. */
export interface Protection {
  readonly protected: boolean;
  readonly why: string;
}

/** Who watches over this process, if anybody does: its exclusive programs are that one's children. */
export interface Guardian {
  readonly supervisor: SupervisorClient | undefined;
  protection(): Protection;
  /** All that the supervisor says from now on; to be called before anything is awaited. */
  onSaid(hear: (message: Say) => void): void;
}

/** Finds the supervisor that started this process. Where it is lost later, this agent goes with it. */
export function findGuardian(log: Log): Guardian {
  let protection: Protection = {
    protected: false,
    why: 'no box supervisor: start the agent with millwright supervise',
  };
  const hearers: ((message: Say) => void)[] = [];
  const fd = supervisorFd();
  const supervisor =
    fd === undefined
      ? undefined
      : connectSupervisor(fd, {
          said: (message) => {
            if (message.is === 'hello') protection = message;
            for (const hear of hearers) hear(message);
          },
          lost: (why) => {
            protection = { protected: false, why };
            log.error({ why }, 'the box supervisor is gone, and this agent goes with it');
            process.kill(process.pid, 'SIGTERM');
          },
        });
  return { supervisor, protection: () => protection, onSaid: (hear) => void hearers.push(hear) };
}

/**
 * Hears of agents that died, at the port of the mesh, so that whoever finds the one finds the other. Undefined where
 * that port is taken: takeovers then wait for time-outs.
 */
export async function hearCertificates(options: {
  /** Where the mesh was told to listen, and where it does. */
  readonly listen: readonly string[];
  readonly addresses: readonly string[];
  readonly dead: (session: string) => void;
  readonly log: Log;
}): Promise<CertificateReceiver | undefined> {
  const door = doorOf(options.listen, options.addresses);
  try {
    return await receiveCertificates({ ...door, dead: options.dead, monotonic: () => performance.now() });
  } catch (error) {
    options.log.warn(
      { ...door, error: String(error) },
      'death certificates cannot be heard: takeovers wait for time-outs',
    );
    return undefined;
  }
}

function doorOf(listen: readonly string[], addresses: readonly string[]): { host: string; port: number } {
  const bound = addresses.map((text) => /^\/ip[46]\/([^/]+)\/tcp\/(\d+)/.exec(text)).find((match) => match !== null);
  const wanted = /^\[?([0-9a-fA-F:.]+)\]?:(\d+)$/.exec(listen[0] ?? '');
  return { host: wanted?.[1] ?? bound?.[1] ?? '127.0.0.1', port: Number(bound?.[2] ?? wanted?.[2] ?? 0) };
}
