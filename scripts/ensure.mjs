// Makes a fresh clone ready, and does nothing when it is: dependencies when the lock file changed, the console when its
// sources changed, the packed OPC UA client, and with --tests the system packages that tests talk to. Plain JavaScript: it runs before anything
// is installed, on any Node from 20 on. Everything it says goes to standard error, so that `npm start -- --json` keeps
// standard output to itself.
import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, lstatSync, mkdirSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { dirname, join, relative } from 'node:path';
import { fileURLToPath } from 'node:url';
import { buildSnap7 } from './snap7.mjs';

const root = join(dirname(fileURLToPath(import.meta.url)), '..');
const forTests = process.argv.includes('--tests');
const say = (text) => process.stderr.write(`millwright: ${text}\n`);
const fail = (text) => {
  say(text);
  process.exit(1);
};

/** Debian packages that tests run against, and the program that shows that each is there. */
const systemPackages = {
  mosquitto: ['/usr/sbin/mosquitto', '/usr/bin/mosquitto'],
  chromium: ['/usr/bin/chromium'],
  'monitoring-plugins-basic': ['/usr/lib/nagios/plugins/check_tcp'],
  iproute2: ['/usr/sbin/ip', '/sbin/ip', '/bin/ip'],
  iptables: ['/usr/sbin/iptables', '/sbin/iptables'],
  'python3-onnx': ['/usr/lib/python3/dist-packages/onnx/checker.py'],
  'g++': ['/usr/bin/g++'],
};

if (Number(process.versions.node.split('.')[0]) < 20) {
  fail(`Node ${process.versions.node} is too old to install Millwright: use Node 20 or newer, with its npm.`);
}
dependencies();
buildConsole();
packDriver();
if (forTests) {
  systemPackagesForTests();
  serverForTests();
}

function dependencies() {
  const stamp = join(root, 'node_modules', '.millwright-lock');
  // Of package.json only what npm installs by: a new script or a new word in the description reinstalls nothing.
  const { dependencies, devDependencies, optionalDependencies, overrides, allowScripts } = JSON.parse(
    readFileSync(join(root, 'package.json'), 'utf8'),
  );
  const wanted = createHash('sha256')
    .update(digest([join(root, 'package-lock.json')]))
    .update(JSON.stringify([dependencies, devDependencies, optionalDependencies, overrides, allowScripts]))
    .digest('hex');
  const node24 = join(root, 'node_modules', 'node', 'bin', process.platform === 'win32' ? 'node.exe' : 'node');
  if (existsSync(stamp) && readFileSync(stamp, 'utf8') === wanted && existsSync(node24)) return;
  // npm ci empties the folder first, and through a link that would be the folder of another working copy.
  if (lstatSync(join(root, 'node_modules'), { throwIfNoEntry: false })?.isSymbolicLink()) {
    fail('node_modules is a link, and what it leads to does not match the lock file: install where it leads to.');
  }
  say('installing dependencies (npm ci); the first time takes about a minute …');
  const npm = process.env.npm_execpath;
  // What lies in npm's cache is not asked for again, and nobody reads an audit here.
  const ci = ['ci', '--prefer-offline', '--no-audit', '--no-fund'];
  const [command, args] = npm?.endsWith('.js') ? [process.execPath, [npm, ...ci]] : ['npm', ci];
  const started = Date.now();
  const result = spawnSync(command, args, {
    cwd: root,
    // npm 10 knows no allowScripts: this keeps onnxruntime-node from fetching GPU libraries.
    env: { ...process.env, ONNXRUNTIME_NODE_INSTALL: 'skip' },
    stdio: ['ignore', 2, 2],
  });
  if (result.status !== 0) fail('npm ci failed (its output stands above). Check the network and the npm registry.');
  if (!existsSync(node24)) {
    fail(
      'the package `node` brought no binary: npm was told to ignore install scripts. Run npm with ignore-scripts=false.',
    );
  }
  writeFileSync(stamp, wanted);
  say(`dependencies ready after ${Math.round((Date.now() - started) / 1000)} s`);
}

