#!/usr/bin/env bash
# Story: the vendor's provider, as its users type its commands: every row of the table of ordinary commands at which it fails (lessons B1), without
# a property query and with the "?provider=azihsm" its manual tells them to use, and its options and URIs (D, F, I). Here each works. What has
# no counterpart here is in test/README.md.
. "$(dirname "$0")/lib.sh"
start_azihsmd || exit 1
cd $T || exit 1
make_ca; cp /etc/azihsm/tls/ca.crt ca.crt
echo "a message" >message
software openssl genpkey -algorithm EC -pkeyopt group:P-256 -out sw-ec.pem 2>/dev/null
software openssl genpkey -algorithm RSA -pkeyopt rsa_keygen_bits:2048 -out sw-rsa.pem 2>/dev/null
for k in ec rsa; do
    software openssl pkey -in sw-$k.pem -pubout -out sw-$k.pub
    software openssl req -x509 -key sw-$k.pem -subj /CN=sw-$k -days 2 -out sw-$k.crt
    software openssl req -new -key sw-$k.pem -subj /CN=leaf -out sw-$k.csr
    software openssl x509 -req -in sw-$k.csr -CA sw-$k.crt -CAkey sw-$k.pem -CAcreateserial -out sw-$k.leaf.crt 2>/dev/null
done
theirs="-propquery ?provider=azihsm"

# Generation with their options, to a file that can be read again.
check "genpkey EC with azihsm options" openssl genpkey $theirs -algorithm EC -pkeyopt ec_paramgen_curve:P-384 -pkeyopt azihsm.key_usage:digitalSignature -out ec.pem
check "the file holds a private key reference, not a public key" grep -q 'AZIHSM PRIVATE KEY' ec.pem
check "it loads again" openssl pkey -in ec.pem -noout
check "genpkey DER" openssl genpkey $theirs -algorithm EC -pkeyopt group:P-256 -outform DER -out ec.der
check "DER is readable" openssl pkey -inform DER -in ec.der -noout
check "genpkey EC to a blob of theirs" openssl genpkey $theirs -algorithm EC -pkeyopt group:P-256 -pkeyopt azihsm.masked_key:$T/ec.blob -out ec2.pem
check "genpkey RSA, imported" openssl genpkey $theirs -algorithm RSA -pkeyopt rsa_keygen_bits:2048 -pkeyopt azihsm.input_key:$T/sw-rsa.pem -out rsa.pem
check "genpkey RSA without an input key" openssl genpkey $theirs -algorithm RSA -pkeyopt rsa_keygen_bits:2048 -out rsa2.pem
check "the imported key is the same key" cmp <(openssl pkey -in rsa.pem -pubout) sw-rsa.pub
blob="azihsm://$T/ec.blob;type=ec"
check "pkey -pubout by their URI" openssl pkey -in "$blob" -pubout -out blob.pub
check "which is the generated key" cmp blob.pub <(openssl pkey -in ec2.pem -pubout)
check "pkey -text by their URI" openssl pkey -in "$blob" -text -noout

