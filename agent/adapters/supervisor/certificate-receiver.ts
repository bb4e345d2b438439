import { createHash } from 'node:crypto';
import { createSocket } from 'node:dgram';
import { isIPv6 } from 'node:net';
import { decodeCertificate } from '../../supervisor/certificate.ts';

export interface CertificateReceiver {
  /** The port that certificates reach it at; what supervisors get as a target. */
  readonly port: number;
  readonly counts: CertificateCounts;
  close(): Promise<void>;
}

export interface CertificateCounts {
  readonly accepted: number;
  /** Not of this kind, or too short. */
  readonly garbage: number;
  /** Beyond the rate; certificates are repeated, so one that came in a flood has four more tries. */
  readonly dropped: number;
}

export interface CertificateReceiverOptions {
  readonly host: string;
  /** 0: any free one. */
  readonly port: number;
  /** The hash of the shown secret, 64 hex digits: the session with this id is dead. Said again for each repetition. */
  readonly dead: (session: string) => void;
  readonly monotonic: () => number;
  /** Datagrams looked at per second. Default 500; one costs about 5 µs. */
  readonly perSecond?: number;
}

/**
 * Listens for death certificates. No sender is asked who it is: the secret is the proof, whoever brings it. What does
 * not fit is counted; a flood is cut off before the hash.
 */
export async function receiveCertificates(options: CertificateReceiverOptions): Promise<CertificateReceiver> {
  const { perSecond = 500, monotonic } = options;
  const counts = { accepted: 0, garbage: 0, dropped: 0 };
  let tokens = perSecond;
  let filledAt = monotonic();
  const socket = createSocket({ type: isIPv6(options.host) ? 'udp6' : 'udp4' });
  socket.on('message', (datagram) => {
    const now = monotonic();
    tokens = Math.min(perSecond, tokens + ((now - filledAt) / 1000) * perSecond);
    filledAt = now;
    if (tokens < 1) {
      counts.dropped++;
      return;
    }
    tokens--;
    const secret = decodeCertificate(datagram);
    if (secret === undefined) {
      counts.garbage++;
      return;
    }
    counts.accepted++;
    options.dead(createHash('sha256').update(secret).digest('hex'));
  });
  await new Promise<void>((resolve, reject) => {
    socket.once('error', reject);
    socket.bind({ address: options.host, port: options.port, exclusive: true }, () => {
      socket.off('error', reject);
      resolve();
    });
  });
  // Later errors (an ICMP answer, a vanished interface) are the network's; time-outs work without certificates.
  socket.on('error', () => {});
  return {
    port: socket.address().port,
    get counts() {
      return { ...counts };
    },
    close: () => new Promise((resolve) => socket.close(() => resolve())),
  };
}