function buildConsole() {
  const source = join(root, 'coordinator', 'console');
  const config = join(source, 'vite.config.ts');
  if (!existsSync(config)) return;
  const built = join(source, 'dist');
  const stamp = join(built, '.sources');
  const schemas = join(root, 'coordinator', 'api', 'schemas.ts');
  const wanted = digest([
    ...files(source).filter((file) => !relative(source, file).startsWith('dist')),
    join(root, 'package-lock.json'),
    ...(existsSync(schemas) ? [schemas] : []),
  ]);
  if (existsSync(stamp) && readFileSync(stamp, 'utf8') === wanted) return;
  say('building the console …');
  rmSync(built, { recursive: true, force: true });
  const node = join(root, 'node_modules', 'node', 'bin', 'node');
  const vite = join(root, 'node_modules', 'vite', 'bin', 'vite.js');
  const result = spawnSync(node, [vite, 'build', '--config', config, '--logLevel', 'warn'], {
    cwd: source,
    stdio: ['ignore', 2, 2],
    env: { ...process.env, PATH: `${join(root, 'node_modules', '.bin')}:${process.env.PATH ?? ''}` },
  });
  if (result.status !== 0) fail('the console did not build (output above).');
  mkdirSync(built, { recursive: true });
  writeFileSync(stamp, wanted);
}

/** An agent's OPC UA client, at half its weight. Agents do without it, so a failure stops nobody; tests look for it. */
function packDriver() {
  const plc = join(root, 'agent', 'adapters', 'plc');
  const stamp = join(plc, 'dist', 'opcua', '.sources');
  const script = join(root, 'scripts', 'pack-opcua.mjs');
  const wanted = digest([script, join(plc, 'opcua-driver.ts'), join(root, 'package-lock.json')]);
  if (existsSync(stamp) && readFileSync(stamp, 'utf8') === wanted) return;
  say('packing the OPC UA client …');
  const node = join(root, 'node_modules', 'node', 'bin', 'node');
  const result = spawnSync(node, [script], { cwd: root, stdio: ['ignore', 2, 2] });
  if (result.status === 0) writeFileSync(stamp, wanted);
  else say('the OPC UA client could not be packed (output above): agents load all of it.');
}

function serverForTests() {
  const { why } = buildSnap7(root);
  if (why === undefined) return;
  const text = `the S7 server for tests cannot be built: ${why}.`;
  if (process.env.CI === 'true') fail(`${text} With CI=true that is a failure.`);
  say(`${text} The tests that need it are reported as skipped.`);
}

function systemPackagesForTests() {
  const missing = Object.entries(systemPackages)
    .filter(([, places]) => !places.some((place) => existsSync(place)))
    .map(([name]) => name);
  if (missing.length === 0) return;
  const debian = existsSync('/etc/debian_version') && existsSync('/usr/bin/apt-get');
  if (debian && process.getuid?.() === 0) {
    say(`installing system packages for tests: ${missing.join(', ')} …`);
    withoutServiceStarts(() => {
      const env = { ...process.env, DEBIAN_FRONTEND: 'noninteractive' };
      const apt = (...args) => spawnSync('apt-get', args, { env, stdio: ['ignore', 2, 2] }).status === 0;
      const install = () => apt('install', '-y', '-qq', '--no-install-recommends', ...missing);
      if (!(apt('update', '-qq') && install())) install();
    });
  }
  const still = missing.filter((name) => !systemPackages[name].some((place) => existsSync(place)));
  if (still.length === 0) return;
  const text = `missing system packages: ${still.join(', ')}. The tests that need them are reported as skipped.`;
  if (process.env.CI === 'true') fail(`${text} With CI=true that is a failure.`);
  say(`${text} On Debian: apt-get install ${still.join(' ')}`);
}

/** Some Debian packages start their service when installed; an exit code of 101 here keeps ports free. */
function withoutServiceStarts(work) {
  const policy = '/usr/sbin/policy-rc.d';
  const had = existsSync(policy);
  if (!had) writeFileSync(policy, '#!/bin/sh\nexit 101\n', { mode: 0o755 });
  try {
    work();
  } finally {
    if (!had) rmSync(policy, { force: true });
  }
}

function files(folder) {
  return readdirSync(folder, { withFileTypes: true })
    .sort((a, b) => (a.name < b.name ? -1 : 1))
    .flatMap((entry) => {
      const path = join(folder, entry.name);
      if (entry.isDirectory()) return ['dist', 'node_modules'].includes(entry.name) ? [] : files(path);
      return statSync(path).isFile() ? [path] : [];
    });
}

function digest(paths) {
  const hash = createHash('sha256');
  for (const path of paths) hash.update(relative(root, path)).update('\0').update(readFileSync(path)).update('\0');
  return hash.digest('hex');
}