for query in "" "$theirs"; do
    say=${query:+ ($theirs)}
    for k in ec rsa; do
        openssl pkey -in $k.pem -pubout -out $k.pub
        check "dgst -sign $k$say" openssl dgst $query -sha256 -sign $k.pem -out sig message
        check "dgst -verify $k$say" openssl dgst $query -sha256 -verify $k.pub -signature sig message
        software openssl dgst -sha256 -sign sw-$k.pem -out swsig message
        check "dgst -verify a software $k key$say" openssl dgst $query -sha256 -verify sw-$k.pub -signature swsig message
        check "req -new -x509 $k$say" openssl req $query -new -x509 -key $k.pem -subj /CN=$k -days 2 -out $k.crt
        check "x509 -req -CAkey $k$say" openssl x509 $query -req -in sw-ec.csr -CA $k.crt -CAkey $k.pem -CAcreateserial -out leaf.crt
        check "verify software $k chain$say" openssl verify $query -CAfile sw-$k.crt sw-$k.leaf.crt
        check "cms -sign $k$say" openssl cms $query -sign -nodetach -in message -signer $k.crt -inkey $k.pem -outform PEM -out out.cms
        check "the CMS verifies in software" software openssl cms -verify -in out.cms -inform PEM -CAfile $k.crt -purpose any -out /dev/null
    done
    software openssl dgst -sha256 -binary message >digest
    check "pkeyutl -sign RSA prehashed PKCS#1$say" openssl pkeyutl $query -sign -inkey rsa.pem -in digest -pkeyopt digest:sha256 -out sig
    check "verifies in software" software openssl pkeyutl -verify -pubin -inkey rsa.pub -in digest -pkeyopt digest:sha256 -sigfile sig
    check "dgst PSS$say" openssl dgst $query -sha256 -sign rsa.pem -sigopt rsa_padding_mode:pss -out sig message
    check "it is a PSS signature" software openssl dgst -sha256 -verify rsa.pub -sigopt rsa_padding_mode:pss -signature sig message
    refuse "and not a PKCS#1 one" '.' software openssl dgst -sha256 -verify rsa.pub -signature sig message
    check "enc -aes-256-cbc$say" openssl enc $query -aes-256-cbc -pbkdf2 -pass pass:x -in message -out message.enc
    check "pkcs12 -export of a software key$say" openssl pkcs12 $query -export -inkey sw-ec.pem -in sw-ec.crt -passout pass:x -out sw.p12
    check "mac HMAC$say" cmp <(openssl mac $query -digest SHA256 -macopt hexkey:0011 -in message HMAC) <(software openssl mac -digest SHA256 -macopt hexkey:0011 -in message HMAC)
    check "kdf HKDF$say" cmp <(openssl kdf $query -keylen 16 -kdfopt digest:SHA256 -kdfopt hexkey:0011 -kdfopt salt:s HKDF) <(software openssl kdf -keylen 16 -kdfopt digest:SHA256 -kdfopt hexkey:0011 -kdfopt salt:s HKDF)
    check "pkeyutl -derive of software keys$say" openssl pkeyutl $query -derive -inkey sw-ec.pem -peerkey sw-ec.pub -out secret
done
# Their URIs: the bare masked key beside the program, with its type. Everything that takes a key takes it.
check "genpkey RSA, imported, to a blob of theirs" openssl genpkey $theirs -algorithm RSA -pkeyopt rsa_keygen_bits:2048 -pkeyopt azihsm.input_key:sw-rsa.pem -pkeyopt azihsm.masked_key:rsa.blob -out rsa3.pem
software openssl pkey -in sw-ec.pem -outform DER -out sw-ec.der; chmod 600 sw-ec.der
check "genpkey EC, imported from DER" openssl genpkey $theirs -algorithm EC -pkeyopt azihsm.input_key:sw-ec.der -pkeyopt azihsm.masked_key:ec.blob -out ec3.pem
check "a blob is readable by its owner only (D6)" test "$(stat -c %a ec.blob rsa.blob | sort -u)" = 600
for query in "" "$theirs"; do
    say=${query:+ ($theirs)}
    for k in ec rsa; do
        uri="azihsm://./$k.blob;type=$k"
        check "pkey -pubout $uri$say" cmp <(openssl pkey $query -in "$uri" -pubout) sw-$k.pub
        check "pkey -text $uri$say" grep -q 'held by the Azure Integrated HSM' <(openssl pkey $query -in "$uri" -text -noout)
        check "dgst -sign $uri$say" openssl dgst $query -sha384 -sign "$uri" -out sig message
        check "verifies in software" software openssl dgst -sha384 -verify sw-$k.pub -signature sig message
        check "req -x509 $uri$say" openssl req $query -new -x509 -key "$uri" -subj /CN=blob -days 2 -out blob.crt
        check "verifies in software" software openssl verify -CAfile blob.crt blob.crt
        check "cms -sign $uri$say" openssl cms $query -sign -nodetach -in message -signer blob.crt -inkey "$uri" -outform PEM -out out.cms
        check "verifies in software" software openssl cms -verify -in out.cms -inform PEM -CAfile blob.crt -purpose any -out /dev/null
    done
done
check "storeutl" grep -q 'Pkey' <(openssl storeutl "azihsm://./ec.blob;type=ec")
refuse "a blob of another type" 'type|EC|RSA' openssl pkey -in "azihsm://./ec.blob;type=rsa" -noout
refuse "an attribute that nobody knows" 'colour' openssl pkey -in "azihsm://./ec.blob;type=ec;colour=red" -noout
head -c 20 ec.blob >short.blob
refuse "a blob cut off" 'short.blob|damaged|not a' openssl pkey -in "azihsm://./short.blob;type=ec" -noout
echo precious >precious; ln -s precious link.blob
refuse "a link is not followed (D6)" 'not a regular file' openssl genpkey $theirs -algorithm EC -pkeyopt group:P-256 -pkeyopt azihsm.masked_key:link.blob -out refused.pem
check "what it leads to is as it was" grep -q precious precious

