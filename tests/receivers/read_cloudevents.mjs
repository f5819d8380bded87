// Reads every request with the Node SDK of CloudEvents, holds what it read against the published
// JSON schema, which the SDK brings, and prints one line per event.

import { createServer } from "node:http";
import { HTTP } from "cloudevents";
import hasSchema from "cloudevents/dist/schema/v1.js";

function check(event) {
  if (!hasSchema(event)) throw new Error(JSON.stringify(hasSchema.errors));
}

function line(path, event) {
  event.validate(); // by the schema, too
  const words = [path, event.datacontenttype, event.source, event.type, event.subject ?? "-"];
  words.push(event.sequence, event.partitionkey);
  if (Number.isNaN(Date.parse(event.time)) || !event.time.endsWith("Z")) throw new Error(event.time);
  words.push("0.0", JSON.stringify(event.data));
  return words.join(" ");
}

async function receive(request) {
  const chunks = [];
  for await (const chunk of request) chunks.push(chunk);
  const body = Buffer.concat(chunks).toString();
  if (request.headers["content-type"].startsWith("application/cloudevents")) {
    [JSON.parse(body)].flat().forEach(check);
  }
  const events = [HTTP.toEvent({ headers: request.headers, body })].flat();
  return events.map((event) => line(request.url, event));
}

const server = createServer((request, response) => {
  receive(request).then(
    (lines) => {
      console.log(lines.join("\n"));
      response.writeHead(204).end();
    },
    (error) => {
      console.error(`refused: ${error.message.replaceAll("\n", " ")}`);
      response.writeHead(400).end();
    },
  );
});
server.keepAliveTimeout = 120_000;
server.listen(0, "127.0.0.1", () => {
  console.error(`listening on http://127.0.0.1:${server.address().port}`);
});
