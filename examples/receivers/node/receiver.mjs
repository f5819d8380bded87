// A webhook receiver: verifies, drops repeats, prints one line per event.
//
//     npm install
//     WEBHOOK_SECRET=whsec_… PORT=9000 node receiver.mjs

import { createServer } from "node:http";
import { Webhook } from "standardwebhooks";

const MAX_BODY_BYTES = 16 * 1024 * 1024;
const MAX_REMEMBERED_IDS = 10_000;

if (!process.env.WEBHOOK_SECRET) {
  console.error("WEBHOOK_SECRET is not set");
  process.exit(78);
}
const webhook = new Webhook(process.env.WEBHOOK_SECRET);

// The last webhook ids. rowhook delivers at least once: a repeat has the same id. A real receiver
// stores the id in the transaction that does the work, so that a crash between the two can neither
// lose nor repeat an event.
const seen = new Set();

function isNew(id) {
  if (seen.has(id)) return false;
  seen.add(id);
  // A Set keeps the order of insertion, so the first one is the oldest.
  if (seen.size > MAX_REMEMBERED_IDS) seen.delete(seen.values().next().value);
  return true;
}

// The bytes as sent, or null when there are too many. Parsing and printing JSON again would change
// them, and the signature with them.
async function rawBody(request) {
  const chunks = [];
  let size = 0;
  for await (const chunk of request) {
    size += chunk.length;
    if (size > MAX_BODY_BYTES) return null;
    chunks.push(chunk);
  }
  return Buffer.concat(chunks);
}

async function receive(request) {
  if (request.method !== "POST") return 405;
  const body = await rawBody(request);
  if (body === null) return 413;
  let message;
  try {
    webhook.verify(body, request.headers);
    message = JSON.parse(body);
  } catch (error) {
    console.error(printable(`refused: ${error.message}`));
    return 400;
  }
  if (isNew(request.headers["webhook-id"])) console.log(line(message.event ?? {}));
  return 204;
}

// orders.updated 42  status: "new" → "paid"
function line(event) {
  const { old, new: current, changes } = event.data ?? {};
  let fields;
  if (old && current && changes) {
    const names = [...changes.added, ...changes.updated, ...changes.removed];
    fields = names.map((name) => `${name}: ${value(old, name)} → ${value(current, name)}`);
  } else if (String(event.type).endsWith(".updated")) {
    // Without REPLICA IDENTITY FULL the old row is not known.
    const names = Object.keys(current ?? {});
    fields = ["(old values not known)", ...names.map((name) => `${name}: ${value(current, name)}`)];
  } else {
    const row = current ?? old ?? {};
    fields = Object.keys(row).map((name) => `${name}: ${value(row, name)}`);
  }
  return printable(`${event.type} ${event.resourceId}  ${fields.join(", ")}`);
}

function value(row, name) {
  if (!Object.hasOwn(row, name)) return "–";
  const text = JSON.stringify(row[name]);
  return text.length <= 60 ? text : `${text.slice(0, 59)}…`;
}

// Row data must not be able to steer the terminal.
function printable(text) {
  return text.replace(/\p{Cc}/gu, "\ufffd");
}

const server = createServer((request, response) => {
  receive(request).then(
    (status) => {
      // The rest of a body that is too long was not read, so the connection cannot be used again.
      if (status === 413) response.setHeader("connection", "close");
      response.writeHead(status).end();
    },
    () => response.destroy(), // the peer went away in the middle of its request
  );
});
// Longer than rowhook keeps an idle connection, so that it is never closed under a request.
server.keepAliveTimeout = 120_000;
server.listen(Number(process.env.PORT ?? 9000), "127.0.0.1", () => {
  console.error(`listening on http://127.0.0.1:${server.address().port}`);
});
