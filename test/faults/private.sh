#!/usr/bin/env bash
# Private, ephemeral and conforming devices; command line and configuration errors; end when idle.
. "$(dirname "$0")/lib.sh"
start_daemon --ephemeral -o provision=yes || exit 1
check "an ephemeral device works" tool key generate ec
check "and keeps nothing" test ! -e "$T/state"
stop_daemon; start_daemon --ephemeral -o provision=yes || exit 1
refuse 1 "the next one is another device" "." tool key show ec --check
stop_daemon
start_daemon --ephemeral --conformance --tables 4 || exit 1
check "a conforming device is not provisioned by us" same "$(status_of provisioned)" false
check "with the hardware's limits" same "$(status_of limits) $(status_of tables) $(status_of key-scope)" "hardware 4 partition"
refuse 4 "so there is no credential to give out" "not provisioned" tool credential --out "$T/credential"
stop_daemon

printf 'bks1 = %064d\nbks2 = %064d\nboot-key = %0160d\n' 1 2 3 >"$T/secrets"
start_daemon --ephemeral --secrets "$T/secrets" || exit 1
check "device secrets from outside" same "$(status_of ephemeral)" true
stop_daemon
refuse 2 "only for ephemeral devices" "ephemeral" "$azihsmd" --secrets "$T/secrets" --state-dir "$T/state" --socket "$T/x.sock"
printf 'bks1 = 12\n' >"$T/secrets"
refuse 1 "of the right size" "secrets:1: bks1 must be 64 hexadecimal digits" "$azihsmd" --ephemeral --secrets "$T/secrets" --socket "$T/x.sock"

export XDG_RUNTIME_DIR=$T/runtime XDG_STATE_HOME=$T/home/state
mkdir -m 700 "$XDG_RUNTIME_DIR"
mkfifo "$T/user-ready"
"$azihsmd" --user --ready-fd 3 --idle-exit 1 3<>"$T/user-ready" 2>"$T/user.log" &
user_pid=$!
IFS= read -r -t 30 _ <>"$T/user-ready"
check "--user: socket and state in the user's directories" test -S "$XDG_RUNTIME_DIR/azihsm/azihsmd.sock" -a -s "$XDG_STATE_HOME/azihsm/default.owner"
check "--user: the socket is the user's alone" same "$(stat -c %a "$XDG_RUNTIME_DIR/azihsm/azihsmd.sock")" 600
check "--user: ends when idle" timeout 20 tail --pid=$user_pid -f /dev/null
wait $user_pid; check "--user: with status 0" same $? 0
check "--user: and says why" grep -q "no client" "$T/user.log"

echo 'colour = blue' >"$T/conf"
refuse 1 "configuration error names file, line and key" "conf:1: unknown key \"colour\"" "$azihsmd" -c "$T/conf" --check-config
echo 'threads = 8' >"$T/conf"
check "a right one is valid" "$azihsmd" -c "$T/conf" --check-config
refuse 1 "no such file" "$T/none" "$azihsmd" -c "$T/none" --check-config
refuse 1 "a bad override" "--set: tables must be" "$azihsmd" -o tables=0 --check-config
refuse 2 "an unknown option" "unrecognized" "$azihsmd" --nonsense
refuse 2 "an argument" "unexpected argument" "$azihsmd" argument
check "help" "$azihsmd" --help
check "version" "$azihsmd" --version

mkdir -p "$T/run"; printf '[partition default]\nallow-users = root\n' >"$T/conf"
start_daemon -c "$T/conf" || exit 1
check "not traceable: no core, not dumpable" same "$(awk '/Max core file size/ { print $5 }' /proc/$daemon_pid/limits)" 0
if ! nm "$azihsmd" 2>/dev/null | grep -E '__(a|t)san_init' >/dev/null; then
    check "a system-call filter is in force" same "$(awk '/^Seccomp:/ { print $2 }' /proc/$daemon_pid/status)" 2
    check "no new privileges" same "$(awk '/^NoNewPrivs:/ { print $2 }' /proc/$daemon_pid/status)" 1
fi
echo 'threads = many' >>"$T/conf"
kill -HUP "$daemon_pid"; sleep 0.5
check "SIGHUP with a bad file changes nothing and says so" grep -q "configuration unchanged: .*conf:3" "$T/azihsmd.log"
check "and the daemon lives" tool status
printf '[partition default]\nallow-users = root, nobody\n' >"$T/conf"
kill -HUP "$daemon_pid"; sleep 0.5
check "SIGHUP with a good one is taken" grep -q "configuration read again" "$T/azihsmd.log"
stop_daemon

printf '[partition one]\n[partition two]\nkind = physical\nlogin = pin\n' >"$T/conf"
start_daemon -c "$T/conf" || exit 1
check "two partitions: a key in the first" tool --partition one key generate --out "$T/one.pem"
check "is accepted there" tool --partition one key show "$T/one.pem" --check
refuse 3 "a partition that does not exist" "partition|no device" tool --partition three key show "$T/one.pem" --check
refuse 2 "the second wants a PIN" "credential" tool --partition two key show "$T/one.pem" --check
check "here it is" tool --partition two credential --out "$T/credential"
refuse 1 "the first's key is none of the second" "." tool --partition two --pin-source "file:$T/credential" key show "$T/one.pem" --check
check "which makes its own" tool --partition two --pin-source "file:$T/credential" key generate --out "$T/two.pem"
stop_daemon

if [ "$(id -u)" -eq 0 ] && id nobody >/dev/null 2>&1; then
    chmod 755 "$T" "$T/run"; rm -rf "$T/state"
    start_daemon -o user=nobody || exit 1
    check "user = nobody: it became nobody" same "$(stat -c %U "/proc/$daemon_pid/mem")$(awk '/^Uid:/ { print $2 $3 $4 $5 }' "/proc/$daemon_pid/status")" \
        "root$(id -u nobody)$(id -u nobody)$(id -u nobody)$(id -u nobody)"
    check "its state is its own" same "$(stat -c %U:%a "$T/state")" nobody:700
    check "root may use it" tool key generate --out "$T/by-root.pem"
    refuse 1 "no such user" "no such user" "$azihsmd" -o user=no-such-user --state-dir "$T/x" --socket "$T/x.sock"
else
    echo "skip user =: not root"
fi
finish
