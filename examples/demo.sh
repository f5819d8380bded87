#!/usr/bin/env bash
# A scratch PostgreSQL, a small shop that is being used, rowhook, and a receiver that prints what it
# gets. Ctrl-C ends it; nothing is left behind.
#
#   examples/demo.sh                 until Ctrl-C
#   examples/demo.sh --seconds 20    stops by itself; fails if an event is missing (for CI)
#   examples/demo.sh --no-build      uses the binaries in target/release as they are
#
# Needs Rust. PostgreSQL and a C compiler are installed with apt-get where they are missing (the
# package's own database cluster is neither created nor started).
set -euo pipefail

repo=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
target=${CARGO_TARGET_DIR:-$repo/target}
seconds=0 # 0: until Ctrl-C
build=yes

dir=            # everything this script writes
pg_bin=         # where initdb, pg_ctl and psql are
pg_user=        # whom the cluster runs as, when this script is root
pg_started=
rowhook_pid=
receiver_pid=
tail_pid=
ready=
cluster_conf=   # the package's setting that has to be put back

bold='' dim='' red='' plain=''
if [[ -t 1 && -z ${NO_COLOR:-} ]]; then
  bold=$'\e[1m' dim=$'\e[2m' red=$'\e[31m' plain=$'\e[0m'
fi

say() { printf '%s\n' "${bold}==> $*${plain}"; }
fail() {
  printf '%s\n' "${red}error: $*${plain}" >&2
  exit 1
}
fail_with_log() { # message, log file
  printf '%s\n' "${dim}--- the end of ${2##*/} ---" >&2
  tail -n 40 "$2" >&2 || true
  printf '%s\n' "---${plain}" >&2
  fail "$1"
}

usage() { sed -n '2,10s/^# \{0,1\}//p' "${BASH_SOURCE[0]}"; }

parse_arguments() {
  while (($#)); do
    case $1 in
      --seconds)
        [[ ${2:-} =~ ^[1-9][0-9]{0,5}$ ]] || fail "--seconds needs a number"
        seconds=$2
        shift 2
        ;;
      --no-build) build=no && shift ;;
      -h | --help) usage && exit 0 ;;
      *) usage >&2 && fail "unknown argument: $1" ;;
    esac
  done
}

# --- what has to be there -------------------------------------------------------------------------

as_root() {
  if ((EUID == 0)); then
    "$@"
  else
    command -v sudo >/dev/null || fail "to install packages, run this as root or install sudo"
    sudo "$@"
  fi
}

apt_install() {
  command -v apt-get >/dev/null || fail "missing: $*; install it with your package manager"
  say "Installing $*"
  local output
  output=$(as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq \
    --no-install-recommends "$@" </dev/null 2>&1) || fail "apt-get could not install $*: $output"
}

