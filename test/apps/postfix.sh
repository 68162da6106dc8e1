#!/usr/bin/env bash
# Story: Postfix, whose programs get a cleaned environment: tls_config_file names the configuration. smtpd with EC and RSA keys in the
# device, STARTTLS. Covers C-28, apps.md scenario 12.
. "$(dirname "$0")/lib.sh"
need postfix postconf
postconf -d tls_config_file >/dev/null 2>&1 && [ -n "$(postconf -dh tls_config_file 2>/dev/null)" ] || skip_story "this Postfix has no tls_config_file"
start_azihsmd || exit 1
make_tls || exit 1
unset OPENSSL_CONF
cat $examples/postfix/azihsm.cf >$T/additions
cat >/etc/postfix/main.cf <<CF
compatibility_level = 3.6
myhostname = localhost
inet_interfaces = 127.0.0.1
inet_protocols = ipv4
maillog_file = /var/log/postfix-azihsm.log
smtpd_delay_reject = yes
mydestination = localhost
local_recipient_maps =
default_transport = smtp
CF
cat $T/additions >>/etc/postfix/main.cf
[ -f /etc/postfix/master.cf ] || cp /usr/share/postfix/master.cf.dist /etc/postfix/master.cf
postconf -F 'smtp/inet/chroot=n' 'smtp/unix/chroot=n'
newaliases 2>/dev/null
check "Postfix starts" postfix start
check "it listens" wait_for 15 port_open 25
starttls() { # ARGUMENTS...: the greeting after STARTTLS
    printf 'EHLO story\r\nQUIT\r\n' | OPENSSL_CONF=/etc/ssl/openssl.cnf timeout 20 openssl s_client -starttls smtp -connect 127.0.0.1:25 -crlf -ign_eof \
        -CAfile /etc/azihsm/tls/ca.crt -verify_return_error "$@" >$T/smtp.log 2>&1
    grep -q '^250' $T/smtp.log || { tail -5 $T/smtp.log; tail /var/log/postfix-azihsm.log; return 1; }
}
export OPENSSL_CONF=/etc/azihsm/openssl.cnf # for azihsm and openssl below
before=$(signatures)
check "ECDSA, TLS 1.3" starttls -tls1_3 -sigalgs ECDSA+SHA256
check "RSA, TLS 1.3" starttls -tls1_3 -sigalgs RSA-PSS+SHA256
check "ECDSA, TLS 1.2" starttls -tls1_2 -cipher ECDHE-ECDSA-AES128-GCM-SHA256
check "RSA, TLS 1.2" starttls -tls1_2 -cipher ECDHE-RSA-AES128-GCM-SHA256
check "four signatures of the device" test $(($(signatures) - before)) -eq 4
kill_azihsmd; start_azihsmd
check "after a restart of azihsmd it signs again" starttls
check "Postfix stops" postfix stop
finish
