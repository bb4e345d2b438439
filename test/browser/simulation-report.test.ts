import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { AxeBuilder } from '@axe-core/playwright';
import { type Browser, chromium, type Page } from 'playwright-core';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { simulationPage } from '../../simulations/html/page.ts';
import { Story } from '../../simulations/html/story.ts';
import { playScenario } from '../../simulations/run.ts';
import { needs } from '../support/needs.ts';

/** The page of a run, opened from a file as whoever was sent it would: nothing is fetched, nothing complains. */
describe('simulation report', { ...needs('chromium'), timeout: 120_000 }, () => {
  let browser: Browser;
  let folder: string;

  beforeAll(async () => {
    folder = mkdtempSync(join(tmpdir(), 'millwright-report-'));
    browser = await chromium.launch({
      executablePath: '/usr/bin/chromium',
      args: ['--headless', '--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run'],
    });
  }, 120_000);
  afterAll(async () => {
    await browser?.close();
    rmSync(folder, { recursive: true, force: true });
  });

  const pageOf = (violated = false): string => {
    const story = new Story();
    const { report, samples } = playScenario({
      scenario: 'crash',
      agents: 6,
      seed: 2,
      witness: story.witness,
      override: {
        durationS: 40,
        dutyFailure: 0,
        faults: [
          { kind: 'crash', atMs: 14_000, agent: 3, closes: false },
          { kind: 'pause', atMs: 20_000, agent: 1, ms: 3_000 },
        ],
      },
    });
    expect(report.violations).toEqual([]);
    const violations = violated
      ? [{ invariant: 'views <converge>', atMs: 9_000, text: '"box 3" & box 4 disagree' }]
      : [];
    const file = join(folder, `page-${violated}.html`);
    const command = 'millwright simulate --scenario crash --agents 6 --seed 2';
    writeFileSync(file, simulationPage({ report: { ...report, violations }, samples, story, command }));
    return pathToFileURL(file).href;
  };

  const open = async (url: string, colorScheme: 'light' | 'dark'): Promise<{ page: Page; said: string[] }> => {
    const context = await browser.newContext({ viewport: { width: 1280, height: 900 }, colorScheme });
    const page = await context.newPage();
    const said: string[] = [];
    page.on('console', (message) => said.push(message.text()));
    page.on('pageerror', (error) => said.push(error.message));
    page.on('request', (request) => {
      if (request.url() !== url) said.push(`asked for ${request.url()}`);
    });
    await page.goto(url);
    return { page, said };
  };

  test('a run with a crash and a freeze → members, duties, histograms, options and the command are there', async () => {
    const { page, said } = await open(pageOf(), 'light');
    await expect(page.locator('h1').innerText()).resolves.toBe('crash, seed 2');
    await expect(page.locator('.verdict').innerText()).resolves.toContain('all invariants held');
    const members = page.getByRole('img', { name: 'Members over time' });
    expect(await members.locator('.dead').count()).toBeGreaterThan(0);
    expect(await members.locator('line.down').count()).toBe(1);
    expect(await members.locator('line.frozen').count()).toBeGreaterThan(0);
    expect(await members.locator('.fault').count()).toBe(2);
    expect(await page.getByRole('img', { name: 'Duties over time' }).locator('.shift').count()).toBeGreaterThanOrEqual(
      7,
    );
    expect(await page.getByRole('img', { name: 'Detection histogram' }).locator('.bin').count()).toBe(1);
    await expect(page.locator('pre').innerText()).resolves.toBe(
      'millwright simulate --scenario crash --agents 6 --seed 2',
    );
    await expect(page.getByRole('cell', { name: 'box 3 loses power' }).isVisible()).resolves.toBe(true);
    // Nothing runs over the edge of the window.
    expect(await page.evaluate('document.documentElement.scrollWidth')).toBeLessThanOrEqual(1280);
    expect(said).toEqual([]);
    await page.context().close();
  });

  test('a violation → told at the top, and what it says is text, not markup', async () => {
    const { page, said } = await open(pageOf(true), 'light');
    await expect(page.locator('.verdict').innerText()).resolves.toContain('1 violation');
    await expect(page.locator('.wrong li').innerText()).resolves.toContain(
      'views <converge> at 9 s: "box 3" & box 4 disagree',
    );
    expect(said).toEqual([]);
    await page.context().close();
  });

  test.each(['light', 'dark'] as const)('%s → readable for everybody: contrast, names, headings', async (scheme) => {
    const { page } = await open(pageOf(), scheme);
    const { violations } = await new AxeBuilder({ page }).analyze();
    expect(violations.map(({ id, nodes }) => `${id}: ${nodes[0]?.html}`)).toEqual([]);
    await page.context().close();
  });
});
