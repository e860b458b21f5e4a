// New rows arrive by themselves; nothing else on the page moves.
import assert from "node:assert/strict";
import { platform, receiver, story, until } from "./story.mjs";

const account = platform("live");
const server = await receiver();
const id = await account.endpoint(server.url);

await story({}, async ({ page, by, check }) => {
  await page.addInitScript(() => {
    globalThis.shifts = [];
    new PerformanceObserver((list) => {
      for (const { value, sources } of list.getEntries()) {
        globalThis.shifts.push([value, ...sources.map(({ node }) => node?.outerHTML?.slice(0, 120))]);
      }
    }).observe({ type: "layout-shift", buffered: true });
  });
  const rows = page.locator("tbody tr");
  const has = (count) => until(`${count} rows`, async () => (await rows.count()) === count);
  const publish = async (count) => {
    for (let number = 0; number < count; number += 1) await account.publish({ number });
  };
  const still = async () => assert.deepEqual(await page.evaluate(() => globalThis.shifts), []);

  await page.goto(await account.portal());
  await page.goto(page.url() + `/${id}/messages`);
  await by("heading", "No messages yet").waitFor();
  await publish(1);
  await has(1);
  await publish(4);
  await has(5);
  await page.locator("#cards", { hasText: "100.0 %" }).waitFor();
  await until("the count", async () => (await page.locator("#cards dd").first().textContent()) === "5");
  await still();

  // Whoever points at a row keeps it under the pointer.
  await rows.nth(2).hover();
  const pointed = await rows.nth(2).getAttribute("data-id");
  await publish(2);
  await page.getByText("2 new, shown when you leave the table").waitFor();
  assert.equal(await rows.nth(2).getAttribute("data-id"), pointed);
  await page.mouse.move(5, 5);
  await has(7);
  await still();

  // A page is never longer than a page, and a filter holds for what comes.
  await publish(15);
  await has(20);
  await until("the newest", async () => {
    const newest = (await account.attempts(id))[0].id;
    return (await page.locator(`tr[data-id="${newest}"]`).count()) === 1;
  });
  await still();
  await check("live");
  await page.goto(page.url() + "?status=failed");
  await by("heading", "Nothing matches").waitFor();
  await publish(1);
  server.answer = { status: 503 };
  await publish(1);
  await until("the failure", async () => (await rows.count()) >= 1);
  assert.equal(await page.locator("tbody .badge.good").count(), 0);
});
