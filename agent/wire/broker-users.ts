import { randomBytes, scryptSync } from 'node:crypto';
import { z } from 'zod';

/**
 * Who may connect to the embedded broker: `broker-users.json`, written by `millwright site init`, read by the
 * coordinator. The name is user name and client id in one; a client that shows another id is refused at CONNECT,
 * because whoever takes an id takes its session too.
 */
export const brokerUserSchema = z.strictObject({
  name: z.string().regex(/^[A-Za-z0-9_.-]{1,64}$/),
  /** `scrypt$<N>$<r>$<p>$<salt base64>$<hash base64>`; see `hashBrokerPassword`. */
  hash: z
    .string()
    .max(400)
    .regex(/^scrypt\$\d+\$\d+\$\d+\$[A-Za-z0-9+/=]+\$[A-Za-z0-9+/=]+$/),
  role: z.enum(['agent', 'coordinator', 'viewer']),
});

export const brokerUsersSchema = z.strictObject({ users: z.array(brokerUserSchema).max(20_000) });

export type BrokerUser = z.infer<typeof brokerUserSchema>;
export type BrokerUsers = z.infer<typeof brokerUsersSchema>;

/** Cost of one hash. The passwords are random, not chosen by people, so this guards the file, not a weak word. */
export const SCRYPT = { N: 16_384, r: 8, p: 1, keyLength: 32 } as const;

/** The stored form of a broker password (RFC 7914, scrypt), with a fresh salt of 16 bytes unless one is given. */
export const hashBrokerPassword = (password: string, salt: Uint8Array = randomBytes(16)): string => {
  const key = scryptSync(password, salt, SCRYPT.keyLength, { N: SCRYPT.N, r: SCRYPT.r, p: SCRYPT.p });
  return `scrypt$${SCRYPT.N}$${SCRYPT.r}$${SCRYPT.p}$${Buffer.from(salt).toString('base64')}$${key.toString('base64')}`;
};
