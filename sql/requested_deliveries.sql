-- What operators want done with a subscription's deliveries ($1). Discarded ones after the cursor wait
-- for it, so the others come first. $2: how many at the most.
select d.sequence_id, d.event_id, d.lane, d.state, d.attempts, d.due_at, d.reason, d.request, d.requested_at
  from rowhook.deliveries d
  join rowhook.subscriptions s on s.name = d.subscription
 where d.subscription = $1 and d.request is not null
 order by d.request = 'discard' and d.sequence_id > s.cursor, d.sequence_id
 limit $2
