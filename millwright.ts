import { readFileSync } from 'node:fs';
import { Command } from 'commander';

/**
 * The command line: one subcommand per folder of the house, nothing else. Every part is imported only when its command
 * runs, so that `--version` answers at once and an agent without PLC or model pays for neither.
 */
const { version } = JSON.parse(readFileSync(new URL('./package.json', import.meta.url), 'utf8')) as { version: string };
const millwright = new Command('millwright')
  .description('Keeps a factory’s edge boxes and machines running by themselves.')
  .version(version, '-V, --version')
  .showHelpAfterError('(--help shows what there is)')
  // So that `agent drain --data …` is asked of the drain, and not of the agent that has the same word.
  .enablePositionalOptions()
  .configureHelp({ sortSubcommands: false });

const collect = (value: string, others: readonly string[] = []): readonly string[] => [...others, value];

const agent = millwright
  .command('agent')
  .description('run the agent of this box')
  .enablePositionalOptions()
  .option('-c, --config <file>', 'agent.yaml; or, without one, everything that it would say:')
  .option('--site <bundle>', 'signed site bundle')
  .option('--key <file>', 'private key of this agent')
  .option('--name <name>', 'its name in the site')
  .option('--listen <ip[:port]>', 'where it listens')
  .option('--peers <list>', 'ip[:port] of others, by comma')
  .option('--broker <url>', 'mqtt://host:1883, or none', 'none')
  .option('--data <folder>', 'its store')
  .option('--preset <name>', 'how fast members are probed: lan, fast, wifi or quiet; the site file says it otherwise')
  .option('--psk <file>', 'mesh key; mesh.psk beside the bundle or the key unless said')
  .option('--site-key <file>', 'public key that signs bundles; site.pub beside the bundle unless said')
  .option('--models <folder>', 'folder of models; models beside the bundle unless said')
  .option('--api <host:port>', 'local API, or none', 'none')
  .option('--end-with-stdin', 'end when standard input closes (for starters that may be killed)')
  .action(async ({ config, endWithStdin, ...flags }: Record<string, string> & { endWithStdin?: boolean }) => {
    const { runAgent } = await import('./agent/main.ts');
    if (config !== undefined) return await runAgent({ config, endWithStdin });
    const { site, key, name, listen, data } = flags;
    const lacking = ['site', 'key', 'name', 'listen', 'data'].filter((flag) => flags[flag] === undefined);
    if (!site || !key || !name || !listen || !data) {
      process.stderr.write(
        `an agent needs --config FILE, or without one ${lacking.map((flag) => `--${flag}`).join(', ')}\n`,
      );
      process.exitCode = 2;
      return;
    }
    await runAgent({ config: { ...flags, site, key, name, listen, data }, endWithStdin });
  });

agent
  .command('drain')
  .description('give the duties of this box away without a gap, and take none: before work on it')
  .option('-c, --config <file>', 'agent.yaml; or')
  .option('--data <folder>', 'data folder of an agent that started without one; or')
  .option('--api <host:port>', 'its local API, with')
  .option('--token <file>', 'the file of its token')
  .option('--for <time>', 'end by itself after this long, as 10m or 8h; else at --undo or the next start')
  .option('--undo', 'take duties again')
  .option('--wait <time>', 'how long to watch until all is given away; 0s only orders (default: 60s)')
  .option('--key <file>', 'sign the order with this private key of a person, with')
  .option('--by <name>', 'the name of that person in the site file')
  .option('--json', 'machine-readable')
  .action(async (options) => {
    const { drainCommand } = await import('./agent/ask.ts');
    process.exitCode = await drainCommand(options);
  });

