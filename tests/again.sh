#!/usr/bin/env bash
# Runs the integration tests; the few that failed are run again at the end, each alone, once.
# One that passes then is printed as UNSTEADY, below what it said at first, and does not fail the run: it is
# for somebody to look into. More than a few are no accident. Arguments go to the test program.
set -euo pipefail
cd "$(dirname "$0")/.."

most=3

say() { printf 'tests/again.sh: %s\n' "$*"; }

run() { cargo test --features failpoints --test it -- "$@" 2>&1 | tee "$log"; }

log=$(mktemp)
trap 'rm -f "$log"' EXIT
if run "$@"; then
    exit 0
fi

# The list of names is the last thing but the result that the test program prints.
mapfile -t failed < <(awk '
    /^failures:$/ { count = 0 }
    /^    [[:alnum:]_:]+$/ { names[count++] = $1 }
    END { for (i = 0; i < count; i++) print names[i] }' "$log")
told=$(sed -n 's/^test result: FAILED\. [0-9]* passed; \([0-9]*\) failed;.*/\1/p' "$log" | tail -n 1)
if [ -z "$told" ] || [ "${#failed[@]}" -ne "$told" ]; then
    say 'the tests did not come to their end'
    exit 1
elif [ "$told" -gt "$most" ]; then
    say "$told tests failed, more than $most: none is run again"
    exit 1
fi

broken=()
for name in "${failed[@]}"; do
    say "again, alone: $name"
    if ! run --exact "$name" || ! grep -q '^test result: ok\. 1 passed;' "$log"; then
        broken+=("$name")
    fi
done
for name in "${failed[@]}"; do
    case " ${broken[*]} " in
        *" $name "*) say "FAILED TWICE: $name" ;;
        *) say "UNSTEADY: $name failed above, and passed alone" ;;
    esac
done
[ "${#broken[@]}" -eq 0 ]
