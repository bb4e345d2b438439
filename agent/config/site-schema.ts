import { z } from 'zod';

/**
 * The shape of the site file, once: it validates, it says which key was meant, and it becomes the JSON Schema that
 * editors read. What the small texts inside say (limits, conditions, times) is judged by the compiler, after `$names`
 * are filled in.
 */

/** A word of the language that is not carried out yet. It is refused with this sentence, never ignored. */
const later = (what: string) => z.never({ error: `${what} comes later: take it out for now` }).optional();

const text = z.string().max(4096);
const scalar = z.union([text, z.number(), z.boolean()], { error: 'expected one value' });
const duration = z.union([text, z.number()], { error: 'expected a time such as 5s or 200ms' });
const dwell = z
  .union([text, z.number()], { error: 'expected a count (3), k of n (3 of 5) or a time (30s)' })
  .describe('How long a reading must stand: a count, "k of n", or a time.');
const condition = z
  .string({ error: 'expected a condition in CEL, for example crit("up")' })
  .max(4096)
  .describe('A condition in CEL over ok warn crit unknown signal state anomalous held alive dead at_least not.');
const names = z.array(text, { error: 'expected a list of names: [a, b]' }).max(1000);
const oneOrMany = z.union([text, names], { error: 'expected a name or a list of names' });
const argv = z
  .array(scalar, { error: 'expected an argument vector: [program, argument, …]' })
  .min(1, { error: 'an argument vector needs its program' })
  .max(256)
  .describe('Program and arguments. Nothing passes a shell.');
const onlyIn = z
  .union([names, z.record(text, names)], {
    error: 'expected states, [running], or things with states, { press-7: [stopped] }',
  })
  .describe('Applies only in these plant states.');
const secret = text.regex(/^(env|file):.+$/, { error: 'expected a reference to a secret: env:NAME or file:/path' });
const publicKey = text.regex(/^(ed25519:[A-Za-z0-9+/]{43}=|12D3KooW[1-9A-HJ-NP-Za-km-z]{44})$/, {
  error: 'expected ed25519: and 32 bytes in base64 (agent.pub), or a peer id (12D3KooW…)',
});
const about = text.optional().describe('For people.');

export const signalSchema = z.strictObject({
  about,
  address: text
    .optional()
    .describe('OPC UA ns=2;s=Speed · Modbus holding:40011 · S7 DB10,REAL4 · MQTT line/press#/oil.'),
  type: z
    .enum(['bool', 'int16', 'uint16', 'int32', 'uint32', 'float32', 'float64'])
    .optional()
    .describe('How the device holds it; OPC UA, S7 and MQTT know by themselves.'),
  unit: text.optional(),
  every: duration.optional().describe('Sampling interval, 1s unless said.'),
  fresh: duration.optional().describe('Older is stale, which is unknown; three times `every` unless said.'),
  scale: text.optional().describe('Raw range and what it means: 5530..27648 -> 0..10 bar.'),
  accept: z.enum(['good', 'uncertain']).optional(),
  change: z
    .union([text, z.number()], { error: 'expected a deadband: 0.1 bar, or 0.5 %' })
    .optional()
    .describe('Deadband: less than this is nothing new. 0.1 bar, or 0.5 % of the range.'),
  frozen: duration.optional().describe('The very same value for so long is bad: for what never rests.'),
  states: z.record(z.string(), text).optional().describe('Names of the codes of the reserved signal `state`.'),
  formula: z
    .string({ error: 'expected a formula in CEL, for example signal("out in °C") - signal("in in °C")' })
    .max(4096)
    .optional()
    .describe('Reckoned from other signals, instead of read from an address.'),
  over: text.optional().describe('Over a while: 5m mean, min, max, range, median, stddev, or 1h rate per h.'),
});