# Their uses of a key.
check "key_usage keyEncipherment" openssl genpkey $theirs -algorithm RSA -pkeyopt rsa_keygen_bits:2048 -pkeyopt azihsm.key_usage:keyEncipherment -out dec.pem
openssl pkey -in dec.pem -pubout -out dec.pub
for mode in oaep pkcs1; do
    software openssl pkeyutl -encrypt -pubin -inkey dec.pub -pkeyopt rsa_padding_mode:$mode -in message -out message.rsa
    check "pkeyutl -decrypt, $mode" cmp <(openssl pkeyutl -decrypt -inkey dec.pem -pkeyopt rsa_padding_mode:$mode -in message.rsa) message
done
refuse "it does not sign, and says why (D10)" 'use|usage' openssl dgst -sha256 -sign dec.pem -out sig message
check "key_usage keyAgreement" openssl genpkey $theirs -algorithm EC -pkeyopt group:P-256 -pkeyopt azihsm.key_usage:keyAgreement -out agree.pem
refuse "pkeyutl -derive gives no secret, and says what to do (B2.8)" 'KDF' openssl pkeyutl -derive -inkey agree.pem -peerkey sw-ec.pub -out secret
refuse "a use that is none" 'digitalSignature, keyEncipherment' openssl genpkey $theirs -algorithm EC -pkeyopt group:P-256 -pkeyopt azihsm.key_usage:nonsense -out refused.pem
refuse "genpkey session: the key dies with the process, and is in no file" 'session key' openssl genpkey $theirs -algorithm EC -pkeyopt group:P-256 -pkeyopt azihsm.session:yes -out session.pem
check "azihsm.session:no" openssl genpkey $theirs -algorithm EC -pkeyopt group:P-256 -pkeyopt azihsm.session:no -out ec4.pem

# Offline wrapping (F): the unwrapping key comes out by key_usage keyWrapping, and importing does not spoil it (C4).
check "key_usage keyWrapping" openssl genpkey $theirs -algorithm RSA -pkeyopt azihsm.key_usage:keyWrapping -out wrapping.pem
check "a public key that any program reads" software openssl pkey -pubin -in wrapping.pem -noout
check "the one the tool writes" cmp wrapping.pem <(azihsm unwrapping-key)
for i in 1 2 3; do
    check "wrapped to it, $i" azihsm key wrap --in sw-ec.pem --unwrapping-key wrapping.pem --out wrapped
    check "imported, $i" azihsm key import --wrapped --class ec --in wrapped --out wrapped.pem --force
    check "the same key, $i" cmp <(openssl pkey -in wrapped.pem -pubout) sw-ec.pub
done
check "DER" cmp <(openssl genpkey $theirs -algorithm RSA -pkeyopt azihsm.key_usage:keyWrapping -outform DER) <(software openssl pkey -pubin -in wrapping.pem -outform DER)
check "-text" grep -q 'Public-Key: (2048 bit)' <(openssl genpkey $theirs -algorithm RSA -pkeyopt azihsm.key_usage:keyWrapping -text)
refuse "no EC key" 'not a use of EC keys' openssl genpkey $theirs -algorithm EC -pkeyopt group:P-256 -pkeyopt azihsm.key_usage:keyWrapping -out refused.pem
refuse "with another option" 'goes with no other option' openssl genpkey $theirs -algorithm RSA -pkeyopt azihsm.key_usage:keyWrapping -pkeyopt azihsm.name:x -out refused.pem

# Without the query, genpkey is OpenSSL's own, which knows none of these options: it fails instead of making a software key (C-27).
for option in key_usage:digitalSignature masked_key:x.blob input_key:sw-ec.pem session:yes; do
    refuse "genpkey without a query, azihsm.$option" 'parameter' openssl genpkey -algorithm EC -pkeyopt group:P-256 -pkeyopt azihsm.$option -out refused.pem
done
port=7100
for k in ec rsa; do
    for version in tls1_2 tls1_3; do
        port=$((port + 1))
        openssl s_server -accept $port -key $k.pem -cert $k.crt -quiet -www >server.log 2>&1 &
        server=$!
        wait_for 10 port_open $port
        check "s_server $k $version" bash -c "printf 'GET / HTTP/1.0\r\n\r\n' | OPENSSL_CONF=/etc/ssl/openssl.cnf timeout 20 openssl s_client -connect 127.0.0.1:$port -$version -CAfile $k.crt -verify_return_error -ign_eof | grep -q 'HTTP/1.0 200'"
        kill $server; wait $server 2>/dev/null
    done
done
finish
