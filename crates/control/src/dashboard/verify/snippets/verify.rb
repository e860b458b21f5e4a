require "openssl"

# body: the raw bytes as they came, before any parsing: request.body.read.
# signature: the value of the header X-Webhook-Signature.
def verify(secret, body, signature)
  expected = OpenSSL::HMAC.hexdigest("SHA256", secret, body)
  signature.bytesize == expected.bytesize &&
    OpenSSL.fixed_length_secure_compare(expected, signature)
end