export const writeSchema = z.strictObject({
  about,
  address: text.describe('OPC UA node id, or Modbus holding:40011, coil:1; with `mark` the first word of the block.'),
  type: signalSchema.shape.type,
  allow: z
    .array(scalar, { error: 'expected what may be written: [0, 1] or [40..60]' })
    .min(1)
    .max(64)
    .describe('Values, and ranges such as 40..60. Nothing else is ever written.'),
  'only-if': z
    .string({ error: 'expected a condition in CEL, for example ok("guard")' })
    .max(4096)
    .optional()
    .describe('Interlock: asked in the moment of each write, whichever workflow writes; unknown denies.'),
  mark: text
    .optional()
    .describe(
      'Where the controller shows which token it took last: it then gets token, sequence and value in one frame.',
    ),
});

export const checkSchema = z.strictObject({
  about,
  signal: text.optional().describe('Judge the value of this signal.'),
  stale: text.optional().describe('CRIT when this signal is stale.'),
  quality: text.optional().describe('WARN when this signal is uncertain, CRIT when it is bad.'),
  cpu: z.literal('used', { error: 'expected "used"' }).optional().describe('Busy share of all cores, in %.'),
  memory: z.literal('used', { error: 'expected "used"' }).optional().describe('Used share of memory, in %.'),
  disk: text.optional().describe('Used share of the file system that holds this path, in %.'),
  inode: text.optional().describe('Used share of the inodes of the file system that holds this path, in %.'),
  load: text.optional().describe('Load average over 1m, 5m or 15m.'),
  temperature: text.optional().describe('A sensor by name, or "any" for the hottest, in °C.'),
  process: z
    .union([text, z.strictObject({ name: text.describe('Name of an executable on the box.') })], {
      error: 'expected the name of a duty with a process, or { name: executable }',
    })
    .optional(),
  network: text
    .optional()
    .describe(
      'An interface and what of it: "eth0 link", "eth0 rate" (B/s), "eth0 errors" (frames since the last look).',
    ),
  clock: z
    .union([z.enum(['synchronised', 'offset', 'jumps']), z.strictObject({ offset: text })], {
      error: 'expected synchronised, offset, jumps, or { offset: time-server }',
    })
    .optional()
    .describe('Whether the clock is kept in step, how far it is off (s), by how much it was set lately (s).'),
  service: text.optional().describe('A unit of systemd: nginx.service.'),
  container: z
    .union([text, z.strictObject({ name: text, socket: text.optional().describe('Where its engine listens.') })], {
      error: "expected a container's name, or { name: …, socket: /run/docker.sock }",
    })
    .optional(),
  tcp: text.optional().describe('host:port accepts a connection.'),
  tls: z
    .union(
      [
        text,
        z.strictObject({
          address: text.describe('host:port'),
          name: text.optional().describe('Name in the certificate, when it is not the host.'),
          ca: text.optional().describe('Certificates (PEM) that are trusted.'),
          trusted: z.boolean().optional().describe('true: CRIT too when nobody whom we know vouches for it.'),
        }),
      ],
      { error: 'expected host:port, or { address: host:port, name: …, ca: …, trusted: true }' },
    )
    .optional()
    .describe('Time until the certificate ends: warn: below 30 d.'),
  ping: text.optional().describe('A host that answers an echo request; limits are on its time.'),
  dns: z
    .union(
      [
        text,
        z.strictObject({
          name: text,
          type: z.enum(['A', 'AAAA', 'CNAME', 'MX', 'NS', 'PTR', 'TXT']).optional(),
          server: text.optional().describe('Name server, host or host:port.'),
          expect: text.optional().describe('Must be among the answers.'),
        }),
      ],
      { error: 'expected a name, or { name: …, type: A, server: …, expect: … }' },
    )
    .optional()
    .describe('A name that its server knows; limits are on its time.'),
  http: z
    .union(
      [
        text,
        z.strictObject({
          url: text,
          status: z.int().min(100).max(599).optional(),
          contains: text.optional(),
        }),
      ],
      { error: 'expected a URL, or { url: …, status: 200, contains: … }' },
    )
    .optional(),
  'file-age': text.optional().describe('Seconds since this file was changed.'),
  log: z
    .strictObject({
      file: text,
      match: text.describe('Pattern in the language of RE2: "(?i)error|fatal".'),
      except: text.optional().describe('Lines that match this as well do not count.'),
    })
    .optional()
    .describe('Lines added since the last look that match; without limits any is CRIT.'),
  mqtt: z
    .strictObject({ url: text, topic: text, user: text.optional(), secret: secret.optional() })
    .optional()
    .describe('Time since the last message on a topic: crit: above 60 s.'),
  sql: z
    .strictObject({
      sqlite: text.optional().describe('File of an SQLite database.'),
      postgres: text.optional().describe('postgres://host:5432/database'),
      user: text.optional(),
      secret: secret.optional(),
      tls: z.boolean().optional(),
      query: text.describe('Its first column of its first row is the value. It can change nothing.'),
    })
    .optional(),
  plc: z
    .union([z.enum(['mode', 'scan', 'program', 'service']), z.strictObject({ program: text })], {
      error: 'expected mode, scan, program, service, or { program: hash }',
    })
    .optional()
    .describe('What the controller says of itself: RUN or STOP, scan time, program, service level.'),
  plugin: argv.optional().describe('Any monitoring plugin (exit codes 0–3).'),
  perf: text.optional().describe('With `plugin`: the item of its performance data that `warn` and `crit` look at.'),
  warn: text.optional().describe('above 4.5 mm/s'),
  crit: text.optional().describe('above 7.1 mm/s'),
  'warn-when': condition.optional(),
  'crit-when': condition.optional(),
  deadband: text.optional().describe('Share of the limit by which a value must fall back: 5%.'),
  raise: dwell.optional(),
  clear: dwell.optional(),
  every: duration.optional(),
  timeout: duration.optional(),
  'only-in': onlyIn.optional(),
  grace: duration
    .optional()
    .describe('This long after watching begins, or after `only-in` holds again, nothing is worse than ok.'),
  needs: names.optional().describe('Things without which it can say nothing, besides those that its thing needs.'),
});

