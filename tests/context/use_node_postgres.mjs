// An application with node-postgres changes table `t`; DATABASE_URL names the database.

import assert from "node:assert";
import { EventEmitter, once } from "node:events";
import pg from "pg";
import { middleware, saying, transaction } from "./rowhook-context.mjs";

const pool = new pg.Pool({ connectionString: process.env.DATABASE_URL, max: 2 });
const insert = (id) =>
  transaction(pool, async (client) => {
    await client.query("insert into t values ($1, 0)", [id]);
    return id;
  });

// Two at once, whose steps alternate: each has its own.
const done = new EventEmitter();
const say = middleware((request) => ({ user_id: request.user, request_id: request.id }));
const handle = (request) =>
  say(request, {}, async () => {
    await new Promise(setImmediate);
    await insert(request.row);
    done.emit(request.id);
  });
const both = Promise.all([once(done, "r-1"), once(done, "r-2")]);
handle({ user: "ada", id: "r-1", row: 1 });
handle({ user: "käthe", row: 2, id: "r-2" });
await both;

await saying({ user_id: "eve" }, async () => {
  await assert.rejects(insert(1), /duplicate key/);
  await saying({ role: "admin", nobody: undefined }, () => insert(3));
});
await insert(4);
await pool.end();
