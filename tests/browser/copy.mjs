// Over plain http on a name of the local network there is no secure context,
// and so no clipboard for scripts. Copying works all the same.
import assert from "node:assert/strict";
import { BASE, platform, receiver, story } from "./story.mjs";

const account = platform("copy");
const server = await receiver();
const id = await account.endpoint(server.url);
const lan = "postrider.lan";

await story({ args: [`--host-resolver-rules=MAP ${lan} 127.0.0.1`] }, async ({ page, by }) => {
  const there = (url) => url.replace("127.0.0.1", lan);
  await page.goto(there(await account.portal()));
  await page.goto(`${there(BASE)}/accounts/copy/webhooks/${id}`);
  assert.equal(await page.evaluate(() => globalThis.isSecureContext), false);
  await by("button", "Copy secret").click();
  await by("button", "Copied").waitFor();
  await by("textbox", "Description").fill("");
  await by("textbox", "Description").press("ControlOrMeta+v");
  assert.equal(await by("textbox", "Description").inputValue(), await page.locator("#secret").textContent());
  await by("textbox", "Description").fill("a receiver");
});
