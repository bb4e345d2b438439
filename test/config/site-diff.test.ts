import { describe, expect, it } from 'vitest';
import { diffSites, formatChange } from '../../agent/config/site-diff.ts';
import { parseSite } from '../../agent/config/site-file.ts';

const plant = `millwright: 1
site: plant
types:
  box:
    params: { limit: 95% }
    checks:
      disk: { disk: /, crit: above $limit }
cells:
  line: { voters: [box-1] }
agents:
  box-1: { is: box }
  box-2: { is: box, with: { limit: 80% } }
duties:
  historian: { process: [/opt/bridge], exclusive: true, cell: line }
`;
const diff = (to: (text: string) => string): string[] => {
  const [before, after] = [parseSite(plant, 'old'), parseSite(to(plant), 'new')];
  if (before.model === undefined || after.site === undefined || after.model === undefined) {
    throw new Error(after.problems.map((problem) => problem.message).join());
  }
  return diffSites(before.model, after.model).map(formatChange);
};

describe('site diff', () => {
  it('the same, or only comments and order of keys → nothing', () => {
    expect(diff((text) => text)).toEqual([]);
    expect(
      diff((text) => `${text}# nothing\n`.replace('disk: /, crit: above $limit', 'crit: above $limit, disk: /')),
    ).toEqual([]);
  });

  it('planned work → told, with its times and why', () => {
    const weekly = (at: string) => `maintenance: { weekly: { things: [box-1], at: ${at}, why: service } }\n`;
    expect(diff((text) => text + weekly('sun 06:00-10:00'))).toEqual([
      '+ maintenance/weekly: {"things":["box-1"],"at":"sun 06:00-10:00","why":"service"}',
    ]);
  });

  it('one line in a type → told for each thing that it reaches, with what it becomes there', () => {
    expect(diff((text) => text.replace('limit: 95%', 'limit: 90%'))).toEqual([
      '~ box-1/checks/disk/crit: above 95% → above 90%',
    ]);
    expect(diff((text) => text.replace('{ disk: /,', '{ disk: /var,'))).toEqual([
      '~ box-1/checks/disk/disk: / → /var',
      '~ box-2/checks/disk/disk: / → /var',
    ]);
  });

  it('things, entries, voters → added, removed, changed', () => {
    expect(
      diff((text) =>
        text
          .replace('  box-2: { is: box, with: { limit: 80% } }', '  box-3: { labels: { hw: n100 } }')
          .replace('[box-1] }', '[box-3], lease: 4s }')
          .replace('historian', 'bridge'),
      ),
    ).toEqual([
      '~ cells/line/voters: ["box-1"] → ["box-3"]',
      '+ cells/line/lease: 4s',
      '+ box-3: agent',
      '+ site/duties/bridge: {"process":["/opt/bridge"],"exclusive":true,"cell":"line"}',
      '- site/duties/historian: {"process":["/opt/bridge"],"exclusive":true,"cell":"line"}',
      '- box-2: agent',
    ]);
  });
});
