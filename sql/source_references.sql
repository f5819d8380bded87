-- Foreign keys of relation $1: their columns, those of each in the order of the primary key that they
-- name, else in the constraint's own. The oldest constraint first.
select array(select a.attname::text
               from unnest(k.conkey, k.confkey) with ordinality p (column_no, named_no, position)
               join pg_catalog.pg_attribute a on a.attrelid = k.conrelid and a.attnum = p.column_no
               left join pg_catalog.pg_index i on i.indrelid = k.confrelid and i.indisprimary
               left join lateral unnest(i.indkey::int2[]) with ordinality m (named_no, place)
                 on m.named_no = p.named_no
              order by m.place, p.position)
  from pg_catalog.pg_constraint k
 where k.conrelid = $1::oid and k.contype = 'f'
 order by k.oid
