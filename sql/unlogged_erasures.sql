-- Erasures that the log does not tell of yet. One that has not moved for long was cut off.
select erasure_id, resource, resource_id, fields, events, up_to_id, requested_by, requested_at, state = 'done'
  from rowhook.erasures
 where events > 0
   and (state = 'done' or state = 'running' and updated_at < now() - interval '10 minutes')
 order by erasure_id
