"""Appends each submitted form to a CSV file, once.

PORT, SECRET, and LEADS (default leads.csv). Subscribe to form.submitted.
"""
import csv
import hashlib
import hmac
import json
import os
from http.server import BaseHTTPRequestHandler, HTTPServer

SECRET = os.environ["SECRET"].encode()
LEADS = os.environ.get("LEADS", "leads.csv")


def known():
    try:
        with open(LEADS, newline="", encoding="utf-8") as file:
            return {row[0] for row in csv.reader(file)}
    except FileNotFoundError:
        return set()


SEEN = known()


def harmless(value):
    """A spreadsheet takes a cell that begins so for a formula."""
    text = str(value)
    return "'" + text if text[:1] in ("=", "+", "-", "@") else text


def capture(event):
    if event["id"] in SEEN:
        return
    form = event["data"]["object"]
    contact = form.get("contact", {})
    answers = json.dumps(form.get("answers", {}), ensure_ascii=False)
    cells = [form["submitted_at"], form["form_id"], contact.get("name", ""), contact.get("phone_number", ""), answers]
    with open(LEADS, "a", newline="", encoding="utf-8") as file:
        csv.writer(file).writerow([event["id"], *map(harmless, cells)])
    SEEN.add(event["id"])


class Receiver(BaseHTTPRequestHandler):
    def do_POST(self):
        body = self.rfile.read(int(self.headers["content-length"]))
        expected = hmac.new(SECRET, body, hashlib.sha256).hexdigest()
        given = self.headers.get("x-webhook-signature", "")
        genuine = hmac.compare_digest(expected.encode(), given.encode())
        challenge = self.headers.get("webhook-challenge") if genuine else None
        if genuine and not challenge:
            capture(json.loads(body))
        self.send_response(200 if challenge else 204 if genuine else 401)
        self.end_headers()
        self.wfile.write((challenge or "").encode())  # "Not verified yet" ends with it


HTTPServer(("127.0.0.1", int(os.environ["PORT"])), Receiver).serve_forever()
