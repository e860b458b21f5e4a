// A customer's server that leaves checking to the Standard Webhooks project's
// library for JavaScript.
import { createServer } from "node:http";
import { Webhook } from "standardwebhooks";

const webhook = new Webhook(process.env.WEBHOOK_SECRET);

const server = createServer(async (request, response) => {
  const chunks = [];
  for await (const chunk of request) chunks.push(chunk);
  try {
    webhook.verify(Buffer.concat(chunks), request.headers);
    response.writeHead(204).end();
  } catch (error) {
    response.writeHead(401).end(String(error));
  }
});
server.listen(Number(process.env.PORT), "127.0.0.1");
