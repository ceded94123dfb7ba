# `cargo-runtime-image` and `cargo runtime-image` are completed alike; all else after `cargo` as it was before.
_cargo_runtime_image_words() {
    COMP_WORDS=(cargo_runtime_image "${COMP_WORDS[@]:$1}")
    COMP_CWORD=$((COMP_CWORD - $1 + 1))
    _cargo_runtime_image cargo_runtime_image "${COMP_WORDS[COMP_CWORD]}" "${COMP_WORDS[COMP_CWORD - 1]}"
}

_cargo_runtime_image_directly() {
    _cargo_runtime_image_words 1
}

_cargo_runtime_image_through_cargo() {
    if [[ $COMP_CWORD -gt 1 && ${COMP_WORDS[1]} == runtime-image ]]; then
        _cargo_runtime_image_words 2
    elif [[ -n $_cargo_runtime_image_otherwise ]]; then
        "$_cargo_runtime_image_otherwise" "$@"
    elif [[ $COMP_CWORD -eq 1 ]]; then
        mapfile -t COMPREPLY < <(compgen -W runtime-image -- "${COMP_WORDS[1]}")
    fi
}

# bash-completion loads what it knows of a command when it is first asked.
if ! complete -p cargo &>/dev/null && declare -F _completion_loader >/dev/null; then
    _completion_loader cargo
fi
if [[ $(complete -p cargo 2>/dev/null) =~ \ -F\ ([^ ]+) && ${BASH_REMATCH[1]} != _cargo_runtime_image_through_cargo ]]; then
    _cargo_runtime_image_otherwise=${BASH_REMATCH[1]}
fi
complete -r cargo_runtime_image
complete -F _cargo_runtime_image_directly -o bashdefault -o default cargo-runtime-image
complete -F _cargo_runtime_image_through_cargo -o bashdefault -o default cargo
