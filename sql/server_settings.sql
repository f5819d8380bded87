-- What logical decoding needs of the server. $1: our slot, which is not in its own way.
select current_setting('server_version_num')::integer,
       current_setting('wal_level'),
       current_setting('max_replication_slots')::bigint
         - (select count(*) from pg_catalog.pg_replication_slots where slot_name <> $1::text),
       current_setting('max_wal_senders')::bigint
         - (select count(*) from pg_catalog.pg_stat_replication r
             where not exists (select from pg_catalog.pg_replication_slots s
                                where s.slot_name = $1::text and s.active_pid = r.pid)),
       (select setting::bigint from pg_catalog.pg_settings where name = 'max_slot_wal_keep_size')
