-- Pages of one type, however rare it is.
create index events_by_type on rowhook.events (event_type text_pattern_ops, sequence_id);
