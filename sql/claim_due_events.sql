-- Takes in hand what is due. Writes nothing where nothing is. $1: how many at the most.
with claimed as (
  update rowhook.scheduled_events s set claimed_at = clock_timestamp()
   where s.event_id in (select d.event_id from rowhook.scheduled_events d
                         where d.logged_at is null and d.cancelled_at is null and d.due_at <= clock_timestamp()
                         order by d.due_at, d.request
                         limit $1)
     and s.logged_at is null and s.cancelled_at is null
  returning s.*
)
select event_id, event_type, data, resource, resource_id, context from claimed order by due_at, request
