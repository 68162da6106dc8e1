#!/usr/bin/env bash
# Story: what a person sees who made a likely mistake. Each mistake is made with a real program, and the sentence that names the cause
# and the remedy must stand in what the program prints: word for word, * where a number or a name differs. Sentences that OpenSSL says
# itself, because we are never asked, are marked "core". No PIN and no passphrase may appear in any output.
# Covers C-11, C-29, C-30 and the rows "Errors" and "Secrets" of what users suffer from.
. "$(dirname "$0")/lib.sh"
need nginx curl python3
start_azihsmd || exit 1
make_tls || exit 1
E=/etc/azihsm/tls
secret=sesame42-f00d
echo message >$T/message
chmod 755 $T $E
sign="openssl dgst -sha256 -sign $E/ec.key -out $T/sig $T/message"
conf() { # [sed expression]: the packaged configuration, changed
    cp $examples/openssl.cnf $OPENSSL_CONF
    [ $# -eq 0 ] || sed -i "$1" $OPENSSL_CONF
}
add() { conf "s|^device = auto.*|device = auto\n$1|"; } # a line in the provider's section
generate() { openssl genpkey -propquery provider=azihsm "$@"; }
nobody() { setpriv --reuid nobody --regid nogroup --clear-groups "$@"; }

# told TEXT SENTENCE: the last output says so and has no secret in it
told() {
    local output
    output=$(cat $T/mistake.log)
    if grep -qF -e "$secret" -e "$pin" $T/mistake.log; then
        echo "FAIL $1: a secret is shown"; story_failures=$((story_failures + 1)); return 1
    fi
    # shellcheck disable=SC2053 # a pattern, in which only * is special
    if [[ $output == *$(sed 's/[][?\\]/\\&/g' <<<"$2")* ]]; then echo "ok   $1"; else
        echo "FAIL $1: nobody says: $2"; sed 's/^/     /' $T/mistake.log | tail -20; story_failures=$((story_failures + 1)); return 1
    fi
}
# mistake TEXT SENTENCE COMMAND...: it must fail and say the sentence.
mistake() {
    local text=$1 sentence=$2; shift 2
    story_checks=$((story_checks + 1))
    if "$@" >$T/mistake.log 2>&1 </dev/null; then
        echo "FAIL $text: succeeded"; story_failures=$((story_failures + 1)); return 1
    fi
    told "$text" "$sentence"
}
azihsm credential --out $T/credential && pin=$(sed -n 's/^pin = //p' $T/credential)
[ ${#pin} -eq 32 ] || { echo "no PIN to look for"; exit 1; }

echo "# key files"
head -c 300 $E/ec.key >$T/cut.key
mistake "a truncated key file" "it is cut off or damaged, and does not end with -----END AZIHSM PRIVATE KEY-----: restore the key file from a backup" \
    openssl dgst -sha256 -sign $T/cut.key -out $T/sig $T/message
sed '3s/[A-Za-z]/A/g' $E/ec.key >$T/damaged.key
mistake "a damaged key file" "restore the key file from a backup" openssl pkey -in $T/damaged.key -noout
sed '4s/[a-z]/b/g' $E/ec.key >$T/damaged.key
mistake "a damaged masked key" "the masked key is malformed (* bytes): restore the key file from a backup" openssl dgst -sha256 -sign $T/damaged.key -out $T/sig $T/message
openssl pkey -in $E/ec.key -outform DER -out $T/ec.der
python3 - $T/ec.der $T/altered.der <<'X'
import sys
data = bytearray(open(sys.argv[1], "rb").read())
data[len(data) // 2] ^= 1
open(sys.argv[2], "wb").write(data)
X
mistake "an altered masked key" "restore the key file, or the state directory it was made with (azihsm restore), or set 'partition'" \
    openssl dgst -sha256 -sign $T/altered.der -keyform DER -out $T/sig $T/message
chmod 644 $E/ec.key
check "a key file that everybody may read is worth nothing to them, and works" $sign
mistake "a user who may read the key file but is not served" \
    "refuses uid 65534 the partition \"default\": add the user to allow-users (or its group to allow-groups) of [partition default] in azihsmd.conf, then reload azihsmd" \
    nobody openssl dgst -sha256 -sign $E/ec.key -out /dev/null $T/message
sed -i 's/^# allow-users =.*/allow-users = nobody/' /etc/azihsm/azihsmd.conf && kill -HUP "$azihsmd_pid"
check "who does what it says is served" wait_for 5 nobody openssl dgst -sha256 -sign $E/ec.key -out /dev/null $T/message
chmod 600 $E/ec.key

echo "# making keys"
mistake "an unknown option (core)" "Error setting azihsm.lable:x parameter" generate -algorithm EC -pkeyopt group:P-256 -pkeyopt azihsm.lable:x -out $T/x.key
mistake "no curve" "no curve: give the group P-256, P-384 or P-521" generate -algorithm EC -out $T/x.key
mistake "a curve that the device does not have" "secp256k1: the device has P-256, P-384 and P-521 only" generate -algorithm EC -pkeyopt group:secp256k1 -out $T/x.key
mistake "an RSA size that the device does not have" "the device has RSA keys of 2048, 3072 and 4096 bits, not 1024" generate -algorithm RSA -pkeyopt rsa_keygen_bits:1024 -out $T/x.key
mistake "a type that the device does not have (core)" "Algorithm (ED25519 : *), Properties (provider=azihsm)" generate -algorithm ED25519 -out $T/x.key
mistake "a wrong word for the usage" "azihsm.key_usage: expected digitalSignature, keyEncipherment or keyAgreement" \
    generate -algorithm EC -pkeyopt group:P-256 -pkeyopt azihsm.key_usage:signing -out $T/x.key
mistake "a usage that EC keys do not have" "azihsm.key_usage: not a use of EC keys" generate -algorithm EC -pkeyopt group:P-256 -pkeyopt azihsm.key_usage:keyEncipherment -out $T/x.key
mistake "a tag that is no number" "azihsm.tag: expected a number from 1 to 0xffff" generate -algorithm EC -pkeyopt group:P-256 -pkeyopt azihsm.tag:70000 -out $T/x.key
generate -algorithm EC -pkeyopt group:P-256 -pkeyopt azihsm.tag:18 -out $T/tagged.key
mistake "a tag in use" "another key has this azihsm.tag; choose another tag, or use that key (azihsm:?tag=NUMBER) or delete it (OSSL_STORE_delete of that URI)" \
    generate -algorithm EC -pkeyopt group:P-256 -pkeyopt azihsm.tag:18 -out $T/x.key
mkdir $T/full && mount -t tmpfs -o size=4k full $T/full && dd if=/dev/zero of=$T/full/fill bs=1k count=8 2>/dev/null
# OpenSSL 3.5 and 3.6 leave an empty file and say nothing, with a software key too: theirs to say.
software openssl genpkey -algorithm EC -pkeyopt group:P-256 -out $T/full/software.key 2>/dev/null ||
    mistake "no room on the disk: openssl" "the key could not be written: No space left on device" generate -algorithm EC -pkeyopt group:P-256 -out $T/full/x.key
mistake "no room on the disk: azihsm" "$T/full/www.pem: No space left on device" azihsm --keys $T/full key generate www --type ec --curve P-256
check "and no half key is left" test "$(find $T/full -name '*.pem*' -o -name '*.key' -size +0 | wc -l)" -eq 0
azihsm key generate www --type ec --curve P-256 >/dev/null
mistake "a name in use" "/etc/azihsm/keys/www.pem exists (--force replaces it)" azihsm key generate www --type ec --curve P-256
mistake "azihsm: a curve that the device does not have" '--curve must be P-256, P-384 or P-521, not "P-224"' azihsm key generate x --type ec --curve P-224

echo "# importing keys"
software openssl genpkey -algorithm ED25519 -out $T/ed.key
software openssl ecparam -genkey -name secp256k1 -noout -out $T/k1.key
software openssl genrsa -out $T/r1024.key 1024 2>/dev/null
software openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -aes256 -pass pass:$secret -out $T/encrypted.key
for type in ed k1 r1024; do
    mistake "importing $type" "$type.key: the device takes EC keys on P-256, P-384, P-521 and RSA keys of 2048, 3072, 4096 bits" azihsm key import --in $T/$type.key --out $T/x-$type.key
done
mistake "importing Ed25519 by genpkey" "ed.key: not a plain EC private key in PEM or DER: the device takes EC keys on P-256, P-384, P-521 and RSA keys of 2048, 3072, 4096 bits" \
    generate -algorithm EC -pkeyopt azihsm.input_key:$T/ed.key -out $T/x.key
mistake "importing an encrypted key without its password" "encrypted.key is encrypted: --password-file is needed" \
    azihsm key import --in $T/encrypted.key --out $T/x-e.key
mistake "importing a file that is not there" "nosuch.key: No such file or directory" azihsm key import --in $T/nosuch.key --out $T/x-n.key

echo "# taking keys out"
for command in "pkey -in $E/ec.key -aes256 -passout pass:$secret -out $T/x.pem" "ec -in $E/ec.key -aes256 -passout pass:$secret -out $T/x.pem"; do
    # shellcheck disable=SC2086
    mistake "openssl ${command%% *} with a passphrase" "a device key file cannot be encrypted:*the key in it is encrypted by the device already: ask for no cipher" openssl $command
done
mistake "openssl pkey -traditional" "private key cannot leave the device*only the device can use it: use the key file itself, which openssl pkey -in FILE -out FILE copies" openssl pkey -in $E/ec.key -traditional -out $T/x.pem
# From 3.5 on OpenSSL takes the masked key there for what it is.
[[ $(openssl version) != "OpenSSL 3.0."* ]] || mistake "openssl pkcs12 -export (core)" "Error creating PKCS12 structure" openssl pkcs12 -export -inkey $E/ec.key -in $E/ec.crt -passout pass:$secret -out $T/x.p12
[[ $(openssl version) != "OpenSSL 3.0."* ]] || mistake "openssl pkcs8 -topk8 (core)" "Error converting key" openssl pkcs8 -topk8 -in $E/ec.key -passout pass:$secret -out $T/x.pem
check "openssl pkey writes the key file, which is masked" openssl pkey -in $E/ec.key -out $T/copy.pem
check "and nothing but that is in it (C-29)" grep -q -- '-----BEGIN AZIHSM PRIVATE KEY-----' $T/copy.pem
refuse "nobody else can read it as a private key" . software openssl pkey -in $T/copy.pem -noout

echo "# using keys"
generate -algorithm RSA -pkeyopt rsa_keygen_bits:2048 -pkeyopt azihsm.key_usage:keyEncipherment -out $T/decrypt.key
generate -algorithm EC -pkeyopt group:P-256 -pkeyopt azihsm.key_usage:keyAgreement -out $T/agree.key
openssl pkey -in $E/rsa.key -pubout -out $T/rsa.pub
openssl pkeyutl -encrypt -pubin -inkey $T/rsa.pub -in $T/message -out $T/encrypted
software openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out $T/peer.key && software openssl pkey -in $T/peer.key -pubout -out $T/peer.pub
use="this key of the device was not made to"
mistake "signing with a key for decryption" "$use sign: make or import a key with azihsm.key_usage:digitalSignature" openssl dgst -sha256 -sign $T/decrypt.key -out $T/sig $T/message
mistake "decrypting with a key for signatures" "$use decrypt: make or import a key with azihsm.key_usage:keyEncipherment" openssl pkeyutl -decrypt -inkey $E/rsa.key -in $T/encrypted
mistake "deriving with a key for signatures" "$use derive: make or import a key with azihsm.key_usage:keyAgreement" openssl pkeyutl -derive -inkey $E/ec.key -peerkey $T/peer.pub -out $T/x
mistake "deriving into a buffer" "derive into a device key instead (KDF \"azihsm.key\" parameter*), or use a software key for key agreement" \
    openssl pkeyutl -derive -inkey $T/agree.key -peerkey $T/peer.pub -out $T/x
azihsm conditions --delay-op EccSign --delay-ms 3000 >/dev/null; add "timeout = 300"
mistake "a device that is slow" "the device did not answer in time; raise 'timeout' or look at the load with 'azihsm status'" $sign
azihsm conditions --clear >/dev/null; conf

echo "# URIs"
mistake "an unknown attribute" "'typ' is not an attribute of azihsm: URIs (type, tag, device, partition, pin-source)" openssl pkey -in "azihsm://www?typ=ec" -noout
ours() { "$@" 2>&1 | grep error:408; return 1; } # without what openssl repeats of its command line
mistake "a PIN in a URI" "'pin-value' is not an attribute of azihsm: URIs" ours openssl pkey -in "azihsm://www?pin-value=$secret" -noout
mistake "a name that does not exist" "/etc/azihsm/keys/nowhere.pem: No such file or directory: 'openssl storeutl azihsm:' lists the keys that there are" openssl pkey -in azihsm://nowhere -noout
mistake "a tag that does not exist" "the device has no key with tag 0x77: it was never made, or is gone since a restart or reset of the device; load the key from its file" \
    openssl pkey -in "azihsm:?tag=0x77" -noout
openssl storeutl azihsm: >$T/list 2>&1
uri=$(sed -n 's/^[0-9]*: Name: //p' $T/list | head -1)
check "storeutl tells the URI of a key (C-30)" test "$uri" = azihsm://www
check "which is the one to paste" openssl dgst -sha256 -sign "$uri" -out $T/sig $T/message
chmod 700 /etc/azihsm/keys
mistake "a key directory that the user may not read" "key directory /etc/azihsm/keys: Permission denied: let this user's group read it, or set 'keys' in openssl.cnf" nobody openssl storeutl azihsm:
mistake "a key in it" "/etc/azihsm/keys/www.pem: Permission denied: let this user read it (chmod, chgrp), and enter its directory" nobody openssl pkey -in azihsm://www -noout

echo "# the configuration"
add "timeot = 5s"
mistake "an unknown key" "timeot: the provider's section of openssl.cnf has no such key (there are trace, device, partition, pin-source, keys," $sign
add "pin_source = file:/etc/azihsm/pin"
mistake "a key that is nearly right" "pin_source: the provider's section of openssl.cnf has no such key (did you mean pin-source?)" $sign
add "timeout = soon"
mistake "a bad number" "timeout = soon: expected milliseconds, 1 to 600000 (or seconds: 10s)" $sign
add "import = yes"
mistake "a bad word" "import = yes: not one of the values this key can have: carry, device, refuse" $sign
add "trace = all@trace.log"
mistake "a relative file" "trace = all@trace.log: the trace file needs an absolute path" $sign
add "pin-source = $secret"
mistake "a PIN in the configuration" "pin-source = ...: expected file:/path (a PIN itself does not belong into a configuration)" $sign
add "partition = payroll"
mistake "a partition that does not exist" "has no partition \"payroll\": correct 'partition', or add [partition payroll] to azihsmd.conf and restart azihsmd" $sign
conf '/^default = default_section/d'
mistake "default is not activated (core)" "you need at least one of the default or base providers available. Did you forget to load them?" $sign
conf 's/^default = default_section/base = default_section/; s/^activate = 1/&\ntrace = config/'
openssl pkey -in $E/ec.key -noout >$T/mistake.log 2>&1
told "only base beside us: the trace says what is missing (C-11)" "neither the default nor the fips provider is active: add 'default = default_section' with 'activate = 1' to openssl.cnf"
conf 's/^module = azihsm.so/module = azihsm-old.so/'
mistake "a module that is not there (core)" "No supported data to decode" $sign
conf
mistake "OPENSSL_CONF is not set (core)" "Properties (provider=azihsm)" software openssl genpkey -propquery provider=azihsm -algorithm EC -pkeyopt group:P-256

echo "# credentials"
add "pin-source = file:/etc/azihsm/pin"
mistake "no credential file" "credential file /etc/azihsm/pin: No such file or directory: correct 'pin-source', or have the file written (azihsm credential --out FILE)" $sign
cp $T/credential /etc/azihsm/pin
check "pin-source = file: is accepted (C-29)" $sign
conf
check "and in a URI (C-29)" openssl dgst -sha256 -sign "azihsm://www?pin-source=file:/etc/azihsm/pin" -out $T/sig $T/message
add "pin-source = file:/etc/azihsm/pin"
chmod 640 /etc/azihsm/pin
check "root's file may be read by a group that root has chosen" $sign
for mode in 644 660 666; do
    chmod $mode /etc/azihsm/pin
    mistake "a credential file of mode $mode" "credential file /etc/azihsm/pin is accessible by others (mode $mode): chmod 600 it, or 640 with the group of those who shall use it" $sign
done
chmod 600 /etc/azihsm/pin; chown nobody /etc/azihsm/pin
mistake "a credential file of somebody else" "credential file /etc/azihsm/pin belongs to another user (uid 65534): it must be root's or this user's own (chown)" $sign
chmod 640 /etc/azihsm/pin
chmod 644 $E/ec.key
mistake "a user's own file that a group may read" "credential file /etc/azihsm/pin is accessible by others (mode 640): chmod 600 it" \
    nobody openssl dgst -sha256 -sign $E/ec.key -out /dev/null $T/message
chmod 600 $E/ec.key; chown root /etc/azihsm/pin; chmod 600 /etc/azihsm/pin
sed -i 's/^pin = ......../pin = 00112233/' /etc/azihsm/pin
mistake "a wrong PIN" "InvalidAppCredentials: the id or PIN is wrong; have the file that 'pin-source' names written anew (azihsm credential --out FILE)" $sign
sed -i 's/^pin = ......../pin = 0011/' /etc/azihsm/pin
mistake "a malformed PIN" "credential file /etc/azihsm/pin, line 2: want \"id\" or \"pin\" = 32 hex digits, each once; have it written anew (azihsm credential --out FILE)" $sign
conf
mistake "azihsm with it" "credential file /etc/azihsm/pin, line 2: want" azihsm --pin-source file:/etc/azihsm/pin key generate x

echo "# the trace"
add "trace = config,session,key,op@$T/trace"
generate -algorithm EC -pkeyopt group:P-256 -pkeyopt azihsm.label:shop -out $T/shop.key
check "one line an event, each with process and category" test "$(grep -cvE '^azihsm\[[0-9]+\] (config|session|key|op): ' $T/trace)" -eq 0
for event in "config: device auto, partition default, pin-source none, keys /etc/azihsm/keys," "session: unix:/run/azihsm/azihsmd.sock: login, partition default: Success, [0-9]+ us" \
    'key: EccGenerateKeyPair: the device made key "shop" \(Ecc256Private\)' "op: EccGenerateKeyPair \(ec-p256.generate\) on unix:/run/azihsm/azihsmd.sock: Success, [0-9]+ us"; do
    check "tells $event" grep -qE "$event" $T/trace
done
rm $T/trace; add "trace = key,op@$T/trace"
openssl dgst -sha256 -sign $T/shop.key -out $T/sig $T/message
openssl dgst -sha256 -sign $T/altered.der -keyform DER -out $T/sig $T/message 2>/dev/null
for event in 'key: load key "shop" \(Ecc256Private\): Success, [0-9]+ us' 'op: EccSign \(ecdsa-p256.sign\) with key "shop" \(Ecc256Private\) on .*: Success, [0-9]+ us' \
    'op: EccSign \(ecdsa-p256.sign\) with unnamed key \(Ecc256Private\) on .*: MaskedKeyDecodeFailed, [0-9]+ us'; do
    check "tells $event" grep -qE "$event" $T/trace
done
check "and only the categories asked for" test "$(grep -cE ' (config|session): ' $T/trace)" -eq 0
check "azihsm status counts the same" grep -qE '^default +ecdsa-p256 +sign +[0-9]+ +[0-9]+ ' <(azihsm status)
check "and the failures" test "$(counter 'azihsm_operation_errors_total{partition="default",algorithm="key",action="load"}')" -ge 1
conf

echo "# azihsm and azihsmd"
mistake "an unknown command" 'there is no command "frobnicate" (azihsm help)' azihsm frobnicate
mistake "an unknown option" "unknown option --colour (azihsm COMMAND --help, azihsm(1))" azihsm status --colour
mistake "no name for a key" "either a NAME in the key directory or --out FILE is needed" azihsm key generate
mistake "a user who may not ask azihsmd" "control socket /run/azihsm/control.sock: Permission denied: only root and the user azihsmd runs as may ask" nobody azihsm metrics
mistake "a second azihsmd" "another azihsmd listens on /run/azihsm/azihsmd.sock: stop that one (azihsm stop), or give this one a --socket and a --state-dir of its own" azihsmd
mistake "a second azihsmd on one state directory" "another process uses the state directory /var/lib/azihsm: stop that azihsmd (azihsm stop), or give this one another --state-dir" \
    azihsmd --socket $T/a.sock --control-socket $T/c.sock
{ cat /etc/azihsm/azihsmd.conf; echo "colour = blue"; } >$T/azihsmd.conf
mistake "an unknown key for azihsmd" 'unknown key "colour": azihsmd(8) lists the keys of each section' azihsmd --config $T/azihsmd.conf
{ echo "threads = many"; cat /etc/azihsm/azihsmd.conf; } >$T/azihsmd.conf
mistake "a bad value for azihsmd" "azihsmd.conf:1: threads must be" azihsmd --config $T/azihsmd.conf

echo "# servers: what they print or log when a handshake needs a device that is away"
mkdir -p /var/log/nginx /var/lib/nginx
: >/var/log/nginx/error.log
add "timeout = 1000"
check "nginx accepts the configuration" nginx -t -c $examples/nginx/nginx.conf
nginx -c $examples/nginx/nginx.conf
check "nginx serves" wait_for 20 load 8443 -n 1
software openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout $T/server.key -out $T/server.crt -subj /CN=localhost -addext subjectAltName=DNS:localhost 2>/dev/null
OPENSSL_CONF=/etc/ssl/openssl.cnf openssl s_server -accept 127.0.0.1:8555 -cert $T/server.crt -key $T/server.key -Verify 2 -CAfile $E/ca.crt -www -quiet >/dev/null 2>&1 &
server=$!
curl_client="curl -sS -o /dev/null --cacert $T/server.crt --cert $E/client.crt --key $E/client.key https://localhost:8555/"
check "curl is served" wait_for 20 $curl_client
mistake "curl with a truncated key (curl's words only)" "unable to set private key file: '$T/cut.key'" \
    curl -sS --cacert $T/server.crt --cert $E/client.crt --key $T/cut.key https://localhost:8555/
azihsm stop >/dev/null; wait "$azihsmd_pid" 2>/dev/null
load 8443 -n 1 >/dev/null 2>&1
wait_for 10 grep -q azihsm: /var/log/nginx/error.log
cp /var/log/nginx/error.log $T/mistake.log
story_checks=$((story_checks + 1))
told "nginx while azihsmd is down" "azihsmd does not listen on /run/azihsm/azihsmd.sock (*); start it: systemctl start azihsmd, or azihsmd --user"
mistake "curl while azihsmd is down" "azihsm::device not reachable (is azihsmd running? 'azihsm status' tells)" $curl_client
nginx -s stop -c $examples/nginx/nginx.conf
kill "$server"
sed "s|$E/ec.key|$T/cut.key|" $examples/nginx/nginx.conf >$T/nginx.conf
mistake "nginx with a truncated key" "it is cut off or damaged, and does not end with -----END AZIHSM PRIVATE KEY-----: restore the key file from a backup" nginx -t -c $T/nginx.conf

echo "# azihsmd away"
listen="azihsmd does not listen on /run/azihsm/azihsmd.sock (*); start it: systemctl start azihsmd, or azihsmd --user"
mistake "azihsmd is down: openssl" "$listen" $sign
mistake "azihsmd is down: azihsm status" "$listen" azihsm status
mistake "azihsmd is down: azihsm metrics" "start azihsmd (systemctl start azihsmd), or name another socket with --control" azihsm metrics
conf 's|^device = auto.*|device = unix:/run/nowhere/azihsmd.sock|'
mistake "no socket directory" "azihsmd does not listen on /run/nowhere/azihsmd.sock (No such file or directory); start it" $sign
conf 's|^device = auto.*|device = /dev/azihsm7|'
mistake "no device node" "/dev/azihsm7: no such device: load its driver, or set device = auto and start azihsmd" $sign
conf
rm -rf /run/azihsm
mistake "nothing is configured" "neither /dev/azihsm0 nor /run/azihsm nor a user's socket directory exists; start azihsmd (systemctl start azihsmd, or azihsmd --user)" $sign

echo "# state"
cp -a /var/lib/azihsm $T/state
for damage in garbage ""; do
    printf '%s' "$damage" >/var/lib/azihsm/default.owner
    mistake "a damaged state file${damage:+ (garbage)}" "/var/lib/azihsm/default.owner is empty, damaged or of another version: restore it from a backup (azihsm restore)" azihsmd
done
rm -rf /var/lib/azihsm; cp -a $T/state /var/lib/azihsm; chmod 777 /var/lib/azihsm
mistake "a state directory that others may enter" "state directory /var/lib/azihsm has mode 0777: others may enter it (chmod 0700)" azihsmd
rm -rf /var/lib/azihsm
start_azihsmd --limits hardware -o key-scope=partition || exit 1
mistake "a key of another device" "MaskedKeyDecodeFailed: the key file is damaged or was made by another device or partition; restore the key file, or the state directory it was made with (azihsm restore), or set 'partition'" $sign
conf "s/^device = auto.*/device = auto\ntimeout = 3000/"
fill() { for tag in $(seq 1 300); do generate -algorithm RSA -pkeyopt rsa_keygen_bits:2048 -pkeyopt azihsm.input_key:$T/import.key -pkeyopt azihsm.tag:"$tag" -out $T/x.key || return 1; done; }
software openssl genrsa -out $T/import.key 2048 2>/dev/null
mistake "a device that is full" "the device's key memory is full; end programs that hold keys, delete named keys that nobody uses, or raise 'tables' in azihsmd.conf" fill
finish
