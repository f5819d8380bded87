-- Every webhook that was ever served: state, cursor, what is behind it, what waits and what is dead.
select s.name, s.state, s.reason, s.cursor,
       greatest((select next_sequence_id - 1 from rowhook.checkpoint) - s.cursor, 0),
       count(*) filter (where d.state = 'waiting'),
       count(*) filter (where d.state = 'dead'),
       (array_agg(d.reason order by d.updated_at desc) filter (where d.reason is not null))[1],
       s.breaker_since, s.breaker_reason, s.breaker_probe_at,
       s.skipped, s.skipped_from, s.skipped_to, s.skipped_at
  from rowhook.subscriptions s
  left join rowhook.deliveries d on d.subscription = s.name
 where s.name not like '%/%' -- replays have a list of their own
 group by s.name
 order by s.name
