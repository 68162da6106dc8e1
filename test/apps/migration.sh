#!/usr/bin/env bash
# Story: a web server whose software keys move into the device, by every way there is, with the commands of conf/migration.md. For each
# key: nginx serves with the software key, the key is moved, nginx is restarted with the same configuration and certificate; every
# handshake is verified by a peer that knows no provider, the device counts one signature for each, and no memory of nginx holds the key.
. "$(dirname "$0")/lib.sh"
need nginx python3
start_azihsmd || exit 1
make_ca || exit 1
tls=/etc/azihsm/tls
mkdir -p /var/www/html /var/log/nginx /var/lib/nginx
cd $T || exit 1
echo "correct horse" >password; echo "wrong" >wrong-password; chmod 600 password wrong-password

# ---- the web server ----
no_nginx() { ! pgrep -x nginx; }
stop_nginx() { nginx -c $examples/nginx/nginx.conf -s quit 2>/dev/null; wait_for 10 no_nginx; }
restart_nginx() {
    [ -z "$(pgrep -x nginx)" ] || stop_nginx
    nginx -c $examples/nginx/nginx.conf && wait_for 10 port_open 8443
}
fingerprint() { # of the certificate served to a peer that asks for this kind of signature
    software openssl s_client -connect 127.0.0.1:8443 -servername localhost -sigalgs "$1" </dev/null 2>/dev/null | openssl x509 -noout -fingerprint -sha256
}
secrets_of() { # private numbers of a software key, in hex
    software openssl pkey -in "$1" -noout -text | awk '
        /^[a-zA-Z]/ { wanted = /^(priv|privateExponent|prime1|prime2):/; if (wanted) n++ }
        /^ / && wanted { gsub(/[ :]/, ""); v[n] = v[n] $0 }
        END { for (i = 1; i <= n; i++) { sub(/^(00)+/, "", v[i]); printf("%s%s", (i > 1 ? "," : ""), v[i]) } }'
}
sigalgs_of() { case $1 in ec384) echo ECDSA+SHA384 ;; ec*) echo ECDSA+SHA256 ;; *) echo RSA-PSS+SHA256 ;; esac; }
software_certificate() { # KIND KEY-FILE: a certificate of the CA over a software key
    software openssl req -new -key "$2" -subj /CN=localhost -addext subjectAltName=DNS:localhost,IP:127.0.0.1 -out request.csr &&
        software openssl x509 -req -in request.csr -CA $tls/ca.crt -CAkey ca.key -CAcreateserial -days 30 -copy_extensions copy -out $tls/"$1".crt 2>/dev/null
}
algorithm() { case $1 in ec) echo "-algorithm EC -pkeyopt group:P-256" ;; ec384) echo "-algorithm EC -pkeyopt group:P-384" ;; *) echo "-algorithm RSA -pkeyopt rsa_keygen_bits:${1#rsa}" ;; esac; }

# The other key of the example's configuration, so that it loads; replaced one by one below.
for kind in ec rsa2048; do
    # shellcheck disable=SC2046
    software openssl genpkey $(algorithm $kind) -out $tls/"${kind%2048}".key 2>/dev/null
    software_certificate "${kind%2048}" $tls/"${kind%2048}".key
done

# The block of the guide under this name, as it stands; edits are sed expressions for the other type of key or another hash.
guide() { # NAME [EDIT]
    awk -v fence="\`\`\`sh $1" '$0 == "```" { on = 0 } on { print } $0 == fence { on = 1 }' $examples/migration.md | sed "${2:-}" >block.sh
    [ -s block.sh ] && bash -euo pipefail block.sh
}
for_rsa() { [ "${kind#ec}" != "$kind" ] || echo "s/-algorithm EC/-algorithm RSA/; s/--class ec/--class rsa/"; }

# migrate TEXT KIND COMMAND...: COMMAND makes new.pem from site.pem (PEM, 0600).
migrate() {
    local text=$1 slot=rsa before secrets count served sigalgs; kind=$2; shift 2
    [ "${kind#ec}" = "$kind" ] || slot=ec
    sigalgs=$(sigalgs_of "$kind")
    rm -f site.* new.pem chain.pem
    # shellcheck disable=SC2046
    software openssl genpkey $(algorithm "$kind") -out site.pem 2>/dev/null
    software_certificate $slot site.pem
    cp $tls/$slot.crt site.crt
    install -m 600 site.pem $tls/$slot.key
    restart_nginx
    before=$(signatures)
    check "$text, $kind: served in software" load 8443 -n 20 -c 4 -g "$sigalgs"
    check "$text, $kind: the device signed nothing" test "$(signatures)" -eq "$before"
    served=$(fingerprint "$sigalgs")
    secrets=$(secrets_of site.pem)
    # shellcheck disable=SC2046
    refuse "$text, $kind: the search finds the software key in nginx" 'found [1-9]' python3 $stories/memory.py "$secrets" $(pgrep -x nginx)
    check "$text, $kind: moved" "$@" || return
    check "$text, $kind: the device accepts it, and it is the same key" guide check
    check "$text, $kind: its file is 0600" test "$(stat -c %a new.pem)" = 600
    install -m 600 new.pem $tls/$slot.key
    rm -f site.pem
    check "$text, $kind: nginx restarts" restart_nginx
    count=$(signatures)
    check "$text, $kind: TLS 1.3" load 8443 -n 40 -c 4 -v 1.3 -g "$sigalgs"
    check "$text, $kind: TLS 1.2" load 8443 -n 20 -c 4 -v 1.2 -g "$sigalgs"
    check "$text, $kind: the device made every signature" test $(($(signatures) - count)) -eq 60
    check "$text, $kind: the same certificate" test "$served" = "$(fingerprint "$sigalgs")"
    # shellcheck disable=SC2046
    check "$text, $kind: no nginx process holds the private numbers" python3 $stories/memory.py "$secrets" $(pgrep -x nginx)
}