find_postgres() {
  local initdb candidate
  initdb=$(command -v initdb || true)
  [[ -n $initdb ]] && initdb=$(readlink -f "$initdb")
  # The newest version that is installed comes last.
  for candidate in "${initdb%/*}" $(printf '%s\n' /usr/lib/postgresql/*/bin | sort -Vr); do
    if [[ -x $candidate/initdb && -x $candidate/pg_ctl && -x $candidate/psql ]]; then
      pg_bin=$candidate
      return 0
    fi
  done
  return 1
}

# Debian's server package creates and starts a cluster, unless its common package says otherwise.
install_postgres() {
  as_root apt-get update -qq >/dev/null
  apt_install postgresql-common
  local conf=/etc/postgresql-common/createcluster.conf
  as_root cp -p "$conf" "$conf.before-demo"
  cluster_conf=$conf
  echo 'create_main_cluster = false' | as_root tee -a "$conf" >/dev/null
  apt_install postgresql
  restore_cluster_conf
}

restore_cluster_conf() {
  [[ -n $cluster_conf ]] || return 0
  as_root mv -f "$cluster_conf.before-demo" "$cluster_conf"
  cluster_conf=
}

build_binaries() {
  if [[ $build == yes ]]; then
    local cargo
    cargo=$(command -v cargo || echo "${CARGO_HOME:-$HOME/.cargo}/bin/cargo")
    [[ -x $cargo ]] || fail "no cargo: install Rust from https://rustup.rs"
    if ! command -v cc >/dev/null; then
      as_root apt-get update -qq >/dev/null
      apt_install gcc libc6-dev
    fi
    say "Building (the first time takes some minutes)"
    (cd "$repo" && "$cargo" build --release --locked --bin rowhook --example receiver)
  fi
  [[ -x $target/release/rowhook ]] || fail "no $target/release/rowhook"
  [[ -x $target/release/examples/receiver ]] || fail "no $target/release/examples/receiver"
}

# --- the scratch cluster --------------------------------------------------------------------------

as_pg_user() {
  if [[ -n $pg_user ]]; then
    runuser -u "$pg_user" -- "$@"
  else
    "$@"
  fi
}

# Below the range that the kernel gives to outgoing connections.
free_port() {
  local port
  for _ in {1..100}; do
    port=$((20000 + RANDOM % 12000))
    if ! (exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null; then
      echo "$port"
      return
    fi
  done
  fail "found no free port"
}

start_postgres() {
  local socket_dir=$dir/socket
  mkdir "$dir/pg" "$socket_dir"
  if ((EUID == 0)); then
    # initdb refuses to work as root.
    pg_user=nobody
    ! id postgres >/dev/null 2>&1 || pg_user=postgres
    chmod 711 "$dir"
    chown "$pg_user" "$dir/pg" "$socket_dir"
  fi
  chmod 700 "$dir/pg" "$socket_dir" # whoever reaches the socket is a superuser
  pg_port=$(free_port)
  say "Starting PostgreSQL ($("$pg_bin/postgres" --version)) on port $pg_port"

  cd "$dir"
  as_pg_user "$pg_bin/initdb" -D "$dir/pg/data" -U postgres --encoding=UTF8 --locale=C \
    --auth-local=trust --auth-host=scram-sha-256 >"$dir/initdb.log" 2>&1 ||
    fail_with_log "initdb failed" "$dir/initdb.log"
  as_pg_user tee -a "$dir/pg/data/postgresql.conf" >/dev/null <<CONF
listen_addresses = '127.0.0.1'
port = $pg_port
unix_socket_directories = '$socket_dir'
wal_level = logical
shared_buffers = 32MB
CONF
  pg_started=yes
  as_pg_user "$pg_bin/pg_ctl" start -D "$dir/pg/data" -w -t 60 -l "$dir/pg/server.log" \
    >/dev/null </dev/null || fail_with_log "PostgreSQL did not start" "$dir/pg/server.log"
}

sql() { # database; statements on standard input, or as further arguments for psql
  local database=$1
  shift
  "$pg_bin/psql" -X -q -At -v ON_ERROR_STOP=1 -h "$dir/socket" -p "$pg_port" -U postgres \
    -d "$database" "$@"
}

create_shop() {
  say "Creating database shop"
  # The tables belong to the application's role. rowhook is a member of it, because only an owner
  # may publish a table or set its replica identity; it creates its own schema.
  local password
  password=$(head -c 18 /dev/urandom | base64)
  (umask 077 && printf '%s' "$password" >"$dir/source_password")
  sql postgres <<SQL
create role shop;
create role rowhook login replication password '$password' in role shop;
create database shop owner shop;
grant create on database shop to rowhook;
SQL
  sql shop <<'SQL'
grant create on schema public to shop;
set role shop;
create table customers (
  id         bigint generated always as identity primary key,
  name       text not null,
  email      text not null,
  created_at timestamptz not null default now()
);
create table orders (
  id          bigint generated always as identity primary key,
  customer_id bigint not null references customers,
  status      text not null default 'new',
  total       numeric(10,2) not null default 0,
  details     jsonb not null default '{}'
);
create table order_items (
  order_id bigint not null references orders on delete cascade,
  product  text not null,
  quantity integer not null,
  price    numeric(10,2) not null,
  primary key (order_id, product)
);
insert into customers (name, email) values
  ('Ada Okafor', 'ada@example.com'), ('Bruno Keller', 'bruno@example.com'),
  ('Chiara Rossi', 'chiara@example.com'), ('Daniel Novak', 'daniel@example.com'),
  ('Élodie Martin', 'elodie@example.com');
SQL
}

# --- rowhook and the receiver ---------------------------------------------------------------------

write_config() {
  api_port=$(free_port)
  receiver_port=$(free_port)
  (umask 077 && echo "whsec_$(head -c 32 /dev/urandom | base64)" >"$dir/webhook_secret")
  cat >"$dir/rowhook.toml" <<TOML
[source]
url = "postgres://rowhook@127.0.0.1:$pg_port/shop"
password_file = "$dir/source_password"

[capture]
tables = ["public.*"]

[[webhook]]
name = "demo"
url = "http://127.0.0.1:$receiver_port/"
events = ["*"]
secret = { file = "$dir/webhook_secret" }
start = "beginning"

[api]
listen = "127.0.0.1:$api_port"
TOML
  say "$dir/rowhook.toml"
  sed "s/.*/    $dim&$plain/" "$dir/rowhook.toml"
}

rowhook() { # seconds, command
  timeout --foreground "$1" "$target/release/rowhook" --config "$dir/rowhook.toml" "${@:2}"
}

start_receiver() {
  local colour=
  [[ -z $bold ]] || colour=1
  # In a session of its own, so that Ctrl-C reaches this script alone and the order of stopping is
  # this script's. The events go through a file, to be counted at the end.
  : >"$dir/events.txt"
  WEBHOOK_SECRET=$(<"$dir/webhook_secret") PORT=$receiver_port CLICOLOR_FORCE=$colour \
    setsid "$target/release/examples/receiver" >"$dir/events.txt" 2>"$dir/receiver.log" &
  receiver_pid=$!
  setsid tail -n +1 -f "$dir/events.txt" &
  tail_pid=$!
}

start_rowhook() {
  say "rowhook setup"
  rowhook 60 setup >"$dir/setup.log" 2>&1 ||
    fail_with_log "rowhook setup failed" "$dir/setup.log"
  say "rowhook run"
  setsid "$target/release/rowhook" --config "$dir/rowhook.toml" run >"$dir/rowhook.log" 2>&1 &
  rowhook_pid=$!
  wait_until_ready
}

is_ready() {
  local status=
  # Bash can speak HTTP well enough; curl may not be there.
  { exec 3<>"/dev/tcp/127.0.0.1/$api_port"; } 2>/dev/null || return 1
  printf 'GET /readyz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n' >&3 || true
  read -r -t 2 status <&3 || true
  exec 3>&-
  [[ $status == *' 200 '* ]]
}

wait_until_ready() {
  local until=$((SECONDS + 30))
  until is_ready; do
    kill -0 "$rowhook_pid" 2>/dev/null || fail_with_log "rowhook stopped" "$dir/rowhook.log"
    ((SECONDS < until)) || fail_with_log "rowhook was not ready in 30 s" "$dir/rowhook.log"
    sleep 0.2
  done
  ready=yes
}

# --- the people who use the shop ------------------------------------------------------------------

place_order() {
  sql shop <<'SQL'
begin;
insert into orders (customer_id, details)
  select id, jsonb_build_object('channel', (array['web', 'app', 'phone'])[ceil(random() * 3)])
  from customers order by random() limit 1;
insert into order_items
  select currval('orders_id_seq'), product, ceil(random() * 3), price
  from (values ('Coffee beans 1 kg', 18.90), ('Moka pot', 34.50), ('Mug, blue', 9.95),
               ('Oat biscuits', 4.20), ('Tea sampler', 12.00)) as products (product, price)
  order by random() limit ceil(random() * 2);
update orders set total = (select sum(quantity * price) from order_items where order_id = orders.id)
  where id = currval('orders_id_seq');
commit;
SQL
}

advance_order() { # from, to, further details as JSON
  sql shop -v from="$1" -v to="$2" -v more="$3" <<'SQL'
update orders set status = :'to', details = details || :'more'
  where id = (select min(id) from orders where status = :'from');
SQL
}

change_email() {
  sql shop <<'SQL'
update customers
  set email = split_part(email, '@', 1) || '@mail' || floor(random() * 90 + 10) || '.example.com'
  where id = (select id from customers order by random() limit 1);
SQL
}

cancel_order() { # the items go with the order, in the same transaction
  sql shop <<'SQL'
delete from orders where id = (select max(id) from orders where status = 'new');
SQL
}

one_action() {
  case $((RANDOM % 10)) in
    0 | 1 | 2) place_order ;;
    3 | 4) advance_order new paid '{"payment": "card"}' ;;
    5 | 6) advance_order paid shipped "{\"tracking\": \"RH$((100000 + RANDOM))\"}" ;;
    7) advance_order shipped delivered '{}' ;;
    8) change_email ;;
    9) cancel_order ;;
  esac
}

