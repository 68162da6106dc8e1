#!/usr/bin/env bash
# Keys outlive the daemon: what was made before an ordinary end, before kill -9 and before a reset is accepted after it.
. "$(dirname "$0")/lib.sh"
start_daemon || exit 1
check "an EC key" tool key generate ec
check "an RSA key" tool key generate --type rsa rsa
check "an AES key" tool key generate --type aes aes
check "a tagged key" tool key generate --curve P-384 --tag 18 named
cp "$T/state/default.owner" "$T/owner"; cp "$T/state/default.device" "$T/device"
tool unwrapping-key --out "$T/unwrapping.1"
accepted() { for key in ec rsa aes named; do tool key show "$key" --check || return 1; done; }
check "all are accepted" accepted
check "SIGTERM: exit status 0" stop_daemon TERM
check "the sockets are gone" test ! -e "$T/run/azihsmd.sock" -a ! -e "$T/run/control.sock"
start_daemon || exit 1
check "after a restart all are accepted" accepted
check "the state did not change" cmp "$T/state/default.owner" "$T/owner"
check "nor did the device's" cmp "$T/state/default.device" "$T/device"
tool unwrapping-key --out "$T/unwrapping.2"
check "the unwrapping key is the same" cmp "$T/unwrapping.1" "$T/unwrapping.2"
stop_daemon KILL
start_daemon || exit 1
check "after kill -9 all are accepted" accepted
check "reset" tool reset
check "the daemon has provisioned again" same "$(status_of provisioned)" true
check "after a reset all are accepted" accepted
check "stop by the control socket" tool stop
wait "$daemon_pid"; check "it ended with status 0" same "$?" 0
daemon_pid=""
refuse 3 "the tool names the socket that nobody serves" "$T/run" tool key show ec --check
start_daemon -o limits=hardware -o seccomp=kill || exit 1
check "with other limits all are accepted, and no system call is missing from the filter" accepted
check "new keys too" tool key generate --type rsa --force rsa
check "reset under the filter" tool reset
check "PIN change under the filter" tool change-pin
check "metrics under the filter" tool metrics
kill -HUP "$daemon_pid"
check "SIGHUP under the filter" sh -c "sleep 0.3; kill -0 $daemon_pid"

tool conditions --delay-ms 700 --delay-op EccGenerateKeyPair >/dev/null
tool key generate late >"$T/late.log" 2>&1 &
late=$!
for _ in $(seq 100); do [ "$(status_of connections)" != 0 ] && break; sleep 0.02; done
sleep 0.2
check "SIGTERM in the middle of a command: exit status 0" stop_daemon TERM
wait $late; check "the command was finished first" same $? 0
start_daemon || exit 1
check "and its key is good" tool key show late --check
finish