millwright
  .command('order')
  .description(
    'sign an order to an agent, and bring it there: drain, undrain, workflow THING/NAME, stop RUN, maintain THING, end-maintenance THING',
  )
  .argument('<verb>', 'drain, undrain, workflow, stop, maintain or end-maintenance')
  .argument('[name]', 'the workflow, the run, or the thing')
  .requiredOption('-k, --key <file>', 'private key of the person who orders')
  .requiredOption('--by <name>', 'that person, as in the site file')
  .option('-c, --config <file>', 'agent.yaml of the agent of this box; or')
  .option('--data <folder>', 'data folder of an agent that started without one; or')
  .option('--api <host:port>', 'its local API, with')
  .option('--token <file>', 'the file of its token; or')
  .option('--coordinator <url>', 'a coordinator that carries it over the broker, with --token, --site and --agent; or')
  .option('-o, --out <file>', 'only write it, with --site and --agent')
  .option('--site <name>', 'the site, where no agent is asked itself')
  .option('--agent <name>', 'whom it is for')
  .option('--for <time>', 'of a drain or a maintenance: end by itself after this long')
  .option('--why <text>', 'of a maintenance: what is done, for those who see it')
  .option('--valid <time>', 'how long it may be on its way (default: 5m, at most 15m)')
  .option('--json', 'machine-readable')
  .action(async (verb: string, name: string | undefined, options) => {
    const { orderCommand } = await import('./agent/order-command.ts');
    process.exitCode = await orderCommand(verb, name, options);
  });

millwright
  .command('status')
  .description('ask the agent of this box how things are: its verdict with the evidence, who lives, what runs here')
  .option('-c, --config <file>', 'agent.yaml; or')
  .option('--data <folder>', 'data folder of an agent that started without one; or')
  .option('--api <host:port>', 'its local API, with')
  .option('--token <file>', 'the file of its token')
  .option('--json', 'machine-readable')
  .action(async (options) => {
    const { statusCommand } = await import('./agent/ask.ts');
    process.exitCode = await statusCommand(options);
  });

millwright
  .command('explain')
  .description('ask the agent of this box why')
  .command('duty')
  .description('why a duty is where it is: every agent with its rank, its score and the reason')
  .argument('<name>', 'thing/name as in the site file')
  .option('-c, --config <file>', 'agent.yaml; or')
  .option('--data <folder>', 'data folder of an agent that started without one; or')
  .option('--api <host:port>', 'its local API, with')
  .option('--token <file>', 'the file of its token')
  .option('--json', 'machine-readable')
  .action(async (name: string, options) => {
    const { explainDutyCommand } = await import('./agent/ask.ts');
    process.exitCode = await explainDutyCommand(name, options);
  });

millwright
  .command('supervise')
  .description('run an agent under a box supervisor, which ends exclusive duties on time and certifies a death')
  .argument('<agent...>', 'after --: `agent …` of this millwright, or any argument vector')
  .option('--name <name>', 'of this supervisor, unique on the box', 'agent')
  .option('--state <folder>', 'full path, on a memory file system; default: below /run')
  .option('--watchdog-device <file>', 'hardware watchdog that resets the box should the supervisor hang')
  .option('--kill-ms <n>', 'how long before the end of its right a duty is killed (default: 100)')
  .option('--beat-timeout-ms <n>', 'an agent that falls silent for so long is started anew (default: 30000)')
  .option(
    '--restart-max-ms <n>',
    'an agent that ends again and again waits 200 ms, 400 ms … up to this (default: 30000)',
  )
  .option('--restart-settled-ms <n>', 'after a life of this length the waiting begins anew (default: 10000)')
  .addHelpText('after', '\nExample: millwright supervise -- agent -c agent.yaml')
  .action(async (agent: string[], options) => {
    const { superviseCommand } = await import('./agent/supervisor/launch.ts');
    process.exitCode = superviseCommand(agent, options);
  });

millwright
  .command('doctor')
  .description('say what is wrong with this box, and how to mend it')
  .requiredOption('-c, --config <file>', 'agent.yaml')
  .option('--json', 'machine-readable')
  .action(async (options: { config: string; json?: boolean }) => {
    const { doctorCommand } = await import('./agent/doctor.ts');
    process.exitCode = await doctorCommand(options);
  });

