#!/usr/bin/env bash
# Story: the openssl command line with keys in the device, with no property query after the key was made, in three set-ups:
# default activated first, azihsm activated first, and default_properties = ?provider=azihsm. Software keys live beside them.
# Covers C-11, C-12, C-19, C-20, C-21, C-23, C-25, C-27, C-28, lessons B1, apps.md scenarios 1, 2, 9, 10, 11.
# usage: cli.sh default-first|azihsm-first|preferred
. "$(dirname "$0")/lib.sh"
setup=$1
start_azihsmd || exit 1

case $setup in
azihsm-first) sed -i '/^default = /d; s/^azihsm = azihsm_section/&\ndefault = default_section/' $OPENSSL_CONF ;;
preferred) sed -i 's/^providers = provider_list/&\nalg_section = algorithms/' $OPENSSL_CONF
    printf '\n[algorithms]\ndefault_properties = ?provider=azihsm\n' >>$OPENSSL_CONF ;;
esac
cd $T || exit 1
echo "a message to sign" >message
software openssl dgst -sha256 -binary message >message.sha256
make_ca; cp /etc/azihsm/tls/ca.crt ca.crt

port=7000
# serve KEY CERT CLIENT-OPTIONS...: one TLS handshake of s_server with the key against a client that knows no provider of ours
serve() {
    local key=$1 cert=$2; shift 2
    port=$((port + 1))
    openssl s_server -accept $port -key "$key" -cert "$cert" -quiet -www >server.log 2>&1 &
    local server=$!
    wait_for 10 port_open $port
    printf 'GET / HTTP/1.0\r\n\r\n' | timeout 20 env OPENSSL_CONF=/etc/ssl/openssl.cnf openssl s_client -connect 127.0.0.1:$port \
        -CAfile "$cert" -verify_return_error -ign_eof "$@" >client.log 2>&1
    local status=$?
    kill $server 2>/dev/null; wait $server 2>/dev/null
    grep -q 'HTTP/1.0 200' client.log || { cat client.log server.log; return 1; }
    return $status
}
device_signs() { # COMMAND...: succeeds and the device made at least one signature
    local before; before=$(signatures)
    "$@" && [ "$(signatures)" -gt "$before" ]
}
device_idle() { # COMMAND...: succeeds and the device was not asked for a signature
    local before; before=$(signatures)
    "$@" && [ "$(signatures)" -eq "$before" ]
}

