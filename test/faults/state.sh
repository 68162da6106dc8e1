#!/usr/bin/env bash
# The state directory: one owner, nobody else may look, what is damaged or half lost is refused and left as it is.
. "$(dirname "$0")/lib.sh"
start_daemon || exit 1
check "a key" tool key generate ec
check "directory is private" same "$(stat -c %a "$T/state")" 700
check "files are private" same "$(stat -c %a "$T"/state/default.* "$T/state/tickets" | sort -u)" 600
second() { "$azihsmd" --socket "$T/other.sock" --control-socket "$T/other-control.sock" --state-dir "$T/state"; }
refuse 1 "a second daemon on the same state is refused" "another process uses the state directory" second
refuse 1 "a second daemon on the same socket is refused" "another azihsmd listens" \
    "$azihsmd" --socket "$T/run/azihsmd.sock" --state-dir "$T/state2"
stop_daemon

try() { timeout 20 "$azihsmd" --socket "$T/run/azihsmd.sock" --state-dir "$T/state"; }
cp -a "$T/state" "$T/good"
for file in default.owner default.device tickets; do
    : >"$T/state/$file"
    refuse 1 "empty $file" "$file is (empty, )?damaged|$file is empty" try
    check "empty $file is left empty" test ! -s "$T/state/$file"
    head -c 40 "$T/good/$file" >"$T/state/$file"
    refuse 1 "cut $file" "$file" try
    check "cut $file is left alone" same "$(stat -c %s "$T/state/$file")" 40
    cp "$T/good/$file" "$T/state/$file"
done
rm "$T/state/default.owner"
refuse 1 "the owner's file is missing" "default.device but no default.owner" try
check "no new owner was made" test ! -e "$T/state/default.owner"
cp "$T/good/default.owner" "$T/state/"; rm "$T/state/default.device"
refuse 1 "the device's file is missing" "default.owner but no default.device" try
check "no new device was made" test ! -e "$T/state/default.device"
cp "$T/good/default.device" "$T/state/"
chmod 755 "$T/state"
refuse 1 "a directory that others may enter" "mode 0755" try
chmod 700 "$T/state"
ln -s "$T/state" "$T/link"
refuse 1 "a symbolic link" "link" "$azihsmd" --socket "$T/run/azihsmd.sock" --state-dir "$T/link"
: >"$T/state/.default.owner.new"
start_daemon || exit 1
check "a leftover of a crash is harmless, the key still works" tool key show ec --check

stop_daemon
broken=0
for pause in 0 0.002 0.004 0.006 0.008 0.01 0.015 0.02 0.03 0.05 0.08 0.12; do
    rm -rf "$T/young"
    "$azihsmd" --socket "$T/young.sock" --control-socket "$T/young-control.sock" --state-dir "$T/young" --quiet &
    young=$!
    sleep $pause; kill -9 $young; wait $young 2>/dev/null
    timeout 30 "$azihsmd" --socket "$T/young.sock" --control-socket "$T/young-control.sock" --state-dir "$T/young" \
        --idle-exit 1 --quiet || broken=$((broken + 1))
done
check "killed at any moment of its first start, the daemon starts again" same $broken 0
start_daemon || exit 1

check "backup of a running daemon" tool backup --state-dir "$T/state" --out "$T/backup"
check "the backup is private" same "$(stat -c %a "$T/backup")" 600
stop_daemon
refuse 4 "restore does not touch a state" "holds a state already" tool restore --in "$T/backup" --state-dir "$T/state"
rm -rf "$T/state"
head -c 500 "$T/backup" >"$T/cut"
refuse 5 "restore of a damaged backup writes nothing" "nothing was written" tool restore --in "$T/cut" --state-dir "$T/state"
check "really nothing" test ! -e "$T/state"
check "restore" tool restore --in "$T/backup" --state-dir "$T/state"
start_daemon || exit 1
check "the key works on the restored device" tool key show ec --check
stop_daemon
rm -rf "$T/state"; start_daemon || exit 1
refuse 1 "on a new device it does not" "MaskedKeyDecodeFailed|another" tool key show ec --check
: >"$T/state/tickets"
refuse 1 "a damaged file is not backed up" "damaged: no backup" tool backup --state-dir "$T/state" --out "$T/backup2"
finish