millwright
  .command('coordinator')
  .description('run the coordinator: ingest, broker, API and console')
  .requiredOption('-c, --config <file>', 'coordinator.yaml')
  .option('--end-with-stdin', 'end when standard input closes')
  .action(async (options: { config: string; endWithStdin?: boolean }) => {
    const { runCoordinator } = await import('./coordinator/main.ts');
    await runCoordinator(options);
  });

const site = millwright.command('site').description('the site file: check it, explain it, make its keys');
site
  .command('check <file>')
  .description('report all mistakes at once')
  .option('--json', 'machine-readable')
  .action(async (file: string, options: { json?: boolean }) => {
    const { checkCommand } = await import('./agent/config/commands.ts');
    process.exitCode = checkCommand(file, options);
  });
site
  .command('explain <file> [thing]')
  .description('say in words what will happen, types expanded')
  .action(async (file: string, thing: string | undefined) => {
    const { explainCommand } = await import('./agent/config/commands.ts');
    process.exitCode = explainCommand(file, thing);
  });
site
  .command('schema')
  .description('print the JSON Schema of the site file, for editors')
  .action(async () => {
    const { schemaCommand } = await import('./agent/config/commands.ts');
    process.exitCode = schemaCommand();
  });
site
  .command('init [file]')
  .description('make all keys, credentials and the signed bundle of a site')
  .requiredOption('-o, --out <folder>', 'where to put them')
  .option('--agents <n>', 'without a site file: a site of box-1 … box-N, to try things', Number)
  .option('--pace <name>', 'with --agents: fast, lan, wifi or quiet', 'lan')
  .option('--force', 'replace what is there')
  .option('--layout <file>', 'JSON: addresses of agents and coordinator')
  .option('--json', 'machine-readable')
  .action(async (file: string | undefined, options) => {
    const { initCommand } = await import('./agent/config/commands.ts');
    process.exitCode = await initCommand(file, options);
  });
site
  .command('sign <file>')
  .description('sign the next bundle: what agents accept in place of the one in force')
  .requiredOption('-k, --key <file>', 'site.key; with --new-era recovery.key')
  .requiredOption('-p, --parent <bundle>', 'the bundle in force')
  .requiredOption('-o, --out <bundle>', 'where to put the new one')
  .option('--revoke <name>', 'take the key of this agent off the list, at once and for good; may be repeated', collect)
  .option(
    '--next-epoch <cell>',
    'go on to the next epoch of this cell though nothing changed; may be repeated',
    collect,
  )
  .option('--new-key <file>', 'public key that signs the bundles after this one')
  .option('--new-era', 'begin anew under the recovery key: the signing key was stolen')
  .option('--parent-key <file>', 'public key that signed the parent, after a change of keys; may be repeated', collect)
  .option('--keys <folder>', 'NAME/agent.pub of new agents; agents beside the key unless said')
  .option('--models <folder>', 'folder of models; models beside the site file unless said')
  .option('--json', 'machine-readable')
  .action(async (file: string, { parentKey, ...options }) => {
    const { signCommand } = await import('./agent/config/commands.ts');
    process.exitCode = await signCommand(file, { ...options, parentKeys: parentKey });
  });
site
  .command('force-epoch')
  .description(
    'when a majority of a cell’s voters is gone for good: sign, offline, that the next epoch begins without them',
  )
  .requiredOption('--cell <name>', 'the cell whose voters are gone')
  .requiredOption('-p, --parent <bundle>', 'the bundle whose epoch is stuck')
  .requiredOption('-b, --bundle <bundle>', 'the next one, with voters that live; agents get it first')
  .requiredOption('--powered-off <list>', 'voters, by comma: you have seen that they are off, or their disks blank')
  .requiredOption('-k, --key <file>', 'recovery.key')
  .requiredOption('--by <name>', 'who says so')
  .requiredOption('-o, --out <file>', 'where to put the statement; site push gives it to an agent')
  .option('--json', 'machine-readable')
  .action(async (options) => {
    const { forceEpochCommand } = await import('./agent/config/commands.ts');
    process.exitCode = await forceEpochCommand(options);
  });
