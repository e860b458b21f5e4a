// Find anything, recover what failed, prove a receiver, read the catalogue.
import assert from "node:assert/strict";
import { call, platform, receiver, shows, story, until } from "./story.mjs";

const account = platform("tools");
const server = await receiver();
const id = await account.endpoint(server.url, { description: "Orders", retry_schedule: [] });
await account.endpoint(server.url, { description: "Other", event_types: ["form.submitted"] });

await story({}, async ({ page, by, check }) => {
  await page.goto(await account.portal());
  const base = page.url();
  const find = async (text) => {
    await by("searchbox", "Event, delivery, attempt or trace id, or name=value of a tag").fill(text);
    await by("button", "Search").click();
  };

  // Each id leads to what it names; an event's page tells all of it.
  const event = await account.publish({ text: "found" });
  const [attempt] = await until("the attempt", async () => {
    const attempts = await account.attempts(id);
    return attempts.length === 1 && attempts;
  });
  await find(event);
  await by("heading", "Event").waitFor();
  await shows(page, page.getByText("It is not subscribed to this event type."));
  await by("link", "Attempt 1").waitFor();
  await check("event");
  const trace = (await page.locator("a[href^='https://traces.example.com']").textContent()).trim();
  await find(attempt.id);
  await by("heading", "Message payload").waitFor();
  await find(attempt.delivery_id);
  await page.waitForURL(new RegExp(`events/${event}#${attempt.delivery_id}`));
  await find(trace);
  await page.waitForURL(new RegExp(`events/${event}$`));
  await by("button", "Resend to Orders").click();
  await until("a second delivery", () => server.requests.length === 2);
  await find("what is this?");
  await by("heading", "“what is this?” is neither an id nor a tag").waitFor();
  await check("search");
  // The only one with a tag, several with another, none. Nobody gets them.
  const one = await account.publish({}, "message.report", { tags: { person: "4", chat: "a=b" } });
  const two = await account.publish({}, "message.report", { tags: { chat: "a=b" } });
  await until("both are recorded", async () => {
    const { events } = await call("GET", `${account.base}/events?tag=${encodeURIComponent("chat=a=b")}`);
    return events.length === 2;
  });
  await find("person=4");
  await page.waitForURL(new RegExp(`events/${one}$`));
  await find("chat=a=b");
  await by("heading", "Events with the tag “chat=a=b”").waitFor();
  for (const found of [one, two]) await by("link", found).waitFor();
  await check("search-tag");
  await find("person=5");
  await by("heading", "No event has the tag “person=5”").waitFor();
  await find("evt_00000000-0000-4000-8000-000000000000");
  await page.locator(".eyebrow", { hasText: "404" }).waitFor();

  // The checker names each mistake.
  const [request] = server.requests;
  const headers = (names) => names.map((name) => `${name}: ${request.headers[name]}`).join("\n");
  const body = request.body.toString();
  await page.goto(`${base}/${id}/verify`);
  await page.getByText("192.0.2.10", { exact: false }).waitFor();
  await check("verify");
  const verdict = async (pasted, sent, expected) => {
    await by("textbox", "Headers").fill(pasted);
    await by("textbox", "Raw body").fill(sent);
    await by("button", "Check").click();
    await by("status").getByText(expected, { exact: true }).waitFor();
  };
  const all = ["x-webhook-signature", "webhook-id", "webhook-timestamp", "webhook-signature"];
  await verdict(headers(all), body, "Match");
  await verdict(headers(all.slice(1)), body, "Match");
  await verdict(headers(all), body.replace("found", "forged"), "Changed body");
  await check("verdict");
  const old = headers(all.slice(0, 2)) + "\nwebhook-timestamp: 1700000000";
  await verdict(old, body, "Old timestamp");
  await verdict(`x-webhook-signature: ${"0".repeat(64)}\nwebhook-id: ${event}`, body, "Wrong secret");
  for (const [language, line] of [["Python", "def verify("], ["Java", "public final class Verify"]]) {
    await by("link", language).click();
    await by("region", language).getByText(line, { exact: false }).waitFor();
  }

  // Recover: a count first, then a run.
  server.answer = { status: 500 };
  for (let number = 0; number < 3; number += 1) await account.publish({ number });
  await until("the failures", async () => (await account.attempts(id)).filter(({ status }) => status === "failed").length === 3);
  server.answer = { status: 200 };
  server.requests.length = 0;
  await page.goto(`${base}/${id}/messages`);
  await by("link", "Recover failed…").click();
  await by("combobox", "Recover failed since…").selectOption({ label: "1 hour ago" });
  const recover = by("button", "Recover 3 messages");
  await until("a preview", async () => {
    await by("button", "Preview").click();
    return recover.isVisible();
  });
  assert.equal(server.requests.length, 0);
  await check("recover");
  await recover.click();
  await by("heading", /^Done/, false).waitFor();
  assert.equal(server.requests.length, 3);
  await check("recovery");

  // A slow run can be cancelled.
  server.answer = { status: 500 };
  for (let number = 0; number < 6; number += 1) await account.publish({ number });
  await until("more failures", async () => (await account.attempts(id)).filter(({ status }) => status === "failed").length === 9);
  await page.goto(`${base}/${id}`);
  await by("textbox", "Rate Limit (req/s)").fill("1");
  await by("button", "Save Changes").click();
  await page.getByText("Saved.", { exact: false }).waitFor();
  server.answer = { status: 200 };
  await by("link", "Recover failed…").click();
  const six = by("button", "Recover 6 messages");
  await until("a preview", async () => {
    await by("button", "Preview").click();
    return six.isVisible();
  });
  server.requests.length = 0;
  await six.click();
  await by("button", "Cancel recovery").click();
  await by("heading", /^Cancelled/, false).waitFor();
  assert.ok(server.requests.length < 6, `${server.requests.length} requests`);

  await by("link", "Event catalogue").click();
  await by("region", "Example of form.submitted").waitFor();
  await check("catalogue");
});
