// The five main screens, for the README. PICTURES: where they go; ACCOUNT: one
// with a past; ENDPOINT: the one with most of it.
import { platform, receiver, story, until } from "./story.mjs";

const { PICTURES, ACCOUNT, ENDPOINT } = process.env;
const account = platform(ACCOUNT);
const server = await receiver();

await story({ viewport: { width: 1180, height: 760 } }, async ({ page, by }) => {
  const picture = async (name) => {
    // Whatever still counts or arrives.
    await page.waitForLoadState("load");
    for (const colorScheme of ["light", "dark"]) {
      await page.emulateMedia({ colorScheme, reducedMotion: "reduce" });
      await page.screenshot({ path: `${PICTURES}/${name}-${colorScheme}.png` });
    }
  };
  await page.goto(await account.portal());
  const base = page.url();
  await by("heading", "Webhook Settings").waitFor();
  await picture("settings");
  await by("link", "Add Endpoint").click();
  await by("textbox", "URL").fill("https://hooks.example.com/crm");
  await by("textbox", "Description").fill("CRM sync");
  await picture("create");
  await page.goto(`${base}/${ENDPOINT}`);
  await by("heading", "Edit Endpoint").waitFor();
  await picture("editor");
  await page.goto(`${base}/${ENDPOINT}/messages`);
  await by("heading", "Message History").waitFor();
  await picture("history");

  server.answer = { status: 503, headers: { "retry-after": "60" }, body: "down for maintenance" };
  const failing = await account.endpoint(server.url, { event_types: ["message.report"] });
  const report = {
    recipient: { customer_id: "wamid.HBgN", phone_number: "+918189222313" },
    status: "READ",
    reported_at: "2026-05-13T12:54:54.719Z",
    timestamp: "2026-05-13T12:46:25Z",
  };
  await account.publish(report, "message.report", { tags: { campaign: "spring" } });
  const [attempt] = await until("the attempt", async () => {
    const attempts = await account.attempts(failing);
    return attempts.length > 0 && attempts;
  });
  await page.goto(base.replace(/webhooks.*/, `attempts/${attempt.id}`));
  await by("heading", "Message payload").waitFor();
  await picture("payload");
});