site
  .command('push <file>')
  .description(
    'give a signed bundle, or a forced epoch, to one running agent, which spreads it, and watch until it is done',
  )
  .option('--agent <host:port>', 'local API of any agent of the site, with')
  .option('--token <file>', 'the file of its token; or')
  .option('-c, --config <file>', 'agent.yaml of the agent of this box; or')
  .option('--data <folder>', 'data folder of an agent that started without one')
  .option('--wait <time>', 'how long to watch; 0s only pushes (default: 60s)')
  .option('--json', 'machine-readable')
  .action(async (file: string, options) => {
    const { pushCommand } = await import('./agent/ask.ts');
    process.exitCode = await pushCommand(file, options);
  });
site
  .command('show <bundle>')
  .description('say what stands in a signed bundle')
  .option('--site-key <file>', 'verify it against this public key, site.pub')
  .option('--site-file', 'print the site file that it carries')
  .option('--json', 'machine-readable')
  .action(async (file: string, options: { siteKey?: string; siteFile?: boolean; json?: boolean }) => {
    const { showCommand } = await import('./agent/config/commands.ts');
    process.exitCode = await showCommand(file, options);
  });
site
  .command('diff <old> <new>')
  .description('say what will be otherwise, between two site files or bundles')
  .option('--json', 'machine-readable')
  .action(async (before: string, after: string, options: { json?: boolean }) => {
    const { diffCommand } = await import('./agent/config/commands.ts');
    process.exitCode = await diffCommand(before, after, options);
  });
site
  .command('enrol <folder> <agent>')
  .description('add one box of the site file to a site that runs: key, credentials, one more line on the signed list')
  .option('--layout <file>', 'JSON: addresses of agents and coordinator')
  .action(async (folder: string, agent: string, options: { layout?: string }) => {
    const { enrolCommand } = await import('./agent/config/commands.ts');
    process.exitCode = await enrolCommand(folder, agent, options);
  });

const plc = millwright
  .command('plc')
  .description('look at a machine’s controller: what it has, what it says. Nothing is ever written')
  .addHelpText(
    'after',
    `
A device is a thing of a site file (--site FILE --thing NAME), or its address:
  opc.tcp://host:4840                      values as ns=2;s=Press7.Speed
  s7://host:102?rack=0&slot=2              DB10,REAL4 · M0.1 · IW4
  modbus://host:502/1?order=abcd           holding:40011 · input:30001@float32 · holding:40001..40010
  modbus-rtu:///dev/ttyUSB0?unit=1&baud=19200&parity=even
  mqtt://host:1883                         line/press/oil · line/press#/oil · spBv1.0/group/node:Metric
Exit codes: 0 all is good, 1 it answered and something is not good, 2 it was not reached or not understood.`,
  );
const looks = (command: Command): Command =>
  command
    .option('--site <file>', 'site file, with')
    .option('--thing <name>', 'a machine of it')
    .option('--user <name>', 'who logs in')
    .option('--secret <where>', 'the password: env:NAME or file:/path')
    .option('--security <mode>', 'of OPC UA: none, sign or sign-and-encrypt')
    .option('--pki <folder>', 'keys and trusted certificates: the data folder of an agent has them in pki')
    .option('--json', 'machine-readable');
