-- $1 schema, $2 table, $3 rows of a chunk, $4 rows per second, $5 whether to begin anew.
insert into rowhook.backfills as b (table_schema, table_name, chunk_rows, rows_per_second)
values ($1, $2, $3, $4)
on conflict (table_schema, table_name) do update
   set backfill_id = case when b.state = 'done' or $5 then excluded.backfill_id else b.backfill_id end,
       state = 'waiting', reason = null,
       chunk_rows = excluded.chunk_rows, rows_per_second = excluded.rows_per_second,
       last_key = case when b.state = 'done' or $5 then null else b.last_key end,
       rows_logged = case when b.state = 'done' or $5 then 0 else b.rows_logged end,
       requested_at = now(), updated_at = now()
 where b.state not in ('waiting', 'running')