# ---- 1. azihsm key import, from every form (the form takes the place of site.pem) ----
plain() { guide plain; }
encrypted() { software openssl pkcs8 -topk8 -in site.pem -v2 aes-256-cbc -passout file:password -out form && mv form site.pem && guide encrypted; }
traditional_encrypted() { software openssl pkey -in site.pem -traditional -aes256 -passout file:password -out form && grep -q DEK-Info form && mv form site.pem && guide encrypted; }
der() { software openssl pkcs8 -topk8 -nocrypt -in site.pem -outform DER -out form && mv form site.pem && guide plain; }
der_encrypted() { software openssl pkcs8 -topk8 -in site.pem -passout file:password -outform DER -out form && mv form site.pem && guide encrypted; }
der_traditional() { software openssl pkey -in site.pem -traditional -outform DER -out form && mv form site.pem && guide plain; } # SEC1, PKCS#1
pkcs12() {
    software openssl pkcs12 -export -inkey site.pem -in site.crt -certfile $tls/ca.crt -passout file:password -out site.p12 &&
        guide pkcs12 && [ "$(grep -c BEGIN chain.pem)" -eq 2 ]
}
for kind in ec ec384 rsa2048 rsa3072 rsa4096; do migrate "key import, PEM" $kind plain; done
for kind in ec rsa2048; do
    migrate "key import, encrypted PEM" $kind encrypted
    migrate "key import, encrypted PEM of old" $kind traditional_encrypted
    migrate "key import, DER" $kind der
    migrate "key import, encrypted DER" $kind der_encrypted
    migrate "key import, SEC1 or PKCS#1" $kind der_traditional
    migrate "key import, PKCS#12" $kind pkcs12
done

# ---- 2. genpkey with azihsm.input_key ----
input_key() { guide genpkey "$(for_rsa)"; }
for kind in ec rsa3072; do migrate "genpkey azihsm.input_key" $kind input_key; done

# ---- 3. wrapped elsewhere, with the stock openssl only ----
guide unwrapping
wrapped() { # HASH
    rm -rf away && mkdir away && cp site.pem unwrapping.pem away/ &&
        (cd away && export OPENSSL_CONF=/etc/ssl/openssl.cnf && guide wrap "s/md:sha256/md:$1/g") && cp away/site.wrapped . &&
        guide wrapped "$(for_rsa); s/--wrapped/& --hash $1/"
}
for kind in ec ec384 rsa2048 rsa3072 rsa4096; do migrate "wrapped by stock openssl" $kind wrapped sha256; done
for hash in sha1 sha384 sha512; do migrate "wrapped with $hash" ec wrapped $hash; done
wrapped_tool() { azihsm key wrap --in site.pem --unwrapping-key unwrapping.pem --out site.wrapped && guide wrapped "$(for_rsa)"; }
migrate "wrapped by azihsm key wrap" rsa2048 wrapped_tool

# ---- what import = device does and does not ----
software openssl genpkey -algorithm EC -pkeyopt group:P-256 -out soft.pem; chmod 600 soft.pem
software_certificate ec soft.pem; install -m 600 soft.pem $tls/ec.key
sed 's/^device = auto.*/&\nimport = device/' /etc/azihsm/openssl.cnf >import.cnf
sed '/^default = default_section/d; s/^azihsm = azihsm_section/&\ndefault = default_section/' import.cnf >import-first.cnf
for setup in import import-first; do
    stop_nginx
    OPENSSL_CONF=$T/$setup.cnf nginx -c $examples/nginx/nginx.conf; wait_for 10 port_open 8443
    before=$(signatures)
    check "import = device ($setup): nginx with the software key" load 8443 -n 20 -c 4 -g ECDSA+SHA256
    count=$(($(signatures) - before))
    if [ $setup = import ]; then check "default first: signed in software" test $count -eq 0
    else check "azihsm first: signed in the device" test $count -eq 20; fi
    # shellcheck disable=SC2046
    refuse "but nginx holds the private numbers" 'found [1-9]' python3 $stories/memory.py "$(secrets_of soft.pem)" $(pgrep -x nginx)
    check "pkey writes a software key" grep -q 'BEGIN PRIVATE KEY' <(OPENSSL_CONF=$setup.cnf openssl pkey -in soft.pem)
