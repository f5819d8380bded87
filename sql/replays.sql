-- Every replay: what was asked for, its state, and what its deliveries are about.
select r.replay_id, r.webhook, r.name, r.state, r.after_id, r.up_to_id, r.from_time, r.to_time, r.types,
       r.resource, r.resource_id, r.condition, r.rate_per_second, r.delivered, r.skipped, r.reason, r.requested_at,
       coalesce(s.cursor, r.reached, r.after_id), s.name is not null, d.waiting, d.dead
  from rowhook.replays r
  left join rowhook.subscriptions s on s.name = r.name
 cross join lateral (select count(*) filter (where d.state = 'waiting' or d.request is not null) as waiting,
                            count(*) filter (where d.state = 'dead') as dead
                       from rowhook.deliveries d where d.subscription = r.name) d
