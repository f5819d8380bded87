// Says on whose behalf each transaction changes rows.
//
//   app.use(middleware((request) => ({ user_id: request.user?.id, traceparent: request.headers.traceparent })));
//   await transaction(pool, (client) => client.query("update posts set …"));

import { AsyncLocalStorage } from "node:async_hooks";

const storage = new AsyncLocalStorage();

// Runs `work`; every transaction that begins in it, or in what it awaits, says `context`.
// Members without a value are left out.
export function saying(context, work) {
  return storage.run({ ...storage.getStore(), ...context }, work);
}

// For Express, Connect and their like.
export function middleware(contextOf) {
  return (request, response, next) => saying(contextOf(request), () => next());
}

// Runs `work` in a transaction of its own.
export async function transaction(pool, work) {
  const client = await pool.connect();
  let broken;
  try {
    await client.query("begin");
    const context = storage.getStore();
    if (context) {
      await client.query("select rowhook.set_context($1::jsonb)", [JSON.stringify(context)]);
    }
    const result = await work(client);
    await client.query("commit");
    return result;
  } catch (error) {
    await client.query("rollback").catch((failure) => (broken = failure));
    throw error;
  } finally {
    // A connection on which not even that works must not go back into the pool.
    client.release(broken);
  }
}
