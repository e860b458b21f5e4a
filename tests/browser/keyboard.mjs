// Every action without a mouse: Tab, Space, Enter and Escape.
import assert from "node:assert/strict";
import { platform, receiver, story, tabTo, until } from "./story.mjs";

const account = platform("keyboard");
const server = await receiver();

await story({ permissions: ["clipboard-read", "clipboard-write"] }, async ({ page, by }) => {
  const press = (...keys) => keys.reduce((before, key) => before.then(() => page.keyboard.press(key)), Promise.resolve());
  /** Goes to what is called so, and presses a key there. */
  const go = async (name, key = "Enter") => {
    await tabTo(page, name);
    await press(key);
  };
  const type = async (name, text) => {
    await tabTo(page, name);
    await press("ControlOrMeta+a");
    await page.keyboard.type(text);
  };

  await page.goto(await account.portal());
  await go("Skip to content");
  await go("Add Endpoint");
  await by("dialog", "Create Webhook Endpoint").waitFor();
  await press("Escape");
  await by("heading", "No endpoints yet").waitFor();
  await go("Add Endpoint");
  await by("dialog", "Create Webhook Endpoint").waitFor();
  await type("URL", server.url);
  await type("Description", "Keys");
  await go(/^message\.incoming/, "Space");
  await go("Create Endpoint");
  await by("link", "Edit Keys").waitFor();
  await go("Edit Keys");
  await by("heading", "Edit Endpoint").waitFor();

  await go("Show secret");
  await page.locator("#secret").waitFor({ state: "visible" });
  await go("Copy secret");
  await by("button", "Copied").waitFor();
  assert.match(await page.evaluate(() => navigator.clipboard.readText()), /^whsec_/);
  await go("Regenerate secret");
  await by("dialog", "Regenerate secret?").waitFor();
  await go("Grace period", "ArrowDown");
  assert.equal(await page.locator("#grace").inputValue(), "3600");
  await go("Regenerate secret");
  await by("dialog", "Regenerate secret?").waitFor({ state: "detached" });

  await go("Send Test Event");
  await by("dialog", "Send Test Event").waitFor();
  await go("Send");
  await page.getByText("Your receiver answered 200").waitFor();
  await go("Close");
  await by("dialog", "Send Test Event").waitFor({ state: "detached" });
  await go("Disable Endpoint");
  await page.getByText("Disabled", { exact: true }).waitFor();
  await go("Enable Endpoint");
  await page.getByText("Active", { exact: true }).waitFor();

  await go("Deselect All");
  await go(/^message\.report/, "Space");
  await type("Description", "More keys");
  await press("Enter");
  await page.getByText("Saved.", { exact: false }).waitFor();
  await go("Save Changes");
  await page.getByText("Saved.", { exact: false }).waitFor();

  await account.publish({ text: "one" }, "message.report");
  await until("a delivery", () => server.requests.length === 2);
  await go("View Messages");
  await by("heading", "Message History").waitFor();
  await until("rows", async () => (await page.locator("tbody tr").count()) === 2);
  await tabTo(page, "Status");
  await press("S");
  await go("Apply");
  await page.waitForURL(/status=succeeded/);
  await go("Clear");
  await page.waitForURL((url) => url.search === "");
  await go("View payload");
  await by("heading", "Message payload").waitFor();
  await go("Copy as curl");
  await by("button", "Copied").waitFor();
  await go("Resend");
  await page.waitForURL(/event_id=evt_/);
  await until("a resent delivery", () => server.requests.length === 3);

  await type("Event, delivery, attempt or trace id, or name=value of a tag", (await account.attempts(await id()))[0].event_id);
  await press("Enter");
  await by("heading", "Event").waitFor();
  await go("Event catalogue");
  await by("heading", "Event catalogue").waitFor();
  await go(/^Schema of message\.incoming/);
  await by("region", "Schema of message.incoming").waitFor();
  await go("Webhooks");
  await by("heading", "Webhook Settings").waitFor();
  await go("Edit More keys");
  await by("heading", "Edit Endpoint").waitFor();
  await go("Verify signatures");
  await by("link", "Go").waitFor();
  await go("Go");
  await by("region", "Go").waitFor();
  await tabTo(page, "Headers");
  await page.keyboard.type("0".repeat(64));
  await go("Check");
  await page.getByText("No match").waitFor();
  await go("← More keys");
  await by("heading", "Edit Endpoint").waitFor();
  await go("Recover failed…");
  await by("button", "Preview").waitFor();
  await go("Preview");
  await by("heading", "Nothing to recover").waitFor();
  await go("Webhooks");
  await by("heading", "Webhook Settings").waitFor();
  await go("Delete More keys");
  await by("dialog", "Delete Endpoint?").waitFor();
  await go("Delete Endpoint");
  await by("heading", "No endpoints yet").waitFor();
  await go("Sign out");
  await by("heading", "Sign in").waitFor();

  async function id() {
    return page.url().match(/ep_[0-9a-f-]+/)[0];
  }
});
