-- A subscription orders its events in another way: notes how, and gives its dead deliveries, and those
-- that wait up to its cursor, their new lanes, at once or not at all. Those that wait after it lose their
-- rows: they are read again in their order, among those without a row. Nothing moves for a daemon whose epoch has passed.
-- $1 subscription, $2 epoch, $3 ordering, $4.. columns of the deliveries: sequence id, lane.
with fence as (
  select from rowhook.checkpoint where epoch = $2
), noted as (
  update rowhook.subscriptions
     set ordering = $3, updated_at = now()
   where name = $1 and exists (select from fence)
  returning 1
), moved as (
  update rowhook.deliveries d
     set lane = l.lane, updated_at = now()
    from unnest($4::bigint[], $5::text[]) l (sequence_id, lane)
   where d.subscription = $1 and d.sequence_id = l.sequence_id and exists (select from noted)
), unread as (
  delete from rowhook.deliveries d
   using rowhook.subscriptions s
   where s.name = $1 and d.subscription = $1 and d.sequence_id > s.cursor
     and d.state = 'waiting' and d.request is distinct from 'discard' and exists (select from noted)
)
select count(*) from noted