use_the_shop() {
  local end=$((SECONDS + seconds))
  place_order
  while ((seconds == 0 || SECONDS < end)); do
    kill -0 "$rowhook_pid" 2>/dev/null || fail_with_log "rowhook stopped" "$dir/rowhook.log"
    kill -0 "$receiver_pid" 2>/dev/null || fail_with_log "the receiver stopped" "$dir/receiver.log"
    one_action
    sleep 0.7
  done
}

# --- the end --------------------------------------------------------------------------------------

# Every committed change is one line, sooner or later; sooner, here.
count_events() {
  local logged=0 received=0 until
  until=$((SECONDS + (seconds > 0 ? 10 : 3))) # whoever pressed Ctrl-C waits less
  while ((SECONDS < until)); do
    logged=$(sql shop -c 'select count(*) from rowhook.events' 2>/dev/null) || logged=0
    received=$(wc -l <"$dir/events.txt")
    ((logged == 0 || received < logged)) || break
    sleep 0.2
  done
  say "$logged events logged, $received received"
  ((logged > 0 && received == logged))
}

stop() { # process id; asks, waits 15 s, insists
  [[ -n $1 ]] || return 0
  kill -TERM "$1" 2>/dev/null || true
  for _ in {1..150}; do
    kill -0 "$1" 2>/dev/null || break
    sleep 0.1
  done
  kill -KILL "$1" 2>/dev/null || true
  wait "$1" 2>/dev/null || true
}