certificate_work() { # NAME DIGEST-OPTIONS: everything that writes certificates and signs files
    local name=$1; shift
    check "$name: req -new" device_signs openssl req -new -key $name.pem -subj "/CN=$name" -out $name.csr
    check "$name: the request verifies in software" software openssl req -in $name.csr -verify -noout
    check "$name: the request verifies beside us" openssl req -in $name.csr -verify -noout
    check "$name: req -x509" device_signs openssl req -x509 -key $name.pem -subj "/CN=$name" -addext basicConstraints=critical,CA:TRUE -days 2 -out $name.crt
    check "$name: the certificate verifies in software" software openssl verify -CAfile $name.crt $name.crt
    check "$name: the certificate verifies beside us" device_idle openssl verify -CAfile $name.crt $name.crt
    check "$name: a software CA signs the request" openssl x509 -req -in $name.csr -CA ca.crt -CAkey ca.key -CAcreateserial -out $name.leaf.crt
    check "$name: the device key signs as CA" device_signs openssl x509 -req -in ca.csr -CA $name.crt -CAkey $name.pem -CAcreateserial -out ca.by.$name.crt
    check "$name: what it signed verifies" software openssl verify -partial_chain -CAfile $name.crt ca.by.$name.crt
    mkdir -p $name.ca; : >$name.ca/index; echo 01 >$name.ca/serial
    printf '[ca]\ndefault_ca=c\n[c]\ndatabase=%s.ca/index\nserial=%s.ca/serial\nnew_certs_dir=%s.ca\ndefault_md=sha256\npolicy=p\ndefault_days=3\ndefault_crl_days=3\n[p]\ncommonName=supplied\n' $name $name $name >$name.ca/conf
    cat $OPENSSL_CONF $name.ca/conf >$name.ca/openssl.cnf
    check "$name: openssl ca" device_signs env OPENSSL_CONF=$T/$name.ca/openssl.cnf openssl ca -batch -keyfile $name.pem -cert $name.crt -in ca.csr -out $name.ca/out.crt
    check "$name: openssl ca -gencrl" device_signs env OPENSSL_CONF=$T/$name.ca/openssl.cnf openssl ca -gencrl -keyfile $name.pem -cert $name.crt -out $name.crl
    check "$name: the CRL verifies" software openssl crl -in $name.crl -CAfile $name.crt -noout
    check "$name: cms -sign without -md" device_signs openssl cms -sign -nodetach -in message -signer $name.crt -inkey $name.pem -outform PEM -out $name.cms
    # OpenSSL's own rsa_cms_verify refuses the name RSA-PSS, whoever signed.
    [ "$name" = rsapss ] || check "$name: the CMS verifies in software" software openssl cms -verify -in $name.cms -inform PEM -CAfile $name.crt -purpose any -out /dev/null
    [ "$name" != rsapss ] || return 0 # PKCS#7 knows no RSA-PSS, whoever holds the key
    check "$name: smime -sign" device_signs openssl smime -sign -in message -signer $name.crt -inkey $name.pem -out $name.smime
    check "$name: the S/MIME verifies in software" software openssl smime -verify -in $name.smime -CAfile $name.crt -purpose any -out /dev/null
}

file_work() { # NAME
    local name=$1
    check "$name: the file is a key file of ours" grep -q 'BEGIN AZIHSM PRIVATE KEY' $name.pem
    check "$name: only its owner may read it" test "$(stat -c %a $name.pem)" = 600
    check "$name: pkey -pubout" openssl pkey -in $name.pem -pubout -out $name.pub
    check "$name: the public key is readable without us" software openssl pkey -pubin -in $name.pub -noout
    check "$name: pkey -text -noout" openssl pkey -in $name.pem -text -noout
    check "$name: pkey -pubcheck" openssl pkey -in $name.pub -pubin -pubcheck -noout
    check "$name: pkey -out writes the key file again" openssl pkey -in $name.pem -out $name.again.pem
    check "$name: which is the same key" cmp <(openssl pkey -in $name.again.pem -pubout) $name.pub
    check "$name: DER output and back" openssl pkey -in $name.pem -outform DER -out $name.der
    check "$name: DER is the same key" cmp <(openssl pkey -in $name.der -pubout) $name.pub
    check "$name: storeutl finds one key" grep -q 'Total found: 1' <(openssl storeutl -keys $name.pem)
    refuse "$name: an encrypted copy is refused, not written in clear" '.' openssl pkey -in $name.pem -aes256 -passout pass:secret -out $name.enc.pem
    check "$name: nothing was written for it" test ! -s $name.enc.pem
    refuse "$name: pkcs12 -export is refused" '.' openssl pkcs12 -export -inkey $name.pem -in ca.crt -passout pass:x -out $name.p12
}

sign_and_verify() { # TEXT KEY PUB DGST-OPTIONS...
    local text=$1 key=$2 pub=$3; shift 3
    check "$text: dgst -sign" device_signs openssl dgst "$@" -sign $key -out sig message
    check "$text: verifies in software" software openssl dgst "$@" -verify $pub -signature sig message
    check "$text: verifies beside us, not in the device" device_idle openssl dgst "$@" -verify $pub -signature sig message
}

software openssl req -new -key ca.key -subj "/CN=subordinate" -out ca.csr

