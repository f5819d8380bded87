// Verifies a request with what others wrote; prints the name of each library that was content.
//
// Standard input: JSON with `headers`, `body` (base64), `secret` (whsec_…) and `jwks`.

import assert from "node:assert/strict";
import { text } from "node:stream/consumers";

import { calculateJwkThumbprint, importJWK } from "jose";
import * as standardwebhooks from "standardwebhooks";
import * as svix from "svix";

const request = JSON.parse(await text(process.stdin));
const { headers } = request;
const body = Buffer.from(request.body, "base64").toString();
const changed = body.replace("1", "2");
assert.notEqual(changed, body);

for (const [name, library] of Object.entries({ standardwebhooks, svix })) {
  const webhook = new library.Webhook(request.secret);
  webhook.verify(body, headers);
  assert.throws(() => webhook.verify(changed, headers), library.WebhookVerificationError);
  console.log(name);
}

const message = (body) =>
  Buffer.from(`${headers["webhook-id"]}.${headers["webhook-timestamp"]}.${body}`);
const signatures = headers["webhook-signature"]
  .split(" ")
  .filter((signature) => signature.startsWith("v1a,"))
  .map((signature) => Buffer.from(signature.slice("v1a,".length), "base64"));
assert.equal(signatures.length, 2);
assert.equal(request.jwks.keys.length, 2);
for (const jwk of request.jwks.keys) {
  assert.equal(jwk.kid, await calculateJwkThumbprint(jwk));
  const key = await importJWK(jwk, jwk.alg);
  const fits = (body) =>
    Promise.all(
      signatures.map((signature) => crypto.subtle.verify("Ed25519", key, signature, message(body))),
    );
  assert.ok((await fits(body)).includes(true));
  assert.ok(!(await fits(changed)).includes(true));
}
console.log("jose");
