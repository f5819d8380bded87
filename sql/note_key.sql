-- Notes that relation $1 has the primary key $2, and gives every key that was noted of it.
with noted as (
  insert into rowhook.relation_keys (relation, key)
  select $1::oid, $2::text[] where cardinality($2::text[]) > 0
  on conflict do nothing
  returning key, noted_at
)
select key, noted_at from noted
union all
select key, noted_at from rowhook.relation_keys where relation = $1::oid
