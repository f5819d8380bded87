-- The log as a product: events of the application, whose they are, and what they are about.

alter table rowhook.events
  add column data    json,
  add column tenant  text,
  add column related json;
comment on column rowhook.events.data is 'What the application says with an event of its own.';
comment on column rowhook.events.tenant is 'Whose it is, where the settings of the resource name a column.';
comment on column rowhook.events.related is 'Ids of the rows that its foreign keys name, as {"authorId": "7"}.';

create or replace view rowhook.event_feed as
select e.sequence_id, e.event_id, e.event_type, e.resource, e.resource_id, e.action, e.created_at,
       case
         when e.action = 'deleted' and e.previous is null then e.record
         when e.action in ('updated', 'restored', 'changed', 'deleted') and e.old_row = 'full' then
           (select rowhook.as_written(coalesce(json_object_agg(r.key, coalesce(p.value, r.value) order by r.position), '{}'))
              from json_each(rowhook.separable(e.record, e.previous)) with ordinality r (key, value, position)
              left join json_each(rowhook.separable(e.previous, e.record)) p on p.key = r.key)
       end as old,
       case when e.action <> 'deleted' then e.record end as new,
       case
         when e.action in ('created', 'snapshot') then
           json_build_object('added', rowhook.keys(e.record), 'updated', '[]'::json, 'removed', '[]'::json)
         when e.action = 'deleted' then
           json_build_object('added', '[]'::json, 'updated', '[]'::json, 'removed', rowhook.keys(e.record))
         when e.action in ('updated', 'restored', 'changed') and e.old_row = 'full' then
           json_build_object('added', '[]'::json, 'updated', rowhook.keys(e.previous), 'removed', '[]'::json)
       end as changes,
       e.previous, e.context, e.old_row, e.unknown, e.table_schema, e.table_name, e.xid, e.commit_lsn, e.commit_index,
       e.as_text, e.data, e.tenant, e.related
  from rowhook.events e;
