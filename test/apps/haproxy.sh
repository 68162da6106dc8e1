#!/usr/bin/env bash
# Story: haproxy in master-worker mode, keys read as root, chroot and user change after the fork, seamless reload under load, azihsmd killed
# and restarted under it. Covers C-04, C-05, C-28, apps.md scenario 5.
. "$(dirname "$0")/lib.sh"
need haproxy
start_azihsmd || exit 1
make_tls || exit 1
mkdir -p /var/lib/haproxy
config=$examples/haproxy/haproxy.cfg

check "haproxy accepts the configuration" haproxy -c -q -f $config
haproxy -W -f $config -p /run/haproxy.pid >>$T/haproxy.log 2>&1 &
wait_for 10 port_open 9443
worker() { pgrep -u haproxy -x haproxy | head -1; }
wait_for 10 bash -c "pgrep -u haproxy -x haproxy"
check "the worker is in its empty root" test "$(readlink /proc/"$(worker)"/root)" = /var/lib/haproxy
check "ECDSA, TLS 1.3: 400 handshakes" load 9443 -n 400 -c 16 -v 1.3 -r
check "ECDSA, TLS 1.2: 100 handshakes" load 9443 -n 100 -c 8 -v 1.2
check "RSA, TLS 1.3: 200 handshakes" load 9444 -n 200 -c 8 -v 1.3
check "RSA, TLS 1.2: 100 handshakes" load 9444 -n 100 -c 8 -v 1.2

descriptors() { ls /proc/"$(cat /run/haproxy.pid)"/fd | wc -l; }
kill -USR2 "$(cat /run/haproxy.pid)"; sleep 1
fds=$(descriptors)
reload_under_load() { # sets status and summary
    load 9443 -s 6 -c 8 -v 1.3 >$T/reload.log 2>&1 &
    local load=$!
    sleep 1
    for _ in 1 2 3; do kill -USR2 "$(cat /run/haproxy.pid)"; sleep 1; done
    wait $load; status=$? summary=$(tail -1 $T/reload.log)
}
# haproxy asks the running worker for its listening sockets and waits a second for the answer. When a busy machine has not let the worker run
# for that long, haproxy says so and takes new sockets, and who waits at the old ones is lost, whatever the key. Only then is it tried again.
for _ in 1 2 3; do
    : >$T/haproxy.log
    reload_under_load
    [ $status -ne 0 ] && grep -q 'Failed to get the sockets from the old process' $T/haproxy.log || break
    echo "     again, because haproxy did not get its sockets: $summary"
done
check "three seamless reloads under load lose no handshake (C-05): $summary" test $status -eq 0
check "the master's descriptors do not grow over reloads" test "$(descriptors)" -le $((fds + 2))

kill_azihsmd
start_azihsmd
check "after a restart of azihsmd the chrooted worker signs again" load 9443 -n 200 -c 8
check "RSA too" load 9444 -n 50 -c 4
kill -TERM "$(cat /run/haproxy.pid)"
wait_for 10 bash -c '! pgrep -x haproxy'
check "haproxy ends" test -z "$(pgrep -x haproxy)"
finish
