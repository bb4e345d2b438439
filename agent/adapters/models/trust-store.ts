import { z } from 'zod';
import { openDatabase, relaxed, transaction } from '../store/database.ts';

export const trustFile = 'models.db';

const migrations = ['CREATE TABLE seat (model TEXT PRIMARY KEY, state TEXT NOT NULL) WITHOUT ROWID;'];

const count = z.number().min(0);
const occupant = z.object({
  file: z.string().max(4096),
  /** Undefined: nobody has promised one, and none was seen yet. */
  sha256: z
    .string()
    .regex(/^[0-9a-f]{64}$/)
    .optional(),
  /** `site`: in the folder of models; `box`: trained here, in the agent's own data. */
  manifestSha256: z
    .string()
    .regex(/^[0-9a-f]{64}$/)
    .optional(),
  from: z.enum(['site', 'box']),
});
const tally = z.object({
  stretches: z.array(z.object({ from: z.number(), windows: count, above: count, confirmed: count })).max(1_000),
  windows: count,
  above: count,
});
const seat = z.object({
  v: z.literal(1),
  /** What the site file said when this was written: where it says otherwise now, it has its way. */
  siteFile: z.string(),
  siteShadow: z.string().optional(),
  incumbent: occupant,
  shadow: occupant.optional(),
  previous: occupant.optional(),
  /** Wall clock since when the incumbent has its seat, and why. */
  since: z.number(),
  why: z.string().max(400),
  /** Files that were reverted or dropped here: they do not come back by themselves. */
  rejected: z.array(z.string().max(4096)).max(16),
  tallies: z.object({ incumbent: tally.optional(), shadow: tally.optional(), previous: tally.optional() }),
  agreement: z.object({ both: count, neither: count, onlyIncumbent: count, onlyShadow: count }).optional(),
  /** What became of the last fit on this box, wall clock. */
  fit: z
    .object({
      at: z.number(),
      outcome: z.enum(['shadow', 'none']),
      file: z.string().max(4096).optional(),
      code: z.enum(['rising', 'rows', 'budget', 'broken', 'stopped', 'unfit']).optional(),
      why: z.string().max(600).optional(),
    })
    .optional(),
  drift: z
    .object({
      from: z.number(),
      rows: count,
      sums: z.array(z.number()).max(64),
      bins: z.array(z.array(count).max(16)).max(64),
      against: count,
      moved: z.boolean(),
      last: z
        .array(
          z.object({
            name: z.string(),
            psi: z.number().optional(),
            shift: z.number(),
            mean: z.number(),
            moved: z.boolean(),
          }),
        )
        .max(64),
    })
    .optional(),
});

export type Occupant = z.infer<typeof occupant>;
export type SeatRecord = z.infer<typeof seat>;

/** What a box has learned about its models, across restarts: `models.db`. A damaged record is forgotten, not fatal. */
export interface TrustStore {
  load(model: string): SeatRecord | undefined;
  save(records: readonly (readonly [model: string, record: SeatRecord])[]): void;
  close(): void;
}

export function openTrustStore(dir: string): TrustStore {
  const { db } = openDatabase({ dir, file: trustFile, migrations });
  const put = db.prepare(
    'INSERT INTO seat (model, state) VALUES (?, ?) ON CONFLICT (model) DO UPDATE SET state = excluded.state',
  );
  const get = db.prepare('SELECT state FROM seat WHERE model = ?');
  return {
    load(model) {
      try {
        const text = get.get(model)?.['state'];
        return typeof text === 'string' ? seat.parse(JSON.parse(text)) : undefined;
      } catch {
        return undefined;
      }
    },
    save(records) {
      if (records.length === 0) return;
      try {
        relaxed(db, () =>
          transaction(db, () => {
            for (const [model, record] of records) put.run(model, JSON.stringify(record));
          }),
        );
      } catch {
        // A full disk costs counts, which begin anew after a restart; the store's own owner says that it is full.
      }
    },
    close: () => db.close(),
  };
}
