-- Leaves of an event what is given. $1 sequence id; $2 record, $3 previous values, $4 context, $5 data,
-- $6 related ids, as JSON text; $7 how much of the old row is known, $8 unknown columns, $9 columns that
-- stand as text.
update rowhook.events
   set record = $2::text::json, previous = $3::text::json, context = $4::text::json, data = $5::text::json,
       related = $6::text::json, old_row = $7, unknown = $8, as_text = $9, erased_at = now()
 where sequence_id = $1
