// What was erased is shown as erased, and an event that cannot be sent again says why
// on the page where it was asked.
import assert from "node:assert/strict";
import { call, platform, receiver, story, until } from "./story.mjs";

// An erasure looks at everything once more after ten seconds.
const ERASURE = 60_000;

const account = platform("erased");
const working = await receiver();
const broken = await receiver();
broken.answer = { status: 500 };
const id = await account.endpoint(working.url, { description: "Orders" });
const other = await account.endpoint(broken.url, { description: "Accounting", retry_schedule: ["1h"] });
const tags = { person: "4711" };
const event = await account.publish({ text: "private" }, "message.incoming", { tags });
const kept = await account.publish({ text: "public" }, "message.incoming");
await until("the attempts", async () => {
  const made = await Promise.all([id, other].map((endpoint) => account.attempts(endpoint)));
  return made.every((attempts) => attempts.length === 2);
});

await story({}, async ({ page, by, check }) => {
  await page.goto(await account.portal());
  const events = new URL("events", page.url()).href;
  const delivery = (name) => page.locator("section.card", { has: by("heading", name, false) });
  await page.goto(`${events}/${event}`);
  await by("region", "Body, formatted").getByText("private", { exact: false }).waitFor();
  assert.equal(await by("button", /^Resend to /, false).count(), 2);
  assert.equal(await page.getByText("erased", { exact: false }).count(), 0);

  const { id: erasure } = await call("POST", `${account.base}/erasures`, { event_id: event });
  const done = async () => (await call("GET", `${account.base}/erasures/${erasure}`)).state === "done";
  await until("the erasure", done, ERASURE);
  await page.reload();
  await page.getByText("This event was erased: its body, tags and attempts are gone", { exact: false }).waitFor();
  for (const [name, state] of [["Orders", "Success"], ["Accounting", "Failed"]]) {
    await delivery(name).getByText(state, { exact: true }).waitFor();
    await delivery(name).getByText("1 attempt, erased with the event.").waitFor();
  }
  await delivery("Accounting").getByText("The event was erased before it was delivered.").waitFor();
  await page.getByText("It was erased.", { exact: true }).waitFor();
  for (const gone of ["No attempt", "private", "4711", "Resend"]) {
    assert.equal(await page.getByText(gone, { exact: false }).count(), 0, gone);
  }
  await check("event-erased");

  // A form that was open before.
  const refused = by("alert").getByText("It was not sent again");
  await page.goto(`${events}/${kept}`);
  await by("button", "Resend to Orders").evaluate((button, erased) => {
    button.form.action = button.form.action.replace(/evt_[^/]*/, erased);
  }, event);
  await by("button", "Resend to Orders").click();
  await refused.waitFor();
  await by("alert").getByText("the event was erased: there is nothing left to send.", { exact: false }).waitFor();

  // Refused for another reason, on both pages that have the button.
  await call("POST", `${account.base}/endpoints/${id}/disable`);
  const why = "the endpoint is disabled; enable it and send the event again.";
  await page.goto(`${events}/${kept}`);
  await by("button", "Resend to Orders").click();
  await refused.waitFor();
  await by("alert").getByText(why, { exact: false }).waitFor();
  await by("link", "Attempt 1").first().waitFor();
  await check("event-refused");
  const [attempt] = (await account.attempts(id)).filter(({ event_id }) => event_id === kept);
  await page.goto(new URL(`attempts/${attempt.id}`, events).href);
  await by("button", "Resend").click();
  await refused.waitFor();
  await by("alert").getByText(why, { exact: false }).waitFor();
  await by("heading", "Message payload").waitFor();
  await check("payload-refused");

  await call("POST", `${account.base}/endpoints/${id}/enable`);
  await by("button", "Resend").click();
  await until("it is sent again", () => working.requests.length === 3);
});
