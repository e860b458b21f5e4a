// What strangers send is text: markup, marks that turn the direction of
// writing, 256 KiB, bytes that are no text.
import assert from "node:assert/strict";
import { platform, receiver, story, until } from "./story.mjs";

const account = platform("inert");
const server = await receiver();
const hostile = "</pre><script>globalThis.ran = 1</script><img src=x onerror='ran = 1'>";
const id = await account.endpoint(server.url, { description: `${hostile.slice(0, 200)}\u2067` });

await story({}, async ({ page, by, check }) => {
  await page.goto(await account.portal());
  const base = page.url();
  await by("heading", "Webhook Settings").waitFor();
  await check("inert-settings");
  const last = async (count) => {
    await until("the attempt", async () => (await account.attempts(id)).length === count);
    await page.goto(`${base}/${id}/messages`);
    await by("link", "View payload").first().click();
    await by("heading", "Message payload").waitFor();
  };

  server.answer = { status: 200, headers: { "x-note": hostile }, body: `${hostile}\u202e\u2066` };
  await account.publish({ hostile, turned: "user\u202etxt.exe\u200f" }, "message.incoming", { tags: { note: hostile } });
  await last(1);
  await by("region", "Body, formatted").getByText("user\\u{202e}txt.exe\\u{200f}", { exact: false }).waitFor();
  await by("region", "Answer's body").getByText("\\u{202e}\\u{2066}", { exact: false }).waitFor();
  await check("inert-payload");

  server.answer = { status: 200, body: Buffer.from([0x89, 0x50, 0x4e, 0x47, 0, 255, 254, 10]) };
  await account.publish({ text: "x".repeat(255 * 1_024) });
  await last(2);
  await page.getByText("8 bytes that are not text").waitFor();
  const shown = await by("region", "Body, formatted").textContent();
  assert.ok(shown.length > 255 * 1_024, `${shown.length} characters`);
  await check("inert-large");

  for (const path of ["", `/${id}`, `/${id}/delete`, `/${id}/verify`, `/${id}/recover`]) {
    await page.goto(`${base}${path}`);
    assert.equal(await page.evaluate(() => globalThis.ran), undefined, path);
  }
});
