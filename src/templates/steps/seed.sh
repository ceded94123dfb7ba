# Shared by the steps that build sources: a seed is what Cargo made of the local packages in an earlier build on the same
# dependencies. The builder keeps it at /run/seed; without it all packages are compiled, to the same bytes.
#
# Cargo goes by dates, and sources have dates of the past whatever they hold. So a seed has a list of the files that it was
# made of. What was made of a package with other files now is taken out of it, with what was made of packages that depend
# on it, and Cargo compiles that anew. /run/seed-lists has the files, a digest and a path a line, and the packages: name,
# folder, the packages that it needs and its targets, parted by tabs.
# shellcheck shell=sh source-path=SCRIPTDIR source=cargo.sh
. /run/steps/cargo.sh

seed=/run/seed/kept
lists=/run/seed-lists

has_seeds() {
    [ -w /run/seed ] && [ -e "$target/.runtime-image-compiled" ] &&
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
    has_seeds || return 1
    key=$(seed_key "$@")
    [ -d "$seed" ] && [ "$(cat "$seed/key")" = "$key" ] && stale_packages >/dev/shm/stale || return 1
    hash='????????????????'
    sed "s|.*|*/.fingerprint/&-$hash\n*/build/&-$hash|" /dev/shm/stale >/dev/shm/left-out
    mkdir -p "$target"
    if ! { tar --extract --directory "$target" --exclude-from /dev/shm/left-out --file "$seed/target.tar" &&
        cp -p "$seed/executables" "$executables"; }; then
        rm -rf "$seed"
        echo "error: what an earlier build has compiled cannot be read, and is removed: build again" >&2
        exit 1
    fi
    echo "$(wc -l </dev/shm/stale) of $(wc -l <"$lists/packages") packages are compiled anew"
}

# What packages are made of, as compilers and build scripts tell: a file of the package and a path a line, parted by a
# tab.
told_reads() {
    # After the file that is made come the crate's root and all others, parted by spaces; a space in one is `\ `.
    (cd "$target" && made_by_cargo -name '*.d' | xargs -0r cat) | sed 's/\\ /\o001/g' |
        awk '/^[^#]/ { for (place = 3; place <= NF; place++) print $2 "\t" $place }' | tr '\001' ' '
    (cd "$target" && made_by_cargo -path '*/build/*/output' | tr '\0' '\n') | while read -r output; do
        name=${output%/output}
        name=${name##*/}
        awk -F '\t' -v name="${name%-*}" -v root="$root" '
            FNR == NR { if ($1 == name) folder = root "/" $2 "/"; next }
            folder && sub(/^cargo::?rerun-if-changed=/, "") {
                print folder "Cargo.toml\t" (index($0, "/") == 1 ? "" : folder) $0
            }' "$lists/packages" "$target/$output"
    done
}

# The packages that are made of files of others: a package and a path a line, as it is spelled and where links lead. A
# folder that a build script reads can hold other packages.
foreign_reads() {
    root=$(cd "$top" && pwd)
    told_reads | sort -u >/dev/shm/told || return 1
    : >/dev/shm/reads
    for links in --no-symlinks --physical; do
        for column in 1 2; do
            cut -f "$column" /dev/shm/told | tr '\n' '\0' |
                xargs -0r realpath -m "$links" --relative-base="$root" -- >"/dev/shm/column$column" || return 1
        done
        paste /dev/shm/column1 /dev/shm/column2 >>/dev/shm/reads || return 1
    done
    awk -F '\t' -v packages="$lists/packages" "$package_of"'
        $1 ~ /Cargo.toml$/ || package_of($1) != package_of($2) { print package_of($1) "\t" $2 }' "$lists/packages" /dev/shm/reads |
        sort -u
}

# The files and folders that Cargo itself has made and that are newer than all that the dependencies left (`LEFT` in
# dates.rs), in the target folder, each with a NUL.
made_by_cargo() {
    for prints in */.fingerprint */*/.fingerprint; do
        for part in .fingerprint build deps examples; do
            part=${prints%.fingerprint}$part
            [ ! -d "$part" ] || find "$part" -newermt @315532800 "$@" -print0
        done
    done
}

# Keeps what Cargo made of the packages for the next build, once `restore_seed` has looked for what an earlier one kept. No
# build fails for that.
keep_seed() {
    has_seeds && [ -e "$executables" ] || return 0
    next=/run/seed/next
    if ! { rm -rf "$next" && mkdir "$next" && echo "$key" >"$next/key" && foreign_reads >"$next/reads" &&
        cp -p "$executables" "$next/executables" && cp "$lists/files" "$next/files" &&
        (cd "$target" && made_by_cargo >/dev/shm/made && tar --create --file "$next/target.tar" --null --no-recursion \
            --files-from /dev/shm/made) && rm -rf "$seed" && mv "$next" "$seed"; }; then
        rm -rf "$next"
        echo "warning: what was compiled cannot be kept for the next build" >&2
    fi
}
