"""Keeps each event as a row that SQL can be asked about.

PORT, SECRET, and DATABASE (default events.db). Subscribe to what you want to
know about. Then, for example: SELECT type, COUNT(*) FROM events GROUP BY type
"""
import hashlib
import hmac
import json
import os
import sqlite3
from http.server import BaseHTTPRequestHandler, HTTPServer

SECRET = os.environ["SECRET"].encode()
DATABASE = sqlite3.connect(os.environ.get("DATABASE", "events.db"))
DATABASE.execute("CREATE TABLE IF NOT EXISTS events (id TEXT PRIMARY KEY, type TEXT, created_at INTEGER, object TEXT)")


def keep(event):
    row = (event["id"], event["type"], event["created_at"], json.dumps(event["data"]["object"]))
    with DATABASE:
        DATABASE.execute("INSERT OR IGNORE INTO events VALUES (?, ?, ?, ?)", row)


class Receiver(BaseHTTPRequestHandler):
    def do_POST(self):
        body = self.rfile.read(int(self.headers["content-length"]))
        expected = hmac.new(SECRET, body, hashlib.sha256).hexdigest()
        given = self.headers.get("x-webhook-signature", "")
        genuine = hmac.compare_digest(expected.encode(), given.encode())
        challenge = self.headers.get("webhook-challenge") if genuine else None
        if genuine and not challenge:
            keep(json.loads(body))
        self.send_response(200 if challenge else 204 if genuine else 401)
        self.end_headers()
        self.wfile.write((challenge or "").encode())  # "Not verified yet" ends with it


HTTPServer(("127.0.0.1", int(os.environ["PORT"])), Receiver).serve_forever()