/** Ends what goes on until somebody ends it. */
const untilInterrupted = (): AbortSignal => {
  const end = new AbortController();
  process.once('SIGINT', () => end.abort());
  return end.signal;
};
const look = async (verb: 'browse' | 'read' | 'watch', args: readonly string[], options: object): Promise<void> => {
  const { plcCommand } = await import('./agent/plc/command.ts');
  process.exitCode = await plcCommand(verb, args, options, {
    out: (line) => process.stdout.write(`${line}\n`),
    err: (line) => process.stderr.write(`${line}\n`),
    signal: untilInterrupted(),
  });
};
looks(plc.command('browse [device]'))
  .description('what the device has, with the addresses to write into a site file')
  .option('--from <where>', 'begin at this node id, or listen to these topics')
  .option('--depth <n>', 'levels (default: 4)')
  .option('--most <n>', 'rows (default: 500)')
  .option('--filter <text>', 'only what has this in its name or address')
  .option('--for <time>', 'of topics: listen so long (default: 5s)')
  .action(async (device: string | undefined, options) => look('browse', device === undefined ? [] : [device], options));
looks(plc.command('read [device-or-signal] [address...]'))
  .description('read values once, with their quality')
  .option('--for <time>', 'wait so long for answers (default: 5s)')
  .option('--facts', 'also mode, scan time, program and service level of the controller, where the protocol tells them')
  .action(async (first: string | undefined, others: string[], options) =>
    look('read', first === undefined ? others : [first, ...others], options),
  );
looks(plc.command('watch [device-or-signal] [address...]'))
  .description('print values when they change, until Ctrl-C')
  .option('--every <time>', 'how often it is asked (default: 1s)')
  .option('--for <time>', 'end by itself after this long')
  .action(async (first: string | undefined, others: string[], options) =>
    look('watch', first === undefined ? others : [first, ...others], options),
  );

const model = millwright.command('model').description('anomaly models: train, score, inspect, evaluate');
model
  .command('train')
  .description('fit on healthy rows; writes ONNX, manifest and golden vectors')
  .option('--data <csv>', 'recording: header, timestamp first, `;` or `,`; or')
  .option('--from-recorder <folder>', 'data folder of an agent: what it recorded while all was well, with')
  .option('--thing <name>', 'whose signals')
  .requiredOption('--out <folder>', 'where the model goes')
  .option('--name <name>', 'name of the model')
  .option('--kind <kind>', 'how it tells strange from healthy; see `model kinds`')
  .option('--set <name=value>', 'a knob of the kind; may be given several times', collect)
  .option('--columns <list>', 'columns to use, by comma')
  .option('--rows <n>', 'use the first n rows only', Number)
  .option('--window <n>', 'rows per window', Number)
  .option('--every <ms>', 'milliseconds between rows; default: as the time stamps say', Number)
  .option('--rate <share>', 'wanted false-alarm rate per window, e.g. 0.001', Number)
  .option('--drift-allowance <factor>', 'factor on the limit, for drift that training has not seen', Number)
  .option('--raise <dwell>', 'how long it must stand: 3, 3 of 5 or 30s; default: as the kind recommends')
  .option('--clear <dwell>', 'and be gone')
  .option('--json', 'machine-readable')
  .action(async ({ every, ...options }) => {
    const { trainCommand } = await import('./models/commands.ts');
    process.exitCode = await trainCommand({ ...options, everyMs: every });
  });
model
  .command('kinds')
  .description('the kinds of model that can be trained, with their knobs and defaults')
  .option('--json', 'machine-readable')
  .action(async (options: { json?: boolean }) => {
    const { kindsCommand } = await import('./models/commands.ts');
    process.exitCode = kindsCommand(options);
  });
model
  .command('score')
  .description('score a recording: timestamp,score,is_anomaly')
  .requiredOption('--model <folder>', 'model folder')
  .requiredOption('--data <csv>', 'recording')
  .option('--out <csv>', 'write there instead of standard output')
  .action(async (options) => {
    const { scoreCommand } = await import('./models/commands.ts');
    process.exitCode = await scoreCommand(options);
  });