export const modelSchema = z.strictObject({
  about,
  file: text.optional().describe('Folder of the model below the model root: bearing/3.'),
  learn: z
    .union(
      [
        text,
        z.strictObject({
          every: duration.optional().describe('Values are averaged over so long into one row, 1m unless said.'),
          after: duration.optional().describe('Only learns for so long, 1440 rows unless said.'),
          sensitivity: z
            .enum(['high', 'medium', 'low'], { error: 'expected high, medium or low' })
            .optional()
            .describe('How much must be new before it is told, medium unless said.'),
          hold: duration.optional().describe('What is new is not learnt until it has lasted so long, 0 unless said.'),
        }),
      ],
      { error: 'expected the time of one row, 1m, or { every: 1m, after: 4h, hold: 10m }' },
    )
    .optional()
    .describe('In place of `file`: learns on the box what is usual, and tells what was never there before.'),
  sha256: text.regex(/^[0-9a-f]{64}$/, { error: 'expected 64 hex digits' }).optional(),
  inputs: z
    .record(text, text)
    .describe("The model's input names and the signals that feed them; with `learn` checks with a value, too."),
  raise: dwell.optional(),
  clear: dwell.optional(),
  'only-in': onlyIn.optional().describe('Rows in other states of the plant are neither judged nor learnt from.'),
  shadow: text
    .optional()
    .describe('Folder of another model that is scored beside it and raises nothing, to be compared: bearing/4.'),
  'false-alarms': text
    .optional()
    .describe('Highest share of windows above the threshold that nobody confirms: 5% unless said.'),
  retrain: duration.optional().describe('Train another one on the box every so long; it begins as a shadow: 7d.'),
});

export const dutySchema = z.strictObject({
  about,
  process: argv.optional(),
  env: z.record(z.string(), scalar).optional().describe('Environment of the process.'),
  upload: text.optional().describe('Tail this file, line by line, into the outbox.'),
  exclusive: z
    .boolean({ error: 'expected true or false' })
    .describe(
      'true: never on two agents at once, perhaps on none for a while. false: always on one, perhaps on two for a moment.',
    ),
  critical: z.boolean().optional().describe('Moves at once even when a large part of its cell has vanished.'),
  cell: text.optional(),
  where: condition.optional().describe('Agents that may carry it, by label.'),
  checkpoint: later('A checkpoint kept by the process itself'),
});

