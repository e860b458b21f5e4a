// What every story needs: a browser, the platform's side, a receiver, checks.
// BASE: where Postrider answers; KEY: the operator's key. SHOTS: a folder for
// screenshots of everything that is checked.
import assert from "node:assert/strict";
import { createServer } from "node:http";
import axe from "axe-core";
import { chromium } from "playwright-core";

export const { BASE, KEY, SHOTS } = process.env;
const DESKTOP = { width: 1180, height: 860 };
const PATIENCE = 15_000;

/** Calls REST as the platform does. */
export async function call(method, path, body) {
  const answer = await fetch(`${BASE}${path}`, {
    method,
    headers: { authorization: `Bearer ${KEY}`, "content-type": "application/json" },
    body: body && JSON.stringify(body),
  });
  const text = await answer.text();
  assert.ok(answer.ok, `${method} ${path}: ${answer.status} ${text}`);
  return text ? JSON.parse(text) : null;
}

/** The platform's side of one account. */
export function platform(account) {
  const base = `/v1/accounts/${account}`;
  return {
    base,
    portal: async () => (await call("POST", `${base}/portal-sessions`, {})).url,
    publish: async (object = { text: "Hello" }, type = "message.incoming", more = {}) =>
      (await call("POST", `${base}/events`, { type, object, ...more })).id,
    endpoint: async (url, more = {}) => {
      const body = { url, description: "a receiver", event_types: ["message.incoming"], ...more };
      return (await call("POST", `${base}/endpoints`, body)).id;
    },
    attempts: async (endpoint) =>
      (await call("GET", `${base}/endpoints/${endpoint}/attempts?page_size=100`)).attempts,
  };
}

/** Waits until `look` gives something, and gives that. */
export async function until(what, look, patience = PATIENCE) {
  const end = Date.now() + patience;
  for (;;) {
    const found = await look();
    if (found) return found;
    if (Date.now() > end) throw new Error(`${what} does not happen`);
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
}

/** A customer's server: `answer` may be changed, `requests` is what came. */
export async function receiver() {
  const it = { answer: { status: 200, body: "thanks" }, requests: [] };
  const server = createServer((request, response) => {
    const chunks = [];
    request.on("data", (chunk) => chunks.push(chunk));
    request.on("end", () => {
      it.requests.push({ headers: request.headers, body: Buffer.concat(chunks) });
      response.writeHead(it.answer.status, it.answer.headers ?? {});
      response.end(it.answer.body);
    });
  });
  await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
  server.unref();
  it.url = `http://127.0.0.1:${server.address().port}/hook`;
  return it;
}

/** Opens a browser, tells the story, and looks for complaints at its end. */
export async function story({ args = [], permissions = [], ...options }, tell) {
  const browser = await chromium.launch({
    executablePath: "/usr/bin/chromium",
    args: ["--no-sandbox", "--disable-quic", "--disable-background-networking", ...args],
  });
  const context = await browser.newContext({ viewport: DESKTOP, permissions, ...options });
  context.setDefaultTimeout(PATIENCE);
  const page = await context.newPage();
  const complaints = [];
  page.on("console", (message) => {
    // A form or an address that is refused on purpose, which Chromium logs.
    if (message.type() === "error" && !/status of (401|404|409|422)/.test(message.text())) complaints.push(message.text());
  });
  page.on("pageerror", (error) => complaints.push(String(error)));
  const by = (role, name, exact = true) => page.getByRole(role, { name, exact });
  const it = { browser, context, page, by, complaints };
  it.check = (name) => check(page, name, options.javaScriptEnabled !== false);
  try {
    await tell(it);
    assert.deepEqual(complaints, [], "the browser's console");
  } catch (error) {
    console.error(`at ${page.url()}\n${await page.locator("body").innerText().catch(() => "")}`);
    console.error(complaints.join("\n"));
    throw error;
  } finally {
    await browser.close();
  }
}

/** No violation in light or dark, nothing wider than a narrow screen. */
async function check(page, name, scripted) {
  for (const colorScheme of ["light", "dark"]) {
    await page.emulateMedia({ colorScheme, reducedMotion: "reduce" });
    if (SHOTS) await page.screenshot({ path: `${SHOTS}/${name}-${colorScheme}.png`, fullPage: true });
    if (!scripted) continue;
    // axe is evaluated by the driver, not by the page.
    await page.evaluate(axe.source);
    const { violations } = await page.evaluate(() => globalThis.axe.run());
    const found = violations.map(({ id, nodes }) => [id, ...nodes.map((node) => `${node.html}: ${node.failureSummary}`)]);
    assert.deepEqual(found, [], `${name}, ${colorScheme}`);
  }
  await page.emulateMedia({ colorScheme: "light" });
  await page.setViewportSize({ width: 360, height: 740 });
  if (SHOTS) await page.screenshot({ path: `${SHOTS}/${name}-360.png`, fullPage: true });
  if (scripted) {
    const width = await page.evaluate(() => document.documentElement.scrollWidth);
    assert.ok(width <= 360, `${name} is ${width} px wide on a screen of 360`);
  }
  await page.setViewportSize(DESKTOP);
}

/** Looks at the page again until it shows this. */
export const shows = (page, locator) => until(`${locator}`, async () => {
  if (await locator.first().isVisible()) return true;
  await page.reload();
  return locator.first().isVisible();
});

/** The element that has the focus, as a reader of its name would find it. */
export const focused = (page) => page.evaluate(() => {
  const at = document.activeElement;
  const label = at.labels?.[0]?.textContent ?? "";
  return (at.getAttribute("aria-label") ?? (label || at.textContent)).trim().replace(/\s+/g, " ");
});

/** Presses Tab until what is called so has the focus. */
export async function tabTo(page, name) {
  for (let presses = 0; presses < 80; presses += 1) {
    await page.keyboard.press("Tab");
    const at = await focused(page);
    if (typeof name === "string" ? at === name : name.test(at)) return;
  }
  throw new Error(`Tab does not reach ${name}`);
}