clean_up() {
  local code=$?
  trap '' INT TERM # a second Ctrl-C must not leave half of it behind
  set +e
  if [[ -n $ready ]] && kill -0 "$rowhook_pid" 2>/dev/null; then
    echo
    if ! count_events && ((seconds > 0 && code == 0)); then
      tail -n 40 "$dir/rowhook.log" >&2
      printf '%s\n' "${red}error: logged and received differ${plain}" >&2
      code=1
    fi
    say "rowhook status"
    rowhook 10 status
  fi
  stop "$rowhook_pid"
  stop "$receiver_pid"
  stop "$tail_pid"
  if [[ -n $pg_started ]]; then
    as_pg_user "$pg_bin/pg_ctl" stop -D "$dir/pg/data" -m fast -w -t 20 >/dev/null 2>&1 ||
      as_pg_user "$pg_bin/pg_ctl" stop -D "$dir/pg/data" -m immediate -w -t 20 >/dev/null 2>&1
  fi
  restore_cluster_conf
  cd /
  [[ -z $dir ]] || rm -rf -- "$dir"
  exit "$code"
}

main() {
  parse_arguments "$@"
  trap clean_up EXIT
  trap 'exit 0' INT
  trap 'exit 143' TERM
  # Settings of the caller's own databases must not reach the scratch one.
  unset "${!PG@}" "${!ROWHOOK@}"

  if ! find_postgres; then
    install_postgres
    find_postgres || fail "found no PostgreSQL"
  fi
  build_binaries
  dir=$(mktemp -d /tmp/rowhook-demo.XXXXXX) # short: a socket's path has at most 107 bytes
  start_postgres
  create_shop
  write_config
  start_receiver
  start_rowhook
  say "Events, as the receiver gets them (Ctrl-C ends)"
  use_the_shop
}

main "$@"
