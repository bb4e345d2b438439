/**
 * SHA-256 (FIPS 180-4) of short inputs. Why not node:crypto: loading it costs a supervisor 1.4 MB of private memory and
 * 2 MB of PSS, beside a whole budget of 12 and 28, for one hash at each start of an agent. Compared with node:crypto in
 * the tests. Not constant in time, which does not matter for a hash that is published.
 */

/** First 32 bits of the fractional parts of the cube roots (k) and square roots (h) of the first primes (§4.2.2, §5.3.3). */
const [k, initial] = constants();

function constants(): readonly [Uint32Array, Uint32Array] {
  const cube = new Uint32Array(64);
  const square = new Uint32Array(8);
  for (let n = 2, found = 0; found < 64; n++) {
    let prime = true;
    for (let d = 2; d * d <= n; d++) if (n % d === 0) prime = false;
    if (!prime) continue;
    if (found < 8) square[found] = Number(root(BigInt(n), 2n) & 0xffff_ffffn);
    cube[found++] = Number(root(BigInt(n), 3n) & 0xffff_ffffn);
  }
  return [cube, square];
}

/** ⌊ n^(1/degree) · 2^32 ⌋, exactly: floating point would be right by luck only. */
function root(n: bigint, degree: bigint): bigint {
  const scaled = n << (32n * degree);
  let low = 0n;
  let high = 1n << 40n;
  while (high - low > 1n) {
    const middle = (low + high) >> 1n;
    if (middle ** degree <= scaled) low = middle;
    else high = middle;
  }
  return low;
}

/** 64 hex digits. */
export function sha256(data: Uint8Array): string {
  const blocks = Math.ceil((data.length + 9) / 64);
  const padded = Buffer.alloc(blocks * 64);
  padded.set(data);
  padded[data.length] = 0x80;
  padded.writeBigUInt64BE(BigInt(data.length) * 8n, padded.length - 8);

  const h = Uint32Array.from(initial);
  const w = new Uint32Array(64);
  const right = (x: number, n: number): number => (x >>> n) | (x << (32 - n));
  for (let block = 0; block < blocks; block++) {
    for (let t = 0; t < 16; t++) w[t] = padded.readUInt32BE(block * 64 + t * 4);
    for (let t = 16; t < 64; t++) {
      const x = w[t - 15]!;
      const y = w[t - 2]!;
      const s0 = right(x, 7) ^ right(x, 18) ^ (x >>> 3);
      const s1 = right(y, 17) ^ right(y, 19) ^ (y >>> 10);
      w[t] = w[t - 16]! + s0 + w[t - 7]! + s1;
    }
    let [a, b, c, d, e, f, g, last] = h as unknown as [number, number, number, number, number, number, number, number];
    for (let t = 0; t < 64; t++) {
      const s1 = right(e, 6) ^ right(e, 11) ^ right(e, 25);
      const choice = (e & f) ^ (~e & g);
      const t1 = (last + s1 + choice + k[t]! + w[t]!) | 0;
      const s0 = right(a, 2) ^ right(a, 13) ^ right(a, 22);
      const majority = (a & b) ^ (a & c) ^ (b & c);
      last = g;
      g = f;
      f = e;
      e = (d + t1) | 0;
      d = c;
      c = b;
      b = a;
      a = (t1 + s0 + majority) | 0;
    }
    const sum = [a, b, c, d, e, f, g, last];
    for (let i = 0; i < 8; i++) h[i] = h[i]! + sum[i]!;
  }
  return [...h].map((word) => word.toString(16).padStart(8, '0')).join('');
}
