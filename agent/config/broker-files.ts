import { pbkdf2Sync, randomBytes } from 'node:crypto';
import { userInfo } from 'node:os';
import { allowed } from '../wire/topics.ts';

/** Files for Debian's mosquitto, as `site init` writes them. */

/** Passwords are 256 random bits, so the iterations guard nothing that a guess could reach; they cost at each CONNECT. */
const iterations = 1000;

/**
 * One line of a mosquitto password file: `name:$7$<iterations>$<salt>$<hash>`, PBKDF2 with SHA-512 (mosquitto 2's own
 * format, mosquitto_passwd(1)).
 */
export function mosquittoPassword(name: string, password: string, salt: Uint8Array = randomBytes(12)): string {
  const hash = pbkdf2Sync(password, salt, iterations, 64, 'sha512');
  return `${name}:$7$${iterations}$${Buffer.from(salt).toString('base64')}$${hash.toString('base64')}`;
}

/**
 * Access by pattern, so that a new agent needs no line here: `%u` is the user name, which is the agent's. Agents write
 * below their own topic and read what is addressed to them; all else is denied by silence.
 */
export function mosquittoAcl(site: string): string {
  const agent = allowed(site, '%u', 'agent');
  const coordinator = allowed(site, 'coordinator', 'coordinator');
  return [
    '# Who may write and read what. Denials are silent: mosquitto says "received" and drops.',
    'user coordinator',
    ...coordinator.publish.map((topic) => `topic write ${topic}`),
    ...coordinator.subscribe.map((topic) => `topic read ${topic}`),
    '',
    '# Every agent, by its own name.',
    ...agent.publish.map((topic) => `pattern write ${topic}`),
    ...agent.subscribe.map((topic) => `pattern read ${topic}`),
    '',
  ].join('\n');
}

export interface MosquittoOptions {
  readonly host: string;
  readonly port: number;
  readonly passwordFile: string;
  readonly aclFile: string;
}

export function mosquittoConf({ host, port, passwordFile, aclFile }: MosquittoOptions): string {
  return `# For Debian's mosquitto 2: mosquitto -c this-file. The paths are those of the machine that wrote it.
# This protects the wire only on a trusted network; for all others add certfile, keyfile and a TLS listener.
# The files are readable only by who made them. To run as another user: chown -R USER this-folder, and say so here.
user ${userInfo().username}
listener ${port} ${host}
allow_anonymous false
password_file ${passwordFile}
acl_file ${aclFile}

# The id of a session is the name of its credential, whatever the client says: an id cannot be stolen.
use_username_as_clientid true

# The promise that nothing is lost is the outbox's, not the broker's: its queues may be small and need no disk.
persistence false
max_queued_messages 1000
max_queued_bytes 8388608
max_inflight_messages 256
persistent_client_expiration 1d
# A report is at most 256 kB; this is the packet around it.
max_packet_size 300000
max_keepalive 300
log_dest stderr
log_type error
log_type warning
log_type notice
`;
}
