-- Events up to $2 are gone, or are about to go: notes it for those of $1 whose cursors have not come so
-- far. What follows on a range that a cursor is still before belongs to it.
update rowhook.subscriptions s
   set skipped_from = case when s.skipped_to >= s.cursor then s.skipped_from else s.cursor + 1 end,
       skipped_to = $2,
       skipped = s.skipped + $2 - greatest(s.cursor, coalesce(s.skipped_to, 0)),
       skipped_at = now()
 where s.name = any ($1::text[]) and s.cursor < $2 and coalesce(s.skipped_to, 0) < $2
returning s.name, s.skipped_from, s.skipped_to