done

# ---- a reload instead of a restart serves with the device too ----
software openssl genpkey -algorithm EC -pkeyopt group:P-256 -out soft.pem; chmod 600 soft.pem
software_certificate ec soft.pem; install -m 600 soft.pem $tls/ec.key
restart_nginx
azihsm key import --in soft.pem --out $tls/ec.key --force >/dev/null
(load 8443 -s 4 -c 4 -v 1.3 -g ECDSA+SHA256 >reload.log 2>&1; echo $? >reload.status) &
sleep 1; before=$(signatures); nginx -c $examples/nginx/nginx.conf -s reload; wait $!
check "moved under load and reloaded: no handshake fails" test "$(cat reload.status)" -eq 0
check "and the device signs" test "$(signatures)" -gt "$before"
stop_nginx

# ---- mistakes on the way ----
rm -f new.pem
software openssl genpkey -algorithm EC -pkeyopt group:P-256 -out ec.pem 2>/dev/null
software openssl pkcs8 -topk8 -in ec.pem -passout file:password -out enc.pem
software openssl pkcs12 -export -inkey ec.pem -nocerts -passout file:password -out ec.p12
software openssl genpkey -algorithm RSA -pkeyopt rsa_keygen_bits:1024 -out small.pem 2>/dev/null
software openssl genpkey -algorithm ED25519 -out ed.pem
software openssl genpkey -algorithm EC -pkeyopt group:secp256k1 -out k1.pem 2>/dev/null
software openssl genpkey -algorithm RSA -pkeyopt rsa_keygen_bits:2048 -out other.pem 2>/dev/null
import() { azihsm key import --out new.pem "$@"; }
for form in enc.pem ec.p12; do
    refuse "$form, wrong password" 'encrypted, and the password is not the right one' import --in $form --password-file wrong-password
    refuse "$form, no password" 'encrypted: --password-file is needed' import --in $form </dev/null
    refuse "$form, no password file" 'nowhere: No such file' import --in $form --password-file nowhere
done
refuse "no file" 'nothing.pem: No such file' import --in nothing.pem
refuse "no key in the file" 'holds no private key' import --in $tls/ca.crt
for key in small.pem ed.pem k1.pem; do
    refuse "$key: not a key of the device" 'EC keys on P-256, P-384, P-521 and RSA keys of 2048, 3072, 4096' import --in $key
done
generate() { openssl genpkey -propquery provider=azihsm -out refused.pem "$@"; } # which makes its file first
refuse "genpkey, RSA 1024" '2048, 3072 and 4096 bits, not 1024' generate -algorithm RSA -pkeyopt azihsm.input_key:small.pem
refuse "genpkey, secp256k1" 'P-256, P-384 and P-521 only' generate -algorithm EC -pkeyopt azihsm.input_key:k1.pem
refuse "genpkey, encrypted" 'not a plain EC private key' generate -algorithm EC -pkeyopt azihsm.input_key:enc.pem
refuse "genpkey, another type" 'not a plain RSA private key' generate -algorithm RSA -pkeyopt azihsm.input_key:ec.pem
rm -rf away; mkdir away; cp unwrapping.pem away/; cp ec.pem away/site.pem
(cd away && guide wrap); cp away/site.wrapped good.bin
refuse "wrapped, wrong hash" 'hash|--hash' import --wrapped --class ec --hash sha384 --in good.bin
software openssl pkey -in other.pem -pubout -out away/unwrapping.pem; (cd away && guide wrap)
refuse "wrapped to another key" 'unwrapping.key' import --wrapped --class ec --in away/site.wrapped
refuse "wrapped, wrong class" 'not a key of the class' import --wrapped --class rsa --in good.bin
refuse "wrapped, no class" 'class must be' import --wrapped --in good.bin
for size in 0 100 256 300; do
    head -c $size good.bin >short.bin
    refuse "wrapped, cut to $size bytes" 'too short|empty|damaged' import --wrapped --class ec --in short.bin
done
azihsm key import --in ec.pem --out there.pem >/dev/null; cp there.pem before.pem
refuse "over an existing file" 'there.pem exists \(--force replaces it\)' azihsm key import --in ec.pem --out there.pem
check "which is as it was" cmp there.pem before.pem
check "with --force" azihsm key import --in ec.pem --out there.pem --force
check "no refused import left a file" test ! -e new.pem
chmod 644 ec.pem
import --in ec.pem >tool.log 2>&1
check "a key that every user may read: a warning" grep -q 'warning: every user may read ec.pem' tool.log
generate -algorithm EC -pkeyopt azihsm.input_key:ec.pem 2>tool.log
check "genpkey too" grep -q 'warning: every user may read ec.pem' tool.log
chmod 600 ec.pem; rm new.pem
check "not of one that only its owner may" bash -c '! azihsm key import --in ec.pem --out new.pem 2>&1 | grep -q warning'
finish
