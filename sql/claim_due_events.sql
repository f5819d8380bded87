-- Takes in hand what is due, as long as its data are no more than 4 MiB. Writes nothing where nothing is.
-- $1: how many at the most.
with claimed as (
  update rowhook.scheduled_events s set claimed_at = clock_timestamp()
   where s.event_id in (
     select b.event_id
       from (select d.event_id, row_number() over w as place,
                    sum(coalesce(octet_length(d.data::text), 0)) over w as bytes
               from (select event_id, data, due_at, request
                       from rowhook.scheduled_events
                      where logged_at is null and cancelled_at is null and due_at <= statement_timestamp()
                      order by due_at, request
                      limit $1) d
             window w as (order by d.due_at, d.request)) b
      where b.place = 1 or b.bytes <= 4194304)
     and s.logged_at is null and s.cancelled_at is null
  returning s.*
)
select event_id, event_type, data, resource, resource_id, context from claimed order by due_at, request
