#!/usr/bin/env bash
# One-node Apache Kafka (KRaft) for tests, on loopback, as a child process ended by its id.
#   kafka.sh fetch                the jars, once, into ${MILLRACE_CACHE:-$HOME/.cache/millrace}/kafka-VERSION
#   kafka.sh start DIR [PORT]     starts in DIR (made if missing), prints HOST:PORT once the broker answers
#   kafka.sh stop DIR             ends it in order
#   kafka.sh kill DIR             kill -9
#   kafka.sh restart DIR          starts it again on the same port and data
# With MILLRACE_TEST_PID set, the broker ends when that process does.
# DIR/server.properties may be edited between stop and restart. DIR/log holds what the broker printed.
set -euo pipefail

readonly version=4.3.0
readonly here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
readonly cache=${MILLRACE_CACHE:-$HOME/.cache/millrace}
readonly jars=$cache/kafka-$version
readonly start_seconds_max=90

fail() { echo "kafka.sh: $*" >&2; exit 1; }

# need PROGRAM PACKAGE: installs the Debian package where that is possible without asking.
need() {
    command -v "$1" >/dev/null && return
    if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
        apt-get install -y -qq --no-install-recommends "$2" >&2 || true
    fi
    command -v "$1" >/dev/null || fail "'$1' is missing; on Debian: apt-get install $2"
}

fetch() {
    need java openjdk-17-jre-headless
    [ -e "$jars/complete" ] && return
    need mvn maven
    mkdir -p "$cache"
    # Two tests may fetch at once; the second waits and finds the work done.
    exec 9>"$cache/kafka-$version.lock"
    flock 9
    if [ ! -e "$jars/complete" ]; then
        mvn -q -B -f "$here/kafka/pom.xml" dependency:copy-dependencies \
            -DoutputDirectory="$jars" -DincludeScope=runtime >&2 || fail "could not fetch the jars"
        touch "$jars/complete"
    fi
    exec 9>&-
}

# Ports below the kernel's range for outgoing connections (32768 and up), so that none of those takes one while the broker restarts.
free_port() {
    local port
    for _ in $(seq 100); do
        port=$((20000 + RANDOM % 12000))
        if ! (exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null; then echo "$port"; return; fi
    done
    fail "no free port"
}

configure() {
    local dir=$1 broker=${2:-$(free_port)} controller
    controller=$(free_port)
    while [ "$controller" = "$broker" ]; do controller=$(free_port); done
    cat >"$dir/server.properties" <<PROPERTIES
process.roles=broker,controller
node.id=1
controller.quorum.voters=1@127.0.0.1:$controller
listeners=PLAINTEXT://127.0.0.1:$broker,CONTROLLER://127.0.0.1:$controller
advertised.listeners=PLAINTEXT://127.0.0.1:$broker
controller.listener.names=CONTROLLER
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT
log.dirs=$dir/data
offsets.topic.replication.factor=1
offsets.topic.num.partitions=1
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
group.initial.rebalance.delay.ms=0
auto.create.topics.enable=false
# After kill -9 the controller waits this long before it takes the same broker back.
broker.session.timeout.ms=2000
broker.heartbeat.interval.ms=500
PROPERTIES
    cat >"$dir/log4j2.properties" <<'PROPERTIES'
status=error
appender.console.type=Console
appender.console.name=console
appender.console.layout.type=PatternLayout
appender.console.layout.pattern=%d{ABSOLUTE} %p %c{1}: %m%n
rootLogger.level=info
rootLogger.appenderRef.console.ref=console
PROPERTIES
    local id
    id=$(head -c 16 /dev/urandom | base64 | tr '+/' 'AA' | tr -d '=')
    java -Dlog4j2.configurationFile="$dir/log4j2.properties" -cp "$jars/*" kafka.tools.StorageTool \
        format -t "$id" -c "$dir/server.properties" >"$dir/format.log" 2>&1 ||
        { cat "$dir/format.log" >&2; fail "could not format $dir/data"; }
}

pid_of() { cat "$1/pid" 2>/dev/null || true; }

is_running() {
    local pid
    pid=$(pid_of "$1")
    # A process id may be used again by another program, so ask what it is.
    [ -n "$pid" ] && tr '\0' ' ' <"/proc/$pid/cmdline" 2>/dev/null | grep -qF "$1/server.properties"
}

# watch OWNER BROKER: a test that was itself killed leaves no broker behind.
watch() {
    exec >/dev/null 2>&1 </dev/null
    while kill -0 "$2"; do
        kill -0 "$1" || kill -KILL "$2"
        sleep 1
    done
}

launch() {
    local dir=$1 port
    is_running "$dir" && fail "already running in $dir"
    port=$(sed -n 's/^advertised.listeners=.*:\([0-9]*\)$/\1/p' "$dir/server.properties")
    : >"$dir/log"
    setsid java -Xms256m -Xmx512m -XX:+UseSerialGC -XX:TieredStopAtLevel=1 \
        -Dlog4j2.configurationFile="$dir/log4j2.properties" -cp "$jars/*" \
        kafka.Kafka "$dir/server.properties" >"$dir/log" 2>&1 </dev/null 9>&- &
    echo $! >"$dir/pid"
    [ -z "${MILLRACE_TEST_PID:-}" ] || watch "$MILLRACE_TEST_PID" $! 9>&- &
    local deadline=$((SECONDS + start_seconds_max))
    # The line comes when the broker takes requests; the port alone opens earlier.
    until grep -q 'Kafka Server started' "$dir/log"; do
        is_running "$dir" || kill -0 "$(pid_of "$dir")" 2>/dev/null || { tail -20 "$dir/log" >&2; fail "the broker ended while starting"; }
        [ "$SECONDS" -lt "$deadline" ] || { stop "$dir" KILL; fail "the broker did not answer within $start_seconds_max s"; }
        sleep 0.1
    done
    echo "127.0.0.1:$port"
}

# stop DIR SIGNAL: ends the broker and waits until it is gone.
stop() {
    local dir=$1 signal=$2 pid
    is_running "$dir" || { rm -f "$dir/pid"; return; }
    pid=$(pid_of "$dir")
    kill "-$signal" "$pid" 2>/dev/null || true
    local deadline=$((SECONDS + 30))
    while is_running "$dir"; do
        [ "$SECONDS" -lt "$deadline" ] || kill -KILL "$pid" 2>/dev/null || true
        sleep 0.05
    done
    rm -f "$dir/pid"
}

readonly verb=${1:-}
case $verb in
    fetch) fetch; echo "$jars" ;;
    start | stop | kill | restart)
        [ -n "${2:-}" ] || fail "$verb needs a directory"
        mkdir -p "$2"
        dir=$(cd "$2" && pwd)
        case $verb in
            start)
                fetch
                [ -e "$dir/server.properties" ] || configure "$dir" "${3:-}"
                launch "$dir"
                ;;
            stop) stop "$dir" TERM ;;
            kill) stop "$dir" KILL ;;
            restart)
                fetch
                stop "$dir" TERM
                launch "$dir"
                ;;
        esac
        ;;
    *) sed -n '2,10s/^# \{0,1\}//p' "${BASH_SOURCE[0]}" >&2; exit 2 ;;
esac
