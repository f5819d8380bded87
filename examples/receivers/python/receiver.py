"""A webhook receiver: verifies, drops repeats, prints one line per event.

    python3 -m venv .venv && .venv/bin/pip install -r requirements.txt
    WEBHOOK_SECRET=whsec_… PORT=9000 .venv/bin/python receiver.py
"""

import json
import os
import sys
import threading
from collections import OrderedDict
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from standardwebhooks import Webhook

MAX_BODY_BYTES = 16 * 1024 * 1024
MAX_REMEMBERED_IDS = 10_000


class Seen:
    """The last webhook ids. rowhook delivers at least once: a repeat has the same id.

    A real receiver stores the id in the transaction that does the work, so that a crash between
    the two can neither lose nor repeat an event.
    """

    def __init__(self):
        self._ids = OrderedDict()
        self._lock = threading.Lock()

    def is_new(self, webhook_id):
        with self._lock:
            if webhook_id in self._ids:
                return False
            self._ids[webhook_id] = None
            if len(self._ids) > MAX_REMEMBERED_IDS:
                self._ids.popitem(last=False)
            return True


class Receiver(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"  # keeps rowhook's connections open between events
    disable_nagle_algorithm = True
    timeout = 75  # seconds; a peer that stops in the middle of a request frees its thread

    def do_POST(self):
        try:
            length = int(self.headers["Content-Length"])
        except (TypeError, ValueError):
            return self.answer(411, close=True)
        if not 0 <= length <= MAX_BODY_BYTES:
            return self.answer(413, close=True)
        body = self.rfile.read(length)
        if len(body) < length:
            return self.answer(400, close=True)

        # The signature covers the bytes as sent. Parsing and printing JSON again changes them.
        try:
            self.server.webhook.verify(body, dict(self.headers.items()), json_parse=False)
            message = json.loads(body)
        except Exception as error:  # malformed headers raise more than the library's own error
            print(f"refused: {printable(str(error))}", file=sys.stderr, flush=True)
            return self.answer(400)

        if self.server.seen.is_new(self.headers["webhook-id"]):
            print(line(message.get("event") or {}), flush=True)
        return self.answer(204)

    def answer(self, status, close=False):
        self.send_response(status)
        if status != 204:
            self.send_header("Content-Length", "0")
        if close:  # the body was not read, so the next request would start in the middle of it
            self.send_header("Connection", "close")
        self.end_headers()

    def log_message(self, *args):
        pass  # the event line says more than the access log


def line(event):
    """`orders.updated 42  status: "new" → "paid"`"""
    data = event.get("data") or {}
    old, new, changes = data.get("old"), data.get("new"), data.get("changes")
    if old and new and changes:
        names = changes.get("added", []) + changes.get("updated", []) + changes.get("removed", [])
        fields = [f"{n}: {value(old, n)} → {value(new, n)}" for n in names]
    elif str(event.get("type")).endswith(".updated"):
        # Without REPLICA IDENTITY FULL the old row is not known.
        fields = ["(old values not known)"] + [f"{n}: {value(new, n)}" for n in new or {}]
    else:
        row = new or old or {}
        fields = [f"{n}: {value(row, n)}" for n in row]
    return printable(f"{event.get('type')} {event.get('resourceId')}  {', '.join(fields)}")


def value(row, name):
    if name not in row:
        return "–"
    text = json.dumps(row[name], ensure_ascii=False)
    return text if len(text) <= 60 else text[:59] + "…"


def printable(text):
    """Row data must not be able to steer the terminal."""
    return "".join(c if c.isprintable() else "\ufffd" for c in text)


def main():
    secret = os.environ.get("WEBHOOK_SECRET")
    if not secret:
        sys.exit("WEBHOOK_SECRET is not set")
    server = ThreadingHTTPServer(("127.0.0.1", int(os.environ.get("PORT", "9000"))), Receiver)
    server.daemon_threads = True
    server.webhook = Webhook(secret)
    server.seen = Seen()
    print(f"listening on http://127.0.0.1:{server.server_port}", file=sys.stderr, flush=True)
    try:
        server.serve_forever()
    except KeyboardInterrupt:
        pass


if __name__ == "__main__":
    main()
