"""Keeps one contact per sender, with the last message: a CRM in a table.

PORT, SECRET, and DATABASE (default contacts.db). Subscribe to message.incoming.
"""
import hashlib
import hmac
import json
import os
import sqlite3
from http.server import BaseHTTPRequestHandler, HTTPServer

SECRET = os.environ["SECRET"].encode()
DATABASE = sqlite3.connect(os.environ.get("DATABASE", "contacts.db"))
DATABASE.executescript("""
    CREATE TABLE IF NOT EXISTS seen (id TEXT PRIMARY KEY);
    CREATE TABLE IF NOT EXISTS contacts (
        phone_number TEXT PRIMARY KEY, name TEXT, last_message TEXT, last_at TEXT, messages INTEGER
    );
""")


def sync(event):
    message = event["data"]["object"]
    sender = message["sender"]
    text = message.get("text", {}).get("body") or message["type"]
    with DATABASE:  # one transaction: seen and synced, or neither
        new = DATABASE.execute("INSERT OR IGNORE INTO seen VALUES (?)", (event["id"],)).rowcount
        if not new:
            return
        DATABASE.execute(
            """INSERT INTO contacts VALUES (?, ?, ?, ?, 1) ON CONFLICT (phone_number) DO UPDATE SET
               messages = messages + 1,
               name = coalesce(excluded.name, name),
               last_message = iif(excluded.last_at >= last_at, excluded.last_message, last_message),
               last_at = max(last_at, excluded.last_at)""",
            (sender["phone_number"], sender.get("name"), text, message["timestamp"]),
        )


class Receiver(BaseHTTPRequestHandler):
    def do_POST(self):
        body = self.rfile.read(int(self.headers["content-length"]))
        expected = hmac.new(SECRET, body, hashlib.sha256).hexdigest()
        given = self.headers.get("x-webhook-signature", "")
        genuine = hmac.compare_digest(expected.encode(), given.encode())
        challenge = self.headers.get("webhook-challenge") if genuine else None
        if genuine and not challenge:
            sync(json.loads(body))
        self.send_response(200 if challenge else 204 if genuine else 401)
        self.end_headers()
        self.wfile.write((challenge or "").encode())  # "Not verified yet" ends with it


HTTPServer(("127.0.0.1", int(os.environ["PORT"])), Receiver).serve_forever()
