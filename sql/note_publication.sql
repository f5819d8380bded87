-- What the publication holds now. $1 oid, $2 version, $3 owner, $4 relations, $5 memberships, $6 names.
with gone as (
  delete from rowhook.published where relation <> all ($4::oid[])
), members as (
  insert into rowhook.published (relation, membership, table_name)
  select * from unnest($4::oid[], $5::oid[], $6::text[])
  on conflict (relation) do update set membership = excluded.membership, table_name = excluded.table_name
)
insert into rowhook.publication (oid, version, owner)
values ($1, $2, $3)
on conflict (only_row) do update set oid = excluded.oid, version = excluded.version, owner = excluded.owner,
                                     noted_at = now()
