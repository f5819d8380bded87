-- Updates of a table between two events that may have changed a column of its key.
-- $1 resource, $2 schema, $3 table, $4 after, $5 up to, $6 labels of the columns, as "id":
select sequence_id, created_at, resource_id, record, previous
  from rowhook.events
 where resource = $1 and table_schema = $2 and table_name = $3
   and sequence_id > $4 and sequence_id <= $5
   and action in ('updated', 'restored', 'deleted')
   and exists (select from unnest($6::text[]) label where strpos(previous::text, label) > 0)
 order by sequence_id
