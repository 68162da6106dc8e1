#!/usr/bin/env bash
# Story: mosquitto with client certificates; broker and clients with keys in the device. Covers C-28, apps.md scenario 12.
. "$(dirname "$0")/lib.sh"
need mosquitto mosquitto_pub mosquitto_sub
start_azihsmd || exit 1
make_tls || exit 1
groupadd -f azihsm; usermod -aG azihsm mosquitto
kill_azihsmd; start_azihsmd # it reads groups at start
place() { install -o root -g mosquitto -m 640 /etc/azihsm/tls/"$1".key /etc/azihsm/tls/mosquitto.key && cp /etc/azihsm/tls/"$1".crt /etc/azihsm/tls/mosquitto.crt; }
mtls="-h localhost -p 8883 --cafile /etc/azihsm/tls/ca.crt --cert /etc/azihsm/tls/client.crt --key /etc/azihsm/tls/client.key"
exchange() { # a message there and back, both clients with a key in the device
    timeout 20 mosquitto_pub $mtls "$@" -r -t story -m "signed in the device" &&
        timeout 20 mosquitto_sub $mtls "$@" -t story -C 1 -W 10 | grep -q "signed in the device" && return 0
    cat $T/broker.log; return 1
}
for kind in ec rsa; do
    place $kind
    mosquitto -c $examples/mosquitto/mosquitto.conf >$T/broker.log 2>&1 &
    broker=$!
    check "$kind: the broker starts" wait_for 10 port_open 8883
    check "$kind: as mosquitto" test "$(stat -c %U /proc/$broker)" = mosquitto
    before=$(signatures)
    check "$kind: a message passes, TLS 1.3" exchange --tls-version tlsv1.3
    check "$kind: a message passes, TLS 1.2" exchange --tls-version tlsv1.2
    check "$kind: every end of four connections signed in the device" test $(($(signatures) - before)) -eq 8
    if [ $kind = ec ]; then
        kill_azihsmd; start_azihsmd
        check "$kind: after a restart of azihsmd a message passes" exchange
    fi
    kill $broker
    check "$kind: the broker ends" wait_for 10 test ! -d /proc/$broker
done
finish
