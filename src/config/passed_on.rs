//! Arguments after `--`: which of them are passed on to the builder, and what they are about.

use crate::image::labels;

/// Arguments with their values, `--flag=value`, however they were written.
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

/// Whether an argument for buildx turns provenance on or off.
pub(crate) fn is_about_provenance(argument: &str) -> bool {
    argument.starts_with("--provenance") || (argument.starts_with("--attest") && argument.contains("type=provenance"))
}

/// Whether the value of an attestation's argument says that it is not to be made.
pub(crate) fn turns_off(argument: &str) -> bool {
    let value = argument.split_once('=').map_or(String::new(), |(_, value)| value.to_lowercase());
    let disabled = ["disabled=true", "disabled=t", "disabled=1"];
    ["false", "f", "0"].contains(&value.as_str()) || value.split(',').any(|field| disabled.contains(&field))
}

/// Whether an argument for buildx turns an attestation on or off.
pub(crate) fn is_about_attestations(argument: &str) -> bool {
    ["--provenance", "--sbom", "--attest"].iter().any(|flag| argument.starts_with(flag))
}

/// What buildx must be told by this tool alone: otherwise the result is not what was named and confirmed, or there is none.
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
