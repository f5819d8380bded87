-- Delivery: attempts, replays, and what subscriptions say of themselves.

-- Subscriptions.
comment on table rowhook.subscriptions is 'One row for each webhook that was ever served: how far it is, and whether it runs.';

-- Attempts.

-- Replays.