for curve in P-256 P-384 P-521; do
    name=ec$curve
    check "$name: genpkey" openssl genpkey -propquery provider=azihsm -algorithm EC -pkeyopt group:$curve -out $name.pem
    file_work $name
    check "$name: the public key names the curve" grep -q "NIST CURVE: $curve" <(software openssl pkey -pubin -in $name.pub -text -noout)
    for digest in sha1 sha256 sha384 sha512 sha512-256 sha3-256; do sign_and_verify "$name $digest" $name.pem $name.pub -$digest; done
    check "$name: pkeyutl -sign" device_signs openssl pkeyutl -sign -inkey $name.pem -in message.sha256 -out sig
    check "$name: pkeyutl -verify" software openssl pkeyutl -verify -pubin -inkey $name.pub -in message.sha256 -sigfile sig
    check "$name: pkeyutl -rawin" device_signs openssl pkeyutl -sign -inkey $name.pem -rawin -digest sha384 -in message -out sig
    check "$name: pkeyutl -verify -rawin" software openssl pkeyutl -verify -pubin -inkey $name.pub -rawin -digest sha384 -in message -sigfile sig
done
certificate_work ecP-256
certificate_work ecP-384

check "rsa2048: genpkey" openssl genpkey -propquery provider=azihsm -algorithm RSA -pkeyopt rsa_keygen_bits:2048 -out rsa.pem
check "rsa3072: genpkey" openssl genpkey -propquery provider=azihsm -algorithm RSA -pkeyopt rsa_keygen_bits:3072 -out rsa3072.pem
file_work rsa
openssl pkey -in rsa3072.pem -pubout -out rsa3072.pub
for digest in sha1 sha256 sha384 sha512 sha512-256 sha3-256; do
    sign_and_verify "rsa PKCS#1 $digest" rsa.pem rsa.pub -$digest
    for salt in digest max 0 20; do
        sign_and_verify "rsa PSS $digest salt $salt" rsa.pem rsa.pub -$digest -sigopt rsa_padding_mode:pss -sigopt rsa_pss_saltlen:$salt
    done
done
sign_and_verify "rsa PSS auto salt, other MGF1 digest" rsa.pem rsa.pub -sha256 -sigopt rsa_padding_mode:pss -sigopt rsa_pss_saltlen:max -sigopt rsa_mgf1_md:sha1
sign_and_verify "rsa3072 PKCS#1" rsa3072.pem rsa3072.pub -sha256
check "rsa: pkeyutl -sign prehashed PKCS#1" device_signs openssl pkeyutl -sign -inkey rsa.pem -in message.sha256 -pkeyopt digest:sha256 -out sig
check "rsa: pkeyutl -verify" software openssl pkeyutl -verify -pubin -inkey rsa.pub -in message.sha256 -pkeyopt digest:sha256 -sigfile sig
check "rsa: pkeyutl -verifyrecover beside us" cmp <(openssl pkeyutl -verifyrecover -pubin -inkey rsa.pub -pkeyopt digest:sha256 -in sig) message.sha256
# The device gives a key one use: keys that decrypt are made for it.
check "rsa for decryption: genpkey" openssl genpkey -propquery provider=azihsm -algorithm RSA -pkeyopt rsa_keygen_bits:2048 \
    -pkeyopt azihsm.key_usage:keyEncipherment -out rsadec.pem
openssl pkey -in rsadec.pem -pubout -out rsadec.pub
check "rsa for decryption: a certificate by the software CA" software openssl x509 -req -in ca.csr -force_pubkey rsadec.pub -CA ca.crt -CAkey ca.key \
    -CAcreateserial -out rsadec.crt
refuse "rsa for decryption: does not sign" 'usage' openssl dgst -sha256 -sign rsadec.pem -out sig message
for padding in pkcs1 oaep; do
    software openssl pkeyutl -encrypt -pubin -inkey rsadec.pub -pkeyopt rsa_padding_mode:$padding -in message -out secret.$padding
    check "rsa: pkeyutl -decrypt $padding" cmp <(openssl pkeyutl -decrypt -inkey rsadec.pem -pkeyopt rsa_padding_mode:$padding -in secret.$padding) message
    check "rsa: pkeyutl -encrypt $padding beside us" openssl pkeyutl -encrypt -pubin -inkey rsa.pub -pkeyopt rsa_padding_mode:$padding -in message -out secret2
