// Packs the OPC UA client for agents: one tree-shaken, minified driver in a few files, in place of some 650 modules that
// V8 would keep the text of. Into agent/adapters/plc/dist/opcua, with the notices of all that is in it. Run under the
// project's own Node by ensure.mjs; agents go without it where it is missing.
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { rolldown } from 'rolldown';
import { driverNames } from '../agent/adapters/plc/opcua-driver.ts';

const root = join(dirname(fileURLToPath(import.meta.url)), '..');
const out = join(root, 'agent', 'adapters', 'plc', 'dist', 'opcua');

/**
 * What the client imports and an agent never comes to: keys in SSH's format, watching the folder of certificates, finding
 * servers by mDNS, a web crypto for a Node without one, a certificate authority's downloads and questions. Who does come
 * there is told so.
 */
const leftOut = {
  sshpk: ['default.parsePrivateKey', 'default.parseKey'],
  chokidar: ['default.watch'],
  'sterfive-bonjour-service': ['Bonjour'],
  '@peculiar/webcrypto': ['Crypto'],
  yauzl: ['default.open'],
  'command-line-args': ['default'],
  'command-line-usage': ['default'],
};

/** The pieces, innermost first: each is loaded in a turn of the event loop of its own. */
const pieces = [
  ['asn1', /node_modules\/(@peculiar|asn1js|pvtsutils|pvutils|tslib|tsyringe|reflect-metadata|bytestreamjs)\b/],
  [
    'model',
    /node_modules\/node-opcua-(assert|utils|debug|enum|guid|constants|status-code|binary-stream|buffer-utils|date-time|nodeid|basic-types|factory|extension-object|data-model|numeric-range|variant|data-value|object-registry)\//,
  ],
  ['types', /node_modules\/node-opcua-types\//],
];

const entry = join(root, 'agent', 'adapters', 'plc', 'packed-entry.js');
const entryText = `export { ${driverNames.join(', ')} } from 'node-opcua-client';
export { OPCUACertificateManager } from 'node-opcua-certificate-manager';`;

const bundle = await rolldown({
  input: { driver: entry },
  cwd: root,
  platform: 'node',
  // Imported by its user only when it is asked for, and not installed.
  external: ['proper-lockfile'],
  plugins: [
    {
      name: 'leave-out',
      resolveId: (id) => (id === entry ? entry : id in leftOut ? `\0left-out:${id}` : undefined),
      load(id) {
        if (id === entry) return entryText;
        if (!id.startsWith('\0left-out:')) return undefined;
        return { code: stub(id.slice('\0left-out:'.length)), moduleSideEffects: false };
      },
    },
  ],
});
const names = { function: true, class: true };
const { output } = await bundle.generate({
  format: 'esm',
  entryFileNames: '[name].mjs',
  chunkFileNames: '[name].mjs',
  // One byte per character in V8, not two.
  charset: 'ascii',
  comments: false,
  // The client tells its classes by their names.
  minify: { mangle: { keepNames: names }, compress: { keepNames: names }, codegen: { legalComments: 'none' } },
  codeSplitting: { groups: pieces.map(([name, test], i) => ({ name, test, priority: pieces.length - i })) },
});
const chunks = output.filter(({ type }) => type === 'chunk');

const { version } = packageOf(join(root, 'node_modules', 'node-opcua-client', 'package.json'));
rmSync(out, { recursive: true, force: true });
mkdirSync(out, { recursive: true });
for (const { fileName, code } of chunks) {
  if (!/^[\0-\x7f]*$/.test(code)) throw new Error(`${fileName} holds characters that take two bytes each`);
  writeFileSync(join(out, fileName), code);
}
writeFileSync(join(out, 'LICENSES.txt'), notices(chunks.flatMap(({ moduleIds }) => moduleIds)));
const steps = [...pieces.map(([name]) => name), 'driver'].map((name) => `${name}.mjs`);
const missing = steps.filter((step) => !chunks.some(({ fileName }) => fileName === step));
if (missing.length > 0) throw new Error(`nothing went into ${missing.join(', ')}`);
// Last: what is there with it is whole.
writeFileSync(join(out, 'packed.json'), `${JSON.stringify({ version, steps })}\n`);
const size = chunks.reduce((sum, { code }) => sum + code.length, 0);
process.stderr.write(`millwright: packed the OPC UA client ${version}, ${(size / 1e6).toFixed(1)} MB\n`);

function stub(id) {
  const lines = [
    `const out = () => { throw new Error(${JSON.stringify(`${id} is not part of the packed client`)}); };`,
  ];
  const members = leftOut[id].filter((name) => name.startsWith('default.')).map((name) => name.slice(8));
  if (members.length > 0) lines.push(`export default { ${members.map((name) => `${name}: out`).join(', ')} };`);
  for (const name of leftOut[id]) {
    if (name === 'default') lines.push('export default out;');
    else if (!name.startsWith('default.')) lines.push(`export { out as ${name} };`);
  }
  return lines.join('\n');
}

/** Name, licence and notice of every package that something was taken from. */
function notices(modules) {
  const folders = new Set(
    modules.flatMap((id) => /^(.*[\\/]node_modules[\\/](?:@[^\\/]+[\\/])?[^\\/]+)[\\/]/.exec(id)?.[1] ?? []),
  );
  const texts = [...folders].sort().map((folder) => {
    const { name, version, license, author } = packageOf(join(folder, 'package.json'));
    const who = typeof author === 'string' ? author : (author?.name ?? '');
    const files = readdirSync(folder).filter((file) => /^(licen[cs]e|notice|copying)/i.test(file));
    const text = files.map((file) => readFileSync(join(folder, file), 'utf8').trim()).join('\n\n');
    return `${name} ${version}, ${license}${who === '' ? '' : `, by ${who}`}\n\n${text === '' ? 'It brings no text of its licence.' : text}`;
  });
  return `What the files beside this one are made of.\n\n${texts.join(`\n\n${'-'.repeat(80)}\n\n`)}\n`;
}

function packageOf(path) {
  return existsSync(path) ? JSON.parse(readFileSync(path, 'utf8')) : {};
}
