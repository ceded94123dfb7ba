//! Arguments after `--`: which of them are passed on to the builder, and what they are about. Part of the first step of
//! the way, from arguments to options.

use crate::config::values::turns_off;
use crate::image::labels;
use crate::redact::redacted_arguments;

/// The arguments, each value joined to its flag as `--flag=value`, so that both spellings are the same input.
pub(crate) fn with_joined_values(arguments: Vec<String>) -> Vec<String> {
    let mut joined: Vec<String> = Vec::new();
    let mut may_have_value = false;
    for argument in arguments {
        if may_have_value
            && !argument.starts_with('-')
            && let Some(flag) = joined.last_mut()
        {
            *flag = format!("{flag}={argument}");
            may_have_value = false;
        } else {
            may_have_value = argument.starts_with("--") && !argument.contains('=');
            joined.push(argument);
        }
    }
    joined
}

/// An argument as it is told of, without what is secret in it.
pub(crate) fn shown(argument: &str) -> String {
    redacted_arguments([argument.into()]).concat()
}

/// Whether an argument for buildx turns provenance on or off.
pub(crate) fn is_about_provenance(argument: &str) -> bool {
    argument.starts_with("--provenance") || (argument.starts_with("--attest") && argument.contains("type=provenance"))
}

/// Whether an argument about attestations turns its attestation off.
pub(crate) fn is_turned_off(argument: &str) -> bool {
    let value = argument.split_once('=').map_or("", |(_, value)| value);
    let disables =
        |field: &str| field.split_once('=').is_some_and(|(name, value)| name == "disabled" && !turns_off(value));
    turns_off(value) || value.split(',').any(disables)
}

/// Whether an argument for buildx turns an attestation on or off.
pub(crate) fn is_about_attestations(argument: &str) -> bool {
    ["--provenance", "--sbom", "--attest"].iter().any(|flag| argument.starts_with(flag))
}

/// Whether this tool alone may give buildx this argument. From a user, it could make another image than the named one,
/// or none at all.
pub(crate) fn is_ours(argument: &str) -> bool {
    let (name, value) = argument.split_once('=').unwrap_or((argument, ""));
    matches!(
        name,
        "--tag"
            | "--file"
            | "--metadata-file"
            | "--iidfile"
            | "--target"
            | "--output"
            | "--load"
            | "--push"
            | "--platform"
            | "--builder"
            | "--build-arg"
            | "--build-context"
            | "--call"
            | "--check"
            | "--invoke"
            | "--print"
            | "--quiet"
            | "--help"
    ) || (name == "--label" && [labels::OWN, labels::BASE].iter().any(|prefix| value.starts_with(prefix)))
}
