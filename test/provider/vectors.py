#!/usr/bin/env python3
"""Turns published test vectors into the stanza format of OpenSSL's EVP tests, for provider_vectors and provider_vectors_symmetric.

usage: vectors.py OUTPUT-DIR [--cavp DIR] [--wycheproof DIR]
  --cavp        the folder `cryptography_vectors` of the PyPI package cryptography-vectors (NIST CAVP, RFCs)
  --wycheproof  the folder with the *_test.json of project Wycheproof (src/data of the crate wycheproof)
Then run the programs with AZIHSM_VECTORS=OUTPUT-DIR. "Result = ANY" marks what implementations may do either way: there only the
default provider's own answer counts. `Padding` and `TagLength` are words of ours. Needs nothing but Python.
"""
import argparse, base64, glob, json, os, re, sys

CURVES = {  # name of CAVP or Wycheproof: OID, bytes
    "P-192": ("2A8648CE3D030101", 24), "P-224": ("2B81040021", 28), "P-256": ("2A8648CE3D030107", 32),
    "P-384": ("2B81040022", 48), "P-521": ("2B81040023", 66), "secp256k1": ("2B8104000A", 32),
    "brainpoolP256r1": ("2B2403030208010107", 32), "brainpoolP384r1": ("2B240303020801010B", 48),
    "brainpoolP512r1": ("2B240303020801010D", 64),
}
CURVES.update(secp224r1=CURVES["P-224"], secp256r1=CURVES["P-256"], secp384r1=CURVES["P-384"], secp521r1=CURVES["P-521"])
EC_KEY, RSA_KEY = "06072A8648CE3D0201", "06092A864886F70D0101010500"


