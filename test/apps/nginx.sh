#!/usr/bin/env bash
# Story: nginx with 4 workers as an unprivileged user, one EC and one RSA key in the device, TLS 1.2 and 1.3; curl with a client key in the
# device; reload under load; a worker killed; azihsmd killed and restarted. Covers C-01, C-04, C-14, C-15, C-26, C-28, apps.md scenario 3.
. "$(dirname "$0")/lib.sh"
need nginx curl
start_azihsmd || exit 1
make_tls || exit 1
echo "signed in the device" >/var/www/html/index.html 2>/dev/null || { mkdir -p /var/www/html; echo "signed in the device" >/var/www/html/index.html; }
mkdir -p /var/log/nginx /var/lib/nginx

# A key that was made in software, imported, and forgotten: its private value must be in no memory of nginx.
openssl genpkey -propquery provider=default -algorithm EC -pkeyopt group:P-256 -out $T/origin.pem
check "a software key is imported into the device" azihsm key import --in $T/origin.pem --out /etc/azihsm/tls/ec.key --force
certificate ec

before=$(signatures)
check "nginx accepts the configuration" nginx -t -c $examples/nginx/nginx.conf
nginx -c $examples/nginx/nginx.conf
wait_for 10 port_open 8443
workers() { pgrep -u www-data -x nginx; }
four_workers() { [ "$(workers | wc -l)" -eq 4 ]; }
check "four workers run as www-data" wait_for 10 four_workers
check "the workers are in no special group" test "$(awk '/^Groups:/ { print NF }' /proc/"$(workers | head -1)"/status)" -le 2

check "TLS 1.3, ECDSA: 800 handshakes, 16 at a time" load 8443 -n 800 -c 16 -v 1.3 -g ECDSA+SHA256
check "TLS 1.2, ECDSA: 200 handshakes" load 8443 -n 200 -c 16 -v 1.2 -C ECDHE-ECDSA-AES128-GCM-SHA256
check "TLS 1.3, RSA-PSS: 200 handshakes" load 8443 -n 200 -c 16 -v 1.3 -g RSA-PSS+SHA256
check "TLS 1.2, RSA PKCS#1: 100 handshakes" load 8443 -n 100 -c 8 -v 1.2 -g RSA+SHA256 -C ECDHE-RSA-AES128-GCM-SHA256
check "the page is served" grep -q "signed in the device" <(software curl -s --cacert /etc/azihsm/tls/ca.crt https://localhost:8443/)
check "one signature of the device for every handshake (C-14)" test $(($(signatures) - before)) -eq 1301

check "curl authenticates with a client key in the device" grep -q "signed in the device" <(curl -s -K $examples/curl/curlrc https://localhost:8444/)
check "curl, TLS 1.2" curl -s -o /dev/null --fail -K $examples/curl/curlrc --tls-max 1.2 https://localhost:8444/
refuse "without a certificate the server refuses" '400' software curl -s --fail-with-body --cacert /etc/azihsm/tls/ca.crt https://localhost:8444/

private=$(software openssl pkey -in $T/origin.pem -text -noout | sed -n '/^priv:/,/^pub:/p' | grep '^ ' | tr -d ' :\n' | sed 's/^00//')
check "the private value is a P-256 scalar" test ${#private} -ge 60
check "the search finds the value where it is" bash -c "exec 3<<<'$private'; sleep 5 & python3 - <<'PY'
import subprocess, sys, os
private = bytes.fromhex('$private')
hold = bytearray(private)
sys.exit(0 if subprocess.run(['python3', '$stories/memory.py', '$private', str(os.getpid())]).returncode == 1 else 1)
PY"
# shellcheck disable=SC2046
check "no nginx process holds the private value" python3 $stories/memory.py "$private" $(pgrep -x nginx)

# Reload under load: no handshake fails.
(load 8443 -s 6 -c 8 -v 1.3 >$T/reload.log 2>&1; echo $? >$T/reload.status) &
sleep 1
for _ in 1 2 3; do nginx -c $examples/nginx/nginx.conf -s reload; sleep 1; done
wait $!
check "three reloads under load lose no handshake" test "$(cat $T/reload.status)" -eq 0

# kill -9 of a worker: the others go on and a new one signs.
(load 8443 -s 4 -c 8 -v 1.3 >$T/kill.log 2>&1) &
sleep 1
kill -9 "$(workers | head -1)"
wait $!
lost=$(sed -n 's/.*failed=\([0-9]*\).*/\1/p' $T/kill.log)
check "kill -9 of a worker loses at most its own connections" test "${lost:-99}" -le 8
check "after it, every handshake succeeds" load 8443 -n 200 -c 8
check "four workers again" wait_for 10 four_workers

# azihsmd killed and restarted: no reload of nginx.
kill_azihsmd
start_azihsmd
check "after a restart of azihsmd every worker signs again" load 8443 -n 400 -c 16
check "RSA too" load 8443 -n 100 -c 8 -g RSA-PSS+SHA256
kill_azihsmd
(sleep 1; start_azihsmd) &
check "a handshake that meets a dead daemon waits for it within its deadline" load 8443 -n 16 -c 8
wait $!
connections=$(counter azihsm_connections)
check "no connection is left over by dead workers ($connections)" test "$connections" -le 8
nginx -c $examples/nginx/nginx.conf -s quit
wait_for 10 bash -c '! pgrep -x nginx'
check "nginx ends" test -z "$(pgrep -x nginx)"
finish