const stepSchema = z.strictObject({
  name: text.optional(),
  'process.restart': text.optional().describe('Name of the duty whose process is restarted.'),
  'command.run': argv.optional(),
  wait: duration.optional(),
  notify: z.strictObject({ people: oneOrMany, text }).optional(),
  timeout: duration.optional(),
  retry: z
    .strictObject({ times: z.int().min(0).max(20), backoff: duration.optional() })
    .optional()
    .describe('How many times more a step that failed or timed out is tried, the pause doubling each time.'),
  doubt: z
    .enum(['idempotent', 'probeable', 'fire-once'])
    .optional()
    .describe('What may be done when nobody knows whether the step happened; fire-once unless said.'),
  'lands-within': duration.optional().describe('How long after its time-out the step may still take effect.'),
  to: later('A step on another thing (to)'),
  'service.restart': later('The step "service.restart"'),
  'host.reboot': later('The step "host.reboot"'),
  'plc.write': z
    .record(text, scalar)
    .optional()
    .describe('One of `writes` and its value: { oil-target: 45 }. Needs a permit, or a device with `clients: 1`.'),
  'plc.backup': later('The step "plc.backup"'),
  'file.prune': later('The step "file.prune"'),
  'http.request': z
    .strictObject({
      url: text,
      method: z.enum(['POST', 'PUT', 'PATCH', 'DELETE']).optional().describe('POST unless said.'),
      body: z.string().optional().describe('As it is; JSON unless a header content-type says otherwise.'),
      headers: z.record(text, text).optional().describe('Secrets as env:NAME or file:/path.'),
    })
    .optional()
    .describe('One request that changes something on a device. Needs a permit or an exclusive duty.'),
  'ansible.run': later('The step "ansible.run"'),
  'wait-until': later('The step "wait-until"'),
  'for-each': later('The step "for-each"'),
  step: later('A step for each thing (step)'),
});

export const workflowSchema = z.strictObject({
  about,
  when: condition.optional(),
  at: text.optional().describe('daily 02:00 · mon-fri 06:00 · every 5m'),
  'only-if': condition.optional(),
  'only-in': onlyIn.optional(),
  budget: text.describe('3 per 1d: counted per thing.'),
  cooldown: duration.optional(),
  'guard-wait': duration.optional(),
  steps: z.array(stepSchema, { error: 'expected a list of steps' }).min(1).max(64),
  verify: condition.describe('True for the whole soak, else the run has failed.'),
  'verify-within': duration.optional(),
  soak: duration.optional(),
  quiet: duration.optional().describe('OK for this long after a run: the next one is no relapse.'),
  'if-failed': z
    .array(
      z.union([z.strictObject({ workflow: text }), z.strictObject({ alarm: text })], {
        error: 'expected { workflow: name } or { alarm: name }',
      }),
    )
    .max(16)
    .optional(),
  exclusive: z.boolean().optional().describe('With `at`: never started by two agents at once.'),
  cell: text.optional().describe('With `at`: the cell whose agents start it.'),
  permit: text.optional().describe('A permit of the cell that a run holds from its first step to its last.'),
  approve: later('Approval by a person'),
  touches: later('A workflow that touches other things'),
});

export const alarmSchema = z.strictObject({
  about,
  when: condition.optional(),
  priority: z.enum(['low', 'medium', 'high', 'urgent'], { error: 'expected low, medium, high or urgent' }),
  cause: text,
  consequence: text,
  response: text,
  'respond-within': duration,
  'blind-after': duration.optional(),
  local: argv.optional().describe('Stack light or horn: run with "raised" or "cleared" as last word.'),
  call: later('Calling people (call)'),
  fold: z
    .literal('never', { error: 'expected "never", or nothing' })
    .optional()
    .describe('Shown for itself also when something that it needs is down.'),
  link: later('A link on an alarm'),
});

