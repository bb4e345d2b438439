/** Edit distance with swaps of neighbours (optimal string alignment), the kind of slips that fingers make. */
export function editDistance(a: string, b: string): number {
  const width = b.length + 1;
  const rows = new Uint16Array((a.length + 1) * width);
  for (let i = 0; i <= a.length; i++) rows[i * width] = i;
  for (let j = 0; j <= b.length; j++) rows[j] = j;
  for (let i = 1; i <= a.length; i++) {
    for (let j = 1; j <= b.length; j++) {
      const same = a[i - 1] === b[j - 1];
      let best = Math.min(
        rows[(i - 1) * width + j]! + 1,
        rows[i * width + j - 1]! + 1,
        rows[(i - 1) * width + j - 1]! + (same ? 0 : 1),
      );
      if (i > 1 && j > 1 && a[i - 1] === b[j - 2] && a[i - 2] === b[j - 1]) {
        best = Math.min(best, rows[(i - 2) * width + j - 2]! + 1);
      }
      rows[i * width + j] = best;
    }
  }
  return rows[a.length * width + b.length]!;
}

/** The candidate that a person most likely meant, or undefined when none is near enough to be worth naming. */
export function nearest(word: string, candidates: Iterable<string>): string | undefined {
  if (word.length > 64) return undefined;
  let best: string | undefined;
  let bestDistance = Math.max(1, Math.floor(word.length / 3)) + 1;
  for (const candidate of candidates) {
    if (candidate.length > 64) continue;
    const distance = editDistance(word.toLowerCase().replaceAll('_', '-'), candidate.toLowerCase());
    if (distance < bestDistance) {
      best = candidate;
      bestDistance = distance;
    }
  }
  return best;
}

/** `: did you mean "oil"?`, or the list of what there is when it is short, or nothing. */
export function didYouMean(word: string, candidates: readonly string[], what = 'one of'): string {
  const near = nearest(word, candidates);
  if (near !== undefined) return `: did you mean "${near}"?`;
  if (candidates.length > 0 && candidates.length <= 12) return `: it is ${what} ${candidates.join(', ')}`;
  return '';
}
