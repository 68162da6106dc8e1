#!/usr/bin/env bash
# Story: Apache httpd, prefork and event, one EC and one RSA key in the device; the children sign as www-data; a client certificate; graceful
# reload under load; azihsmd killed and restarted. Covers C-01, C-04, C-28, apps.md scenario 5.
# usage: apache.sh prefork|event|worker
. "$(dirname "$0")/lib.sh"
mpm=$1
need apache2
start_azihsmd || exit 1
make_tls || exit 1
mkdir -p /var/www/html /var/log/apache2
echo "signed in the device" >/var/www/html/index.html
httpd() { apache2 -f $examples/apache/httpd.conf -D "$mpm" "$@"; }

check "apache2 accepts the configuration" httpd -t
before=$(signatures)
check "apache2 starts" httpd -k start
wait_for 10 port_open 8543
check "the children run as www-data" wait_for 10 bash -c "test \$(pgrep -u www-data -x apache2 | wc -l) -ge 2"
every_handshake 8543 "$before"
mtls="--cacert /etc/azihsm/tls/ca.crt --cert /etc/azihsm/tls/client.crt --key /etc/azihsm/tls/client.key"
check "a client with a key in the device is let in" grep -q "signed in the device" <(curl -s --max-time 20 $mtls https://localhost:8544/)
refuse "a client without a certificate is not" '.' software curl -sS --max-time 20 --cacert /etc/azihsm/tls/ca.crt https://localhost:8544/

(load 8543 -s 5 -c 6 -v 1.3 >$T/reload.log 2>&1; echo $? >$T/reload.status) &
load=$!
sleep 0.7
for _ in 1 2 3; do httpd -k graceful; sleep 1; done
wait $load
check "three graceful reloads under load lose no handshake: $(tail -1 $T/reload.log)" test "$(cat $T/reload.status)" -eq 0

kill_azihsmd
start_azihsmd
check "after a restart of azihsmd every child signs again" load 8543 -n 100 -c 8
check "RSA too" load 8543 -n 50 -c 8 -g RSA-PSS+SHA256
parent=$(cat /run/apache2-azihsm.pid)
httpd -k graceful-stop
check "apache2 ends" wait_for 15 test ! -d "/proc/$parent"
check "and no child is left" wait_for 10 bash -c '! pgrep -x apache2'
check "it reported no crash" bash -c '! grep -E "signal|segfault|AH00051" /var/log/apache2/azihsm-error.log'
finish
