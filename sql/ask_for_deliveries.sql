-- Writes a request ($3) beside deliveries of a webhook ($1) with these sequence ids ($2). Nobody sends
-- again what a replay left that was cut off.
update rowhook.deliveries d
   set request = $3, requested_at = clock_timestamp()
 where d.subscription = $1 and d.sequence_id = any ($2::bigint[])
   and ($3 = 'discard' or not exists (select from rowhook.replays r
                                       where r.name = d.subscription and r.state in ('cancelled', 'failed')))
