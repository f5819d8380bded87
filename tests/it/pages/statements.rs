//! What happens on the server: the applications whose events the pages print.

/// Columns are called as the pages call them.
pub(super) const TABLES: &str = r#"
create table posts (id text primary key, title text, created_at timestamptz default now());

create type reference as (id uuid);
create type place as (lat float8, lng float8);
create type money_of as (amount int, currency text);
create table listing (
    id uuid primary key, title text, description text, deleted boolean, geolocation place,
    "createdAt" timestamptz, state text, "availabilityPlan" jsonb, "privateData" jsonb, "publicData" jsonb,
    metadata jsonb, price money_of, author reference, marketplace reference, images reference[]);

create table usr (id text primary key);
create table category (id text primary key);
create table asset_type (id text primary key);
create table asset (
    id text primary key, name text, description text, "ownerId" text references usr,
    "categoryId" text references category, validated boolean, active boolean, locations jsonb,
    "assetTypeId" text references asset_type, quantity int, price numeric, currency text,
    "customAttributes" jsonb, metadata jsonb, "platformData" jsonb, "createdDate" timestamptz,
    "updatedDate" timestamptz, livemode boolean);

create table deal (
    id text primary key, name text, stage text, value int, "accountId" text, "ownerId" text,
    "customFields" jsonb, "createdAt" timestamptz, "updatedAt" timestamptz);
"#;

/// One transaction each.
pub(super) const CHANGES: [&str; 12] = [
    "insert into posts values ('abc-123', 'Hello World')",
    r#"insert into listing values (
        '5bbb2f6f-568f-470a-9949-a655e3f6ac46', 'old title', '7-speed Hybrid', false, '(40.64542,-74.08508)',
        '2018-03-23T08:40:24.443Z', 'published',
        '{"type": "availability-plan/day", "entries": [{"dayOfWeek": "mon", "seats": 1}]}',
        '{"externalServiceId": "abcd-service-id-1234"}',
        '{"address": {"city": "New York", "country": "USA", "state": "NY", "street": "222 Hamilton Ave"},
          "categoryLevel1": "road", "gears": 22}',
        '{"promoted": true}', '(1590,USD)', '(5cf4c0eb-513f-419b-a8be-bdb6c14be10a)',
        '(9deec37c-b59c-4884-8f60-e4944335c327)',
        array['(98e11f3b-ea22-4b1b-8549-e543ae241133)', '(d12b8ebc-4df8-4bd0-9231-2f05691831a4)']::reference[])"#,
    "update listing set title = 'Listing title'",
    "update listing set title = 'old title'",
    r#"select rowhook.set_context('{"source": "marketplace-api", "userId": "5cf4c0eb-513f-419b-a8be-bdb6c14be10a",
        "clientId": "69ea8198-201c-48c4-a3bb-78b38e4059b0", "requestId": "4b66e510-22cb-47ca-953f-8a8377af2ed0"}');
    update listing set
        title = 'Peugeot eT101',
        "availabilityPlan" = jsonb_set("availabilityPlan", '{entries,1}', '{"dayOfWeek": "tue", "seats": 2}'),
        "publicData" = jsonb_set("publicData", '{address,street}', '"230 Hamilton Ave"')
            || '{"rules": "This is a nice, bike! Please, be careful with it."}',
        images = array['(209a25aa-e7cf-4967-89c3-0f09b2d482ff)', '(98e11f3b-ea22-4b1b-8549-e543ae241133)',
            '(ee1a647a-a751-43c7-90a4-48e94654f016)']::reference[]"#,
    r#"insert into usr values ('usr_WHlfQps1I3a1gJYz2I3a');
    insert into category values ('ctgy_ejQQps1I3a1gJYz2I3a');
    insert into asset_type values ('typ_MGsfQps1I3a1gJYz2I3a')"#,
    r#"insert into asset values (
        'ast_lCfxJNs10rP1g2Mww0rP', 'Ford Gran Torino', 'Muscle Car, 1972', 'usr_WHlfQps1I3a1gJYz2I3a',
        'ctgy_ejQQps1I3a1gJYz2I3a', true, true, '[{"latitude": 34.099426, "longitude": -118.337097}]',
        'typ_MGsfQps1I3a1gJYz2I3a', 1, 10, 'USD', '{}', '{}', '{}', '2018-03-27T21:54:34.233Z',
        '2018-04-06T16:04:39.331Z', false)"#,
    r#"insert into deal values (
        'deal-123', 'Enterprise Software License', 'proposal', 50000, 'account-456', 'user-789',
        '{"expected_close_date": "2024-03-15", "deal_source": "inbound"}', '2024-01-15T10:30:00Z',
        '2024-01-15T10:30:00Z')"#,
    "update deal set stage = 'negotiation', value = 60000",
    "delete from deal",
    r#"select rowhook.emit('app.custom-event',
        '{"attr": "might be useful in Webhooks or Workflows", "values": [{"anything": true}]}',
        'asset', 'ast_lCfxJNs10rP1g2Mww0rP')"#,
    r#"select rowhook.emit('app.sent-email',
        '{"to": "user1@email.com", "from": "user2@email.com", "subject": "Some Subject"}');
    select rowhook.emit('app.my-custom-event', '{"foo": "bar"}')"#,
];
