import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { chromium } from 'playwright-core';
import { until } from '../../simulations/demo/client.ts';
import { DemoSite } from '../../simulations/demo/demo-site.ts';

/**
 * `npm run pictures`: retakes the README's pictures from the demo itself, so that what they show is what the product
 * said: a service was killed and healed, and the press's bearing wears.
 */
const folder = fileURLToPath(new URL('../../docs/pictures', import.meta.url));
mkdirSync(folder, { recursive: true });
const say = (text: string) => process.stderr.write(`${text}\n`);
const site = await DemoSite.prepare({
  replayFile: undefined,
  speed: 40,
  broker: undefined,
  sabotage: undefined,
  say,
  keep: false,
});
try {
  await site.start();
  for (const duty of ['label-service/run', 'order-service/run']) {
    const pid = await until(`${duty} has a process`, 20_000, async () => {
      const { processes } = await site.holderOf(duty);
      return processes.find((entry) => entry.duty === duty)?.pid;
    });
    process.kill(pid, 'SIGKILL');
  }
  type Incident = { incident: string; outcome: string; workflow: string };
  const healed = await until('both are healed', 60_000, async () => {
    const { items } = await site.coordinator.get<{ items: Incident[] }>('incidents');
    const done = items.filter((item) => item.outcome === 'HEALED');
    return done.length >= 2 && done;
  });
  await site.plant('POST', 'faults/press-bearing-wear', { on: true });
  await until('the alarm is there', 30_000, async () => {
    const { items } = await site.coordinator.get<{ items: { state: string }[] }>('alarms');
    return items.some((item) => item.state === 'UNACK');
  });
  await sleep(3_000);
  const browser = await chromium.launch({
    executablePath: '/usr/bin/chromium',
    args: [
      '--headless',
      '--no-sandbox',
      '--disable-gpu',
      '--disable-quic',
      '--no-first-run',
      '--disable-background-networking',
      '--disable-component-update',
      '--disable-sync',
    ],
  });
  try {
    const page = await browser.newPage({ viewport: { width: 1280, height: 800 }, locale: 'en-GB' });
    await page.goto(`${site.consoleUrl}#token=${site.consoleToken}`);
    await page
      .getByText(/needs? you/)
      .first()
      .waitFor();
    // A browser that starts takes the processors for seconds, and the boxes rightly say so.
    await page
      .getByText(/too slow to keep up/)
      .first()
      .waitFor({ state: 'detached', timeout: 60_000 });
    await sleep(2_000);
    await page.screenshot({ path: join(folder, 'console-now.png') });
    const incident = healed.find((item) => item.workflow === 'label-service/restart') ?? healed[0];
    await page.goto(`${site.consoleUrl}incidents/${encodeURIComponent(incident?.incident ?? '')}`);
    await page.getByText('First symptom').first().waitFor();
    await sleep(1_000);
    await page.screenshot({ path: join(folder, 'console-incident.png') });
  } finally {
    await browser.close();
  }
  say(`pictures in ${folder}`);
} finally {
  await site.stop();
}
process.exit(0);
