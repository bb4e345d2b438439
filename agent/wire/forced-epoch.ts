import { z } from 'zod';
import { err, ok, type Result } from '../base/result.ts';
import { readDocument } from './document.ts';
import { canonicalJson, isSignedBy, openJws, signJws } from './jws.ts';
import { oneLineKey } from './roster.ts';
import { type BundleCell, cellHash } from './site-bundle.ts';

/**
 * A person's word that a majority of a cell's voters is gone for good, so that the next epoch may begin without their
 * seals. Signed by the recovery key, which is fixed at the founding and kept offline: it overrules the one rule that keeps
 * two from acting at once, so no key of daily use will do.
 *
 * What the word is worth: the voters that are named were off (or without their memory) when it was given, and stay so until
 * they hear of the new epoch, as they do from anybody they meet. Where that is not true, two may hold a lease at once.
 */
export interface ForcedEpochStatement {
  readonly site: string;
  readonly cell: string;
  /** The epoch that is over. */
  readonly epoch: number;
  /** `cellHash` of that epoch … */
  readonly parent: string;
  /** … and of the one that follows it, epoch + 1. */
  readonly successor: string;
  /** Voters of the epoch that is over, by their names on the roster. */
  readonly poweredOff: readonly string[];
  /** Who says so. For people; the key is what counts. */
  readonly issuer: string;
  /** When, ISO 8601 in UTC. For people: no clock is trusted with it. */
  readonly at: string;
}

export interface ForcedEpochError {
  readonly reason:
    | 'too-large'
    | 'not-a-statement'
    | 'wrong-signature'
    | 'wrong-shape'
    | 'newer-format'
    | 'wrong-site'
    | 'no-such-cell'
    | 'stale-epoch'
    | 'not-yet'
    | 'other-successor'
    | 'other-parent'
    | 'no-voter'
    | 'too-few';
  /** For the person who has to mend it. */
  readonly text: string;
}

export const forcedEpochMaxBytes = 4_096;
const documentType = 'millwright-forced-epoch+json';
const formatVersion = 1;

const name = z.string().regex(/^[a-z0-9][a-z0-9-]{0,62}$/);
const hash = z.string().regex(/^[0-9a-f]{64}$/);
const payloadSchema = z.strictObject({
  format: z.literal(formatVersion),
  site: name,
  cell: name,
  epoch: z.int().min(1).max(0xfffe),
  parent: hash,
  successor: hash,
  poweredOff: z.array(name).min(1).max(5),
  issuer: z.string().min(1).max(200),
  at: z.iso.datetime(),
});

/** Signs a statement with the recovery key (Ed25519, PEM, PKCS8). Throws on what no agent would read. */
export function signForcedEpoch(statement: ForcedEpochStatement, recoveryKeyPem: string): Uint8Array {
  const content = { format: formatVersion, ...statement };
  const shape = payloadSchema.safeParse(content);
  if (!shape.success) throw new Error(z.prettifyError(shape.error));
  return signJws(Buffer.from(canonicalJson(content), 'utf8'), documentType, recoveryKeyPem);
}

/** Whether a file wants to be a statement, and no bundle; says nothing about its signature. */
export const isForcedEpoch = (bytes: Uint8Array): boolean =>
  bytes.length <= forcedEpochMaxBytes && openJws(bytes, documentType) !== undefined;

/** Reads and verifies it against the site's recovery key (one line). Never throws on what the bytes hold. */
export function readForcedEpoch(
  bytes: Uint8Array,
  recoveryKey: string,
): Result<ForcedEpochStatement, ForcedEpochError> {
  if (bytes.length > forcedEpochMaxBytes) {
    return refuse('too-large', `${bytes.length} bytes, at most ${forcedEpochMaxBytes}`);
  }
  const opened = openJws(bytes, documentType);
  if (opened === undefined) return refuse('not-a-statement', 'it forces no epoch: cut short, or another file');
  const key = oneLineKey(recoveryKey);
  if (key === undefined || !isSignedBy(opened, key)) {
    return refuse('wrong-signature', 'the recovery key of this site did not sign it, or it was changed after signing');
  }
  const read = readDocument(opened.payload, payloadSchema, formatVersion);
  if (!read.ok) return refuse(...read.error);
  const { format: _, ...statement } = read.value;
  return ok(statement);
}

/** What an agent knows when it judges. */
export interface ForcedEpochFacts {
  readonly site: string;
  /** The epoch that is spoken here; undefined: the cell does not concern this agent. */
  readonly epoch: number | undefined;
  /** Its voters. */
  readonly voters: readonly string[];
  /** The cell in the bundle in force; undefined: it has none of this name. */
  readonly next: BundleCell | undefined;
}

/** Why a genuine statement is not carried out here; undefined when it is. */
export function judgeForcedEpoch(
  statement: ForcedEpochStatement,
  facts: ForcedEpochFacts,
): ForcedEpochError | undefined {
  const { cell, epoch, poweredOff } = statement;
  const { site, voters, next } = facts;
  if (statement.site !== site) {
    return { reason: 'wrong-site', text: `it is for site "${statement.site}", this box belongs to "${site}"` };
  }
  if (facts.epoch === undefined || next === undefined) {
    return { reason: 'no-such-cell', text: `cell ${cell} is none of this box: bring it to one that lives there` };
  }
  if (epoch < facts.epoch) {
    return {
      reason: 'stale-epoch',
      text: `it ends epoch ${epoch} of ${cell}, which is in epoch ${facts.epoch} by now`,
    };
  }
  if (epoch > facts.epoch) {
    return {
      reason: 'not-yet',
      text: `it ends epoch ${epoch} of ${cell}, and this box is in epoch ${facts.epoch} still`,
    };
  }
  if (next.epoch !== epoch + 1 || cellHash(site, next) !== statement.successor) {
    return {
      reason: 'other-successor',
      text: `it is for another epoch ${epoch + 1} of ${cell} than the bundle in force has: push that bundle first`,
    };
  }
  if (next.parent !== statement.parent) {
    return { reason: 'other-parent', text: `it ends another epoch ${epoch} of ${cell} than ours` };
  }
  const stranger = poweredOff.find((one) => !voters.includes(one));
  if (stranger !== undefined) {
    return {
      reason: 'no-voter',
      text: `${stranger} does not vote in epoch ${epoch} of ${cell}: ${voters.join(', ')} do`,
    };
  }
  const left = voters.filter((one) => !poweredOff.includes(one));
  if (left.length >= Math.floor(voters.length / 2) + 1) {
    return {
      reason: 'too-few',
      text: `${left.join(', ')} were not attested to be off, and are a majority: they can still grant, and can still seal`,
    };
  }
  return undefined;
}

function refuse(reason: ForcedEpochError['reason'], text: string): Result<never, ForcedEpochError> {
  return err({ reason, text });
}
