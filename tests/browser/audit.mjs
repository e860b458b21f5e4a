// A customer reads who changed what, with script and without.
import assert from "node:assert/strict";
import { call, platform, receiver, story } from "./story.mjs";

const { ACCOUNT, SCRIPT } = process.env;
const account = platform(ACCOUNT);
const server = await receiver();
const id = await account.endpoint(server.url, { description: "Orders" });
for (let time = 0; time < 60; time += 1) await call("GET", `${account.base}/endpoints/${id}/secret`);

await story({ javaScriptEnabled: SCRIPT !== "off" }, async ({ page, by, check }) => {
  await page.goto(await account.portal());
  await by("link", "Audit log").click();
  await by("heading", "Audit log").waitFor();
  const rows = page.locator("tbody tr");
  assert.equal(await rows.count(), 50);
  await by("link", "Next").click();
  await by("link", "Previous").waitFor();
  // The endpoint, its secret 60 times, and the link to this page.
  assert.equal(await rows.count(), 12);
  await by("link", "Previous").click();
  await by("link", "Next").waitFor();
  assert.equal(await rows.count(), 50);
  await check("audit-log");

  // What is chosen stands in the address, and leads to what it is about.
  await by("combobox", "What").selectOption({ label: "Endpoint created" });
  await by("combobox", "Time range").selectOption({ label: "Last 24 hours" });
  await by("button", "Apply").click();
  await page.waitForURL(/action=endpoint\.created.*range=24h/);
  assert.equal(await rows.count(), 1);
  assert.ok(await rows.first().getByText("REST API").isVisible());
  assert.equal(await by("textbox", "Key").count(), 0);
  await page.reload();
  assert.equal(await rows.count(), 1);
  await by("link", id).click();
  await by("heading", "Edit Endpoint").waitFor();
  await page.goBack();
  await by("textbox", "To what").fill("ep_of-somebody");
  await by("button", "Apply").click();
  await by("heading", "Nothing matches").waitFor();
  await check("audit-log-empty");
  await by("link", "Clear").click();
  await by("combobox", "Through").selectOption({ label: "This dashboard" });
  await by("button", "Apply").click();
  // The editor showed the secret.
  await rows.first().getByText("Signing secret shown").waitFor();
  assert.equal(await rows.count(), 1);
  assert.ok(await rows.first().getByText("127.0.0.1").isVisible());
});
