// A customer's server: Node's own modules and the verifier printed in the
// README, which lies beside this file when it runs.
import { createServer } from "node:http";
import { verify } from "./verify.mjs";

const secret = process.env.WEBHOOK_SECRET;

const server = createServer(async (request, response) => {
  const chunks = [];
  for await (const chunk of request) chunks.push(chunk);
  const signature = request.headers["x-webhook-signature"];
  const genuine = verify(secret, Buffer.concat(chunks), signature);
  response.writeHead(genuine === true ? 204 : 401).end();
});
server.listen(Number(process.env.PORT), "127.0.0.1");
