-- Takes away why the deliveries of event $1 failed: the reason may quote the receiver's answer.
update rowhook.deliveries
   set reason = 'erased'
 where subscription in (select name from rowhook.subscriptions) and sequence_id = $1
   and reason <> 'erased'