done
certificate_work rsa
check "rsa: PSS certificate" device_signs openssl req -x509 -key rsa.pem -subj /CN=pss -sigopt rsa_padding_mode:pss -sigopt rsa_pss_saltlen:digest -days 2 -out pss.crt
check "rsa: PSS certificate verifies in software" software openssl verify -CAfile pss.crt pss.crt
check "rsa: it is labelled rsassaPss" grep -q 'Signature Algorithm: rsassaPss' <(software openssl x509 -in pss.crt -text -noout)
software openssl cms -encrypt -aes256 -in message -outform PEM -out message.enveloped rsadec.crt 2>/dev/null
check "rsa: cms -decrypt" cmp <(openssl cms -decrypt -inform PEM -in message.enveloped -inkey rsadec.pem -recip rsadec.crt | tr -d '\r') message

check "rsa-pss: genpkey with restrictions" openssl genpkey -propquery provider=azihsm -algorithm RSA-PSS -pkeyopt rsa_keygen_bits:2048 \
    -pkeyopt rsa_pss_keygen_md:sha256 -pkeyopt rsa_pss_keygen_mgf1_md:sha256 -pkeyopt rsa_pss_keygen_saltlen:32 -out rsapss.pem
file_work rsapss
check "rsa-pss: the restrictions are in the public key" grep -q 'Minimum Salt Length: 32' <(software openssl pkey -pubin -in rsapss.pub -text -noout)
sign_and_verify "rsa-pss sha256" rsapss.pem rsapss.pub -sha256
refuse "rsa-pss: another digest is refused" '.' openssl dgst -sha384 -sign rsapss.pem -out sig message
refuse "rsa-pss: PKCS#1 is refused" '.' openssl dgst -sha256 -sign rsapss.pem -sigopt rsa_padding_mode:pkcs1 -out sig message
certificate_work rsapss

printf '[tsa]\ndefault_tsa=t\n[t]\nserial=%s/tsa.serial\ndefault_policy=1.2.3.4\nother_policies=1.2.3.5\ndigests=sha256\nsigner_digest=sha256\n' $T >tsa.part
cat $OPENSSL_CONF tsa.part >tsa.cnf; echo 01 >tsa.serial
for name in ecP-256 rsa; do
    openssl req -x509 -key $name.pem -subj "/CN=tsa" -addext extendedKeyUsage=critical,timeStamping -days 2 -out tsa.crt 2>/dev/null
    software openssl ts -query -data message -sha256 -cert -out request.tsq 2>/dev/null
    check "$name: ts -reply" device_signs env OPENSSL_CONF=$T/tsa.cnf openssl ts -reply -section t -queryfile request.tsq -inkey $name.pem -signer tsa.crt -out reply.tsr
    check "$name: ts -verify in software" software openssl ts -verify -queryfile request.tsq -in reply.tsr -CAfile tsa.crt
done

check "TLS 1.3, ECDSA P-256" device_signs serve ecP-256.pem ecP-256.crt -tls1_3
check "TLS 1.2, ECDSA P-256" device_signs serve ecP-256.pem ecP-256.crt -tls1_2
check "TLS 1.3, ECDSA P-384" device_signs serve ecP-384.pem ecP-384.crt -tls1_3
check "TLS 1.3, RSA-PSS (C-19)" device_signs serve rsa.pem rsa.crt -tls1_3
check "TLS 1.2, RSA-PSS" device_signs serve rsa.pem rsa.crt -tls1_2 -sigalgs RSA-PSS+SHA256
check "TLS 1.2, RSA PKCS#1" device_signs serve rsa.pem rsa.crt -tls1_2 -sigalgs RSA+SHA256
check "TLS 1.2, static RSA" device_signs serve rsadec.pem rsadec.crt -CAfile ca.crt -tls1_2 -cipher AES128-SHA
check "TLS 1.3, RSA-PSS key" device_signs serve rsapss.pem rsapss.crt -tls1_3

