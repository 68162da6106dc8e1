#!/usr/bin/env bash
# Story: Apache httpd with keys by pkcs11: URI, the only ones it takes: the parent loads them as root through OSSL_STORE, the children sign as
# www-data; graceful reload under load; azihsmd killed and restarted. Covers C-28, apps.md scenario 13.
# usage: apache_pkcs11.sh prefork|event
. "$(dirname "$0")/lib.sh"
mpm=$1
need apache2
start_azihsmd || exit 1
make_tls || exit 1
cp /etc/azihsm/tls/ec.key /etc/azihsm/keys/ec.pem
cp /etc/azihsm/tls/rsa.key /etc/azihsm/keys/rsa.pem
mkdir -p /var/www/html /var/log/apache2
echo "signed in the device" >/var/www/html/index.html
httpd() { apache2 -f $examples/apache/httpd.conf -D "$mpm" -D pkcs11 "$@"; }

# Off, the scheme is nobody's; on, the command line finds the key, and nothing else is taken.
refuse "the scheme is off by default" 'unregistered scheme|unsupported' openssl pkey -in "pkcs11:object=ec;type=private" -noout
sed -i 's/^#\(pkcs11-uris = yes\)/\1/' $OPENSSL_CONF
check "pkcs11-uris = yes: openssl finds the key" openssl dgst -sha256 -sign "pkcs11:object=ec;type=private" -out $T/sig $OPENSSL_CONF
check "and its signature verifies in software" software openssl dgst -sha256 -signature $T/sig -verify <(software openssl x509 -in /etc/azihsm/tls/ec.crt -noout -pubkey) $OPENSSL_CONF
refuse "an attribute that means nothing here is named" "'id'" openssl pkey -in "pkcs11:object=ec;id=%01" -noout

check "apache2 accepts the configuration" httpd -t
before=$(signatures)
check "apache2 starts" httpd -k start
wait_for 10 port_open 8545
check "the children run as www-data" wait_for 10 bash -c "test \$(pgrep -u www-data -x apache2 | wc -l) -ge 2"
every_handshake 8545 "$before"

(load 8545 -s 4 -c 6 -v 1.3 >$T/reload.log 2>&1; echo $? >$T/reload.status) &
load=$!
sleep 0.7
for _ in 1 2; do httpd -k graceful; sleep 1; done
wait $load
check "two graceful reloads under load lose no handshake: $(tail -1 $T/reload.log)" test "$(cat $T/reload.status)" -eq 0

kill_azihsmd
start_azihsmd
check "after a restart of azihsmd every child signs again" load 8545 -n 100 -c 8
check "RSA too" load 8545 -n 50 -c 8 -g RSA-PSS+SHA256
parent=$(cat /run/apache2-azihsm.pid)
httpd -k graceful-stop
check "apache2 ends" wait_for 15 test ! -d "/proc/$parent"
check "it reported no crash" bash -c '! grep -E "signal|segfault|AH00051" /var/log/apache2/azihsm-error.log'
finish
