# Shared by the steps that build sources: a seed is what Cargo made of the local packages in an earlier build on the same
# dependencies. The builder keeps it at /run/seed; without it all packages are compiled, to the same bytes.
#
# Cargo goes by dates, and sources have dates of the past whatever they hold. So a seed has a list of the files that it was
# made of. What was made of a package with other files now is taken out of it, with what was made of packages that depend
# on it, and Cargo compiles that anew. /run/seed-lists has the files, a digest and a path a line, and the packages: name,
# folder and the packages that it needs, parted by tabs.
# shellcheck shell=sh source-path=SCRIPTDIR source=cargo.sh
. /run/steps/cargo.sh

seed=/run/seed/kept
lists=/run/seed-lists

has_seeds() {
    [ -d /run/seed ] && [ -e "$target/.runtime-image-compiled" ] &&
        command -v awk >/dev/null && command -v tar >/dev/null
}

# What decides how packages are compiled, besides their files. Arguments: the commands.
seed_key() {
    {
        printf '%s\0' "$@"
        cat "$target/.runtime-image-compiled" "$lists/packages"
        env -0 | sort -z | grep -zv '^\(OLDPWD\|PWD\|SHLVL\|_\)='
        grep -E '[ /](Cargo\.(toml|lock)|rust-toolchain(\.toml)?|\.cargo/.*)$' "$lists/files"
    } | b2sum
}

# shellcheck disable=SC2016 # awk's variables
# A function of awk: the package whose folder is the nearest one above a file.
package_of='
    function package_of(path) {
        while (sub("/[^/]*$", "", path)) if (path in package) return package[path]
        return package["."]
    }
    FILENAME == packages { package[$2] = $1; needs[$1] = " " $3 " "; next }'

# The packages that the seed has nothing of any more, a line each. Fails where a file belongs to none: any may read it.
stale_packages() {
    awk -F '\t' -v packages="$lists/packages" -v reads="$seed/reads" -v before="$seed/files" "$package_of"'
        function lose(name, other) {
            if (name in stale) return
            stale[name]
            for (other in needs) if (index(needs[other], " " name " ")) lose(other)
        }
        FILENAME == reads { readers[$2] = readers[$2] $1 "\t"; next }
        { path = substr($0, 66) }
        FILENAME == before { digest[path] = $0; next }
        digest[path] != $0 { changed[path] }
        { delete digest[path] }
        END {
            for (path in digest) changed[path]
            for (path in changed) {
                if ((name = package_of(path)) == "") exit 1
                lose(name)
                for (read in readers) if (read == "." || read == path || index(path, read "/") == 1) {
                    count = split(readers[read], names, "\t")
                    for (place = 1; place < count; place++) lose(names[place])
                }
            }
            for (name in stale) print name
        }' "$lists/packages" "$seed/reads" "$seed/files" "$lists/files"
}

# Puts what the seed has of unchanged packages into the target folder. Arguments: the commands.
restore_seed() {
    has_seeds && [ -d "$seed" ] && [ "$(cat "$seed/key")" = "$(seed_key "$@")" ] || return 1
    stale_packages >/dev/shm/stale || return 1
    # From here on nothing is as if there were no seed.
    for part in .fingerprint build; do
        while read -r name; do
            find "$seed/target" -mindepth 3 -maxdepth 4 -path "*/$part/*" -name "$name-????????????????" \
                -exec rm -rf {} + || exit 1
        done </dev/shm/stale
    done
    mkdir -p "$target" && cp -R --preserve=mode,timestamps,links "$seed/target/." "$target" || exit 1
    cp -p "$seed/executables" "$executables" || exit 1
    echo "$(wc -l </dev/shm/stale) of $(wc -l <"$lists/packages") packages are compiled anew"
}

# What packages are made of, as compilers and build scripts tell: a file of the package and a path a line, parted by a
# tab. Argument: what is kept of the target folder.
told_reads() {
    # After the file that is made come the crate's root and all others, parted by spaces; a space in one is `\ `.
    find "$1" -name '*.d' -exec cat {} + | sed 's/\\ /\o001/g' |
        awk '/^[^#]/ { for (place = 3; place <= NF; place++) print $2 "\t" $place }' | tr '\001' ' '
    find "$1" -path '*/build/*/output' | while read -r output; do
        name=${output%/output}
        name=${name##*/}
        awk -F '\t' -v name="${name%-*}" -v root="$root" '
            FNR == NR { if ($1 == name) folder = root "/" $2 "/"; next }
            folder && sub(/^cargo::?rerun-if-changed=/, "") {
                print folder "Cargo.toml\t" (index($0, "/") == 1 ? "" : folder) $0
            }' "$lists/packages" "$output"
    done
}

# The packages that are made of files of others: a package and a path a line, as it is spelled and where links lead. A
# folder that a build script reads can hold other packages.
foreign_reads() {
    root=$(cd "$top" && pwd)
    told_reads "$1" | sort -u >/dev/shm/told
    for links in --no-symlinks --physical; do
        for column in 1 2; do
            cut -f "$column" /dev/shm/told | tr '\n' '\0' |
                xargs -0r realpath -m "$links" --relative-base="$root" -- >"/dev/shm/column$column"
        done
        paste /dev/shm/column1 /dev/shm/column2
    done | awk -F '\t' -v packages="$lists/packages" "$package_of"'
        $1 ~ /Cargo.toml$/ || package_of($1) != package_of($2) { print package_of($1) "\t" $2 }' "$lists/packages" - | sort -u
}

# Keeps what Cargo made of the packages for the next build. Arguments: the commands.
keep_seed() {
    has_seeds && [ -d "$target" ] && [ -e "$executables" ] || return 0
    next=/run/seed/next
    rm -rf "$next"
    mkdir -p "$next/target"
    # What Cargo made that is newer than all that the dependencies left: `LEFT` in dates.rs.
    (
        cd "$target" || exit 1
        for prints in */.fingerprint */*/.fingerprint; do
            for part in .fingerprint build deps examples; do
                part=${prints%.fingerprint}$part
                [ ! -d "$part" ] || find "$part" -newermt @315532800 -print0
            done
        done | tar --create --null --no-recursion --files-from - --file -
    ) | tar --extract --directory "$next/target" --file -
    foreign_reads "$next/target" >"$next/reads"
    seed_key "$@" >"$next/key"
    cp -p "$executables" "$next/executables"
    cp "$lists/files" "$next/files"
    rm -rf "$seed"
    mv "$next" "$seed"
}
