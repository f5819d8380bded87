-- A replay, with the cursor that it begins from.
-- $1 webhook, $2 after, $3 up to, $4 from, $5 to, $6 types, $7 resource, $8 its key, $9 condition, $10 rate.
with asked as (
  insert into rowhook.replays
    (webhook, after_id, up_to_id, from_time, to_time, types, resource, resource_id, condition, rate_per_second)
  values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)
  returning replay_id, name, after_id
), placed as (
  insert into rowhook.subscriptions (name, cursor) select name, after_id from asked
)
select replay_id from asked
