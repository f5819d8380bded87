-- What the log knows of objects: the record of the newest event of each. Of one that is gone, nothing. An
-- event of one field goes with one of the whole row.
-- An event of the application's own carries the record of its time, and no other came between.
-- $1 resources, $2 resource ids.
select k.place, e.record
  from unnest($1::text[], $2::text[]) with ordinality k (resource, resource_id, place),
       lateral (select l.action, l.record, l.sequence_id
                  from rowhook.events l
                 where l.resource = k.resource and l.resource_id = k.resource_id and l.action <> 'changed'
                 order by l.sequence_id desc
                 limit 1) e
 where e.action <> 'deleted' and e.record is not null
   and not exists (select from rowhook.events t
                    where t.resource = k.resource and t.resource_id is null and t.action = 'truncated'
                      and t.sequence_id > e.sequence_id)
 order by k.place
