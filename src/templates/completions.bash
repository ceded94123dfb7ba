# `cargo runtime-image` as well: its words are completed as those of cargo-runtime-image, all others as they were before.
_cargo_runtime_image_before=$(complete -p cargo 2>/dev/null)
if [[ -z $_cargo_runtime_image_before ]] && declare -F _completion_loader >/dev/null; then
    _completion_loader cargo
    _cargo_runtime_image_before=$(complete -p cargo 2>/dev/null)
fi
if [[ $_cargo_runtime_image_before =~ -F\ ([^ ]+) && ${BASH_REMATCH[1]} != _cargo_with_runtime_image ]]; then
    _cargo_runtime_image_before=${BASH_REMATCH[1]}
else
    _cargo_runtime_image_before=${_cargo_runtime_image_otherwise:-}
fi
_cargo_runtime_image_otherwise=$_cargo_runtime_image_before
unset _cargo_runtime_image_before

_cargo_with_runtime_image() {
    if [[ ${COMP_WORDS[1]} == runtime-image && $COMP_CWORD -gt 1 ]]; then
        COMP_WORDS=(cargo-runtime-image "${COMP_WORDS[@]:2}")
        COMP_CWORD=$((COMP_CWORD - 1))
        _cargo-runtime-image cargo-runtime-image "${COMP_WORDS[COMP_CWORD]}" "${COMP_WORDS[COMP_CWORD - 1]}"
    elif [[ -n $_cargo_runtime_image_otherwise ]]; then
        "$_cargo_runtime_image_otherwise" "$@"
    elif [[ $COMP_CWORD -eq 1 ]]; then
        mapfile -t COMPREPLY < <(compgen -W runtime-image -- "${COMP_WORDS[1]}")
    fi
}
complete -F _cargo_with_runtime_image -o bashdefault -o default cargo
