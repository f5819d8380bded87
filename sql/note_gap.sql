-- The operator accepted that changes were left out, and the slot goes on as it is: only an event.
-- $1 event id, $2 time, $3 record.
with forgotten as (
  delete from rowhook.histories
), moved as (
  update rowhook.checkpoint
     set epoch = epoch + 1, next_sequence_id = next_sequence_id + 1, updated_at = now()
  returning next_sequence_id - 1 as sequence_id, acknowledged_lsn
)
insert into rowhook.events (sequence_id, event_id, event_type, resource, action, created_at, record, old_row,
                            table_schema, table_name, xid, commit_lsn, commit_index)
select sequence_id, $1, 'rowhook.gap', 'rowhook', 'noted', $2, $3::text::json, 'absent', '', '', 0, acknowledged_lsn, 0
  from moved
returning sequence_id
