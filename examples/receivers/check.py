"""Sends signed, unsigned, repeated and broken requests to a receiver and says what is wrong.

    python3 check.py whsec_… http://127.0.0.1:9000/

Useful for a receiver of your own, too. Needs nothing but Python.
"""

import base64
import hashlib
import hmac
import http.client
import json
import sys
import time
import urllib.parse
import uuid


def sign(secret, webhook_id, timestamp, body):
    key = base64.b64decode(secret.removeprefix("whsec_"))
    signed = b".".join([webhook_id.encode(), str(timestamp).encode(), body])
    return "v1," + base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest()).decode()


# The vector that the Standard Webhooks libraries share.
assert sign(
    "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
    "msg_p5jXN8AQM9LWM0D4loKWxJek",
    1614265330,
    b'{"test": 2432232314}',
) == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


def event(event_type, old, new, changes):
    resource = event_type.split(".")[0]
    return {
        "type": event_type, "resource": resource, "resourceId": "42", "sequenceId": 7,
        "createdAt": "2026-01-01T00:00:00.123456Z",
        "data": {"old": old, "new": new, "changes": changes},
        "previousValues": {}, "context": None,
        "source": {"database": "shop", "schema": "public", "table": resource, "xid": 1, "lsn": "0/1"},
    }


def body_of(webhook_id, event):
    message = {"id": webhook_id, "subscription": "check", "event": event,
               "delivery": {"id": str(uuid.uuid4()), "attempt": 1}}
    # Spaces and raw UTF-8: a receiver that parses and prints again fails on this.
    return json.dumps(message, ensure_ascii=False, separators=(" , ", " : ")).encode()


def main():
    secret, url = sys.argv[1:]
    url = urllib.parse.urlsplit(url)
    connection = http.client.HTTPConnection(url.netloc, timeout=10)
    failed = 0

    def expect(name, wanted, webhook_id, body, signature=None, timestamp=None, missing=()):
        nonlocal failed
        timestamp = timestamp or int(time.time())
        headers = {
            "content-type": "application/json",
            "webhook-id": webhook_id,
            "webhook-timestamp": str(timestamp),
            "webhook-signature": signature or sign(secret, webhook_id, timestamp, body),
        }
        for header in missing:
            del headers[header]
        connection.request("POST", url.path or "/", body, headers)
        response = connection.getresponse()
        response.read()
        right = response.status // 100 == 2 if wanted == 2 else response.status == wanted
        failed += not right
        print(f"{'ok  ' if right else 'FAIL'} {response.status} {name}")

    old, new = {"id": 42, "status": "new"}, {"id": 42, "status": "paid", "note": "Grüße \u001b[31m"}
    updated = event("orders.updated", old, new, {"added": ["note"], "updated": ["status"], "removed": []})
    first = str(uuid.uuid4())
    body = body_of(first, updated)
    other = "whsec_" + base64.b64encode(b"x" * 32).decode()
    now = int(time.time())

    expect("update", 2, first, body)
    expect("the same webhook-id again: 2xx, and no second line", 2, first, body)
    for name, sample in [
        ("insert", event("orders.created", None, new, {"added": ["id"], "updated": [], "removed": []})),
        ("delete", event("orders.deleted", new, None, {"added": [], "updated": [], "removed": ["id"]})),
    ]:
        webhook_id = str(uuid.uuid4())
        expect(name, 2, webhook_id, body_of(webhook_id, sample))
    unknown = event("orders.updated", None, new, None)
    del unknown["data"]["old"], unknown["data"]["changes"]
    webhook_id = str(uuid.uuid4())
    expect("update without the old row", 2, webhook_id, body_of(webhook_id, unknown))
    webhook_id = str(uuid.uuid4())
    both = sign(other, webhook_id, now, body) + " " + sign(secret, webhook_id, now, body)
    expect("two signatures, the second is ours", 2, webhook_id, body, both, now)

    webhook_id = str(uuid.uuid4())
    expect("another secret", 400, webhook_id, body, sign(other, webhook_id, now, body), now)
    expect("a changed body", 400, webhook_id, body + b" ", sign(secret, webhook_id, now, body), now)
    expect("signed ten minutes ago", 400, webhook_id, body, timestamp=now - 600)
    expect("not a signature", 400, webhook_id, body, "v1")
    expect("not base64", 400, webhook_id, body, "v1,%%%")
    expect("no signature", 400, webhook_id, body, missing=["webhook-signature"])
    expect("no webhook-id", 400, webhook_id, body, missing=["webhook-id"])
    expect("not UTF-8", 400, webhook_id, b"\xff\xfe")
    expect("after the refusals: an update", 2, str(uuid.uuid4()), body)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
