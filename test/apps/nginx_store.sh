#!/usr/bin/env bash
# Story: nginx with keys by URI ("store:azihsm://NAME"): loaded by the root master through OSSL_STORE, used by workers as www-data; reload under
# load; azihsmd restarted. Covers C-28, apps.md scenario 14. nginx of Debian 12 and 13 has no "store:".
. "$(dirname "$0")/lib.sh"
need nginx curl
config=$examples/nginx/store.conf
start_azihsmd || exit 1
make_tls || exit 1
for name in ec rsa; do cp /etc/azihsm/tls/$name.key /etc/azihsm/keys/$name.pem; done
mkdir -p /var/www/html /var/log/nginx /var/lib/nginx
echo "signed in the device" >/var/www/html/index.html

nginx -t -c $config >$T/syntax.log 2>&1
if grep -q 'fopen(.*store:' $T/syntax.log; then
    skip_story "nginx $(nginx -v 2>&1 | sed 's,.*/,,') opens store:azihsm://ec as a file"
fi
before=$(signatures)
check "nginx accepts the configuration" nginx -t -c $config
nginx -c $config
wait_for 10 port_open 8443
check "TLS 1.3, ECDSA: 200 handshakes, 8 at a time" load 8443 -n 200 -c 8 -v 1.3 -g ECDSA+SHA256
check "TLS 1.2, RSA PKCS#1: 100 handshakes" load 8443 -n 100 -c 8 -v 1.2 -g RSA+SHA256 -C ECDHE-RSA-AES128-GCM-SHA256
check "TLS 1.3, RSA-PSS: 100 handshakes" load 8443 -n 100 -c 8 -v 1.3 -g RSA-PSS+SHA256
check "one signature of the device for every handshake" test $(($(signatures) - before)) -eq 400
check "the page is served" grep -q "signed in the device" <(software curl -s --cacert /etc/azihsm/tls/ca.crt https://localhost:8443/)

(load 8443 -s 4 -c 8 -v 1.3 >$T/reload.log 2>&1; echo $? >$T/reload.status) &
load=$!
sleep 0.7
for _ in 1 2; do nginx -c $config -s reload; sleep 1; done
wait $load
check "two reloads under load lose no handshake: $(tail -1 $T/reload.log)" test "$(cat $T/reload.status)" -eq 0

kill_azihsmd
start_azihsmd
check "after a restart of azihsmd every worker signs again" load 8443 -n 100 -c 8
sed 's,azihsm://ec,azihsm://nobody,' $config >$T/nobody.conf
refuse "a key that is not there is an error of the configuration that says so" 'nobody.*No such file' nginx -t -c $T/nobody.conf
nginx -c $config -s quit
check "nginx ends" wait_for 10 bash -c '! pgrep -x nginx'
finish
