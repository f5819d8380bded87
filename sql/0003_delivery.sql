-- Delivery: attempts, replays, and what subscriptions say of themselves.

-- Subscriptions.
comment on table rowhook.subscriptions is 'One row for each webhook that was ever served: how far it is, and whether it runs.';
alter table rowhook.subscriptions add column ordering text;
comment on column rowhook.subscriptions.ordering is
  'By what the lanes of its waiting deliveries were made: order and order_by of its settings.';

-- Attempts.

-- Replays.

