import { existsSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { machineAddress, machinePort } from './hall.ts';

/** An exclusive duty's program, in perl where there is one: it is up in 5 ms, and what is measured is the takeover. */
export interface EffectProgram {
  readonly language: 'perl' | 'node';
  readonly argv: readonly string[];
}

/** Each effect is a line in the box's log, and the same line as a datagram to the machine. It ends by a signal, or without its token file. */
export const effectEveryMs = 10;

const perl = `use Time::HiRes qw(clock_gettime sleep CLOCK_MONOTONIC);
use Socket;
my ($folder) = @ARGV;
my ($duty, $token, $session, $agent) = @ENV{qw(MILLWRIGHT_DUTY MILLWRIGHT_TOKEN MILLWRIGHT_SESSION MILLWRIGHT_AGENT)};
open(my $log, '>>', "$folder/$agent") or die;
# Process numbers begin anew in each namespace.
my $life = int(clock_gettime(CLOCK_MONOTONIC) * 1e6);
socket(my $wire, PF_INET, SOCK_DGRAM, 0) or die;
my $machine = sockaddr_in(${machinePort}, inet_aton('${machineAddress}'));
while (1) {
  # A right goes on under a larger token at times; a file that is gone says that it is over.
  open(my $file, '<', $ENV{MILLWRIGHT_TOKEN_FILE}) or exit 0;
  chomp($token = <$file>);
  close($file);
  my $line = sprintf("%.3f %s %s %s %s %d\\n", clock_gettime(CLOCK_MONOTONIC) * 1000, $duty, $token, $session, $agent, $life);
  syswrite($log, $line);
  send($wire, $line, 0, $machine);
  sleep(${effectEveryMs / 1000});
}
`;

const node = `import { createSocket } from 'node:dgram';
import { openSync, readFileSync, writeSync } from 'node:fs';
const { MILLWRIGHT_DUTY: duty, MILLWRIGHT_TOKEN_FILE: file, MILLWRIGHT_SESSION: session, MILLWRIGHT_AGENT: agent } = process.env;
const log = openSync(process.argv[2] + '/' + agent, 'a');
const life = Math.floor(Number(process.hrtime.bigint()) / 1e3);
const wire = createSocket('udp4');
wire.on('error', () => {});
const act = () => {
  const token = readFileSync(file, 'utf8').trim();
  const at = (Number(process.hrtime.bigint()) / 1e6).toFixed(3);
  const line = [at, duty, token, session, agent, life].join(' ') + '\\n';
  writeSync(log, line);
  wire.send(line, ${machinePort}, '${machineAddress}', () => {});
};
act();
setInterval(act, ${effectEveryMs});
`;

/** Writes the program into the folder; its effects go to `effects`, a file for each box. */
export function writeProgram(folder: string, effects: string): EffectProgram {
  const interpreter = ['/usr/bin/perl', '/usr/local/bin/perl'].find((path) => existsSync(path));
  const script = join(folder, interpreter === undefined ? 'effects.mjs' : 'effects.pl');
  writeFileSync(script, interpreter === undefined ? node : perl);
  return interpreter === undefined
    ? { language: 'node', argv: [process.execPath, script, effects] }
    : { language: 'perl', argv: [interpreter, script, effects] };
}
