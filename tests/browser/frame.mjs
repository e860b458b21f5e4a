// In a frame of another site: where the operator names it, and nowhere else.
import assert from "node:assert/strict";
import { createServer } from "node:http";
import { platform, receiver, story, until } from "./story.mjs";

const account = platform("framed");
const server = await receiver();
const portal = await account.portal();

/** A site that frames the portal; `host` decides which site it is. */
async function site(host, address) {
  const page = `<!doctype html><title>A platform</title><iframe title="Webhooks" width="1100" height="800" src="${portal}"></iframe>`;
  const http = createServer((_, response) => response.setHeader("content-type", "text/html").end(page));
  await new Promise((resolve) => http.listen(0, address, resolve));
  http.unref();
  return `http://${host}:${http.address().port}/`;
}

await story({}, async ({ context, page, complaints }) => {
  await page.goto(await site("localhost", "127.0.0.1"));
  const frame = page.frameLocator("iframe");
  const by = (role, name, exact = true) => frame.getByRole(role, { name, exact });
  await by("link", "Add Endpoint").click();
  await by("textbox", "URL").fill(server.url);
  await by("textbox", "Description").fill("Framed");
  await by("checkbox", "message.incoming", false).check();
  await by("button", "Create Endpoint").click();
  await by("link", "Edit Framed").waitFor();
  const [cookie] = (await context.cookies()).filter(({ name }) => name === "postrider_session");
  assert.ok(cookie.httpOnly && cookie.secure && cookie.sameSite === "None", JSON.stringify(cookie));
  assert.ok(cookie.partitionKey, "the cookie is not kept apart for the site around the frame");
  assert.deepEqual(complaints, []);

  await page.goto(await site("127.0.0.2", "127.0.0.2"));
  await until("a refusal", () => complaints.some((text) => text.includes("frame-ancestors")));
  assert.equal(await by("heading", "Webhook Settings").count(), 0);
  complaints.length = 0;
});
