#!/usr/bin/env bash
# Story: haproxy with ssl-mode-async and a slow device: handshakes overlap on one thread; clients go away in every phase of the handshake;
# few descriptors; reload under load; then it idles. Covers C-05, C-31, C-32, C-33, rules D5, apps.md scenario 5.
. "$(dirname "$0")/lib.sh"
need haproxy prlimit
start_azihsmd || exit 1
make_tls || exit 1
mkdir -p /var/lib/haproxy
start_haproxy() { haproxy -W -f $examples/haproxy/async.cfg -p /run/haproxy.pid -D "$@" && wait_for 10 port_open 9543; }
stop_haproxy() { kill -TERM "$(cat /run/haproxy.pid)"; wait_for 10 bash -c '! pgrep -x haproxy'; }
worker() { pgrep -u haproxy -x haproxy | tail -1; }
as_haproxy() { setpriv --reuid haproxy --regid haproxy --clear-groups -- "$@"; }
descriptors() { ls /proc/"$(worker)"/fd | wc -l; }
resident() { awk '/^VmRSS/ { print $2 }' /proc/"$(worker)"/status; }
ticks() { awk '{ print $14 + $15 }' /proc/"$(worker)"/stat; }

# A third key for those who still decrypt; an RSA key that the device made signs or decrypts, never both (one that was imported does both).
device_key decrypting -algorithm RSA -pkeyopt rsa_keygen_bits:2048 -pkeyopt azihsm.key_usage:keyEncipherment
openssl pkey -in /etc/azihsm/tls/decrypting.key -pubout -out $T/decrypting.pub
software openssl x509 -req -in $T/rsa.csr -force_pubkey $T/decrypting.pub -CA /etc/azihsm/tls/ca.crt -CAkey $T/ca.key -CAcreateserial \
    -copy_extensions copy -out /etc/azihsm/tls/decrypting.crt 2>/dev/null
cat /etc/azihsm/tls/decrypting.crt /etc/azihsm/tls/decrypting.key >/etc/azihsm/tls/decrypting.pem

start_haproxy || exit 1
for version in 1.3 1.2; do
    check "ECDSA, TLS $version: 200 handshakes" load 9543 -n 200 -c 16 -v $version -r
    check "RSA, TLS $version: 50 handshakes" load 9544 -n 50 -c 16 -v $version -r
done
check "static RSA: 20 handshakes that decrypt" load 9545 -n 20 -c 8 -v 1.2 -C AES128-SHA

# 200 signatures of 50 ms each on two threads would take 5 s at least, one after the other.
azihsm conditions --delay-ms 50 >/dev/null
before=$(date +%s%N)
check "200 handshakes with a device that takes 50 ms" load 9543 -n 200 -c 64
took=$((($(date +%s%N) - before) / 1000000))
check "overlapped in two threads: $took ms, one after the other no less than 5000" test $took -lt 5000

# Clients that go away.
azihsm conditions --clear >/dev/null
azihsm conditions --delay-ms 8 >/dev/null
survivor=$(worker)
check "warm up" load 9543 -n 64 -c 32
fds=$(descriptors)
drops() { # TEXT PORT ARGUMENTS...
    local text=$1 port=$2; shift 2
    check "$text: 540 clients go away in every phase (C-31)" "$tools/tlsdrop" -p "$port" -n 540 -c 32 -w 4 "$@"
}
drops "TLS 1.3, ECDSA" 9543 -v 1.3
drops "TLS 1.2, ECDSA" 9543 -v 1.2
drops "TLS 1.3, RSA" 9544 -v 1.3
drops "TLS 1.2, static RSA, in decryption" 9545 -v 1.2 -C AES128-SHA
check "the worker is the same one" test "$(worker)" = "$survivor"
check "every handshake succeeds after them" load 9543 -n 200 -c 32
quiet() { [ "$(descriptors)" -le $((fds + 8)) ]; }
check "no descriptor is left over" wait_for 15 quiet
first=$(resident)
drops "again" 9543 -v 1.3
drops "and again" 9543 -v 1.3
grown=$(($(resident) - first))
# libcrypto cannot free the fibre of a paused job (34 KiB); a client goes away in mid-operation in 8 of 18 cases at most.
check "memory grows by no more than the fibres that libcrypto loses: $grown KiB" test $grown -le $((2 * 540 * 8 / 18 * 40))
check "no descriptor is left over" wait_for 15 quiet

# Reload under load, with the device slow.
(load 9543 -s 4 -c 16 -v 1.3 >$T/reload.log 2>&1; echo $? >$T/reload.status) &
load=$!
sleep 0.5
# Each waits for the one before: haproxy that gets no answer from a busy worker for a second loses clients, with any key (README.md).
newest() { pgrep -n -u haproxy -x haproxy; }
replaced() { [ "$(newest)" != "$old" ]; }
for _ in 1 2 3; do
    old=$(newest)
    kill -USR2 "$(cat /run/haproxy.pid)"
    wait_for 10 replaced; sleep 0.5
done
wait $load
check "three reloads under load lose no handshake (C-05, C-33): $(tail -1 $T/reload.log)" test "$(cat $T/reload.status)" -eq 0
azihsm conditions --clear >/dev/null
check "one worker is left" wait_for 15 bash -c 'test $(pgrep -u haproxy -x haproxy | wc -l) -eq 1'
before=$(ticks); sleep 1
check "after it the worker idles (C-33): $(($(ticks) - before)) ticks of 100" test $(($(ticks) - before)) -le 10

kill_azihsmd
start_azihsmd
check "after a restart of azihsmd it signs again" load 9543 -n 100 -c 16
stop_haproxy

# Few descriptors: 96 connections leave nothing for descriptors of ours.
ulimit -n 256
start_haproxy -n 96 || exit 1
azihsm conditions --delay-ms 4 >/dev/null
check "ulimit -n 256: 96 connections at a time, none fails (C-32)" load 9543 -n 600 -c 96 -r
check "limit 150" as_haproxy prlimit --pid "$(worker)" --nofile=150:
check "and with 150: those without one wait, none fails (C-32)" load 9543 -n 400 -c 96 -r
check "RSA too" load 9544 -n 200 -c 96
check "limit 80" as_haproxy prlimit --pid "$(worker)" --nofile=80:
check "fewer descriptors than clients: none fails" load 9543 -n 200 -c 96
stop_haproxy
check "haproxy ends" test -z "$(pgrep -x haproxy)"
finish
