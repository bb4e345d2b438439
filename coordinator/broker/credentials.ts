import { createHash, scrypt, timingSafeEqual } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import type { Result } from '../../agent/base/result.ts';
import { err, ok } from '../../agent/base/result.ts';
import { type BrokerUser, type BrokerUsers, brokerUsersSchema } from '../../agent/wire/broker-users.ts';

/** Highest cost that a stored hash may ask for, so that a file cannot freeze the broker. */
const MAX_N = 1 << 17;
const MAX_RUNNING = 4;
const MAX_WAITING = 256;

/**
 * Checks user names and passwords against `broker-users.json`. Hashing runs on the thread pool, few at a time; a
 * password that was right once in this life is remembered by digest, so five hundred agents that return together do
 * not queue behind each other's scrypt.
 */
export class Credentials {
  readonly #users: ReadonlyMap<string, BrokerUser>;
  readonly #known = new Map<string, Buffer>();
  #running = 0;
  readonly #waiting: (() => void)[] = [];

  constructor(users: BrokerUsers) {
    this.#users = new Map(users.users.map((user) => [user.name, user]));
  }

  get size(): number {
    return this.#users.size;
  }

  /** The user when name and password fit, else undefined; also undefined when too many wait at once. */
  async verify(name: string, password: Buffer): Promise<BrokerUser | undefined> {
    if (password.length > 1_024) return undefined;
    const user = this.#users.get(name);
    const digest = createHash('sha256').update(password).digest();
    const known = this.#known.get(name);
    if (user !== undefined && known !== undefined && timingSafeEqual(known, digest)) return user;
    if (this.#running >= MAX_RUNNING) {
      if (this.#waiting.length >= MAX_WAITING) return undefined;
      await new Promise<void>((resolve) => this.#waiting.push(resolve));
    }
    this.#running++;
    try {
      // An unknown name costs the same time as a wrong password: names are not told apart by the clock.
      const right = await scryptMatches(user?.hash ?? DUMMY, password);
      if (user === undefined || !right) return undefined;
      this.#known.set(name, digest);
      return user;
    } finally {
      this.#running--;
      this.#waiting.shift()?.();
    }
  }
}

/** Reads and checks the file of users; the error is for people and holds no secret. */
export const readBrokerUsers = async (path: string): Promise<Result<BrokerUsers, string>> => {
  try {
    const parsed = brokerUsersSchema.safeParse(JSON.parse(await readFile(path, 'utf8')));
    if (parsed.success) return ok(parsed.data);
    const issue = parsed.error.issues[0];
    return err(`${path}: ${issue?.path.join('.') ?? ''} ${issue?.message ?? 'not a list of broker users'}`);
  } catch (error) {
    return err(`${path}: ${(error as Error).message}`);
  }
};

const DUMMY = `scrypt$16384$8$1$${Buffer.alloc(16).toString('base64')}$${Buffer.alloc(32).toString('base64')}`;

const scryptMatches = (stored: string, password: Buffer): Promise<boolean> => {
  const [, n, r, p, salt, hash] = stored.split('$');
  const N = Number(n);
  const expected = Buffer.from(hash ?? '', 'base64');
  if (!(N > 1 && N <= MAX_N) || !(Number(r) <= 16) || !(Number(p) <= 4) || expected.length < 16)
    return Promise.resolve(false);
  const cost = { N, r: Number(r), p: Number(p), maxmem: 256 * 1024 * 1024 };
  return new Promise((resolve) => {
    scrypt(password, Buffer.from(salt ?? '', 'base64'), expected.length, cost, (error, key) => {
      resolve(error === null && timingSafeEqual(key, expected));
    });
  });
};
