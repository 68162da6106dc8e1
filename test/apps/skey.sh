#!/usr/bin/env bash
# Story: opaque symmetric keys on the command line (OpenSSL 3.5 and newer): openssl skeyutl makes them in the device, openssl enc uses them.
. "$(dirname "$0")/lib.sh"
openssl skeyutl -help 2>/dev/null || skip_story "this openssl has no skeyutl: opaque symmetric keys came with OpenSSL 3.5"
start_azihsmd || exit 1
sed -i 's/^keys = .*/&\nsymmetric = yes/' $OPENSSL_CONF
cd $T || exit 1
head -c 100000 /dev/urandom >message
ours="-propquery provider=azihsm"
iv=00112233445566778899aabbccddeeff

check "the managers are listed" grep -q 'AES.*@ azihsm' <(openssl list -skey-managers)
for bits in 128 192 256; do
    check "skeyutl: a new key for AES-$bits-CBC" openssl skeyutl $ours -genkey -cipher AES-$bits-CBC -skeyopt azihsm.name:token$bits
    check "its file is the user's alone" test "$(stat -c %a /etc/azihsm/keys/token$bits.pem)" = 600
    before=$(counter 'azihsm_commands_total{op="AesEncryptDecrypt"}')
    check "enc: it encrypts" openssl enc $ours -aes-$bits-cbc -skeyopt azihsm.key:azihsm://token$bits -iv $iv -in message -out message.enc
    check "the device did it" test "$(counter 'azihsm_commands_total{op="AesEncryptDecrypt"}')" -gt "$before"
    check "enc: it decrypts, named as AES in general" openssl enc $ours -d -aes-$bits-cbc -skeymgmt AES -skeyopt azihsm.key:azihsm://token$bits -iv $iv -in message.enc -out back
    check "what came back is what went in" cmp message back
done
check "skeyutl: a key by its length, of the manager for AES" openssl skeyutl $ours -genkey -skeymgmt AES -skeyopt key-length:16 -skeyopt azihsm.name:short
check "skeyutl: a key for HMAC" openssl skeyutl $ours -genkey -skeymgmt HMAC -skeyopt key-length:48 -skeyopt azihsm.name:mac
check "mac: it authenticates" openssl mac $ours -macopt azihsm.key:azihsm://mac -in <(head -c 1000 message) HMAC
check "storeutl lists each with the URI to paste (C-30)" test "$(openssl storeutl azihsm: | grep -cE 'azihsm://(token(128|192|256)|short|mac)$')" -eq 5

refuse "a name that is taken" 'token128.pem: File exists' openssl skeyutl $ours -genkey -cipher AES-128-CBC -skeyopt azihsm.name:token128
refuse "a length that AES does not have" 'no AES key of 17 bytes' openssl skeyutl $ours -genkey -skeymgmt AES -skeyopt key-length:17
refuse "a key of another size" 'AES-128, which does not fit AES-256-CBC' openssl enc $ours -aes-256-cbc -skeyopt azihsm.key:azihsm://token128 -iv $iv -in message -out x
refuse "a key of another kind" 'HMAC-SHA384, which does not fit AES' openssl enc $ours -aes-256-cbc -skeymgmt AES -skeyopt azihsm.key:azihsm://mac -iv $iv -in message -out x
refuse "a key that does not exist" 'nothing.pem: No such file' openssl enc $ours -aes-256-cbc -skeyopt azihsm.key:azihsm://nothing -iv $iv -in message -out x
finish
