#!/usr/bin/env bash
# One PostgreSQL server for tests, on loopback, as a child process ended by its id.
#   postgres.sh start DIR [PORT]  makes a database cluster in DIR and starts it, prints HOST:PORT once it answers; user "millrace", no password
#   postgres.sh stop DIR          ends it in order
#   postgres.sh kill DIR          kill -9 of all its processes
#   postgres.sh pause DIR         stops all its processes in the middle of things, as if its machine had vanished
#   postgres.sh resume DIR        lets them go on
#   postgres.sh restart DIR       starts it again on the same port and data
# With MILLRACE_TEST_PID set, the server ends when that process does, and its data go.
# MILLRACE_POSTGRES_OPTIONS are further options of the server, such as "-c fsync=off". DIR/log holds what it printed.
# The server refuses to run as root, so root runs it as user "postgres", who must be able to enter DIR's parents.
set -euo pipefail

readonly start_seconds_max=60
readonly self=${BASH_SOURCE[0]}

fail() { echo "postgres.sh: $*" >&2; exit 1; }

# Debian keeps the server's programs out of the path, in a directory for each version.
programs() { find /usr/lib/postgresql -mindepth 3 -maxdepth 3 -name initdb 2>/dev/null | sort -V | tail -1 | xargs -r dirname; }

# need: installs the Debian package where that is possible without asking, without the cluster that it would start by itself.
need() {
    bin=$(programs)
    [ -n "$bin" ] && return
    if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
        if [ ! -e /etc/postgresql-common/createcluster.conf ]; then
            mkdir -p /etc/postgresql-common
            echo 'create_main_cluster = false' >/etc/postgresql-common/createcluster.conf
        fi
        DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends postgresql >&2 || true
    fi
    bin=$(programs)
    [ -n "$bin" ] || fail "PostgreSQL's server is missing; on Debian: apt-get install postgresql"
}

# as_server COMMAND..: as a user that the server accepts.
as_server() {
    if [ "$(id -u)" = 0 ]; then (cd / && exec setpriv --reuid postgres --regid postgres --init-groups "$@"); else "$@"; fi
}

# Ports below the kernel's range for outgoing connections (32768 and up), so that none of those takes one while the server restarts.
free_port() {
    local port
    for _ in $(seq 100); do
        port=$((20000 + RANDOM % 12000))
        if ! (exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null; then echo "$port"; return; fi
    done
    fail "no free port"
}

configure() {
    local dir=$1
    if [ "$(id -u)" = 0 ]; then chown postgres "$dir"; fi
    as_server test -w "$dir" || fail "user postgres cannot enter the directories above $dir"
    as_server "$bin/initdb" -D "$dir/data" -A trust -U millrace -E UTF8 --locale=C.UTF-8 --no-sync >"$dir/initdb.log" 2>&1 ||
        { cat "$dir/initdb.log" >&2; fail "could not make a cluster in $dir/data"; }
    echo "${2:-$(free_port)}" >"$dir/port"
}

# The server writes its process id into its data directory.
pid_of() { head -1 "$1/data/postmaster.pid" 2>/dev/null || true; }

is_running() {
    local pid
    pid=$(pid_of "$1")
    # A process id may be used again by another program, so ask what it is.
    [ -n "$pid" ] && { tr '\0' ' ' <"/proc/$pid/cmdline"; } 2>/dev/null | grep -qF "$1/data"
}

# watch OWNER DIR: a test that has ended leaves no server and no data behind. An immediate shutdown is enough.
watch() {
    exec >/dev/null 2>&1 </dev/null
    local pid
    pid=$(pid_of "$2")
    while kill -0 "$pid"; do
        if ! kill -0 "$1"; then kill -QUIT "$pid"; break; fi
        sleep 0.5
    done
    # Restarted under another id, it has a watch of its own.
    while kill -0 "$pid"; do sleep 0.1; done
    kill -0 "$1" || rm -rf "$2"
}

launch() {
    local dir=$1 port
    is_running "$dir" && fail "already running in $dir"
    port=$(cat "$dir/port")
    # shellcheck disable=SC2086 # options are several words
    as_server setsid "$bin/postgres" -D "$dir/data" -p "$port" -k "$dir" -c listen_addresses=127.0.0.1 \
        ${MILLRACE_POSTGRES_OPTIONS:-} >"$dir/log" 2>&1 </dev/null &
    local started=$! deadline=$((SECONDS + start_seconds_max))
    until as_server "$bin/pg_isready" -q -h 127.0.0.1 -p "$port"; do
        kill -0 "$started" 2>/dev/null || { tail -20 "$dir/log" >&2; fail "the server ended while starting"; }
        [ "$SECONDS" -lt "$deadline" ] || { stop "$dir" QUIT; fail "the server did not answer within $start_seconds_max s"; }
        sleep 0.05
    done
    # In a session of its own: what ends the test's process group must not end the watch.
    if [ -n "${MILLRACE_TEST_PID:-}" ]; then
        setsid "$BASH" "$self" watch "$MILLRACE_TEST_PID" "$dir" >/dev/null 2>&1 </dev/null &
    fi
    echo "127.0.0.1:$port"
}

# stop DIR SIGNAL: ends the server and waits until it is gone.
stop() {
    local dir=$1 signal=$2 pid
    is_running "$dir" || return 0
    pid=$(pid_of "$dir")
    # Its children share its session; killed alone, they would go on for a moment and hold the data.
    if [ "$signal" = KILL ]; then kill -KILL -- "-$pid" 2>/dev/null || true; fi
    kill "-$signal" "$pid" 2>/dev/null || true
    local deadline=$((SECONDS + 30))
    while is_running "$dir"; do
        [ "$SECONDS" -lt "$deadline" ] || kill -KILL "$pid" 2>/dev/null || true
        sleep 0.05
    done
}

# signal_all DIR SIGNAL: the server's processes are a session of their own, but each of its children is a process group.
signal_all() {
    local pid
    pid=$(pid_of "$1")
    ps -o pid= -s "$pid" | xargs kill "-$2"
}

readonly verb=${1:-}
case $verb in
    start | stop | kill | restart | pause | resume)
        [ -n "${2:-}" ] || fail "$verb needs a directory"
        mkdir -p "$2"
        dir=$(cd "$2" && pwd)
        case $verb in
            start)
                need
                [ -e "$dir/port" ] || configure "$dir" "${3:-}"
                launch "$dir"
                ;;
            stop) stop "$dir" INT ;;
            kill) stop "$dir" KILL ;;
            pause) signal_all "$dir" STOP ;;
            resume) signal_all "$dir" CONT ;;
            restart)
                need
                stop "$dir" INT
                launch "$dir"
                ;;
        esac
        ;;
    watch) watch "$2" "$3" ;;
    *) sed -n '2,11s/^# \{0,1\}//p' "${BASH_SOURCE[0]}" >&2; exit 2 ;;
esac
