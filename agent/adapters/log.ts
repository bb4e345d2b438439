import { pino } from 'pino';

export type Log = pino.Logger;

/**
 * JSON lines on standard error, where journald and containers look. Names that can hold a secret are cut out at any
 * depth that we use; nothing may rely on that alone.
 */
export function createLog(name: string, level: string = process.env['MILLWRIGHT_LOG'] ?? 'info'): Log {
  const secret = ['password', 'secret', 'token', 'psk', 'privateKeyPem', 'key'];
  return pino(
    {
      name,
      level,
      base: { name },
      timestamp: pino.stdTimeFunctions.isoTime,
      redact: { paths: secret.flatMap((word) => [word, `*.${word}`, `*.*.${word}`]), censor: '[secret]' },
    },
    pino.destination({ fd: 2, sync: true }),
  );
}
