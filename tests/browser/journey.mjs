// A customer's way through the dashboard: create, test, break, read why,
// edit, regenerate, delete. Everything is found by its role and name.
// PORTAL: the link; RECEIVER: the URL of a receiver that answers 200, then 410;
// SCRIPT=off: without JavaScript. SHOTS: a folder for screenshots.
import assert from "node:assert/strict";
import axe from "axe-core";
import { chromium } from "playwright-core";

const { PORTAL, RECEIVER, SHOTS } = process.env;
const scripted = process.env.SCRIPT !== "off";
const browser = await chromium.launch({
  executablePath: "/usr/bin/chromium",
  args: ["--no-sandbox", "--disable-quic", "--disable-background-networking"],
});
const context = await browser.newContext({
  javaScriptEnabled: scripted,
  // axe is evaluated by the driver, not by the page.
  viewport: { width: 1180, height: 860 },
});
context.setDefaultTimeout(15_000);
const page = await context.newPage();
const complaints = [];
page.on("console", (message) => {
  // A form that is refused on purpose answers 422, which Chromium logs.
  if (message.type() === "error" && !message.text().includes("422")) complaints.push(message.text());
});
page.on("pageerror", (error) => complaints.push(String(error)));
const by = (role, name, exact = true) => page.getByRole(role, { name, exact });

/** No violation in light or dark, nothing wider than a narrow screen. */
async function check(name) {
  for (const colorScheme of ["light", "dark"]) {
    await page.emulateMedia({ colorScheme, reducedMotion: "reduce" });
    if (SHOTS) await page.screenshot({ path: `${SHOTS}/${name}-${colorScheme}.png` });
    if (!scripted) continue;
    await page.evaluate(axe.source);
    const { violations } = await page.evaluate(() => globalThis.axe.run());
    const found = violations.map(({ id, nodes }) => [id, ...nodes.map((node) => `${node.html}: ${node.failureSummary}`)]);
    assert.deepEqual(found, [], `${name}, ${colorScheme}`);
  }
  await page.emulateMedia({ colorScheme: "light" });
  if (!scripted) return;
  await page.setViewportSize({ width: 360, height: 740 });
  const width = await page.evaluate(() => document.documentElement.scrollWidth);
  if (SHOTS) await page.screenshot({ path: `${SHOTS}/${name}-360.png` });
  assert.ok(width <= 360, `${name} is ${width} px wide on a screen of 360`);
  await page.setViewportSize({ width: 1180, height: 860 });
}

async function journey() {
  await page.goto(PORTAL);
  await by("heading", "Webhook Settings").waitFor();
  await check("empty");

  await by("link", "Add Endpoint").click();
  await by("dialog", "Create Webhook Endpoint").waitFor();
  await check("create");
  await by("textbox", "URL").fill(RECEIVER);
  await by("textbox", "Description").fill("Billing <b>");
  await by("textbox", "Rate Limit (per second)").fill("5");
  await by("button", "Create Endpoint").click();
  await page.locator("#types-error").waitFor();
  assert.equal(await by("textbox", "Description").inputValue(), "Billing <b>");
  await by("checkbox", "message.report", false).check();
  await by("button", "Create Endpoint").click();
  await by("link", "Edit Billing <b>").waitFor();
  await page.getByText("Active", { exact: true }).waitFor();
  await by("link", "Open URL").waitFor();
  await check("settings");

  await by("link", "Edit Billing <b>").click();
  await page.getByText("No deliveries yet").waitFor();
  await page.getByText("Show secret").click();
  const secret = await page.locator("#secret").textContent();
  assert.match(secret, /^whsec_/);
  await check("editor");

  await by("link", "Send Test Event").click();
  await by("dialog", "Send Test Event").waitFor();
  await check("test");
  await by("button", "Send").click();
  await page.getByText("Your receiver answered 200").waitFor();
  await by("button", "Send").click();
  await page.getByText("Failed: 410").waitFor();
  await by("link", "Close").click();

  await by("link", "View Messages").click();
  await by("heading", "Message History").waitFor();
  for (const card of ["Total Messages", "Successful", "Failed", "Success Rate"]) {
    await page.locator("dt", { hasText: new RegExp(`^${card}$`) }).waitFor();
  }
  await check("history");
  await by("combobox", "Status").selectOption({ label: "Failed" });
  await by("button", "Apply").click();
  await page.waitForURL(/status=failed/);
  assert.equal(await page.locator("tbody tr").count(), 1);
  await by("link", "View payload").click();
  await by("heading", "Message payload").waitFor();
  await page.getByText("<script>alert(1)</script>\\u{202e}").waitFor();
  await check("payload");
  await by("button", "Resend").waitFor();

  await by("link", "← Message History").click();
  await by("link", "← Billing <b>").click();
  await by("textbox", "Rate Limit (req/s)").fill("none");
  await by("button", "Save Changes").click();
  await page.getByText("use a whole number").waitFor();
  await by("textbox", "Rate Limit (req/s)").fill("");
  await by("textbox", "Description").fill("Invoices");
  await by("button", "Save Changes").click();
  await page.getByText("Saved.", { exact: false }).waitFor();

  await by("link", "Regenerate secret").click();
  await by("dialog", "Regenerate secret?").waitFor();
  await check("regenerate");
  await by("button", "Regenerate secret").click();
  await by("dialog", "Regenerate secret?").waitFor({ state: "detached" });
  assert.notEqual(await page.locator("#secret").textContent(), secret);

  await by("link", "Delete Endpoint").click();
  await page.getByText("This cannot be undone").waitFor();
  await check("delete");
  await by("button", "Delete Endpoint").click();
  await by("heading", "No endpoints yet").waitFor();
}

try {
  await journey();
  assert.deepEqual(complaints, [], "the browser's console");
} catch (error) {
  console.error(`at ${page.url()}\n${await page.locator("body").innerText().catch(() => "")}`);
  throw error;
} finally {
  await browser.close();
}