# Software keys behave as if we were not there, native and legacy ones (C-12, C-26, apps.md scenario 9).
default() { openssl "$@" -propquery provider=default; }
for name in sw-ec sw-rsa; do
    case $name in sw-ec) options="-algorithm EC -pkeyopt group:P-256" ;; sw-rsa) options="-algorithm RSA -pkeyopt rsa_keygen_bits:2048" ;; esac
    # shellcheck disable=SC2086
    check "$name: generated by the default provider" openssl genpkey -propquery provider=default $options -out $name.pem
    check "$name: is a plain key" grep -q 'BEGIN PRIVATE KEY' $name.pem
    check "$name: pkey reads and writes it" openssl pkey -in $name.pem -out $name.2.pem
    check "$name: unchanged" cmp $name.pem $name.2.pem
    openssl pkey -in $name.pem -pubout -out $name.pub
    check "$name: dgst -sign without the device" device_idle openssl dgst -sha256 -sign $name.pem -out sig message
    check "$name: dgst -verify" openssl dgst -sha256 -verify $name.pub -signature sig message
    check "$name: req -x509 without the device" device_idle openssl req -x509 -key $name.pem -subj /CN=$name -days 2 -out $name.crt
    check "$name: TLS 1.3 without the device" device_idle serve $name.pem $name.crt -tls1_3
    check "$name: TLS 1.2 without the device" device_idle serve $name.pem $name.crt -tls1_2
    check "$name: cms -sign" device_idle openssl cms -sign -in message -signer $name.crt -inkey $name.pem -outform PEM -out sw.cms
    check "$name: pkcs12 -export works" openssl pkcs12 -export -inkey $name.pem -in $name.crt -passout pass:x -out $name.p12
done
check "legacy EC_KEY: openssl ec" openssl ec -in sw-ec.pem -out legacy-ec.pem
check "legacy RSA: openssl rsa -traditional" openssl rsa -in sw-rsa.pem -traditional -out legacy-rsa.pem
for kind in ec rsa; do
    check "legacy $kind: signs" openssl dgst -sha256 -sign legacy-$kind.pem -out sig message
    check "legacy $kind: verifies" openssl dgst -sha256 -verify sw-$kind.pub -signature sig message
done
sw_pss() { device_idle openssl dgst -sha256 -sigopt rsa_padding_mode:pss -sigopt rsa_pss_saltlen:digest "$@" message; }
check "sw-rsa: PSS" sw_pss -sign sw-rsa.pem -out sig
check "sw-rsa: PSS verifies" sw_pss -verify sw-rsa.pub -signature sig
software openssl pkeyutl -derive -inkey sw-ec.pem -peerkey sw-ec.pub -out shared.software
check "ECDH between software keys" openssl pkeyutl -derive -inkey sw-ec.pem -peerkey sw-ec.pub -out shared
check "gives what it gives without us" cmp shared shared.software

# C-09: randomness, digests, ciphers, MACs and KDFs never touch the device.
idle_commands=$(counter azihsm_commands_total)
check "rand" openssl rand -hex 16
check "dgst" openssl dgst -sha256 message
check "enc" openssl enc -aes-256-cbc -pbkdf2 -pass pass:x -in message -out message.enc
check "mac" openssl mac -digest SHA256 -macopt hexkey:00112233445566778899aabbccddeeff -in message HMAC
check "kdf" openssl kdf -keylen 32 -kdfopt digest:SHA256 -kdfopt hexkey:00112233 -kdfopt salt:salt HKDF
check "list" openssl list -providers
check "version" openssl version -a
check "none of which the device saw (C-09)" test "$(counter azihsm_commands_total)" -eq "$idle_commands"
finish