# ---- DER and PEM, as much as keys need ----
def tlv(tag, body):
    n = len(body)
    size = bytes([n]) if n < 128 else bytes([0x80 + (n.bit_length() + 7) // 8]) + n.to_bytes((n.bit_length() + 7) // 8, "big")
    return bytes([tag]) + size + body


def seq(*parts):
    return tlv(0x30, b"".join(parts))


def integer(n):
    return tlv(2, n.to_bytes(n.bit_length() // 8 + 1, "big"))


def pem(label, der):
    text = base64.encodebytes(der).decode().replace("\n", "")
    return [f"-----BEGIN {label}-----", *(text[i:i + 64] for i in range(0, len(text), 64)), f"-----END {label}-----"]


def ec_algorithm(curve):
    return seq(bytes.fromhex(EC_KEY), tlv(6, bytes.fromhex(CURVES[curve][0])))


def ec_private(curve, d):
    inner = seq(integer(1), tlv(4, (d).to_bytes(CURVES[curve][1], "big")))
    return pem("PRIVATE KEY", seq(integer(0), ec_algorithm(curve), tlv(4, inner)))


def ec_public(curve, x, y):
    size = CURVES[curve][1]
    return pem("PUBLIC KEY", seq(ec_algorithm(curve), tlv(3, b"\0\4" + x.to_bytes(size, "big") + y.to_bytes(size, "big"))))


def rsa_public(n, e):
    return pem("PUBLIC KEY", seq(seq(bytes.fromhex(RSA_KEY)), tlv(3, b"\0" + seq(integer(n), integer(e)))))


def rsa_private(n, e, p, q):
    d = pow(e, -1, (p - 1) * (q - 1))
    inner = seq(*(integer(v) for v in (0, n, e, d, p, q, d % (p - 1), d % (q - 1), pow(q, -1, p))))
    return pem("PRIVATE KEY", seq(integer(0), seq(bytes.fromhex(RSA_KEY)), tlv(4, inner)))


class Writer:
    """One file of stanzas; every key is written once, before its first use."""

    def __init__(self, path):
        os.makedirs(os.path.dirname(path), exist_ok=True)
        self.file, self.keys, self.count = open(path, "w"), {}, 0

    def key(self, lines):
        text = "\n".join(lines)
        if text not in self.keys:
            self.keys[text] = f"k{len(self.keys)}"
            kind = "PrivateKey" if "PRIVATE" in lines[0] else "PublicKey"
            print(f"{kind} = {self.keys[text]}\n{text}\n", file=self.file)
        return self.keys[text]

    def stanza(self, *pairs):
        print("\n".join(f"{name} = {value}" for name, value in pairs if value is not None) + "\n", file=self.file)
        self.count += 1

    def done(self):
        self.file.close()
        if self.count == 0:
            os.unlink(self.file.name)
        return self.count


def outcome(valid, error):
    return None if valid in (True, "valid") else "ANY" if valid == "acceptable" else error


# ---- CAVP ----
def records(path):
    """(section words, fields) of a response file; a word alone (FAIL) is a field without a value."""
    section, record = {}, {}
    for line in list(open(path, errors="replace")) + ["\n"]:
        line = line.strip()
        if line.startswith("["):
            for word in line.strip("[]").split(","):
                name, _, value = word.partition("=")
                section[name.strip()] = value.strip()
            section["last"] = line.strip("[]")
        elif "=" in line and not line.startswith("#"):
            name, value = (part.strip() for part in line.split("=", 1))
            record[name] = value
        elif line and not line.startswith("#"):
            record[line] = ""
        elif not line and record:
            yield section, record
            record = {}


def cavp_cbc(path, out):
    for section, r in records(path):
        if "KEY" in r:
            bits = len(r["KEY"]) * 4
            out.stanza(("Cipher", f"AES-{bits}-CBC"), ("Key", r["KEY"]), ("IV", r["IV"]), ("Operation", section["last"]),
                       ("Plaintext", r["PLAINTEXT"]), ("Ciphertext", r["CIPHERTEXT"]))


def cavp_gcm(path, out):
    for i, (section, r) in enumerate(records(path)):
        if "Key" in r and i % 7 == 0:  # thousands of each shape
            decrypt = "Decrypt" in path
            out.stanza(("Cipher", f"AES-{section['Keylen']}-GCM"), ("Key", r["Key"]), ("IV", r["IV"]), ("AAD", r["AAD"]),
                       ("Operation", "DECRYPT" if decrypt else "ENCRYPT"), ("Tag", r["Tag"]), ("Plaintext", r.get("PT", "")),
                       ("Ciphertext", r["CT"]), ("Result", "CIPHERFINAL_ERROR" if "FAIL" in r else None))


def cavp_xts(path, out):
    for section, r in records(path):
        if "Key" in r and "i" in r and int(r["DataUnitLen"]) % 8 == 0:
            out.stanza(("Cipher", f"AES-{len(r['Key']) * 2}-XTS"), ("Key", r["Key"]), ("IV", r["i"]), ("Operation", section["last"]),
                       ("Plaintext", r["PT"]), ("Ciphertext", r["CT"]))


def cavp_hmac(path, out):
    digest = re.search(r"sha\d+", path).group(0).upper()
    for _, r in records(path):
        if "Key" in r and "MD" in r:
            out.stanza(("MAC", "HMAC"), ("Algorithm", digest), ("Key", r["Key"]), ("Input", r["Msg"]), ("Output", r["MD"]))


def cavp_cmac(path, out):
    for _, r in records(path):
        if "KEY" in r:
            out.stanza(("MAC", "CMAC"), ("Algorithm", f"AES-{len(r['KEY']) * 4}-CBC"), ("Key", r["KEY"]),
                       ("Input", r["MESSAGE"]), ("Output", r["OUTPUT"]))


def cavp_hkdf(path, out):
    record = {}
    for _, r in records(path):  # blank lines inside of a record
        record.update(r)
        if "OKM" in record:
            hkdf(out, record["Hash"], record["IKM"], record["salt"], record["info"], record["OKM"])
            if "PRK" in record:
                hkdf(out, record["Hash"], record["IKM"], record["salt"], "", record["PRK"], "EXTRACT_ONLY")
                hkdf(out, record["Hash"], record["PRK"], "", record["info"], record["OKM"], "EXPAND_ONLY")
            record = {}


def hkdf(out, digest, key, salt, info, output, mode="EXTRACT_AND_EXPAND", result=None):
    out.stanza(("KDF", "HKDF"), ("Ctrl.mode", f"mode:{mode}"), ("Ctrl.digest", "digest:" + digest.replace("SHA-", "SHA")),
               ("Ctrl.IKM", f"hexkey:{key}"), ("Ctrl.salt", f"hexsalt:{salt}" if salt else None),
               ("Ctrl.info", f"hexinfo:{info}" if info else None), ("Output", output), ("Result", result))


def cavp_kbkdf(path, out):
    for section, r in records(path):
        prf = section.get("PRF", "")
        if "KO" not in r or section.get("CTRLOCATION") != "BEFORE_FIXED" or "TDES" in prf:
            continue
        kind, what = prf.split("_")
        out.stanza(("KDF", "KBKDF"), ("Ctrl.mode", "mode:COUNTER"), ("Ctrl.mac", f"mac:{kind}"),
                   ("Ctrl.digest", f"digest:{what}" if kind == "HMAC" else None),
                   ("Ctrl.cipher", f"cipher:{what}" if kind == "CMAC" else None), ("Ctrl.use-l", "use-l:0"),
                   ("Ctrl.use-separator", "use-separator:0"), ("Ctrl.r", "r:" + section["RLEN"].split("_")[0]),
                   ("Ctrl.hexkey", f"hexkey:{r['KI']}"), ("Ctrl.info", f"hexinfo:{r['FixedInputData']}"), ("Output", r["KO"]))


def cavp_ecdsa(path, out):
    for section, r in records(path):
        curve, _, digest = section.get("last", "").partition(",")
        if "R" not in r or curve not in CURVES:
            continue
        signature = seq(integer(int(r["R"], 16)), integer(int(r["S"], 16))).hex()
        result = "VERIFY_ERROR" if r.get("Result", "P")[0] == "F" else None
        public = out.key(ec_public(curve, int(r["Qx"], 16), int(r["Qy"], 16)))
        digest = digest.replace("SHA-", "SHA")
        out.stanza(("DigestVerify", digest), ("Key", public), ("Input", r["Msg"]), ("Output", signature), ("Result", result))
        if "d" in r:
            private = out.key(ec_private(curve, int(r["d"], 16)))
            out.stanza(("DigestSign", digest), ("Key", private), ("Input", r["Msg"]), ("Output", signature))
            out.stanza(("DigestVerify", digest), ("Key", private), ("Input", r["Msg"]), ("Output", signature))


def cavp_rsa(path, out):
    pss, salt, key, common = "PSS" in path, 0, None, {}
    if pss:
        salt = int(re.search(r"Salt len: (\d+)", open(path).read()).group(1))
    ctrls = (("Ctrl", "rsa_padding_mode:pss"), ("Ctrl", f"rsa_pss_saltlen:{salt}")) if pss else ()
    for _, r in records(path):
        if "n" in r:
            common = {}
        common.update(r)
        if "Msg" not in r:
            continue
        n, e, valid = int(common["n"], 16), int(common["e"], 16), common.pop("Result", "P")[0] == "P"
        case = (("Input", r["Msg"]), ("Output", r["S"]))
        key = out.key(rsa_public(n, e))
        out.stanza(("DigestVerify", r["SHAAlg"]), ("Key", key), *ctrls, *case, ("Result", outcome(valid, "VERIFY_ERROR")))
        if valid and "p" in common and "q" in common:
            key = out.key(rsa_private(n, e, int(common["p"], 16), int(common["q"], 16)))
            out.stanza(("DigestSign", r["SHAAlg"]), ("Key", key), *ctrls, *case)


CAVP = [("ciphers/AES/CBC/*.rsp", cavp_cbc), ("ciphers/AES/GCM/*.rsp", cavp_gcm), ("ciphers/AES/XTS/*/*.rsp", cavp_xts),
        ("HMAC/rfc-*sha*.txt", cavp_hmac), ("CMAC/*aes*.txt", cavp_cmac), ("KDF/*hkdf*.txt", cavp_hkdf), ("KDF/*HKDF*.txt", cavp_hkdf),
        ("KDF/*KBKDF*.txt", cavp_kbkdf), ("asymmetric/ECDSA/FIPS_186-3/SigGen.txt", cavp_ecdsa),
        ("asymmetric/ECDSA/FIPS_186-3/SigVer.rsp", cavp_ecdsa), ("asymmetric/RSA/FIPS_186-2/SigVer*_186-3.rsp", cavp_rsa),
        ("asymmetric/RSA/FIPS_186-2/SigGen*_186-3.rsp", cavp_rsa)]


# ---- Wycheproof ----
def evp_digest(name):
    return name.replace("SHA-512/", "SHA512-").replace("SHA-", "SHA") if not name.startswith("SHA3") else name


def wycheproof_cipher(name, group, t, out):
    mode = {"AES-GCM": "GCM", "AES-CBC-PKCS5": "CBC", "AES-XTS": "XTS"}[name]
    bits = len(t["key"]) * (2 if mode == "XTS" else 4)
    iv = t["iv"].ljust(32, "0") if mode == "XTS" else t["iv"]
    for operation in ("ENCRYPT", "DECRYPT"):
        if operation == "ENCRYPT" and t["result"] == "invalid":
            continue
        out.stanza(("Cipher", f"AES-{bits}-{mode}"), ("Key", t["key"]), ("IV", iv), ("AAD", t.get("aad")), ("Operation", operation),
                   ("Padding", 1 if mode == "CBC" else None), ("Tag", t.get("tag")), ("Plaintext", t["msg"]), ("Ciphertext", t["ct"]),
                   ("Result", "ANY" if mode == "XTS" or len(iv) > 32 else outcome(t["result"], "ANY" if t["iv"] == "" else "CIPHERFINAL_ERROR")))


def wycheproof_mac(name, group, t, out):
    mac = "CMAC" if "CMAC" in name else "HMAC"
    algorithm = f"AES-{len(t['key']) * 4}-CBC" if mac == "CMAC" else evp_digest({"HMACSHA": "SHA"}.get(name, name.replace("HMAC", "")))
    algorithm = algorithm.replace("SHA512/", "SHA512-")
    if group["tagSize"] == group.get("keySize", 0) or t["result"] == "valid":
        out.stanza(("MAC", mac), ("Algorithm", algorithm), ("Key", t["key"]), ("Input", t["msg"]), ("Output", t["tag"]),
                   ("Truncate", len(t["tag"]) // 2), ("Result", outcome(t["result"], "MAC_MISMATCH")))


def wycheproof_hkdf(name, group, t, out):
    hkdf(out, name.replace("HKDF-", ""), t["ikm"], t["salt"], t["info"], t["okm"] or "00" * t["size"],
         result=outcome(t["result"], "KDF_DERIVE_ERROR"))


def wycheproof_signature(name, group, t, out):
    key = group.get("publicKeyPem") or group.get("keyPem")
    ctrls = ()
    if group["type"] == "RsassaPssVerify":
        if group["mgf"] != "MGF1":
            return
        ctrls = (("Ctrl", "rsa_padding_mode:pss"), ("Ctrl", f"rsa_pss_saltlen:{group['sLen']}"), ("Ctrl", "rsa_mgf1_md:" + evp_digest(group["mgfSha"])))
    if "SHAKE" in group["sha"]:
        return
    out.stanza(("DigestVerify", evp_digest(group["sha"])), ("Key", out.key(key.strip().split("\n"))), *ctrls, ("Input", t["msg"]),
               ("Output", t["sig"]), ("Result", outcome(t["result"], "VERIFY_ERROR")))


def wycheproof_decrypt(name, group, t, out):
    key = out.key((group["privateKeyPem"]).strip().split("\n"))
    ctrls = [("Ctrl", "rsa_padding_mode:pkcs1")]
    if group["type"] == "RsaesOaepDecrypt":
        ctrls = [("Ctrl", "rsa_padding_mode:oaep"), ("Ctrl", "rsa_oaep_md:" + evp_digest(group["sha"])), ("Ctrl", "rsa_mgf1_md:" + evp_digest(group["mgfSha"])),
                 ("Ctrl", "rsa_oaep_label:" + t["label"]) if t["label"] else ("Ctrl", None)]
    out.stanza(("Decrypt", key), *ctrls, ("Input", t["ct"]), ("Output", t["msg"] if t["result"] != "invalid" else "ff" * 40),
               ("Result", outcome(t["result"], "KEYOP_ERROR")))


def wycheproof_ecdh(name, group, t, out):
    d = int(t["private"], 16)
    if group["curve"] not in CURVES or d.bit_length() > CURVES[group["curve"]][1] * 8:
        return
    public = out.key(pem("PUBLIC KEY", bytes.fromhex(t["public"])))
    out.stanza(("Derive", out.key(ec_private(group["curve"], d))), ("PeerKey", public), ("SharedSecret", t["shared"]),
               ("Result", "ANY" if t["result"] != "valid" else None))


WYCHEPROOF = [("aes_gcm_test", "symmetric", wycheproof_cipher), ("aes_cbc_pkcs5_test", "symmetric", wycheproof_cipher),
              ("aes_xts_test", "symmetric", wycheproof_cipher), ("hmac_sha*_test", "symmetric", wycheproof_mac),
              ("aes_cmac_test", "symmetric", wycheproof_mac), ("hkdf_*_test", "symmetric", wycheproof_hkdf),
              ("ecdsa_secp*r1_sha*[0-9]_test", "asymmetric", wycheproof_signature), ("ecdsa_brainpoolP*r1_sha*[0-9]_test", "asymmetric", wycheproof_signature),
              ("ecdsa_secp256k1_sha*[0-9]_test", "asymmetric", wycheproof_signature), ("rsa_signature_*_test", "asymmetric", wycheproof_signature),
              ("rsa_pss_*[0-9]_test", "asymmetric", wycheproof_signature), ("rsa_pss_misc_test", "asymmetric", wycheproof_signature),
              ("rsa_oaep_*_test", "asymmetric", wycheproof_decrypt), ("rsa_pkcs1_*_test", "asymmetric", wycheproof_decrypt),
              ("ecdh_*r1_test", "asymmetric", wycheproof_ecdh)]


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("output")
    parser.add_argument("--cavp")
    parser.add_argument("--wycheproof")
    options = parser.parse_args()
    total = 0
    for pattern, convert in CAVP if options.cavp else ():
        for path in sorted(glob.glob(os.path.join(options.cavp, pattern))):
            name = os.path.relpath(path, options.cavp)
            kind = "asymmetric" if name.startswith("asymmetric") else "symmetric"
            out = Writer(os.path.join(options.output, kind, "cavp-" + re.sub(r"[^A-Za-z0-9]+", "-", name[:-4]) + ".txt"))
            convert(path, out)
            total += out.done()
    for pattern, kind, convert in WYCHEPROOF if options.wycheproof else ():
        for path in sorted(glob.glob(os.path.join(options.wycheproof, pattern + ".json"))):
            if "p1363" in path:  # not how OpenSSL writes ECDSA signatures
                continue
            data = json.load(open(path))
            out = Writer(os.path.join(options.output, kind, "wycheproof-" + os.path.basename(path)[:-5] + ".txt"))
            for group in data["testGroups"]:
                for test in group["tests"]:
                    convert(data["algorithm"], group, test, out)
            total += out.done()
    print(total, "cases")
    return 0 if total else 1


if __name__ == "__main__":
    sys.exit(main())
