#!/usr/bin/env bash
# Story: no daemon, no permission, wrong configuration: the provider loads, software keys work, and the use of a device key names the cause.
# Covers C-11, apps.md section 1 and scenario 8, promise 1 and 12.
. "$(dirname "$0")/lib.sh"
start_azihsmd || exit 1
make_tls || exit 1
echo message >$T/message
cp /etc/azihsm/tls/ec.key $T/ec.key
sign="openssl dgst -sha256 -sign $T/ec.key -out $T/sig $T/message"
check "with the daemon it signs" $sign
kill -TERM $azihsmd_pid; wait $azihsmd_pid

check "no daemon: providers are listed" grep -q azihsm <(openssl list -providers)
check "no daemon: software keys work" openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout $T/sw.key -out $T/sw.crt -subj /CN=x
check "no daemon: a device key is read" openssl pkey -in $T/ec.key -pubout
refuse "no daemon: the error names the socket" 'azihsmd.sock' timeout 30 $sign
sed -i 's/^device = auto.*/device = unix:\/run\/nowhere\/azihsmd.sock/' $OPENSSL_CONF
refuse "no socket directory: the error names it" '/run/nowhere/azihsmd.sock' timeout 30 $sign
check "no socket: software keys work" openssl dgst -sha256 -sign $T/sw.key -out $T/sig $T/message

cp $examples/openssl.cnf $OPENSSL_CONF
start_azihsmd || exit 1
chmod 644 $T/ec.key; chmod 755 $T
refuse "a user without permission: the error says so" '[Pp]ermission|not allowed|refused' timeout 30 setpriv --reuid nobody --regid nogroup --clear-groups \
    openssl dgst -sha256 -sign $T/ec.key -out /dev/null $T/message
check "a user without permission: software keys work" setpriv --reuid nobody --regid nogroup --clear-groups openssl rand -hex 4
chmod 600 $T/ec.key
sed -i 's/^device = auto.*/devise = auto/' $OPENSSL_CONF
check "unknown configuration key: the provider loads" openssl rand -hex 4
check "unknown configuration key: said once on stderr" test "$(openssl list -providers 2>&1 >/dev/null | grep -c devise)" -eq 1
refuse "unknown configuration key: device operations name it" 'devise' $sign
cp $examples/openssl.cnf $OPENSSL_CONF
sed -i 's/^device = auto.*/device = auto\ntimeout = soon/' $OPENSSL_CONF
refuse "bad number: device operations name it" 'timeout' $sign

cp $examples/openssl.cnf $OPENSSL_CONF
head -c 300 $T/ec.key >$T/cut.key
refuse "a truncated key file" '.' openssl pkey -in $T/cut.key -noout
sed 's/[A-Za-z]/A/20' $T/ec.key >$T/damaged.key
refuse "a damaged key file does not sign" '.' openssl dgst -sha256 -sign $T/damaged.key -out $T/sig $T/message
mv /var/lib/azihsm /var/lib/azihsm.other
kill_azihsmd; start_azihsmd
refuse "the key of another device: the error says so" 'another device|MaskedKeyDecodeFailed' $sign
finish
