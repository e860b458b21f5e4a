// Counts what becomes of messages, for Prometheus to read at /metrics.
// PORT and SECRET. Subscribe to message.report.
import { createHmac, timingSafeEqual } from "node:crypto";
import { createServer } from "node:http";

const { PORT, SECRET } = process.env;
const REMEMBERED = 100_000;
const seen = new Set();
const counts = new Map(["SENT", "DELIVERED", "READ", "FAILED"].map((status) => [status, 0]));

function count({ id, data }) {
  if (seen.has(id)) return;
  seen.add(id);
  // A set keeps the order in which it was filled: the oldest goes.
  if (seen.size > REMEMBERED) seen.delete(seen.values().next().value);
  const { status } = data.object;
  if (counts.has(status)) counts.set(status, counts.get(status) + 1);
}

function metrics() {
  const lines = [...counts].map(([status, number]) => `messages_total{status="${status.toLowerCase()}"} ${number}`);
  return `# TYPE messages_total counter\n${lines.join("\n")}\n`;
}

function verify(body, signature) {
  const expected = createHmac("sha256", SECRET).update(body).digest("hex");
  const given = Buffer.from(String(signature));
  return given.length === expected.length && timingSafeEqual(given, Buffer.from(expected));
}

createServer(async (request, response) => {
  if (request.method === "GET" && request.url === "/metrics") {
    return response.setHeader("content-type", "text/plain; version=0.0.4").end(metrics());
  }
  const chunks = [];
  for await (const chunk of request) chunks.push(chunk);
  const body = Buffer.concat(chunks);
  const genuine = verify(body, request.headers["x-webhook-signature"]);
  const challenge = request.headers["webhook-challenge"];
  // "Not verified yet" ends with it.
  if (genuine && challenge) return response.end(challenge);
  if (genuine) count(JSON.parse(body));
  response.writeHead(genuine ? 204 : 401).end();
}).listen(Number(PORT), "127.0.0.1");
