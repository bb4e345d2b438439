// Builds the S7 server that tests talk to: Snap7's own, from the C++ sources that the npm package node-snap7 carries, and
// a page of ours around it. Two seconds of compiling, against no header of Node; node-snap7 itself is not installed, since
// its install script would build an addon. The tarball is fetched by npm and compared with the hash below.
import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, renameSync, rmSync } from 'node:fs';
import { join } from 'node:path';

const source = 'node-snap7@1.0.9';
const sha512 = 'U+9W8+XOs/4xKqYcn22yHESQzcSuKEhuN6pHLhyl1U5HuLm/kWxkXPzR2QwqFAs87aPfxdBrTI4xKDvwcMoyOw==';

/** Where the program is, built when it was not or when its page changed; or why it cannot be built. */
export function buildSnap7(root) {
  const page = join(root, 'test', 'snap7', 'server.cpp');
  const version = createHash('sha256').update(sha512).update(readFileSync(page)).digest('hex').slice(0, 16);
  const folder = join(root, 'node_modules', '.millwright-snap7');
  const program = join(folder, `snap7-server-${version}`);
  if (existsSync(program)) return { program };
  if (process.platform !== 'linux') return { why: 'it is built on Linux only' };
  mkdirSync(folder, { recursive: true });
  const work = mkdtempSync(join(folder, 'build-'));
  try {
    const npm = process.env.npm_execpath;
    const [command, before] = npm?.endsWith('.js') ? [process.execPath, [npm]] : ['npm', []];
    const packed = spawnSync(command, [...before, 'pack', source, '--silent', '--pack-destination', work], {
      cwd: work,
      encoding: 'utf8',
    });
    const tarball = readdirSync(work).find((name) => name.endsWith('.tgz'));
    if (packed.status !== 0 || tarball === undefined) return { why: `npm could not fetch ${source}` };
    const bytes = readFileSync(join(work, tarball));
    if (createHash('sha512').update(bytes).digest('base64') !== sha512)
      return { why: `${source} is not the package that it was` };
    if (spawnSync('tar', ['xzf', tarball], { cwd: work }).status !== 0) return { why: 'tar failed' };
    const base = join(work, 'package', 'deps', 'snap7', 'src');
    const files = ['sys', 'core'].flatMap((part) =>
      readdirSync(join(base, part))
        .filter((name) => name.endsWith('.cpp'))
        .map((name) => join(base, part, name)),
    );
    const built = spawnSync(
      'g++',
      [
        ...['-O1', '-pthread', '-fpermissive', '-w', '-o', 'server'],
        ...['sys', 'core', 'lib'].map((part) => `-I${join(base, part)}`),
        ...[page, ...files, join(base, 'lib', 'snap7_libmain.cpp'), '-lrt'],
      ],
      { cwd: work, encoding: 'utf8' },
    );
    if (built.status !== 0)
      return { why: built.error ? 'there is no g++' : `g++ failed: ${built.stderr.split('\n')[0]}` };
    // Whole or not at all, also when two runs build at once.
    renameSync(join(work, 'server'), program);
    return { program };
  } finally {
    rmSync(work, { recursive: true, force: true });
  }
}
