#!/usr/bin/env bash
# Runs all tests, after installing what they need on a Debian where it is missing.
# Arguments go to `cargo test`: tests/run.sh capture -- --nocapture
# Without any, what depends on the server runs on all other versions as well (tests/versions.sh), and an
# integration test that fails is run once more, alone (tests/again.sh).
#
#   PG_BIN=/usr/lib/postgresql/17/bin   the one Postgres to test against (default: the newest one here,
#                                       then the other versions)
#   ROWHOOK_HISTORY_SECONDS=12          how long the history checker writes; tests/history.sh runs it for longer
set -euo pipefail
cd "$(dirname "$0")/.."

say() { printf 'tests/run.sh: %s\n' "$*" >&2; }

as_root() {
    if [ "$(id -u)" -eq 0 ]; then
        "$@"
    else
        sudo "$@"
    fi
}

has_postgres() {
    [ -n "${PG_BIN:-}" ] || compgen -G '/usr/lib/postgresql/*/bin/initdb' >/dev/null || command -v initdb >/dev/null
}

# The package would start a server of its own; the tests start theirs. postgresql-common reads this
# file when the server package is installed; afterwards it is as it was.
conf=/etc/postgresql-common/createcluster.conf
conf_before=none

restore_conf() {
    case "$conf_before" in
        none) return ;;
        absent) as_root rm -f "$conf" ;;
        *) as_root cp -p "$conf_before" "$conf" && rm -f "$conf_before" ;;
    esac
    conf_before=none
}

updated=false

install_packages() {
    command -v apt-get >/dev/null || {
        say "no apt-get to install this with: $*"
        exit 1
    }
    say "installing $*"
    if [ "$updated" = false ]; then
        as_root apt-get update -q
        updated=true
    fi
    as_root env DEBIAN_FRONTEND=noninteractive apt-get install -q -y --no-install-recommends "$@"
}

install_postgres() {
    command -v apt-get >/dev/null || {
        say 'no initdb found, and no apt-get to install it with: install PostgreSQL 14 or later,'
        say 'or set PG_BIN to the directory of its programs'
        exit 1
    }
    # Without a server of its own.
    install_packages postgresql-common
    trap restore_conf EXIT
    if [ -e "$conf" ]; then
        conf_before=$(mktemp)
        cp -p "$conf" "$conf_before"
    else
        conf_before=absent
    fi
    echo 'create_main_cluster = false' | as_root tee -a "$conf" >/dev/null
    install_packages postgresql
    restore_conf
    trap - EXIT
}

if [ -n "${PG_BIN:-}" ] && [ ! -x "$PG_BIN/initdb" ]; then
    say "no initdb in PG_BIN=$PG_BIN"
    exit 1
elif has_postgres; then
    say 'PostgreSQL is there'
else
    install_postgres
fi

# For the values of an extension type. A server that was chosen with PG_BIN may go without.
if [ -z "${PG_BIN:-}" ]; then
    version=$(find /usr/lib/postgresql -path '*/bin/initdb' 2>/dev/null | cut -d/ -f5 | sort -n | tail -1)
    if [ -n "$version" ] && [ ! -e "/usr/share/postgresql/$version/extension/postgis.control" ]; then
        install_packages "postgresql-$version-postgis-3"
    fi
fi

command -v cargo >/dev/null || {
    say 'no cargo: install Rust from https://rustup.rs or your distribution'
    exit 1
}

# Receivers with the Standard Webhooks libraries of Python and Node, to verify what rowhook signs.
target=$(realpath -m "${CARGO_TARGET_DIR:-target}")

missing=()
command -v node >/dev/null || missing+=(nodejs)
command -v npm >/dev/null || missing+=(npm)
command -v python3 >/dev/null || missing+=(python3)
command -v openssl >/dev/null || missing+=(openssl)
python3 -c 'import ensurepip, venv' 2>/dev/null || missing+=(python3-venv)
if [ "${#missing[@]}" -gt 0 ]; then
    install_packages "${missing[@]}"
fi

say 'the receivers in Python and Node'
python3 -m venv "$target/venv"
export ROWHOOK_TEST_PYTHON=$target/venv/bin/python
"$ROWHOOK_TEST_PYTHON" -m pip install -q --disable-pip-version-check -r examples/receivers/python/requirements.txt -r tests/verifiers/requirements.txt

