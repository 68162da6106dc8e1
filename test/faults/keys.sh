#!/usr/bin/env bash
# The tool's key commands: generate, import in every form, show, list, delete, attest, verify.
. "$(dirname "$0")/lib.sh"
command -v openssl >/dev/null || { echo "SKIP: no openssl"; exit 77; }
kind=virtual
for command in status key attest verify backup; do
    check "help of $command" sh -c "$azihsm $command --help | grep -q \"^Usage: azihsm $command\""
done
run_all() {
    start_daemon --kind "$kind" || exit 1
    for curve in P-256 P-384 P-521; do
        check "$kind: generate EC $curve" tool key generate --curve $curve "ec-$curve"
    done
    for bits in 2048 3072 4096; do
        check "$kind: generate RSA $bits" tool key generate --type rsa --bits $bits "rsa-$bits"
    done
    check "$kind: generate AES" tool key generate --type aes --bits 128 aes
    check "$kind: generate HMAC" tool key generate --type hmac --bits 384 hmac
    refuse 2 "$kind: HMAC of another size" "256, 384 or 512" tool key generate --type hmac --bits 500 no
    check "$kind: generate a derivation key" tool key generate --usage derive derive
    check "$kind: list shows them" same "$(tool key list --json | grep -c '"uri"')" 9
    check "$kind: key file is private" same "$(stat -c %a "$T/keys/ec-P-256.pem")" 600
    refuse 1 "$kind: an existing key is not replaced" "exists" tool key generate ec-P-256
    check "$kind: unless forced" tool key generate --force ec-P-256
    check "$kind: delete" tool key delete aes
    check "$kind: is gone" test ! -e "$T/keys/aes.pem"

    check "$kind: openssl reads the public key" sh -c "$azihsm --keys $T/keys key show ec-P-256 --public - | openssl pkey -pubin -noout"
    openssl genpkey -algorithm RSA -pkeyopt rsa_keygen_bits:2048 -out "$T/soft.pem" 2>/dev/null
    openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-384 -outform DER -out "$T/soft.der" 2>/dev/null
    openssl req -x509 -key "$T/soft.pem" -subj /CN=x -out "$T/soft.crt" 2>/dev/null
    echo secret >"$T/password"
    openssl pkcs12 -export -inkey "$T/soft.pem" -in "$T/soft.crt" -passout "file:$T/password" -out "$T/soft.p12"
    openssl pkey -in "$T/soft.pem" -aes256 -passout "file:$T/password" -out "$T/encrypted.pem"
    check "$kind: import PEM" tool key import --in "$T/soft.pem" imported-pem
    check "$kind: import DER" tool key import --in "$T/soft.der" imported-der
    check "$kind: import PKCS#12" tool key import --in "$T/soft.p12" --password-file "$T/password" imported-p12
    check "$kind: import encrypted PEM" tool key import --in "$T/encrypted.pem" --password-file "$T/password" imported-enc
    openssl pkey -in "$T/soft.pem" -pubout -out "$T/soft.pub"
    for name in pem p12 enc; do
        tool key show imported-$name --public "$T/imported.pub"
        check "$kind: imported-$name has the same public key" cmp "$T/soft.pub" "$T/imported.pub"
    done
    check "$kind: imported keys are accepted" tool key show imported-der --check
    check "$kind: an RSA key keeps both its uses" sh -c "$azihsm --keys $T/keys key show imported-pem | grep -q 'usage: sign,decrypt'"
    check "$kind: both are accepted" tool key show imported-pem --check
    check "$kind: or gets one" tool key import --in "$T/soft.pem" --usage decrypt one-use
    check "$kind: and no more" sh -c "$azihsm --keys $T/keys key show one-use | grep -q 'usage: decrypt$'"
    refuse 2 "$kind: a use that is none" "sign, decrypt or derive" tool key import --in "$T/soft.pem" --usage sign,shine no
    refuse 2 "$kind: two uses of a key that is generated" "one --usage" tool key generate --usage sign,derive no
    refuse 2 "$kind: three uses" "at most two uses" tool key import --in "$T/soft.pem" --usage sign,decrypt,derive no
    refuse 1 "$kind: a second use that the device refuses" "." tool key import --in "$T/soft.der" --usage sign,decrypt --tag 77 no
    check "$kind: leaves no key behind that has the tag" tool key generate --tag 77 tagged
    refuse 1 "$kind: a tagged key that cannot be written" "nowhere" tool key generate --tag 78 --out "$T/nowhere/key.pem"
    check "$kind: is not left in the device" tool key generate --tag 78 tagged2
    echo wrong >"$T/password2"
    refuse 1 "$kind: a wrong password" "password" tool key import --in "$T/encrypted.pem" --password-file "$T/password2" no
    refuse 1 "$kind: no key in the file" "no private key" tool key import --in "$T/soft.crt" no
    openssl genpkey -algorithm ED25519 -out "$T/ed.pem" 2>/dev/null
    refuse 1 "$kind: a key of another kind" "device takes" tool key import --in "$T/ed.pem" no

    tool unwrapping-key --out "$T/unwrapping.pem"
    for hash in sha1 sha256 sha384 sha512; do
        check "$kind: wrap with $hash" "$azihsm" key wrap --in "$T/soft.der" --unwrapping-key "$T/unwrapping.pem" --hash $hash --out "$T/wrapped"
        check "$kind: import it" tool key import --wrapped --class ec --hash $hash --in "$T/wrapped" --force wrapped
    done
    refuse 1 "$kind: wrapped with another hash" "." tool key import --wrapped --class ec --hash sha1 --in "$T/wrapped" no

    check "$kind: certificates" tool certificates --out "$T/chain.pem"
    openssl x509 -in "$T/chain.pem" -out "$T/root.pem"
    check "$kind: attest" tool attest ec-P-384 --data nonce-1 --out "$T/evidence"
    check "$kind: verify" "$azihsm" verify "$T/evidence" --root "$T/root.pem" --data nonce-1 --generated --key "$T/keys/ec-P-384.pem"
    sha=$(openssl x509 -in "$T/root.pem" -outform DER | sha256sum | cut -d' ' -f1)
    check "$kind: verify by digest" "$azihsm" verify "$T/evidence" --root-sha256 "$sha"
    refuse 2 "$kind: verify without an anchor" "trusted" "$azihsm" verify "$T/evidence"
    refuse 5 "$kind: another nonce" "other data" "$azihsm" verify "$T/evidence" --root "$T/root.pem" --data nonce-2
    refuse 5 "$kind: another key" "another key" "$azihsm" verify "$T/evidence" --root "$T/root.pem" --key "$T/keys/rsa-2048.pem"
    refuse 5 "$kind: another root" "root" "$azihsm" verify "$T/evidence" --root "$T/soft.crt"
    check "$kind: attest an imported key" tool attest imported-pem --out "$T/evidence2"
    refuse 5 "$kind: which is not generated" "imported" "$azihsm" verify "$T/evidence2" --root "$T/root.pem" --generated
    size=$(stat -c %s "$T/evidence") bad=0
    for at in $(seq 7 $((size / 40)) "$size"); do
        cp "$T/evidence" "$T/tampered"
        printf "\\x$(printf %02x $((($(od -An -tu1 -j "$((at - 1))" -N 1 "$T/evidence") + 1) % 256)))" |
            dd of="$T/tampered" bs=1 seek="$((at - 1))" conv=notrunc 2>/dev/null
        "$azihsm" verify "$T/tampered" --root "$T/root.pem" >/dev/null 2>&1 && bad=$((bad + 1))
    done
    check "$kind: no tampered evidence is valid" same $bad 0
    stop_daemon
    rm -rf "$T/keys" "$T/state"
}
run_all
kind=physical
run_all
finish
