# Shared by all steps: a command that fails ends the step, and what fetches trusts the certificates of `ca-bundle`.
# shellcheck shell=sh
set -eu

ca_bundle=/run/secrets/ca-bundle
if [ -e "$ca_bundle" ]; then
    for name in SSL_CERT_FILE CARGO_HTTP_CAINFO CURL_CA_BUNDLE GIT_SSL_CAINFO REQUESTS_CA_BUNDLE NODE_EXTRA_CA_CERTS; do
        export "$name=$ca_bundle"
    done
fi

apt_get() {
    if [ -e "$ca_bundle" ]; then
        set -- -o "Acquire::https::CAInfo=$ca_bundle" "$@"
    fi
    DEBIAN_FRONTEND=noninteractive apt-get "$@"
}

install_packages() {
    apt_get update
    apt_get install -y --no-install-recommends "$@"
    rm -rf /var/lib/apt/lists/*
}
