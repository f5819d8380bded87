"""Reads every request with the Python SDK of CloudEvents, and prints one line per event."""

import json
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from cloudevents.core.bindings.http import HTTPMessage, from_http
from cloudevents.core.formats.json import JSONFormat

BATCH = "application/cloudevents-batch+json"
STRUCTURED = "application/cloudevents+json"
# Requests come side by side, and print writes a line in two parts.
PRINTING = threading.Lock()


def events(headers, body):
    """The SDK has no batches: each of a batch's events is read as a structured one."""
    if headers["content-type"] == BATCH:
        messages = [HTTPMessage({"content-type": STRUCTURED}, json.dumps(event).encode()) for event in json.loads(body)]
    else:
        messages = [HTTPMessage(headers, body)]
    return [from_http(message, JSONFormat()) for message in messages]


def line(path, event):
    attributes = event.get_attributes()
    words = [path, attributes["datacontenttype"], event.get_source(), event.get_type(), event.get_subject() or "-"]
    words += [attributes["sequence"], attributes["partitionkey"]]
    # The SDK refuses a time that is none, and one without a zone.
    words.append(str(event.get_time().utcoffset().total_seconds()))
    words.append(json.dumps(event.get_data(), ensure_ascii=False, separators=(",", ":")))
    return " ".join(words)


class Receiver(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        headers = {name.lower(): value for name, value in self.headers.items()}
        try:
            lines = [line(self.path, event) for event in events(headers, body)]
        except Exception as error:
            print(f"refused: {error!r}", file=sys.stderr, flush=True)
            self.send_response(400)
            self.send_header("Content-Length", "0")
        else:
            with PRINTING:
                print("\n".join(lines), flush=True)
            self.send_response(204)
        self.end_headers()

    def log_message(self, *args):
        pass


server = ThreadingHTTPServer(("127.0.0.1", 0), Receiver)
server.daemon_threads = True
print(f"listening on http://127.0.0.1:{server.server_port}", file=sys.stderr, flush=True)
server.serve_forever()
