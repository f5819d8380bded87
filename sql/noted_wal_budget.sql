-- What the log says last about the WAL budget.
select record ->> 'level'
  from rowhook.events
 where resource = 'rowhook' and resource_id is null and event_type = 'rowhook.wal_budget'
 order by sequence_id desc
 limit 1
