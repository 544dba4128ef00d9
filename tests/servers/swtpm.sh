#!/usr/bin/env bash
# A software TPM 2.0 for tests, on loopback, as a child process ended by its id.
#   swtpm.sh start DIR     starts in DIR (made if missing), prints HOST:PORT once it answers
#   swtpm.sh stop DIR      ends it
# With MILLRACE_TEST_PID set, it ends when that process does. DIR/log holds what it printed.
# The TPM's own tools reach it with TPM2TOOLS_TCTI=swtpm:host=HOST,port=PORT.
set -euo pipefail

readonly start_seconds_max=20

fail() { echo "swtpm.sh: $*" >&2; exit 1; }

# need PROGRAM PACKAGE: installs the Debian package where that is possible without asking.
need() {
    command -v "$1" >/dev/null && return
    if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
        apt-get install -y -qq --no-install-recommends "$2" >&2 || true
    fi
    command -v "$1" >/dev/null || fail "'$1' is missing; on Debian: apt-get install $2"
}

# Two ports that follow each other, below the kernel's range for outgoing connections: the tools expect the control port there.
free_ports() {
    local port
    for _ in $(seq 100); do
        port=$((20000 + RANDOM % 6000 * 2))
        if ! (exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null &&
            ! (exec 3<>"/dev/tcp/127.0.0.1/$((port + 1))") 2>/dev/null; then
            echo "$port"
            return
        fi
    done
    fail "no free ports"
}

# watch OWNER TPM: a test that was itself killed leaves no TPM behind.
watch() {
    exec >/dev/null 2>&1 </dev/null
    while kill -0 "$2"; do
        kill -0 "$1" || kill -KILL "$2"
        sleep 1
    done
}

start() {
    local dir=$1 port pid
    need swtpm swtpm
    need tpm2_createek tpm2-tools
    if ! compgen -G '/usr/lib/*/libtss2-tcti-swtpm.so*' >/dev/null; then
        [ "$(id -u)" = 0 ] && apt-get install -y -qq --no-install-recommends libtss2-tcti-swtpm0 >&2 ||
            fail "libtss2-tcti-swtpm is missing; on Debian: apt-get install libtss2-tcti-swtpm0"
    fi
    mkdir -p "$dir/state"
    port=$(free_ports)
    setsid swtpm socket --tpm2 --tpmstate "dir=$dir/state" --flags not-need-init,startup-clear \
        --server "type=tcp,port=$port,bindaddr=127.0.0.1" \
        --ctrl "type=tcp,port=$((port + 1)),bindaddr=127.0.0.1" >"$dir/log" 2>&1 </dev/null &
    pid=$!
    echo "$pid" >"$dir/pid"
    [ -z "${MILLRACE_TEST_PID:-}" ] || watch "$MILLRACE_TEST_PID" "$pid" &
    local deadline=$((SECONDS + start_seconds_max))
    until TPM2TOOLS_TCTI="swtpm:host=127.0.0.1,port=$port" tpm2_getrandom -Q -o /dev/null 1 2>>"$dir/log"; do
        kill -0 "$pid" 2>/dev/null || { cat "$dir/log" >&2; fail "the TPM ended while starting"; }
        [ "$SECONDS" -lt "$deadline" ] || { kill "$pid"; fail "the TPM did not answer within $start_seconds_max s"; }
        sleep 0.1
    done
    echo "127.0.0.1:$port"
}

stop() {
    local dir=$1 pid
    pid=$(cat "$dir/pid" 2>/dev/null) || return 0
    # A process id may be used again by another program, so ask what it is.
    tr '\0' ' ' <"/proc/$pid/cmdline" 2>/dev/null | grep -qF "$dir/state" && kill "$pid" 2>/dev/null
    rm -f "$dir/pid"
}

[ $# = 2 ] || fail "usage: swtpm.sh start|stop DIR"
case $1 in
    start) start "$2" ;;
    stop) stop "$2" ;;
    *) fail "unknown verb '$1'" ;;
esac