const body = {
  signals: z.record(z.string(), signalSchema).optional(),
  checks: z.record(z.string(), checkSchema).optional(),
  models: z.record(z.string(), modelSchema).optional(),
  duties: z.record(z.string(), dutySchema).optional(),
  workflows: z.record(z.string(), workflowSchema).optional(),
  alarms: z.record(z.string(), alarmSchema).optional(),
  writes: z.record(z.string(), writeSchema).optional().describe('What workflows may write on this machine.'),
};

const typeSchema = z.strictObject({
  about,
  params: z
    .record(z.string(), scalar)
    .optional()
    .describe('A value is a default; text, number or thing means required.'),
  ...body,
});

const cellSchema = z.strictObject({
  about,
  path: text.optional().describe('ISA-95: enterprise/site/area/line.'),
  pace: z
    .enum(['fast', 'lan', 'wifi', 'quiet'], { error: 'expected fast, lan, wifi or quiet' })
    .optional()
    .describe(
      'How fast members are probed: fast 100 ms (wired, at most 10 agents), lan 200 ms, wifi 500 ms, quiet 1 s.',
    ),
  voters: names.optional().describe('1, 3 or 5 agents; their majority decides who carries what is exclusive.'),
  lease: duration
    .optional()
    .describe('How long a grant holds without renewal: a lost box is taken over after it. 2s; 800ms at pace fast.'),
  permits: z
    .record(text, z.int().min(1).max(64), { error: 'expected names and how many at once: { rebooting: 1 }' })
    .optional()
    .describe('How many runs may hold each permit at once, in the whole cell.'),
});

const thing = {
  about,
  cell: text.optional(),
  is: oneOrMany.optional(),
  with: z.record(z.string(), scalar).optional(),
  needs: names.optional(),
  but: z.record(z.string(), z.unknown()).optional().describe('path: value replaces, none removes; `why` is required.'),
};

const agentSchema = z.strictObject({
  ...thing,
  key: publicKey.optional().describe("The agent's public key, when it was made on the box."),
  labels: z.record(z.string(), scalar).optional(),
  role: z
    .enum(['agent', 'witness'], { error: 'expected witness, or nothing' })
    .optional()
    .describe('A witness votes and never carries a duty.'),
  capacity: z.int().min(0).max(100_000).optional().describe('How many duties it carries at most.'),
  ...body,
});

const clients = z
  .literal(1, { error: 'expected 1, or nothing: any number of agents may be connected then' })
  .optional()
  .describe('The device bears one client only, so its polling is exclusive.');
const pause = duration.optional().describe('Breath between two requests to this device; 2ms unless said.');
const connectSchema = z.strictObject({
  opcua: z
    .strictObject({
      endpoint: text,
      security: z.enum(['none', 'sign', 'sign-and-encrypt']).optional(),
      policy: z.enum(['basic256sha256', 'aes128-sha256-rsaoaep', 'aes256-sha256-rsapss']).optional(),
      user: text.optional(),
      secret: secret.optional(),
      clients,
    })
    .optional(),
  modbus: z
    .strictObject({
      host: text.optional(),
      port: z.union([z.int(), text]).optional(),
      serial: z
        .strictObject({
          path: text.describe('/dev/ttyUSB0, or better /dev/serial/by-id/…'),
          baud: z.int().min(300).max(4_000_000).optional().describe('19200 unless said.'),
          parity: z.enum(['none', 'even', 'odd']).optional().describe('even unless said, as the standard has it.'),
          'stop-bits': z.union([z.literal(1), z.literal(2)]).optional(),
        })
        .optional()
        .describe('Modbus RTU, in place of host and port.'),
      pause,
      unit: z.union([z.int(), text]).optional(),
      order: z.enum(['abcd', 'cdab', 'badc', 'dcba']).optional(),
      clients,
    })
    .optional(),
  s7: z
    .strictObject({
      host: text,
      port: z.union([z.int(), text]).optional(),
      rack: z.union([z.int(), text]).optional().describe('0 unless said.'),
      slot: z.union([z.int(), text]).optional().describe('S7-300: 2, S7-1200 and S7-1500: 1. 2 unless said.'),
      pause,
      clients,
    })
    .optional(),
  mqtt: z
    .strictObject({
      url: text.describe('mqtt://host:1883 or mqtts://host:8883'),
      user: text.optional(),
      secret: secret.optional(),
      ca: text.optional().describe('File of the certificate authority, for mqtts.'),
    })
    .optional()
    .describe('Topics of a broker, Sparkplug B included.'),
  http: later('A connection over HTTP'),
  ssh: later('A connection over SSH'),
});

