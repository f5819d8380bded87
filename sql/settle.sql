-- One flush of a subscription: its cursor and its rows, at once or not at all. Nothing moves for a
-- daemon whose epoch has passed.
-- $1 subscription, $2 epoch, $3 cursor, $4 sequence ids of rows to delete,
-- $5.. columns of rows to keep: sequence id, event id, lane, state, attempts, due, reason, and when the
-- operator's request that is done with this was made. A later one stays.
-- $13 the replay whose cursor it is, if it is one, $14 how many events were delivered for it in all.
with fence as (
  select from rowhook.checkpoint where epoch = $2
), moved as (
  update rowhook.subscriptions
     set cursor = greatest(cursor, $3), updated_at = now()
   where name = $1 and exists (select from fence)
  returning 1
), gone as (
  delete from rowhook.deliveries
   where subscription = $1 and sequence_id = any ($4::bigint[]) and exists (select from moved)
), kept as (
  insert into rowhook.deliveries as d
         (subscription, sequence_id, event_id, lane, state, attempts, due_at, reason, requested_at)
  select $1, k.*
    from unnest($5::bigint[], $6::uuid[], $7::text[], $8::text[], $9::integer[], $10::timestamptz[], $11::text[],
                $12::timestamptz[]) k
   where exists (select from moved)
  on conflict (subscription, sequence_id) do update
     set state = excluded.state, attempts = excluded.attempts, due_at = excluded.due_at,
         reason = excluded.reason, updated_at = now(),
         request = case when d.requested_at = excluded.requested_at then null else d.request end
), counted as (
  update rowhook.replays set delivered = greatest(delivered, $14), updated_at = now()
   where replay_id = $13 and exists (select from moved)
)
select count(*) from moved
