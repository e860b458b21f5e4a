// A customer's way through the dashboard: create, copy the secret, verify a
// delivery with it, test, break the receiver, read why, repair, resend, edit,
// regenerate, delete. Everything is found by its role and name.
// ACCOUNT: whose; SCRIPT=off: without JavaScript.
import assert from "node:assert/strict";
import { createHmac } from "node:crypto";
import { platform, receiver, shows, story, until } from "./story.mjs";

const scripted = process.env.SCRIPT !== "off";
const account = platform(process.env.ACCOUNT);
const server = await receiver();
const signature = (secret, { body }) => createHmac("sha256", secret).update(body).digest("hex");
const signed = ({ headers }) => headers["x-webhook-signature"];

const options = {
  javaScriptEnabled: scripted,
  permissions: scripted ? ["clipboard-read", "clipboard-write"] : [],
};
await story(options, async ({ page, by, check }) => {
  const delivered = (count) => until(`request ${count}`, () => server.requests.length >= count && server.requests.at(-1));

  await page.goto(await account.portal());
  await by("heading", "Webhook Settings").waitFor();
  await page.getByText("Pre launch preview", { exact: false }).waitFor();
  await check("empty");

  // Create.
  await by("link", "Add Endpoint").click();
  await by("dialog", "Create Webhook Endpoint").waitFor();
  assert.match(page.url(), /\/webhooks\/new$/);
  await check("create");
  await by("textbox", "URL").fill(server.url);
  await by("textbox", "Description").fill("Billing <b>");
  await by("textbox", "Rate Limit (per second)").fill("5");
  await by("button", "Create Endpoint").click();
  await page.locator("#types-error").waitFor();
  assert.equal(await by("textbox", "Description").inputValue(), "Billing <b>");
  await by("checkbox", "message.incoming", false).check();
  await by("button", "Create Endpoint").click();
  await by("link", "Edit Billing <b>").waitFor();
  await page.getByText("Active", { exact: true }).waitFor();
  await by("link", "Open URL").waitFor();
  await by("img", "Last 24 hours: no messages").waitFor();
  await check("settings");

  // Copy the secret, and verify a delivery with it.
  await by("link", "Edit Billing <b>").click();
  await page.getByText("No deliveries yet").waitFor();
  let secret;
  if (scripted) {
    await by("button", "Copy secret").click();
    await by("button", "Copied").waitFor();
    secret = await page.evaluate(() => navigator.clipboard.readText());
  } else {
    await page.getByText("Show secret").click();
    secret = await page.locator("#secret").textContent();
  }
  assert.match(secret, /^whsec_/);
  const editor = page.url();
  await check("editor");
  await account.publish();
  const first = await delivered(1);
  assert.equal(signed(first), signature(secret, first));

  // Send a test event; its example can be edited.
  await by("link", "Send Test Event").click();
  await by("dialog", "Send Test Event").waitFor();
  await check("test");
  await by("textbox", "Object of message.incoming").fill('{"text": "a test"}');
  await by("button", "Send").click();
  await page.getByText("Your receiver answered 200").waitFor();
  assert.match((await delivered(2)).body.toString(), /"liveMode":false.*a test/);
  await by("link", "Close").click();

  // Break the receiver, and read why.
  server.answer = { status: 500, body: "<script>alert(1)</script>\u202e" };
  const broken = await account.publish({ text: "broken" });
  await delivered(4);
  await page.goto(editor);
  await shows(page, page.getByText("Failing", { exact: true }));
  await shows(page, page.getByText("Next retry", { exact: true }));
  await page.getByText("Failing since").waitFor();
  await check("failing");
  await by("link", "View Messages").click();
  await by("heading", "Message History").waitFor();
  for (const card of ["Total Messages", "Successful", "Failed", "Success Rate"]) {
    await page.locator("dt", { hasText: new RegExp(`^${card}$`) }).waitFor();
  }
  await shows(page, page.getByText("1 retrying"));
  await check("history");
  await by("combobox", "Status").selectOption({ label: "Failed" });
  await by("textbox", "Response").fill("500");
  await by("button", "Apply").click();
  await page.waitForURL(/status=failed.*response=500/);
  assert.equal(await page.locator("tbody tr").count(), 2);
  await by("link", "View payload").first().click();
  await by("heading", "Message payload").waitFor();
  await page.getByText("<script>alert(1)</script>\\u{202e}").waitFor();
  await page.getByText("The receiver did not answer with a 2xx.", { exact: false }).first().waitFor();
  await page.getByText("Next retry", { exact: true }).waitFor();
  assert.equal(await page.locator(".timeline li").count(), 2);
  const trace = page.locator("a[href^='https://traces.example.com/trace/']");
  assert.match(await trace.getAttribute("href"), /\/[0-9a-f]{32}$/);
  await check("payload");

  // Repair, and resend: the retry that was an hour away is made now.
  server.answer = { status: 204 };
  await by("button", "Resend").click();
  await page.waitForURL(new RegExp(`event_id=${broken}`));
  const resent = await delivered(5);
  assert.equal(resent.headers["webhook-id"], broken);
  assert.equal(signed(resent), signature(secret, resent));
  await shows(page, page.locator("tbody tr", { hasText: "204" }));
  await page.goto(editor);
  await shows(page, page.getByText("No recent delivery errors"));

  // Edit; at least one event type must stay.
  if (scripted) {
    await by("button", "Deselect All").click();
    await by("button", "Save Changes").click();
    await page.locator("#types-error").waitFor();
    await by("checkbox", "message.incoming", false).check();
    let warned = false;
    page.once("dialog", (dialog) => { warned = dialog.type() === "beforeunload"; return dialog.dismiss(); });
    await by("textbox", "Description").fill("Half typed");
    await by("link", "View Messages").click({ noWaitAfter: true });
    await until("a warning", () => warned);
    assert.equal(await by("textbox", "Description").inputValue(), "Half typed");
  }
  await by("textbox", "Rate Limit (req/s)").fill("none");
  await by("button", "Save Changes").click();
  await page.getByText("use a whole number").waitFor();
  await by("textbox", "Rate Limit (req/s)").fill("");
  await by("textbox", "Description").fill("Invoices");
  await by("button", "Save Changes").click();
  await page.getByText("Saved.", { exact: false }).waitFor();

  // Regenerate: the old secret's signature no longer matches.
  await by("link", "Regenerate secret").click();
  await by("dialog", "Regenerate secret?").waitFor();
  await check("regenerate");
  await by("button", "Regenerate secret").click();
  await by("dialog", "Regenerate secret?").waitFor({ state: "detached" });
  const renewed = await page.locator("#secret").textContent();
  await account.publish({ text: "after" });
  const after = await delivered(6);
  assert.notEqual(signed(after), signature(secret, after));
  assert.equal(signed(after), signature(renewed, after));

  // Delete: the history is gone.
  const id = editor.match(/ep_[0-9a-f-]+/)[0];
  const attempt = (await account.attempts(id))[0].id;
  await by("link", "Delete Endpoint").click();
  await page.getByText("This cannot be undone").waitFor();
  await check("delete");
  await by("button", "Delete Endpoint").click();
  await by("heading", "No endpoints yet").waitFor();
  for (const gone of [editor, `${editor}/messages`, editor.replace(/webhooks.*/, `attempts/${attempt}`)]) {
    assert.equal((await page.goto(gone)).status(), 404, gone);
  }
  await check("gone");
});
