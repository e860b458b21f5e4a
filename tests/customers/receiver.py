"""A customer's server: Python's own modules and the verifier printed in the
README, which lies beside this file when it runs."""

import os
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from verify import verify

SECRET = os.environ["WEBHOOK_SECRET"]


class Receiver(BaseHTTPRequestHandler):
    def do_POST(self):
        body = self.rfile.read(int(self.headers.get("content-length", 0)))
        signature = self.headers.get("x-webhook-signature")
        genuine = verify(SECRET, body, signature)
        self.send_response(204 if genuine is True else 401)
        self.end_headers()


ThreadingHTTPServer(("127.0.0.1", int(os.environ["PORT"])), Receiver).serve_forever()
