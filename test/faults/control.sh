#!/usr/bin/env bash
# The control socket: counters that prove what happened, test conditions, tickets, and who may ask.
. "$(dirname "$0")/lib.sh"
start_daemon || exit 1
check "status" tool status
check "status is JSON" tool status --json
check "a key" tool key generate ec
check "one generation was counted" same "$(commands EccGenerateKeyPair)" 1
check "asking is no command" same "$(counter azihsm_commands_total)" "$(counter azihsm_commands_total)"
check "no handle, no session, no key is left" same \
    "$(status_of handles) $(status_of sessions) $(status_of keys) $(status_of connections)" "0 0 0 0"
check "counters table" grep -q EccGenerateKeyPair <(tool counters)
check "counters as JSON" grep -q '"buckets"' <(tool counters --json)
check "counters start again" tool counters --reset
check "none left" same "$(counter azihsm_commands_total)" 0

check "fail the next two generations" tool conditions --fail-count 2 --fail-op EccGenerateKeyPair --fail-status 0x08700010
refuse 1 "the first fails with that status" "KeyDecodeFailed" tool key generate one
refuse 1 "the second too" "KeyDecodeFailed" tool key generate two
check "the third does not" tool key generate three
check "three were counted" same "$(commands EccGenerateKeyPair)" 3
check "two as errors" same "$(counter 'azihsm_command_errors_total{op="EccGenerateKeyPair"}')" 2
check "a slow device" tool conditions --delay-ms 300 --delay-op EccGenerateKeyPair
check "is slow but right" tool key generate four
check "and the histogram shows it" same \
    "$(counter 'azihsm_command_seconds_bucket{partition="default",op="EccGenerateKeyPair",le="0.131072"}')" 3
check "no conditions" tool conditions --clear
check "reset before the third command" tool conditions --reset-after 3
check "the client recovers" tool key show three --check
check "there was one reset" same "$(status_of resets)" 1
refuse 2 "an unknown command's name" "no command \"Nonsense\"" tool conditions --delay-op Nonsense
refuse 2 "an unknown partition" "no partition" tool --partition other counters
check "tickets can be revoked" tool revoke-tickets
check "connections" tool connections --json

check "change the PIN" tool change-pin
check "clients log in with the new one" tool key show ec --check
stop_daemon; start_daemon || exit 1
check "so they do after a restart" tool key show ec --check
check "credential file" tool credential --out "$T/credential"
check "is private" same "$(stat -c %a "$T/credential")" 600
check "logs in" tool --pin-source "file:$T/credential" key show ec --check
sed -n 's/^id = \(.*\)/id = \1\npin = \1/p' "$T/credential" >"$T/wrong"; chmod 600 "$T/wrong"
refuse 1 "a wrong PIN is refused" "InvalidAppCredentials" tool --pin-source "file:$T/wrong" key show ec --check
if [ "$(id -u)" -eq 0 ] && command -v setpriv >/dev/null; then
    chmod 755 "$T" "$T/run"; chmod 666 "$T/run/control.sock"
    refuse 4 "another user may not ask, even when the socket lets him connect" "only root|not allowed|refused" \
        setpriv --reuid nobody --regid nogroup --clear-groups "$azihsm" --control "$T/run/control.sock" \
        --device "unix:$T/run/azihsmd.sock" counters
    refuse 4 "another user may not use the device" "." \
        setpriv --reuid nobody --regid nogroup --clear-groups "$azihsm" --device "unix:$T/run/azihsmd.sock" \
        --control "$T/nowhere" certificates
    stop_daemon; start_daemon -o allow-users=nobody || exit 1
    check "with allow-users he may" setpriv --reuid nobody --regid nogroup --clear-groups "$azihsm" \
        --device "unix:$T/run/azihsmd.sock" certificates
else
    echo "skip other users: not root"
fi
finish
