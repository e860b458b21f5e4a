import hashlib
import hmac


def verify(secret: str, body: bytes, signature: str) -> bool:
    """body: the raw bytes as they came, before any parsing.
    signature: the value of the header X-Webhook-Signature."""
    expected = hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()
    return hmac.compare_digest(expected.encode(), signature.encode())
