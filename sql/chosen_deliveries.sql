-- Deliveries that fit everything that is given: $1 webhook, $2 state, $3 event type, $4 resource, $5 its
-- key, $6 words of the reason, $7 sequence ids or $8 event ids. What is null is not asked for.
select d.subscription, d.sequence_id, d.event_id, d.state, d.attempts, d.due_at, d.reason, d.request,
       d.created_at, d.updated_at, e.event_type, e.resource, e.resource_id
  from rowhook.deliveries d
  left join rowhook.events e on e.sequence_id = d.sequence_id
 where ($1::text is null or d.subscription = $1)
   and ($2::text is null or d.state = $2)
   and ($3::text is null or e.event_type = $3)
   and ($4::text is null or e.resource = $4)
   and ($5::text is null or e.resource_id = $5)
   and ($6::text is null or strpos(lower(d.reason), lower($6)) > 0)
   and (($7::bigint[] is null and $8::uuid[] is null)
        or d.sequence_id = any ($7::bigint[]) or d.event_id = any ($8::uuid[]))
