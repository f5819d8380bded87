-- The newest event of each of these rows, where the log is known to have all of its changes.
-- A row that was deleted softly is still there. Events of the application's own say nothing of the row.
-- $1 resources, $2 resource ids, $3 schemas, $4 tables, $5 first sequence ids, $6 first commit positions.
select k.place, e.record
  from unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::bigint[], $6::pg_lsn[]) with ordinality
         k (resource, resource_id, table_schema, table_name, since, trusted_from, place),
       lateral (select l.action, l.record, l.previous is not null as marked, l.commit_lsn, l.table_schema, l.table_name
                  from rowhook.events l
                 where l.resource = k.resource and l.resource_id = k.resource_id and l.sequence_id >= k.since
                   and l.action <> 'custom'
                 order by l.sequence_id desc
                 limit 1) e
 where (e.action in ('created', 'updated', 'snapshot', 'restored', 'changed') or e.action = 'deleted' and e.marked)
   and e.commit_lsn >= k.trusted_from
   and e.table_schema = k.table_schema and e.table_name = k.table_name
 order by k.place
