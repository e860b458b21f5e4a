import { createHmac, timingSafeEqual } from "node:crypto";

// body: the raw bytes as they came, before any parsing (a Buffer).
// signature: the value of the header X-Webhook-Signature.
export function verify(secret, body, signature) {
  const expected = createHmac("sha256", secret).update(body).digest("hex");
  const given = Buffer.from(String(signature));
  return given.length === expected.length && timingSafeEqual(given, Buffer.from(expected));
}
