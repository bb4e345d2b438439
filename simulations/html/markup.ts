const entities: Readonly<Record<string, string>> = {
  '&': '&amp;',
  '<': '&lt;',
  '>': '&gt;',
  '"': '&quot;',
  "'": '&#39;',
};

/** Text of a run — names from a site file, an error's words — as text of a page. */
export const textOf = (text: string): string => text.replace(/[&<>"']/g, (c) => entities[c]!);

/** Coordinates to a tenth of a pixel: a page of ten thousand marks stays small. */
export const px = (n: number): string => String(Math.round(n * 10) / 10);

/** `1:05.2` of virtual time; hours and days where there are any. */
export function clock(ms: number): string {
  const s = ms / 1000;
  if (s < 120) return `${Number(s.toFixed(s < 10 ? 2 : 1))} s`;
  const two = (n: number): string => String(Math.floor(n)).padStart(2, '0');
  if (s < 86_400)
    return s < 3_600 ? `${Math.floor(s / 60)}:${two(s % 60)}` : `${Math.floor(s / 3_600)}:${two((s / 60) % 60)} h`;
  return `day ${Math.floor(s / 86_400) + 1}, ${two((s / 3_600) % 24)}:${two((s / 60) % 60)}`;
}

/** Round numbers that divide `span` into about `count` parts. */
export function ticks(span: number, count: number): number[] {
  if (!(span > 0)) return [0];
  const rough = span / count;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].map((n) => n * power).find((n) => n >= rough) ?? 10 * power;
  const found: number[] = [];
  for (let at = 0; at <= span + step * 1e-9; at += step) found.push(at);
  return found;
}