const assetSchema = z.strictObject({
  ...thing,
  connect: connectSchema.optional(),
  source: text.optional().describe('The connected asset that its signals are read from.'),
  via: names.optional().describe('Agents that may poll it; all of its cell unless said.'),
  labels: later('A label on an asset'),
  ...body,
});

export const siteSchema = z.strictObject({
  millwright: z.literal(1, { error: 'expected "millwright: 1", the version of the language' }),
  site: text.describe('Name of the site.'),
  about,
  version: z.int().min(0).optional().describe('Rises with every change that is rolled out.'),
  path: text.optional(),
  params: z
    .record(z.string(), scalar)
    .optional()
    .describe('Values for $name anywhere in the file; `--set` replaces them.'),
  people: z
    .record(
      z.string(),
      z.strictObject({
        about,
        may: z.array(z.enum(['acknowledge', 'shelve', 'order', 'approve'])).optional(),
        sms: later('Calling by SMS'),
        phone: later('Calling by phone'),
        email: later('Calling by e-mail'),
        webhook: later('Calling by webhook'),
        key: publicKey.optional().describe('Public key that this person signs orders with.'),
      }),
    )
    .optional(),
  shifts: z
    .looseObject({ zone: text.optional() })
    .optional()
    .describe('For now only `zone`: the time zone of all times in this file.'),
  types: z.record(z.string(), typeSchema).optional(),
  cells: z.record(z.string(), cellSchema).optional(),
  agents: z.record(z.string(), agentSchema),
  assets: z.record(z.string(), assetSchema).optional(),
  ...body,
  include: later('Including other files (include)'),
  chains: later('Calling chains (chains)'),
  maintenance: z
    .record(
      z.string(),
      z.strictObject({
        things: names,
        at: text.describe('sun 06:00-10:00'),
        why: text,
      }),
    )
    .optional()
    .describe('Planned work: alarms of these things are held back, visibly, and nobody acts on them.'),
  rollout: later('A rollout in steps'),
  coordinators: later('A list of coordinators'),
});

export type SiteShape = z.infer<typeof siteSchema>;
export type SignalShape = z.infer<typeof signalSchema>;
export type WriteShape = z.infer<typeof writeSchema>;
export type CheckShape = z.infer<typeof checkSchema>;
export type ModelShape = z.infer<typeof modelSchema>;
export type DutyShape = z.infer<typeof dutySchema>;
export type WorkflowShape = z.infer<typeof workflowSchema>;
export type AlarmShape = z.infer<typeof alarmSchema>;
export type ConnectShape = z.infer<typeof connectSchema>;
export type OnlyInShape = z.infer<typeof onlyIn>;

export const bodySchemas = {
  signals: signalSchema,
  writes: writeSchema,
  checks: checkSchema,
  models: modelSchema,
  duties: dutySchema,
  workflows: workflowSchema,
  alarms: alarmSchema,
} as const;

export const conditionKeys: ReadonlySet<string> = new Set([
  'formula',
  'when',
  'only-if',
  'crit-when',
  'warn-when',
  'verify',
  'where',
]);

/** JSON Schema (draft 2020-12) of the site file, for editors: `# yaml-language-server: $schema=…`. */
export function siteJsonSchema(): object {
  return { title: 'Millwright site file', ...z.toJSONSchema(siteSchema, { io: 'input', unrepresentable: 'any' }) };
}
