import { readFileSync } from 'node:fs';
import { startAgent, type TestSite } from './site.ts';

/** One agent as a process of its own, for a network namespace: `mdns-agent.ts SITE.json INDEX ADDRESS`. */
const [file, self, address] = process.argv.slice(2);
if (file === undefined || address === undefined) throw new Error('usage: mdns-agent.ts SITE.json INDEX ADDRESS');
const site = JSON.parse(readFileSync(file, 'utf8')) as TestSite;
const mdns = process.env['MDNS'] === 'on';
const agent = await startAgent(site, Number(self), [], {
  mdns,
  listen: [`${address}:0`],
  deliver: (input) => process.stdout.write(`${JSON.stringify(input)}\n`),
});
process.stdout.write(`${JSON.stringify({ kind: 'listening', addresses: agent.mesh.addresses() })}\n`);
// The test ends us by closing our standard input, and so does its own death.
process.stdin.resume();
process.stdin.on('end', () => {
  void agent.mesh.stop().then(() => process.exit(0));
});
