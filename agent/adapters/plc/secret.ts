import { readFile } from 'node:fs/promises';
import type { Secret } from '../../driver/bindings.ts';

/** The secret's text, resolved where it is used and never kept. Throws with its place, never with its content. */
export async function readSecret(secret: Secret): Promise<string> {
  if (secret.from === 'env') {
    const text = process.env[secret.name];
    if (text === undefined) throw new Error(`secret env:${secret.name} is not set`);
    return text;
  }
  try {
    return (await readFile(secret.path, 'utf8')).replace(/\r?\n$/, '');
  } catch (error) {
    throw new Error(`secret file:${secret.path} cannot be read (${(error as NodeJS.ErrnoException).code})`);
  }
}
