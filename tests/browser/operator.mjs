// The operator: all accounts, what fails in them, the keys, and who did what.
import assert from "node:assert/strict";
import { BASE, KEY, platform, receiver, story, until } from "./story.mjs";

const account = platform("fleet-failing");
const server = await receiver();
server.answer = { status: 500 };
await account.endpoint(server.url);
await account.publish();

await story({}, async ({ page, by, check }) => {
  await page.goto(BASE);
  await by("heading", "Sign in").waitFor();
  await check("sign-in");
  await by("textbox", "API key").fill("wrong");
  await by("button", "Sign in").click();
  await page.getByText("This key does not exist").waitFor();
  await by("textbox", "API key").fill(KEY);
  await by("button", "Sign in").click();
  await by("heading", "Accounts").waitFor();
  await by("link", "fleet-failing").waitFor();
  await check("accounts");
  await by("textbox", "Account").fill("fleet-failing");
  await by("button", "Open").click();
  await by("heading", "Webhook Settings").waitFor();
  await by("link", "Accounts").click();

  await by("link", "Fleet").click();
  await until("the failing endpoint", async () => {
    await page.reload();
    return page.locator("tr", { hasText: "fleet-failing" }).getByText("Failing", { exact: true }).isVisible();
  });
  await check("fleet");

  await by("link", "API keys").click();
  await by("link", "Create key").click();
  await by("dialog", "Create key").waitFor();
  await check("create-key");
  await by("textbox", "Description").fill("the mailer");
  await by("textbox", "Expires in (days)").fill("soon");
  await by("button", "Create key").click();
  await page.getByText("use a whole number of days").waitFor();
  await by("textbox", "Expires in (days)").fill("30");
  await by("radio", "read", false).check();
  await by("button", "Create key").click();
  await by("dialog", "Copy the key now").waitFor();
  await check("made-key");
  const key = await page.locator("#made").textContent();
  const ask = () => fetch(`${BASE}/v1/event-types`, { headers: { authorization: `Bearer ${key}` } });
  assert.equal((await ask()).status, 200);
  await by("link", "Done").click();
  assert.equal(await page.getByText(key).count(), 0);
  await check("keys");
  await by("link", "Revoke the mailer").click();
  await by("dialog", "Revoke key?").waitFor();
  await check("revoke-key");
  await by("button", "Revoke key").click();
  await by("heading", "API keys").waitFor();
  assert.equal((await ask()).status, 401);
  await by("link", "Audit log").click();
  await by("combobox", "What").selectOption({ label: "API key revoked" });
  await by("button", "Apply").click();
  await page.waitForURL(/action=key\.revoked/);
  const row = page.locator("tbody tr").first();
  await row.getByText("Operator's dashboard").waitFor();
  await check("audit-log-of-all");
  await by("button", "Sign out").click();
  await by("heading", "Sign in").waitFor();
  await page.goto(`${BASE}/fleet`);
  await by("heading", "Sign in").waitFor();
});
