-- The operator accepted a gap: the log goes on from another position, and says so.
-- $1 system identifier, $2 timeline, $3 database, $4 slot, $5 position, $6 event id, $7 time, $8 record.
with forgotten as (
  delete from rowhook.histories
), moved as (
  update rowhook.checkpoint
     set system_identifier = $1, timeline = $2, database = $3, slot = $4, epoch = epoch + 1,
         commit_lsn = '0/0', acknowledged_lsn = $5, next_sequence_id = next_sequence_id + 1, updated_at = now()
  returning next_sequence_id - 1 as sequence_id
)
insert into rowhook.events (sequence_id, event_id, event_type, resource, action, created_at, record, old_row,
                            table_schema, table_name, xid, commit_lsn, commit_index)
select sequence_id, $6, 'rowhook.gap', 'rowhook', 'noted', $7, $8::text::json, 'absent', '', '', 0, $5, 0
  from moved
returning sequence_id