model
  .command('rehearse')
  .description('what a model that learns on the box would have told of a recording')
  .requiredOption('--data <csv>', 'recording: header, timestamp first')
  .option('--columns <list>', 'columns to watch, by comma; all unless said')
  .option('--every <ms>', 'values are averaged over so many milliseconds; 60000 unless said', Number)
  .option('--after <rows>', 'only learns from so many rows; 1440 unless said', Number)
  .option('--hold <rows>', 'news must last so many rows before it is usual; 0 unless said', Number)
  .option('--sensitivity <word>', 'high, medium or low; medium unless said')
  .option('--json', 'machine-readable')
  .action(async ({ every, ...options }) => {
    const { rehearseCommand } = await import('./models/streaming/rehearsal.ts');
    process.exitCode = await rehearseCommand({ ...options, everyMs: every });
  });
model
  .command('evaluate <folder>')
  .description('judge the series of a public benchmark, or others in its format; one CSV of predictions per series')
  .requiredOption('--dataset <name>', 'skab, nab or tep')
  .requiredOption('--out <folder>', 'where the predictions go: timestamp,score,is_anomaly at the path of the series')
  .option('--json', 'machine-readable')
  .action(async (data: string, options: { dataset: string; out: string; json?: boolean }) => {
    const { evaluateCommand } = await import('./models/evaluation/commands.ts');
    process.exitCode = await evaluateCommand({ data, ...options });
  });
model
  .command('inspect <folder>')
  .description('what a model is, what it was fitted on, how its threshold was set')
  .option('--json', 'machine-readable')
  .action(async (folder: string, options: { json?: boolean }) => {
    const { inspectCommand } = await import('./models/inspect.ts');
    process.exitCode = await inspectCommand({ model: folder, ...options });
  });

model
  .command('wrap <onnx>')
  .description('make a model of a graph that scikit-learn, PyTorch or others exported: manifest and golden vectors')
  .requiredOption('--out <folder>', 'where the model goes')
  .option('--inputs <list>', 'what the channels are, in their order, with units: vibration=mm/s,pressure=bar')
  .option('--rows <n>', 'rows per window (default: as the graph says, or 1)', Number)
  .option('--every <ms>', 'milliseconds between rows (default: 1000)', Number)
  .option('--input <tensor>', 'the graph’s input, where it has several')
  .option('--layout <name>', 'rows-inputs [N,W,C], inputs-rows [N,C,W] or flat [N,W*C]')
  .option('--score <tensor>', 'the output that is a score; tensor:2 takes its third column')
  .option('--above <number>', 'anomalous above this score, or above what --rate gives: rate')
  .option('--below <number>', 'the same for scores that are low where it is strange')
  .option('--class <tensor>', 'the output that is a class: labels, or one number per class')
  .option('--labels <list>', 'names of classes: 0=healthy,1=worn')
  .option('--forecast <tensor>', 'the output that is a forecast; tensor:2 takes its third column')
  .option('--unit <name>', 'unit of the forecast, for example h')
  .option('--believe <range>', 'forecasts outside are not believed: 0..2000')
  .option('--data <csv>', 'recording of healthy rows: golden windows, healthy ranges, false-alarm rate')
  .option('--rate <share>', 'set the threshold from the recording, at this share of its windows', Number)
  .option('--raise <dwell>', 'how long it must stand: 3, 3 of 5 or 30s', '3')
  .option('--clear <dwell>', 'and be gone', '10')
  .option('--name <name>', 'name of the model (default: of the folder)')
  .option('--json', 'machine-readable')
  .action(async (onnx: string, { every, ...options }) => {
    const { wrapCommand } = await import('./models/foreign/command.ts');
    process.exitCode = await wrapCommand({ onnx, ...options, everyMs: every });
  });

for (const [act, does] of [
  ['promote', 'let the shadow of a model score in its place, until a signed bundle says otherwise'],
  ['drop', 'take the shadow of a model away'],
  ['confirm', 'say that what a model raised was right: it counts as no false alarm'],
  ['revert', 'let the model before score again'],
  ['retrain', 'train another one on the box, from what it recorded while all was well; it begins as a shadow'],
] as const) {
  model
    .command(`${act} <thing/name>`)
    .description(does)
    .option('-c, --config <file>', 'agent.yaml of the box that scores it; or')
    .option('--data <folder>', 'data folder of an agent that started without one; or')
    .option('--api <host:port>', 'its local API, with')
    .option('--token <file>', 'the file of its token')
    .option('--json', 'machine-readable')
    .action(async (name: string, options) => {
      const { modelActCommand } = await import('./agent/model-command.ts');
      process.exitCode = await modelActCommand(act, name, options);
    });
}

