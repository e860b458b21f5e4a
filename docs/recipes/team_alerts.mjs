// Tells a team's chat when deliveries fail for good or an endpoint is disabled.
// PORT, SECRET, and CHAT_URL: an incoming webhook of Slack, or of a Microsoft
// Teams workflow with CHAT=teams. Subscribe to endpoint.disabled,
// endpoint.recovered and delivery.exhausted.
import { createHmac, timingSafeEqual } from "node:crypto";
import { createServer } from "node:http";

const { PORT, SECRET, CHAT_URL, CHAT = "slack" } = process.env;

const titles = {
  "endpoint.disabled": "A webhook endpoint was disabled",
  "endpoint.recovered": "A webhook endpoint works again",
  "delivery.exhausted": "A webhook could not be delivered",
};

/** The text in the form that the chat wants. */
function message(text) {
  if (CHAT !== "teams") return { text };
  const content = { type: "AdaptiveCard", version: "1.4", body: [{ type: "TextBlock", text, wrap: true }] };
  return { type: "message", attachments: [{ contentType: "application/vnd.microsoft.card.adaptive", content }] };
}

async function alert({ type, data }) {
  const facts = Object.entries(data.object).map(([name, value]) => `${name}: ${typeof value === "object" ? JSON.stringify(value) : value}`);
  const answer = await fetch(CHAT_URL, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify(message([titles[type] ?? type, ...facts].join("\n"))),
    signal: AbortSignal.timeout(5_000),
  });
  if (!answer.ok) throw new Error(`the chat answered ${answer.status}`);
}

function verify(body, signature) {
  const expected = createHmac("sha256", SECRET).update(body).digest("hex");
  const given = Buffer.from(String(signature));
  return given.length === expected.length && timingSafeEqual(given, Buffer.from(expected));
}

createServer(async (request, response) => {
  const chunks = [];
  for await (const chunk of request) chunks.push(chunk);
  const body = Buffer.concat(chunks);
  const answer = (status) => response.writeHead(status).end();
  if (!verify(body, request.headers["x-webhook-signature"])) return answer(401);
  const challenge = request.headers["webhook-challenge"];
  // "Not verified yet" ends with it.
  if (challenge) return response.end(challenge);
  try {
    await alert(JSON.parse(body));
    answer(204);
  } catch (error) {
    // Not a 2xx: it is tried again, and so is the chat.
    console.error(String(error));
    answer(502);
  }
}).listen(Number(PORT), "127.0.0.1");
