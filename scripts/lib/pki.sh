# shellcheck shell=bash
# A certificate authority for one private cluster. Needs lib/env.sh. Every file is made once and kept.

# The cluster is thrown away long before; a shorter time would only break one that was left standing.
PKI_DAYS=3650

# pki_authority DIRECTORY NAME: ca.crt and ca.key.
pki_authority() {
  [[ -s $1/ca.crt ]] || pki_issue "$1/ca" "/CN=$2" -addext "basicConstraints=critical,CA:TRUE" -addext "keyUsage=critical,keyCertSign,cRLSign,digitalSignature"
}

# pki_client DIRECTORY FILE SUBJECT: a certificate that Kubernetes reads as user CN of group O.
pki_client() {
  [[ -s $1/$2.crt ]] || pki_issue "$1/$2" "$3" -CA "$1/ca.crt" -CAkey "$1/ca.key" -addext "basicConstraints=critical,CA:FALSE" \
    -addext "keyUsage=critical,digitalSignature" -addext "extendedKeyUsage=clientAuth"
}

# pki_server DIRECTORY FILE SUBJECT NAMES, where NAMES is as subjectAltName has it: DNS:…,IP:…
pki_server() {
  [[ -s $1/$2.crt ]] || pki_issue "$1/$2" "$3" -CA "$1/ca.crt" -CAkey "$1/ca.key" -addext "basicConstraints=critical,CA:FALSE" \
    -addext "keyUsage=critical,digitalSignature" -addext "extendedKeyUsage=serverAuth" -addext "subjectAltName=$4"
}

pki_issue() {
  local file=$1 subject=$2
  shift 2
  # The certificate gets its name last, so that a script that was interrupted makes the pair again.
  openssl req -x509 -new -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -sha256 -days "$PKI_DAYS" -subj "$subject" \
    -keyout "$file.key" -out "$file.crt.new" "$@" 2>"$file.log" || die "openssl could not make $file.crt: $(tail -n 1 "$file.log")" "OpenSSL 3 is needed; this is $(openssl version)"
  chmod 0600 "$file.key"
  rm -f "$file.log"
  mv "$file.crt.new" "$file.crt"
}

# pki_signing_key FILE: the key that signs service account tokens.
pki_signing_key() {
  [[ -s $1 ]] || { (umask 077 && openssl genrsa -out "$1.new" 2048 2>/dev/null) && mv "$1.new" "$1"; }
}
