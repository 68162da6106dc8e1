# Shell library of the scripts in this folder. usage of a script: NAME.sh BUILD-DIR
# Everything happens in a fresh directory under /tmp; what was started is ended, by its process id, when the script ends.
# shellcheck shell=bash
set -uo pipefail

build=$(cd "$1" && pwd)
azihsmd=$build/bin/azihsmd
azihsm=$build/bin/azihsm
T=$(mktemp -d /tmp/azihsm-fault.XXXXXX)
checks=0 failures=0 daemon_pid=""
unset OPENSSL_CONF XDG_RUNTIME_DIR XDG_STATE_HOME
export HOME=$T

# check TEXT COMMAND...: must succeed; its output is shown when it does not.
check() {
    local text=$1; shift
    checks=$((checks + 1))
    if "$@" >"$T/check.log" 2>&1; then echo "ok   $text"; return 0; fi
    echo "FAIL $text (exit $?)"; sed 's/^/     /' "$T/check.log" | tail -20; failures=$((failures + 1)); return 1
}
# refuse STATUS TEXT PATTERN COMMAND...: must end with that status and say what matches.
refuse() {
    local status=$1 text=$2 pattern=$3 got=0; shift 3
    checks=$((checks + 1))
    "$@" >"$T/check.log" 2>&1 || got=$?
    if [ "$got" -eq "$status" ] && grep -qE -- "$pattern" "$T/check.log"; then echo "ok   $text"; return 0; fi
    echo "FAIL $text (exit $got, wanted $status and /$pattern/)"; sed 's/^/     /' "$T/check.log" | tail -20
    failures=$((failures + 1)); return 1
}
same() { [ "$1" = "$2" ] || { echo "\"$1\" is not \"$2\""; return 1; }; }

# start_daemon ARGUMENT...: a private azihsmd in $T/run, ready when this returns.
start_daemon() {
    mkdir -p "$T/run"
    rm -f "$T/ready"; mkfifo "$T/ready"
    "$azihsmd" --socket "$T/run/azihsmd.sock" --state-dir "$T/state" --ready-fd 3 --idle-exit 0 "$@" \
        2>>"$T/azihsmd.log" 3<>"$T/ready" &
    daemon_pid=$!
    local byte
    if IFS= read -r -t 60 byte <>"$T/ready" && kill -0 "$daemon_pid" 2>/dev/null; then return 0; fi
    echo "azihsmd did not start:"; tail -5 "$T/azihsmd.log"; return 1
}
stop_daemon() { # SIGNAL
    [ -n "$daemon_pid" ] || return 0
    kill -"${1:-TERM}" "$daemon_pid" 2>/dev/null
    wait "$daemon_pid" 2>/dev/null
    local status=$?
    daemon_pid=""
    return $status
}
tool() { "$azihsm" --device "unix:$T/run/azihsmd.sock" --keys "$T/keys" "$@"; }
counter() { tool metrics | grep -F "$1" | grep -v '^#' | awk '{ s += $NF } END { print s + 0 }'; }
commands() { counter "azihsm_commands_total{op=\"$1\"}"; }
status_of() { tool status --json | sed -n "s/.*\"$1\": \"\{0,1\}\([^\",]*\).*/\1/p" | head -1; }

clean_up() {
    stop_daemon TERM || true
    rm -rf "$T"
}
trap clean_up EXIT
finish() {
    echo "$checks checks, $failures failed"
    [ "$failures" -eq 0 ] && [ "$checks" -gt 0 ]
    exit
}
