"""Verifies a request with what others wrote; prints the name of each library that was content.

Standard input: JSON with `headers`, `body` (base64), `secret` (whsec_…) and `jwks`.
"""

import base64
import json
import sys

import standardwebhooks
import svix.webhooks
from cryptography.exceptions import InvalidSignature
from joserfc.jwk import KeySet

request = json.load(sys.stdin)
headers = request["headers"]
body = base64.b64decode(request["body"])
changed = body.replace(b"1", b"2", 1)
assert changed != body


def by_hmac(library):
    webhook = library.Webhook(request["secret"])
    webhook.verify(body, headers)
    try:
        webhook.verify(changed, headers)
    except library.WebhookVerificationError:
        return
    raise SystemExit(f"{library.__name__} verifies a body that was changed")


def by_ed25519(key):
    """Whether one of the request's signatures is by this key, and does not fit another body."""
    head = f"{headers['webhook-id']}.{headers['webhook-timestamp']}.".encode()
    found = False
    for signature in headers["webhook-signature"].split(" "):
        version, _, encoded = signature.partition(",")
        if version == "v1a":
            found |= verifies(key, base64.b64decode(encoded), head + body)
            assert not verifies(key, base64.b64decode(encoded), head + changed)
    return found


def verifies(key, signature, message):
    try:
        key.verify(signature, message)
        return True
    except InvalidSignature:
        return False


by_hmac(standardwebhooks)
print("standardwebhooks")
by_hmac(svix.webhooks)
print("svix")
keys = KeySet.import_key_set(request["jwks"]).keys
assert len(keys) == 2, keys
for key in keys:
    assert key.kid == key.thumbprint(), key.kid
    assert not key.is_private
    # The key of the library `cryptography`.
    assert by_ed25519(key.public_key), key.kid
print("joserfc\ncryptography")
