-- Triggers of rowhook.capture_context: their tables, whether this role may take them away, whether they fire.
select format('%I.%I', n.nspname, c.relname), pg_has_role(c.relowner, 'USAGE'), t.tgenabled in ('O', 'A')
  from pg_trigger t
  join pg_class c on c.oid = t.tgrelid
  join pg_namespace n on n.oid = c.relnamespace
  join pg_proc p on p.oid = t.tgfoid
  join pg_namespace f on f.oid = p.pronamespace
 -- Those of partitions belong to their table's, where that has one.
 where not t.tgisinternal and t.tgparentid = 0 and f.nspname = 'rowhook' and p.proname = 'say_context'
 order by 1
