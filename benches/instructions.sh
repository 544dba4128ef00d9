#!/usr/bin/env bash
# Counts the instructions of each hot function per message and compares them with benches/instructions.txt.
# Instructions do not wobble as times do, so 3 % more is a change of the code, not of the weather.
#   benches/instructions.sh            compare; exit 1 where a function got slower
#   benches/instructions.sh --update   write the counts down as the new truth
#   benches/instructions.sh NAME..     only these, without comparison; keeps the profile of each in $PWD/callgrind.NAME
# Needs valgrind. Kernel time is not in it; memory is not either: 10 instructions may wait for one cache line.
set -euo pipefail
cd "$(dirname "$0")/.."
truth=benches/instructions.txt
tolerance=3

# A function, and how many messages make one second of valgrind or so. Each is run with that count and with twice that count.
functions() {
    cat <<'TABLE'
decode 512000
decode-v5 512000
ack 1024000
append 500000
journal 50000
route-sender 500000
route-property 500000
route-1 200000
route-10 100000
route-100 20000
route-body 50000
parquet 50000
parquet-many-devices 40000
parquet-properties 20000
alerts-1 50000
alerts-10 20000
TABLE
}

cargo build --quiet --release --package millrace-benches --bin hot
target="${CARGO_TARGET_DIR:-target}"
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT

# instructions NAME COUNT -> instructions of the whole run
instructions() {
    valgrind --tool=callgrind --callgrind-out-file="$scratch/$1" "$target/release/hot" "$1" "$2" >"$scratch/said" 2>&1 ||
        { cat "$scratch/said" >&2; exit 1; }
    sed -n 's/^summary: \([0-9]*\).*/\1/p' "$scratch/$1" | tail -1
}

# per_message NAME COUNT -> NAME and instructions of a message
per_message() {
    local once twice
    once=$(instructions "$1" "$2")
    twice=$(instructions "$1" $((2 * $2)))
    awk -v name="$1" -v delta=$((twice - once)) -v count="$2" 'BEGIN { printf "%-20s %9.1f\n", name, delta / count }'
}

case "${1:-}" in
--update)
    functions | while read -r name count; do per_message "$name" "$count"; done | tee "$scratch/counts"
    mv "$scratch/counts" "$truth"
    ;;
"")
    functions | while read -r name count; do per_message "$name" "$count"; done >"$scratch/counts"
    awk -v tolerance="$tolerance" '
        FNR == NR { was[$1] = $2; next }
        !($1 in was) { printf "%-20s %9.1f  new\n", $1, $2; next }
        {
            change = 100 * ($2 - was[$1]) / was[$1]
            verdict = change > tolerance ? "SLOWER" : change < -tolerance ? "faster: run with --update" : ""
            printf "%-20s %9.1f  was %9.1f  %+6.1f %%  %s\n", $1, $2, was[$1], change, verdict
            if (change > tolerance) worse = 1
        }
        END { exit worse }' "$truth" "$scratch/counts"
    ;;
*)
    for name in "$@"; do
        count=$(functions | awk -v name="$name" '$1 == name { print $2 }')
        per_message "$name" "${count:?no function $name}"
        mv "$scratch/$name" "callgrind.$name"
    done
    ;;
esac