# A copy, so that no packages end up among the sources.
export ROWHOOK_TEST_NODE_RECEIVER=$target/node-receiver
mkdir -p "$ROWHOOK_TEST_NODE_RECEIVER"
cp examples/receivers/node/package.json examples/receivers/node/receiver.mjs "$ROWHOOK_TEST_NODE_RECEIVER"
npm install --prefix "$ROWHOOK_TEST_NODE_RECEIVER" --no-audit --no-fund --loglevel=error

say 'the SDKs of CloudEvents for Python and Node'
"$ROWHOOK_TEST_PYTHON" -m pip install -q --disable-pip-version-check -r tests/receivers/requirements.txt
# What checks the OpenAPI document, and the API against it.
"$ROWHOOK_TEST_PYTHON" -m pip install -q --disable-pip-version-check -r tests/api/requirements.txt
export ROWHOOK_TEST_NODE_CLOUDEVENTS=$target/node-cloudevents
mkdir -p "$ROWHOOK_TEST_NODE_CLOUDEVENTS"
cp tests/receivers/package.json tests/receivers/read_cloudevents.mjs "$ROWHOOK_TEST_NODE_CLOUDEVENTS"
npm install --prefix "$ROWHOOK_TEST_NODE_CLOUDEVENTS" --no-audit --no-fund --loglevel=error
# What else verifies signatures and reads the public keys.
export ROWHOOK_TEST_NODE_VERIFIER=$target/node-verifier
mkdir -p "$ROWHOOK_TEST_NODE_VERIFIER"
cp tests/verifiers/package.json tests/verifiers/verify.mjs "$ROWHOOK_TEST_NODE_VERIFIER"
npm install --prefix "$ROWHOOK_TEST_NODE_VERIFIER" --no-audit --no-fund --loglevel=error

say 'tools that read catalogs: validators of JSON Schema and AsyncAPI, and a TypeScript compiler'
export ROWHOOK_TEST_NODE_CATALOGS=$target/node-catalogs
mkdir -p "$ROWHOOK_TEST_NODE_CATALOGS"
cp tests/catalogs/package.json tests/catalogs/check.mjs "$ROWHOOK_TEST_NODE_CATALOGS"
npm install --prefix "$ROWHOOK_TEST_NODE_CATALOGS" --no-audit --no-fund --loglevel=error
say 'the libraries that examples/context is for'
export ROWHOOK_TEST_PYTHON_CONTEXT=$ROWHOOK_TEST_PYTHON
"$ROWHOOK_TEST_PYTHON" -m pip install -q --disable-pip-version-check -r tests/context/requirements.txt
export ROWHOOK_TEST_NODE_CONTEXT=$target/node-context
mkdir -p "$ROWHOOK_TEST_NODE_CONTEXT"
cp tests/context/package.json tests/context/use_node_postgres.mjs examples/context/node-postgres/rowhook-context.mjs "$ROWHOOK_TEST_NODE_CONTEXT"
npm install --prefix "$ROWHOOK_TEST_NODE_CONTEXT" --no-audit --no-fund --loglevel=error

newest_postgres() {
    local newest
    newest=$(compgen -G '/usr/lib/postgresql/*/bin/postgres' | sort -V | tail -n 1)
    printf '%s\n' "${newest:-postgres}"
}

postgres=${PG_BIN:+$PG_BIN/postgres}
# Most of what a test does is to wait, so more of them than cores go at once.
export RUST_TEST_THREADS=${RUST_TEST_THREADS:-4}
say "all tests on $("${postgres:-$(newest_postgres)}" --version)"
if [ "$#" -gt 0 ]; then
    say "cargo test --features failpoints --lib --bins --examples --tests $*"
    exec cargo test --features failpoints --lib --bins --examples --tests "$@"
fi
say 'cargo test --features failpoints --lib --bins --examples'
cargo test --features failpoints --lib --bins --examples
say 'tests/again.sh'
tests/again.sh
if [ -z "${PG_BIN:-}" ]; then
    tests/versions.sh
fi
