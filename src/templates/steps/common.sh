# Shared by all steps: a command that fails ends the step, and what fetches trusts the certificates of `ca-bundle`.
# shellcheck shell=sh
set -eu

ca_bundle=/run/secrets/ca-bundle
if [ -e "$ca_bundle" ]; then
    for name in SSL_CERT_FILE CARGO_HTTP_CAINFO CURL_CA_BUNDLE GIT_SSL_CAINFO REQUESTS_CA_BUNDLE NODE_EXTRA_CA_CERTS; do
        export "$name=$ca_bundle"
    done
fi

# What apt reads from its lists is kept until `forget_packages`. An image of Debian has each call read them anew.
kept_lists=Dir::Cache::pkgcache=pkgcache.bin

apt_get() {
    if [ -e "$ca_bundle" ]; then
        set -- -o "Acquire::https::CAInfo=$ca_bundle" "$@"
    fi
    DEBIAN_FRONTEND=noninteractive apt-get -o "$kept_lists" -o Acquire::Languages=none "$@"
}

forget_packages() { rm -rf /var/lib/apt/lists/* /var/cache/apt/pkgcache.bin; }

install_packages() {
    apt_get update
    apt_get install -y --no-install-recommends "$@"
    forget_packages
}

# All that is new from here on is given one date by `date_what_is_new`, for the same layer each time.
start_dating() { touch -d "@$(($(date +%s) - 1))" /dev/shm/started; }

# Argument: the date, in seconds after the epoch.
date_what_is_new() {
    find / -xdev \( -path /proc -o -path /sys -o -path /dev -o -path /run -o -path /etc/hosts -o -path /etc/resolv.conf \
        -o -type d ! -readable \) -prune -o -newer /dev/shm/started -user "$(id -u)" -exec touch -h -d "@$1" {} +
}

# Gives one date to what is copied to a slim image: `BUILT` in dates.rs.
date_slim() { find /slim -exec touch -h -d @315792000 {} +; }