millwright
  .command('simulate')
  .description('run the same core in virtual time against faults, from a seed')
  .option('--scenario <name>', 'which story; --list names them (default: crash)')
  .option('--agents <n>', 'how many agents (default: as the scenario likes, mostly 50)')
  .option('--seed <n>', 'reproduces everything (default: 1)')
  .option('--seeds <a..b>', 'many seeds, over all processors; figures are pooled')
  .option('--loss <share>', 'messages lost, as 0.25, 25% or 25 (default: as the seed draws)')
  .option('--transport <name>', 'what carries messages: messages, tcp, tcp-thin (default: messages, each by itself)')
  .option('--no-datagrams', 'over TCP: nothing goes beside a silent stream')
  .option('--duration <seconds>', 'virtual seconds (default: as the scenario likes)')
  .option('--jobs <n>', 'processes at once (default: one per processor)')
  .option('--check-determinism', 'run twice and compare the traces')
  .option('--shrink', 'where an invariant broke: find the fewest faults that still break it')
  .option('--save <file>', 'write the run, or what shrinking left of it, to be played again')
  .option('--replay <file>', 'play such a file')
  .option('--log <file>', 'what happened, one JSON object per line')
  .option('--report <file>', 'the run as one page (HTML) to look at')
  .option('--site <file>', 'a site file of yours, with faults at the rate of a usual plant')
  .option('--days <n>', 'of that site (default: 30)')
  .option('--in-full', 'of that site, also the quiet hours, message by message')
  .option('--list', 'name all scenarios')
  .option('--json', 'machine-readable')
  .action(async (options) => {
    const { simulateCommand } = await import('./simulations/campaign/command.ts');
    if (options.site === undefined) {
      process.exitCode = await simulateCommand(options);
      return;
    }
    // Simulations do not read site files: whoever may compiles it, and hands in the plan.
    const { checkSite } = await import('./agent/config/site-file.ts');
    const { formatProblems } = await import('./agent/config/problem.ts');
    const { site: file, ...others } = options;
    const { site, problems } = checkSite(file);
    if (problems.length > 0) process.stderr.write(`${formatProblems(problems)}\n`);
    if (site === undefined) {
      process.exitCode = 2;
      return;
    }
    const people = [...site.people.values()].filter(({ may }) => may.includes('acknowledge')).map(({ name }) => name);
    process.exitCode = await simulateCommand(others, undefined, { file, plan: site.plan, people });
  });

millwright
  .command('plant')
  .description(
    'a simulated hall on real OPC UA, Modbus and S7 servers, with faults to switch on, to try things against',
  )
  .option('--list-faults', 'name everything that can be broken, and what shows it')
  .option('--seed <text>', 'same seed, same noise')
  .option('--folder <folder>', 'keys, certificates and the truth log; default: a temporary one')
  .option('--opcua-port <n>', 'default: a free one')
  .option('--modbus-port <n>', 'default: a free one')
  .option('--s7-port <n>', 'default: a free one')
  .option('--secure', 'also offer the signed and the encrypted OPC UA endpoint')
  .option('--json', 'machine-readable')
  .action(async (options) => {
    const { runPlant } = await import('./simulations/plant/run-plant.ts');
    await runPlant(options);
  });

// `millwright … | head -1`: whoever reads has enough, which is no error of ours. What looks after machines goes on.
const serves = ['agent', 'coordinator'].includes(process.argv[2] ?? '');
process.stdout.on('error', (error: NodeJS.ErrnoException) => {
  if (error.code !== 'EPIPE') throw error;
  if (!serves) process.exit();
});

await millwright.parseAsync();
