import { generateKeyPairSync } from 'node:crypto';
import { AxeBuilder } from '@axe-core/playwright';
import { type Browser, type BrowserContext, chromium, type Page } from 'playwright-core';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import type { AgentHealth } from '../../agent/wire/agent-status.ts';
import { peekOrder, readOrder } from '../../agent/wire/order.ts';
import type { AlarmTransition, ReportBody } from '../../agent/wire/report.ts';
import { oneLineKey } from '../../agent/wire/roster.ts';
import { alarmViewSchema } from '../../coordinator/api/schemas.ts';
import type { Coordinator } from '../../coordinator/coordinator.ts';
import { alarm, Bench, event, get, passwordOf, portOf, type TestAgent, TOKEN } from '../coordinator/bench.ts';
import { eventually } from '../support/eventually.ts';
import { needs } from '../support/needs.ts';
import { buildConsole } from './console-build.ts';
import { startRelay } from './relay.ts';

/**
 * The console in a real browser, before a real coordinator in a process of its own, fed by an agent's own outbox and
 * report link over MQTT. Every test also proves that the page complained of nothing and asked no other host.
 */
const WAIT_MS = 20_000;

describe('console', { ...needs('chromium'), timeout: 180_000 }, () => {
  let browser: Browser;
  let bench: Bench;
  let coordinator: Pick<Coordinator, 'api' | 'broker'>;
  let agent: TestAgent;
  let context: BrowserContext;
  let page: Page;
  /** Where the page comes from. */
  let home: string;
  /** What the browser reported; each test says which of it must come. */
  let complaints: string[];
  let foreign: string[];

  beforeAll(async () => {
    buildConsole();
    browser = await chromium.launch({
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
  }, 120_000);
  afterAll(() => browser?.close());

  beforeEach(async () => {
    complaints = [];
    foreign = [];
    bench = new Bench();
    await serve(await bench.coordinator());
    context = await browser.newContext({ viewport: { width: 1280, height: 800 }, locale: 'en-GB' });
    context.setDefaultTimeout(WAIT_MS);
    page = await context.newPage();
    watch(page);
  });

  afterEach(async () => {
    await context?.close();
    await bench.end();
    expect(foreign).toEqual([]);
    expect(complaints).toEqual([]);
  });

  const serve = async (by: Pick<Coordinator, 'api' | 'broker'>): Promise<void> => {
    coordinator = by;
    home = by.api;
    agent = bench.agent('edge-1', by.broker);
    await eventually(() => agent.link.state().coordinator === 'connected', { deadlineMs: WAIT_MS });
  };

  const watch = (watched: Page): void => {
    watched.on('console', (message) => {
      if (message.type() === 'error' || message.type() === 'warning') complaints.push(message.text());
    });
    watched.on('pageerror', (error) => complaints.push(error.message));
    watched.on('request', (request) => {
      if (new URL(request.url()).host !== new URL(home).host) foreign.push(request.url());
    });
  };

  /** Takes the expected complaints out; there must be at least one. */
  const expectComplaint = (pattern: RegExp): void => {
    expect(complaints.some((text) => pattern.test(text))).toBe(true);
    complaints = complaints.filter((text) => !pattern.test(text));
  };

  const open = async (path = '/', on = page): Promise<void> => {
    await on.goto(`${home}${path}#token=${TOKEN}`);
    await on.locator('header nav').waitFor();
  };

  const say = (...bodies: readonly ReportBody[]): void => {
    for (const body of bodies) {
      expect(agent.outbox.publish({ class: body.type === 'alarm' ? 'alarm' : 'event', body })).toBe(true);
    }
  };

  const conveyor = (change: Parameters<typeof alarm>[0] = {}) =>
    alarm({
      alarmId: 'belt-drags.conveyor',
      thing: 'conveyor',
      name: 'belt-drags',
      priority: 'low',
      occurrence: 'c1',
      cause: 'The belt drags.',
      ...change,
    });

  const alarmNow = async (alarmId: string) =>
    ((await (await get(coordinator.api, '/api/v1/alarms')).json()) as { items: unknown[] }).items
      .map((item) => alarmViewSchema.parse(item))
      .find((item) => item.alarmId === alarmId);

  const row = (alarmId: string, on = page) => on.locator(`[data-alarm="${alarmId}"]`);
  const PRESS = 'bearing-wear.press-7';

  test('login: wrong token → refused in words; the right one → the page that was asked for', async () => {
    await page.goto(`${coordinator.api}/fleet?q=edge`);
    await page.locator('input[type=password]').fill('not-the-token');
    await page.getByRole('button', { name: 'Log in' }).click();
    await page.getByText('That is not the token.').waitFor();
    expect(await page.locator('header nav').count()).toBe(0);
    await page.locator('input[type=password]').fill(TOKEN);
    await page.getByRole('button', { name: 'Log in' }).click();
    await page.locator('[data-agent="edge-1"]').waitFor();
    expect(new URL(page.url()).pathname + new URL(page.url()).search).toBe('/fleet?q=edge');
    await page.getByRole('button', { name: 'Log out' }).click();
    await page.getByRole('button', { name: 'Log in' }).waitFor();
    expect((await context.request.get(`${coordinator.api}/api/v1/alarms`)).status()).toBe(401);
    expectComplaint(/401/);
  });

  test('link with the token behind # → logged in, and the address gives nothing away', async () => {
    const asked: string[] = [];
    page.on('request', (request) => asked.push(request.url()));
    await open('/duties');
    await page.locator('[data-duty="press/poll"]').waitFor();
    expect(page.url()).toBe(`${coordinator.api}/duties`);
    expect(asked.filter((url) => url.includes(TOKEN))).toEqual([]);
    const [cookie] = await context.cookies();
    expect(cookie).toMatchObject({ httpOnly: true, sameSite: 'Strict' });
  });

  test('alarm → appears without a reload, is announced, and stands in the order of need', async () => {
    await open();
    await page.getByText('Nothing needs you.').waitFor();
    await page.evaluate(() => Object.assign(globalThis, { sameDocument: true }));
    say(conveyor());
    await row('belt-drags.conveyor').waitFor();
    say(alarm());
    await row(PRESS).waitFor();
    expect(await page.evaluate(() => 'sameDocument' in globalThis)).toBe(true);
    expect(
      await page.locator('[data-alarm]').evaluateAll((rows) => rows.map((r) => r.getAttribute('data-alarm'))),
    ).toEqual([PRESS, 'belt-drags.conveyor']);
    expect(await page.locator('[data-announcer]').textContent()).toContain('press-7, The bearing wears.');
    const text = await row(PRESS).innerText();
    expect(text).toContain('bearing-rms 7.9 mm/s above 7.1 mm/s');
    expect(text).toContain('Change the bearing.');
    expect(text).toMatch(/response overdue by \d+ d/);
    expect(await page.getByRole('heading', { level: 1 }).innerText()).toBe('2 alarms need you');
    // The condition goes before anybody looked: it still asks for a person, and says so.
    say(conveyor({ state: 'off' }));
    await row('belt-drags.conveyor').getByText('gone, not acknowledged', { exact: true }).waitFor();
  });

  test('acknowledge → asks who once, names the occurrence on the screen, and every page sees it', async () => {
    say(alarm(), conveyor());
    await open();
    const other = await context.newPage();
    watch(other);
    await open('/', other);
    await row(PRESS, other).waitFor();

    const button = row(PRESS).getByRole('button', { name: /Acknowledge press-7, bearing-wear, occurrence o1/ });
    await button.click();
    const asked = page.waitForRequest('**/acknowledge');
    await page.getByPlaceholder('Your name').fill('anna');
    await page.keyboard.press('Enter');
    expect((await asked).postDataJSON()).toEqual({ occurrence: 'o1', by: 'anna' });
    await row(PRESS).getByText('by anna').waitFor();
    await row(PRESS, other).getByText('by anna').waitFor();
    expect(await alarmNow(PRESS)).toMatchObject({ state: 'ACKED', acknowledgedBy: 'anna', occurrence: 'o1' });
    // Acknowledged goes below what still waits, whatever its priority.
    expect(await page.locator('[data-alarm]').first().getAttribute('data-alarm')).toBe('belt-drags.conveyor');

    // The mark stayed with the alarm that was touched, wherever it went.
    await page.keyboard.press('k');
    await page.keyboard.press('a');
    await row('belt-drags.conveyor').getByText('by anna').waitFor();
    expect(await page.getByPlaceholder('Your name').count()).toBe(0);
    expect(await page.getByRole('heading', { level: 1 }).innerText()).toBe('2 acknowledged alarms stand');
  });

  test('page that missed a new occurrence → cannot acknowledge it, and shows it instead', async () => {
    say(alarm());
    await eventually(async () => (await alarmNow(PRESS))?.occurrence === 'o1', { deadlineMs: WAIT_MS });
    await page.addInitScript(() => localStorage.setItem('millwright-name', 'anna'));
    await page.route('**/api/v1/stream*', (route) => route.abort());
    await open();
    await row(PRESS).waitFor();
    say(alarm({ state: 'off' }), alarm({ occurrence: 'o2' }));
    await eventually(async () => (await alarmNow(PRESS))?.occurrence === 'o2', { deadlineMs: WAIT_MS });
    expect(await row(PRESS).getAttribute('data-occurrence')).toBe('o1');
    await row(PRESS).getByRole('button').click();
    await page.getByRole('alert').getByText('has been raised anew').waitFor();
    await page.locator(`[data-alarm="${PRESS}"][data-occurrence="o2"]`).waitFor();
    expect(await alarmNow(PRESS)).toMatchObject({ state: 'UNACK', acknowledgedBy: null });
    // The page goes on asking for its stream, and is refused each time: it must be gone before its complaints are read.
    await context.close();
    expectComplaint(/409/);
    expectComplaint(/ERR_FAILED/);
  });

  const runOf = (
    n: number,
    entries: readonly [entry: string, detail: Record<string, string | number>][],
  ): ReportBody[] =>
    entries.map(([entry, detail]) => ({
      type: 'run',
      run: `label-service/restart#${n}`,
      workflow: 'label-service/restart',
      thing: 'label-service',
      entry,
      detail,
    }));
  const incidentOf = (n: number, change: Partial<Extract<ReportBody, { type: 'incident' }>> = {}): ReportBody => {
    const from = Date.now() - 4_000;
    type Wall = Extract<ReportBody, { type: 'incident' }>['firstBadAt'];
    return {
      type: 'incident',
      incident: `label-service/restart-${n}`,
      run: `label-service/restart#${n}`,
      workflow: 'label-service/restart',
      thing: 'label-service',
      symptom: 'crit("up")',
      outcome: 'HEALED',
      reason: 'stayed well for 2 s',
      firstBadAt: from as Wall,
      conditionAt: (from + 412) as Wall,
      healedAt: (from + 1_934) as Wall,
      mttdMs: 412,
      mttaMs: 31,
      mttrMs: 1_934,
      relapse: false,
      steps: [],
      ...change,
    };
  };
  const healed = (n: number): ReportBody[] => [
    ...runOf(n, [
      ['open', { trigger: 'condition', evidence: 'the process is gone' }],
      ['intent', { step: 0, try: 0, name: 'process.restart' }],
      ['done', { step: 0, name: 'process.restart', outcome: 'ok', detail: 'pid 7 → 8' }],
      ['verify', {}],
      ['soak', {}],
      ['end', { outcome: 'HEALED', reason: 'stayed well for 2 s' }],
    ]),
    incidentOf(n),
  ];

  test('incident by its address → one line from the first symptom to the verified heal, with its figures', async () => {
    say(...healed(4));
    const api = '/api/v1/incidents/label-service%2Frestart-4';
    await eventually(async () => (await get(coordinator.api, api)).status === 200, { deadlineMs: WAIT_MS });
    await open('/incidents/label-service%2Frestart-4');
    const line = page.locator('.causal');
    await line.waitFor();
    expect(await line.locator('strong').allInnerTexts()).toEqual(
      // The agent's own times put the symptom and the condition first; the rest follows as the journal has it.
      [
        'First symptom',
        'Condition stands',
        'Run opened',
        'About to: process.restart',
        'Done: process.restart',
        'Verifying the symptom',
        'Well again; watching whether it stays',
        'Healed, verified',
      ],
    );
    expect(await line.innerText()).toContain('the process is gone');
    expect(await line.innerText()).toContain('pid 7 → 8');
    const axis = page.getByRole('img', { name: /Time from the first symptom/ });
    expect(await axis.getAttribute('aria-label')).toBe(
      'Time from the first symptom: to notice (MTTD) 412 ms, to act (MTTA) 31 ms, to heal (MTTR) 1.93 s',
    );
    await page.goto(`${coordinator.api}/`);
    await page.getByText('1 heal since midnight.').waitFor();
    await page.getByRole('link', { name: 'label-service' }).click();
    await line.waitFor();
    expect(new URL(page.url()).pathname).toBe('/incidents/label-service%2Frestart-4');
  });

  test('incident that no guard allowed → says which and why; an unknown one says so too', async () => {
    say(
      ...runOf(5, [
        ['open', { trigger: 'condition' }],
        ['denied', { guard: 'budget', reason: '5 per 1 h are used up' }],
        ['end', { outcome: 'DENIED', reason: 'budget' }],
      ]),
      incidentOf(5, { outcome: 'DENIED', healedAt: undefined, mttaMs: undefined, mttrMs: undefined }),
    );
    await open('/incidents');
    await page.locator('[data-incident="label-service/restart-5"]').getByText('not allowed').waitFor();
    await page.getByRole('link', { name: 'label-service' }).click();
    await page.getByText('guard budget · 5 per 1 h are used up').waitFor();
    await page.goto(`${coordinator.api}/incidents/none-1`);
    await page.getByText('There is no such incident.').waitFor();
    expectComplaint(/404/);
  });

  test('run under way → the alarm says what Millwright is doing about it, step by step', async () => {
    say(alarm({ alarmId: 'down.label-service', thing: 'label-service', name: 'down' }));
    await open();
    const doing = row('down.label-service').locator('.doing');
    await doing.getByText('Watches. No repair is set up for this.').waitFor();
    say(
      ...runOf(6, [
        ['open', {}],
        ['intent', { step: 0, name: 'process.restart' }],
      ]),
    );
    await doing.getByText('Repairs: process.restart').waitFor();
    say(...runOf(6, [['denied', { guard: 'lockout', reason: 'somebody works on it' }]]));
    await doing.getByText('May not repair: somebody works on it').waitFor();
  });

  test('coordinator killed → a bar says since when; back again → it goes, what was said meanwhile is there, still logged in', async () => {
    // A process of its own, since it shall die without a word.
    await agent.end();
    const first = await bench.coordinatorProcess({ api: 0, broker: 0 });
    const ports = { api: portOf(first.api), broker: portOf(first.broker) };
    await serve(first);
    await open();
    await page.getByText('Nothing needs you.').waitFor();
    await page.evaluate(() => Object.assign(globalThis, { sameDocument: true }));
    await first.kill();
    const bar = page.locator('.stale-bar');
    await bar.waitFor();
    expect(await bar.innerText()).toMatch(/Not heard from the coordinator since \d\d:\d\d:\d\d \(\d+ s\)/);
    expect(await page.locator('.shell').getAttribute('data-stale')).toBe('true');
    say(alarm());
    await bench.coordinatorProcess(ports);
    await bar.waitFor({ state: 'detached' });
    await row(PRESS).waitFor();
    expect(await page.evaluate(() => 'sameDocument' in globalThis)).toBe(true);
    expectComplaint(/ERR_CONNECTION_REFUSED|ERR_INCOMPLETE_CHUNKED_ENCODING|ERR_CONNECTION_RESET/);
  });

  test('stream broken for a moment → resumes behind the last event, and nothing in between is missed', async () => {
    const resumed: string[] = [];
    page.on('request', (request) => {
      if (request.url().includes('/stream?')) resumed.push(request.url());
    });
    const relay = await startRelay(portOf(coordinator.api));
    bench.onEnd(relay.stop);
    home = relay.url;
    await open('/events');
    say(event(1));
    await page.locator('[data-event="counted"]').waitFor();
    relay.cut();
    await page.locator('.line-broken').waitFor();
    say(event(2), event(3));
    await eventually(() => agent.outbox.stats().pending === 0, { deadlineMs: WAIT_MS });
    relay.mend();
    await page.getByText('event 3').waitFor();
    expect(await page.locator('[data-event="counted"] .event-text').allInnerTexts()).toEqual([
      'event 3',
      'event 2',
      'event 1',
    ]);
    expect(resumed.at(-1)).toMatch(/lastEventId=[0-9a-f]+-\d+/);
    expectComplaint(/ERR_/);
  });

  test('keys: j k mark, / searches, ? helps, Escape leaves; the address holds it all', async () => {
    say(
      alarm(),
      conveyor(),
      alarm({ alarmId: 'a.x', thing: 'x', priority: 'urgent' }),
      alarm({ alarmId: 'b.y', thing: 'y' }),
    );
    await open();
    await row('b.y').waitFor();
    const marked = () => page.locator('[data-alarm][aria-current]').getAttribute('data-alarm');
    await page.keyboard.press('j');
    expect(await marked()).toBe('a.x');
    await page.keyboard.press('j');
    const second = await marked();
    expect(second).not.toBe('a.x');
    await page.keyboard.press('k');
    await page.keyboard.press('k');
    expect(await marked()).toBe('a.x');
    expect(new URL(page.url()).searchParams.get('at')).toBe('a.x');
    expect(await page.locator(':focus').getAttribute('data-alarm')).toBe('a.x');

    await page.keyboard.press('?');
    await page.getByRole('complementary', { name: 'Keys' }).waitFor();
    await page.keyboard.press('Escape');
    expect(await page.getByRole('complementary', { name: 'Keys' }).count()).toBe(0);

    await page.keyboard.press('/');
    await page.keyboard.type('conveyor');
    await eventually(async () => (await page.locator('[data-alarm]').count()) === 1);
    expect(new URL(page.url()).searchParams.get('q')).toBe('conveyor');
    // Letters in a field are letters.
    await page.keyboard.type('ja');
    expect(await page.getByRole('searchbox').inputValue()).toBe('conveyorja');
    await page.getByText('Nothing matches “conveyorja”.').waitFor();
    await page.goto(`${coordinator.api}/?q=conveyor&at=belt-drags.conveyor`);
    await row('belt-drags.conveyor').waitFor();
    expect(await page.locator('[data-alarm]').count()).toBe(1);
    expect(await marked()).toBe('belt-drags.conveyor');
  });

  test('language → everything in it at once, the document says so, and it is kept', async () => {
    await open();
    await page.getByText('Nothing needs you.').waitFor();
    await page.getByLabel('Language').selectOption('de');
    await page.getByText('Nichts braucht Sie.').waitFor();
    expect(await page.locator('html').getAttribute('lang')).toBe('de');
    await page.reload();
    await page.getByRole('link', { name: 'Vorfälle' }).waitFor();
    await page.getByLabel('Sprache').selectOption('zh');
    await page.getByText('没有需要您处理的事。').waitFor();
    expect(await page.locator('html').getAttribute('lang')).toBe('zh');
    const german = await browser.newContext({ locale: 'de-AT' });
    const first = await german.newPage();
    watch(first);
    await first.goto(coordinator.api);
    await first.getByRole('button', { name: 'Anmelden' }).waitFor();
    await german.close();
  });

  test('strangers and misplaced messages → shown as they come, without an alarm', async () => {
    await open('/refused');
    await page.getByText('Nothing is in quarantine.').waitFor();
    await expect(
      bench.client(coordinator.broker, { clientId: 'edge-2', username: 'edge-2', password: 'guessed' }),
    ).rejects.toThrow();
    const broker = page.locator('[data-refused="broker"]');
    await broker.getByText('edge-2').waitFor();
    const a1 = await bench.client(coordinator.broker, {
      clientId: 'a1',
      username: 'a1',
      password: passwordOf('a1'),
    });
    await a1.publishAsync('mw/1/demo/a10/log', 'not mine', { qos: 1 });
    await page.locator('[data-refused="quarantine"]').getByText('mw/1/demo/a10/log').waitFor();
    say({
      type: 'event',
      name: 'intruder-refused',
      subject: '10.0.0.66',
      severity: 'warning',
      text: 'a stranger without the mesh key knocked and was refused',
      detail: {},
    });
    await page.locator('[data-refused="mesh"]').getByText('10.0.0.66').waitFor();
    await page.getByRole('link', { name: 'Now', exact: true }).click();
    await page.getByText('Nothing needs you.').waitFor();
  });

  /** What the agents of the mesh say of themselves and of each other; taken up within a second. */
  const meshOf = (verdicts: Record<string, AgentHealth['verdict']>) => {
    const names = ['edge-1', 'edge-2', 'a1', 'a10'];
    const members = names.map((agent) => ({ agent, state: 'alive' }));
    return { verdicts, health: (name: string) => () => ({ members, verdict: verdicts[name] ?? [] }) };
  };

  test('what is the matter → in plain words with its evidence, on the first page in short, and gone when it is over', async () => {
    const since = Date.now() - 90_000;
    const mesh = meshOf({
      'edge-2': [
        { class: 'gone', subject: 'a10', text: '', since, evidence: ['a10 did not answer 3 probes in a row'] },
        { class: 'link', subject: 'a1', text: '', since, evidence: ['4 probes in a row came through edge-1 only'] },
      ],
      a1: [
        { class: 'gone', subject: 'a10', text: '', since, proven: true, evidence: ['the supervisor of a10 released its death certificate'] }, // biome-ignore format: one statement
        { class: 'i-am-slow', text: '', since, evidence: ['4 timers came late, the worst by 380 ms'] },
      ],
    });
    for (const name of ['edge-2', 'a1']) bench.agent(name, coordinator.broker, { health: mesh.health(name) });
    await open();
    const inShort = page.locator('.matters-short');
    await inShort.locator('[data-matter="gone a10"]').getByText('The agent on a10 has died').waitFor();
    await page.getByText('No alarm needs you, but not all is well with the boxes.').waitFor();
    await inShort.getByText('The direct path between a1 and edge-2 is broken').waitFor();
    expect(await inShort.locator('[data-matter]').evaluateAll((all) => all.map((li) => li.dataset['matter']))).toEqual([
      'gone a10',
      'link a1 edge-2',
      'i-am-slow a1',
    ]);
    await inShort.getByRole('link', { name: 'all' }).click();
    const dead = page.locator('.matters [data-matter="gone a10"]');
    await dead.getByText('said by a1, edge-2').waitFor();
    await dead.getByText('Its supervisor starts the agent again').waitFor();
    expect(await dead.getByText('released its death certificate').isVisible()).toBe(false);
    await dead.getByText('Evidence').click();
    await dead.getByText('the supervisor of a10 released its death certificate').waitFor();
    await page.locator('.matters').getByText('a1 is too slow to keep up').waitFor();
    const { violations } = await new AxeBuilder({ page }).include('.matters').analyze();
    expect(violations.filter(({ impact }) => impact === 'serious' || impact === 'critical')).toEqual([]);

    mesh.verdicts['a1'] = [{ class: 'segment', subject: 'switch-2', members: ['a10', 'edge-2'], text: '', since }];
    await page.locator('[data-matter="segment switch-2"]').getByText('a10, edge-2').waitFor();
    await dead.waitFor({ state: 'detached' });
    await page.setViewportSize({ width: 390, height: 844 });
    expect(await page.locator('html').evaluate((html) => html.scrollWidth)).toBe(390);
    for (const target of await page.locator('.matters summary').all()) {
      expect((await target.boundingBox())?.height).toBeGreaterThanOrEqual(44);
    }
    await page.setViewportSize({ width: 1280, height: 800 });
    await page.goto(`${home}/`);
    await inShort.waitFor();
    for (const name of ['edge-2', 'a1']) mesh.verdicts[name] = [];
    await inShort.waitFor({ state: 'detached' });
    await page.getByText('Nothing needs you.').waitFor();
  });

  test('an agent that the others see alive ends its line → its own line is named, by nobody’s word', async () => {
    const mesh = meshOf({});
    bench.agent('edge-2', coordinator.broker, { health: mesh.health('edge-2') });
    const lost = bench.agent('a1', coordinator.broker, { health: mesh.health('a1') });
    bench.agent('a10', coordinator.broker, { health: mesh.health('a10') });
    await open('/fleet');
    await page.locator('[data-agent="a1"]').getByText('online').waitFor();
    await lost.end();
    const line = page.locator('[data-matter="my-uplink a1"]');
    await line.getByText('a1 works, but its own line to the coordinator is broken').waitFor();
    await line.getByText('by who is heard here').waitFor();
  });

  test('events: filter in the address → only what fits; a thousand rows are the most that is shown', async () => {
    say(...Array.from({ length: 1_100 }, (_, n) => event(n)), alarm());
    await eventually(() => agent.outbox.stats().pending === 0, { deadlineMs: WAIT_MS });
    await open('/events?severity=error');
    await page.locator('[data-event="alarm-on"]').waitFor();
    expect(await page.locator('[data-event]').count()).toBe(1);
    await page.goto(`${coordinator.api}/events?n=1000&name=counted`);
    await eventually(async () => (await page.locator('[data-event]').count()) === 1_000, { deadlineMs: WAIT_MS });
    say(event(5_000), event(5_001));
    await page.getByText('event 5001', { exact: true }).waitFor();
    expect(await page.locator('[data-event]').count()).toBe(1_000);
    expect(await page.locator('[data-event]').first().innerText()).toContain('event 5001');
    await page.goto(`${coordinator.api}/events?agent=edge.2`);
    await page.getByText('No event fits.').waitFor();
  });

  test('models → what each is worth, its shadow beside it, and the line to type; a change comes without a reload', async () => {
    type Said = NonNullable<AgentHealth['models']>;
    const shadow = { file: 'press/2', state: 'scoring', agreement: 0.991, windows: 11_000, onlyIncumbent: 90, onlyShadow: 3 }; // biome-ignore format: one shadow
    let models: Said = [
      { model: 'press/bearing', state: 'normal', kind: 'file', file: 'press/1', windows: 12_000, falseAlarmRate: 0.012, limit: 0.05, drift: 'moved', moved: [{ name: 'oil', shift: 3.4, psi: 0.31 }], seat: 'site', since: Date.now() - 86_400_000, shadow }, // biome-ignore format: one model
      { model: 'pump/flow', state: 'unknown', kind: 'file', file: 'pump/7', why: 'its sha256 is not the promised one' },
    ];
    bench.agent('edge-2', coordinator.broker, { health: () => ({ models }) });
    await open('/models');
    const bearing = page.locator('[data-model="press/bearing"]');
    await bearing.getByText('says the same in 99.1 %').waitFor();
    await bearing.getByText('oil: mean moved by 3.4 deviations').waitFor();
    expect(await page.locator('[data-model]').first().getAttribute('data-state')).toBe('refused');
    await page.getByText('its sha256 is not the promised one').waitFor();
    await context.grantPermissions(['clipboard-read', 'clipboard-write']);
    await bearing.getByRole('button', { name: /Copy: millwright model promote/ }).click();
    await bearing.getByText('copied').waitFor();
    expect(await page.evaluate('navigator.clipboard.readText()')).toBe(
      'millwright model promote press/bearing --config agents/edge-2/agent.yaml',
    );
    const { violations } = await new AxeBuilder({ page }).include('.models').analyze();
    expect(violations.filter(({ impact }) => impact === 'serious' || impact === 'critical')).toEqual([]);
    await page.setViewportSize({ width: 390, height: 844 });
    expect(await page.locator('html').evaluate((html) => html.scrollWidth)).toBe(390);
    models = [{ model: 'press/bearing', state: 'anomalous', kind: 'file', file: 'press/2', seat: 'person' }];
    await page.locator('[data-model="press/bearing"][data-state="anomalous"]').waitFor();
    await page.locator('[data-model="pump/flow"]').waitFor({ state: 'detached' });
  });

  test('maintenance → signed in the page with a person’s key, confirmed by who obeys, refused with the reason, ended likewise', async () => {
    const { privateKey, publicKey } = generateKeyPairSync('ed25519');
    const key = oneLineKey(publicKey.export({ type: 'spki', format: 'pem' }) as string) ?? '';
    let maintenance: NonNullable<AgentHealth['maintenance']> = [];
    bench.agent('edge-2', coordinator.broker, {
      health: () => ({ maintenance }),
      obey: (verb, document) => {
        const read = readOrder(document, [{ name: 'anna', key, may: ['order'] }]);
        if (!read.ok || read.value.what.verb !== verb) throw new Error(`not as it was signed: ${verb}`);
        const { id, by, what } = read.value;
        if (what.verb === 'maintain') {
          const { thing, why, forMs } = what;
          maintenance = [
            { maintenance: `order:${by}`, things: [thing], why, by, order: id, until: Date.now() + forMs },
          ];
        } else maintenance = [];
        return { v: 1, id, ok: true };
      },
    });
    bench.agent('a1', coordinator.broker, {
      obey: (_, document) => {
        const read = peekOrder(document);
        return {
          v: 1,
          id: read.ok ? read.value.id : undefined,
          ok: false,
          reason: 'may-not',
          text: '“anna” may nothing',
        };
      },
    });
    await open('/maintenance?thing=press-7');
    await page.getByText('Nobody works on anything.').waitFor();
    await page.getByText('It goes to 3 boxes; each confirms it.').waitFor();
    await page.getByLabel('What is done').fill('bearing is changed');
    await page.getByRole('button', { name: 'Begin maintenance' }).click();
    await page.getByLabel('Your name, as in the site file').fill('anna');
    const pem = privateKey.export({ type: 'pkcs8', format: 'pem' }) as string;
    await page
      .getByLabel('Your key')
      .setInputFiles({ name: 'anna.key', mimeType: 'text/plain', buffer: Buffer.from(pem) });
    await page.getByRole('button', { name: 'Sign and send' }).click();
    const answers = page.locator('.answers');
    await answers.getByText('Confirmed by 1 of 3.').waitFor();
    await answers.getByText('a1: refused: “anna” may nothing').waitFor();
    // Sent is not confirmed: an agent that takes no orders says nothing.
    await answers.locator('[data-given="pending"]').getByText('edge-1').waitFor();
    const work = page.locator('[data-work="order:anna"]');
    await work.getByText('confirmed by 1 of 3 boxes').waitFor();
    await work.getByText('not known to a1, edge-1').waitFor();
    await page.emulateMedia({ reducedMotion: 'reduce' });
    const { violations } = await new AxeBuilder({ page }).include('.maintenance').analyze();
    expect(violations.filter(({ impact }) => impact === 'serious' || impact === 'critical')).toEqual([]);
    await page.setViewportSize({ width: 390, height: 844 });
    expect(await page.locator('html').evaluate((html) => html.scrollWidth)).toBe(390);
    await work.getByRole('button', { name: 'End maintenance of press-7' }).click();
    await answers.getByText('Confirmed by 1 of 1.').waitFor();
    await work.waitFor({ state: 'detached' });
    expect(maintenance).toEqual([]);
  });

  /** Minutes around an alarm, as a box's recorder tells them. */
  const evidenceOf = (alarmId: string, at: number, stage: 'begun' | 'kept'): ReportBody => {
    const [from, to] = [at - 600_000, stage === 'kept' ? at + 120_000 : at];
    const points = (value: (s: number) => number | null | undefined) =>
      Array.from({ length: (to - from) / 10_000 + 1 }, (_, i) => [i * 10, value(i * 10)]).filter(
        ([, y]) => y !== undefined,
      );
    const curves = [
      { name: 'score:press-7/bearing', points: points((s) => s / 150), threshold: 3, shares: { 'press-7/rms': 0.8 }, raised: 4 },
      { name: 'press-7/rms', unit: 'mm/s', points: points((s) => (s > 200 && s < 300 ? undefined : 2 + s / 200)), usual: [2.5, 0.25], raised: 5, limits: [{ level: 'crit', side: 'above', value: 4 }] },
      { name: 'press-7/oil', unit: 'bar', points: points((s) => (s > 300 && s < 400 ? null : 4)), usual: [4, 0.1], raised: 4 },
    ]; // biome-ignore format: three curves
    const detail = { evidence: 'e-1', occurrence: 'o1', thing: 'press-7', stage, from, to, bytes: 4_200, excerpt: JSON.stringify({ from, to, at, step: 10, curves }) }; // biome-ignore format: one detail
    return { type: 'event', name: 'evidence', subject: alarmId, severity: 'info', text: 'kept', detail };
  };

  test('alarm’s own page → its evidence late, then in curves; the keyboard moves through them, a table says the same', async () => {
    const at = Date.now() - 60_000;
    say(alarm({ since: at as AlarmTransition['since'] }));
    await open();
    await row(PRESS).getByRole('link', { name: 'The bearing wears.' }).click();
    await page.getByText('The box tells what it recorded within seconds.').waitFor();
    say(evidenceOf(PRESS, at, 'begun'));
    await page.getByText('what follows comes two minutes after the alarm').waitFor();
    say(evidenceOf(PRESS, at, 'kept'));
    await page.getByText('the whole (4 kB) is kept there').waitFor();
    expect(
      await page.locator('[data-curve]').evaluateAll((all) => all.map((one) => one.getAttribute('data-curve'))),
    ).toEqual(['press-7/rms', 'press-7/oil', 'score:press-7/bearing']);
    const parts = await page.locator('.parts li').allInnerTexts();
    expect(parts[0]?.replaceAll(/\s+/g, ' ')).toContain(
      '5 mm/s at the alarm, before it usually 2.5 mm/s · 10 × its usual spread too high · critical above 4 mm/s 80 % of the score',
    );
    expect(parts[1]).toContain('as usual');
    const rms = page.locator('[data-curve="press-7/rms"]');
    expect(await rms.getByRole('img').getAttribute('aria-label')).toContain('from 2 to 5.6 mm/s; at the alarm 5 mm/s');
    await page.locator('.legend').getByText('nothing heard').waitFor();
    await page.locator('.legend').getByText('bad quality').waitFor();
    // By the keyboard back to where nothing was heard.
    const slider = page.getByRole('slider', { name: 'Moment' });
    await slider.focus();
    await page.keyboard.press('Home');
    expect(await rms.locator('.readout').innerText()).toBe('2 mm/s');
    await slider.fill('-350');
    expect(await rms.locator('.readout').innerText()).toBe('nothing heard');
    expect(await slider.getAttribute('aria-valuetext')).toContain('rms nothing heard');
    await page.getByText('The same as a table').click();
    await page.locator('.figures-table tbody tr').first().waitFor();
    expect(await page.locator('.figures-table tbody tr').count()).toBe(24);
    await page.setViewportSize({ width: 390, height: 844 });
    expect(await page.locator('html').evaluate((html) => html.scrollWidth)).toBe(390);
    // Colours on their way from one scheme to the other are nobody's.
    await page.emulateMedia({ reducedMotion: 'reduce' });
    await page.getByRole('button', { name: 'Dark' }).click();
    const { violations } = await new AxeBuilder({ page }).include('.evidence').analyze();
    expect(violations.filter(({ impact }) => impact === 'serious' || impact === 'critical')).toEqual([]);
    await page.getByRole('button', { name: /Acknowledge press-7/ }).click();
    await page.getByPlaceholder('Your name').fill('anna');
    await page.keyboard.press('Enter');
    await page.locator('main').getByText('by anna').waitFor();
  });

  test('what is of another day → says its date, and the date covers nothing', async () => {
    say(...healed(4), alarm());
    const api = '/api/v1/incidents/label-service%2Frestart-4';
    await eventually(async () => (await get(coordinator.api, api)).status === 200, { deadlineMs: WAIT_MS });
    const today = new Date();
    const date = `${today.getDate()} ${today.toLocaleString('en-GB', { month: 'short' })} ${today.getFullYear()}`;
    await page.clock.setFixedTime(Date.now() + 3 * 86_400_000);
    const edges = async (left: string, right: string): Promise<readonly [number, number]> => {
      const [one, other] = await Promise.all(
        [page.locator(left), page.locator(right)].map((at) => at.first().boundingBox()),
      );
      return [(one?.x ?? Number.NaN) + (one?.width ?? 0), other?.x ?? Number.NaN];
    };
    await open('/incidents/label-service%2Frestart-4');
    await page.getByText(`on edge-1 · ${date}`).waitFor();
    const [clock, mark] = await edges('.point .clock time', '.point .mark');
    expect(clock).toBeLessThanOrEqual(mark);
    await page.goto(`${coordinator.api}/events`);
    await page.locator('[data-event="alarm-on"]').getByText(date).waitFor();
    const [at, sign] = await edges('.events .at time', '.events .sign-place');
    expect(at).toBeLessThanOrEqual(sign);
  });

  test('what cannot be loaded → says so and why, in the place where it would stand', async () => {
    const broken = { status: 500, json: { code: 'store', message: 'the disk is full', remedy: '' } };
    await page.route('**/api/v1/quarantine*', (route) => route.fulfill(broken));
    await open('/refused');
    const place = page.getByRole('region', { name: 'In quarantine' });
    await place.getByText('This could not be loaded: the disk is full').waitFor();
    await page.getByRole('region', { name: 'Refused by the mesh' }).getByText('Nobody was turned away.').waitFor();
    expectComplaint(/500/);
  });

  const PAGES = [
    ...['/', '/fleet', '/duties', '/models', '/maintenance', '/incidents', '/incidents/label-service%2Frestart-4'],
    ...['/events', '/refused'],
  ];

  test('every page, light and dark → axe finds nothing serious', async () => {
    say(
      alarm(),
      conveyor(),
      conveyor({ state: 'off' }),
      alarm({ alarmId: 'a.x', thing: 'x', priority: 'medium' }),
      ...healed(4),
      event(1),
    );
    await eventually(() => agent.outbox.stats().pending === 0, { deadlineMs: WAIT_MS });
    const found: string[] = [];
    const look = async (where: string): Promise<void> => {
      const { violations } = await new AxeBuilder({ page }).analyze();
      for (const { id, impact, nodes } of violations) {
        if (impact !== 'serious' && impact !== 'critical') continue;
        found.push(...nodes.map((node) => `${where}: ${id}: ${node.html.slice(0, 160)}`));
      }
    };
    await page.emulateMedia({ reducedMotion: 'reduce' });
    await page.goto(coordinator.api);
    await page.getByRole('button', { name: 'Log in' }).waitFor();
    await look('login');
    await open();
    for (const scheme of ['light', 'dark']) {
      // The other pages are made of the same parts; dark only differs in its colours.
      for (const path of scheme === 'light' ? PAGES : ['/', '/fleet', '/incidents/label-service%2Frestart-4']) {
        await page.goto(`${coordinator.api}${path}`);
        await page
          .locator('main')
          .locator('[data-alarm], tr, .events li, .causal li, h2, .empty .big')
          .first()
          .waitFor();
        await look(`${path} ${scheme}`);
      }
      if (scheme === 'light') await page.getByRole('button', { name: 'Dark' }).click();
    }
    expect(await page.locator('html').getAttribute('data-mantine-color-scheme')).toBe('dark');
    expect(found).toEqual([]);
  });

  test('menu → whole on a tablet; on a phone the page that is shown stands in it', async () => {
    await page.setViewportSize({ width: 820, height: 1_100 });
    await open('/refused');
    const menu = page.locator('header nav');
    expect(await menu.evaluate((nav) => nav.scrollWidth <= nav.clientWidth)).toBe(true);
    await page.setViewportSize({ width: 390, height: 844 });
    await page.reload();
    const current = await menu.getByRole('link', { name: 'Refused' }).boundingBox();
    expect((current?.x ?? 999) + (current?.width ?? 0)).toBeLessThanOrEqual(390);
  });

  test('phone of 390 px → nothing is cut off, and what is touched is 44 px high', async () => {
    say(alarm(), ...healed(4), event(1));
    await eventually(() => agent.outbox.stats().pending === 0, { deadlineMs: WAIT_MS });
    await page.setViewportSize({ width: 390, height: 844 });
    await open();
    for (const path of PAGES) {
      await page.goto(`${coordinator.api}${path}`);
      await page.locator('main').locator('[data-alarm], tr, .events li, .causal li, h2, .empty .big').first().waitFor();
      expect([path, await page.locator('html').evaluate((html) => html.scrollWidth)]).toEqual([path, 390]);
    }
    await page.goto(coordinator.api);
    await row(PRESS).waitFor();
    for (const target of await page.locator('header a, header button, header select, .act button').all()) {
      if (!(await target.isVisible())) continue;
      const box = await target.boundingBox();
      expect([await target.innerText(), Math.round(box?.height ?? 0) >= 44]).toEqual([await target.innerText(), true]);
    }
  });
});
