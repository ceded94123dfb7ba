# Shared by the steps that run Cargo: where it builds, what is copied for it, and the dates of what it leaves.
#
# All that a step makes gets one date, so that the same inputs make the same layer. Cargo goes by these dates: nothing
# may look newer than what was made of it, and what is to be built must look newer than what an earlier step left,
# whatever the clocks of the machines.
# shellcheck shell=sh source-path=SCRIPTDIR source=common.sh
. /run/steps/common.sh

target=${CARGO_TARGET_DIR:-${CARGO_BUILD_TARGET_DIR:-${RUNTIME_IMAGE_TARGET:-target}}}
case $target in /*) ;; *) target=./$target ;; esac

# Where `deps` and `code` are copied to: here, or to a folder around this one.
top=${RUNTIME_IMAGE_TOP:-.}

# What was built to be run, a path a line, in the order of the commands that built it.
# shellcheck disable=SC2034 # two steps read it
executables=$target/.executables

# What turns a command of Cargo into one of `cargo auditable`, which writes into programs which crates they are built of.
# Of its first argument (0.7.1) it takes no note: were that `--locked`, it would write Cargo.lock in Cargo's own spelling.
auditable=
[ ! -e /run/deps/.runtime-image-auditable ] || auditable="auditable --config http.debug=false"

# Tells of a base image with another Rust than the toolchain file wants: without rustup Cargo reads no such file.
warn_of_other_rust() {
    if [ -e /run/deps/.runtime-image-toolchain ] && ! command -v rustup >/dev/null; then
        wanted=$(cat /run/deps/.runtime-image-toolchain)
        version=$(rustc --version | cut -d " " -f 2)
        case $version. in
        . | "$wanted".*) ;;
        *) echo "warning: the toolchain file wants Rust $wanted, and the base image has $version and no rustup" >&2 ;;
        esac
    fi
}

# Marks the time after which files are new. Only root can date `/tmp`, so temporary files of other users go elsewhere.
start() {
    warn_of_other_rust
    start_dating
    if [ "$(id -u)" != 0 ]; then
        export TMPDIR="$PWD/.runtime-image-tmp"
        mkdir "$TMPDIR"
    fi
}

# Copies the folder `deps` or `code` to the top, with the dates that `dates.rs` has for its files, a date and a path before each
# NUL. Folders get a constant date, because BuildKit does not keep the dates of folders when it is sent a change.
copy() {
    cp -R --preserve=mode,timestamps "/run/$1/." "$top"
    (cd "/run/$1" && find . -type d -print0) | (cd "$top" && xargs -0 touch -d @1)
    dates=/run/deps/.runtime-image-dates-$1
    sed -z 's/ .*//' "$dates" | tr '\0' '\n' | sort -u | while read -r date; do
        sed -nz "s/^$date //p" "$dates" | (cd "$top" && xargs -0 touch -c -d "@$date" --)
    done
}

# Runs a command of Cargo, which may not choose other versions than the lock file. Argument: the command, as shell text.
run_cargo() {
    # Cargo takes a toolchain, such as `+stable`, as its first word alone.
    case $1 in
    +*) toolchain=${1%%[[:space:]]*} ;;
    *) toolchain= ;;
    esac
    # A target that the user chooses, in the command or elsewhere, wins.
    targets=
    if [ "${RUNTIME_IMAGE_CROSS-}" ] && [ ! "${CARGO_BUILD_TARGET-}" ]; then
        targets="--config 'build.target=[\"$(echo "$RUNTIME_IMAGE_CROSS" | sed 's/,/","/g')\"]'"
    fi
    sh -euc "cargo $toolchain $auditable $targets --locked ${1#"$toolchain"}"
}

# Gives every file that is new since `start` one date. Argument: the date, in seconds after the epoch.
finish() {
    if [ -d "$target" ] && command -v perl >/dev/null; then
        find "$target" -path "*/.fingerprint/*/dep-*" -type f -newer /dev/shm/started \
            -exec perl /run/steps/sort-file-lists.pl {} +
    fi
    if [ "$(id -u)" != 0 ]; then
        rm -rf "$TMPDIR"
    fi
    rm -f "${CARGO_HOME:-$HOME/.cargo}/.global-cache"
    date_what_is_new "$1"
}
