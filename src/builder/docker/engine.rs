//! What `docker` says of the engine itself: its platform for the plan, and why a call failed.

use std::path::PathBuf;

use serde_json::Value;

use crate::builder::inspect::without_warnings;
use crate::error::{Error, Result};
use crate::image::platform::Platform;
use crate::system::environment::variable;

/// Whether the engine surely has this machine's architecture: it is reached by a local socket on Linux, with no context
/// in between. Any other engine may be in a virtual machine or on another host, and is asked.
pub(crate) fn engine_is_this_machine() -> bool {
    if !cfg!(target_os = "linux") {
        return false;
    }
    match variable("DOCKER_HOST") {
        Some(host) => host.starts_with("unix://"),
        None => variable("DOCKER_CONTEXT").is_none() && !names_a_context(),
    }
}

/// Whether docker's configuration selects a context.
fn names_a_context() -> bool {
    let folder = std::env::var_os("DOCKER_CONFIG")
        .map(PathBuf::from)
        .or_else(|| std::env::home_dir().map(|home| home.join(".docker")));
    let text = folder.and_then(|folder| std::fs::read_to_string(folder.join("config.json")).ok());
    let config: Option<serde_json::Value> = text.and_then(|text| serde_json::from_str(&text).ok());
    config
        .as_ref()
        .and_then(|config| config.get("currentContext")?.as_str())
        .is_some_and(|context| !context.is_empty() && context != "default")
}

/// The engine's platform, from `docker version --format '{{json .Server}}'`.
pub(super) fn server_platform(json: &str) -> Result<Platform> {
    let server: Value = serde_json::from_str(json)
        .map_err(|error| Error::failed("cannot understand `docker version`").because(error))?;
    let text = |key: &str| server.get(key).and_then(Value::as_str);
    match (text("Os"), text("Arch")) {
        (Some(os), Some(architecture)) => Ok(Platform::new(os, architecture, None)),
        _ => Err(Error::failed("`docker version` does not tell the engine's platform").because(json.trim())),
    }
}

/// Whether `docker create --pull never --platform` failed because the image is not there for that platform.
pub(super) fn is_for_another_platform(stderr: &str) -> bool {
    let said = |words: &str| stderr.to_lowercase().contains(words);
    said("no such image")
        || said("does not match the specified platform")
        || said("does not provide the specified platform")
}

/// Whether the engine, or the builder, ended while it was building.
pub(super) fn is_gone(error: &str) -> bool {
    let words = [
        "Cannot connect to the Docker daemon",
        "failed to receive status",
        "code = Unavailable",
        "error reading from server",
        "connection reset by peer",
        "server preface",
    ];
    words.iter().any(|words| error.contains(words))
}

/// Whether the builder takes a step from its cache and then lacks what the step made. A build that was ended while its
/// result was exported can leave such a cache for good (moby/buildkit#6808, seen with 26.1).
pub(super) fn has_a_broken_cache(error: &str) -> bool {
    let lacks_a_snapshot = error.contains("snapshot ") && error.contains("does not exist: not found");
    lacks_a_snapshot || error.contains("layer does not exist")
}

/// The error of an engine that ended while it was building.
pub(super) fn gone(name: &str, cause: &str) -> Error {
    let error = engine_failure(&format!("the engine went away while it built `{name}`"), cause);
    error.hint("see that the engine runs, and run again: what it built before stays")
}

/// The error of a call to the engine, with a hint by what the engine said.
pub(crate) fn engine_failure(doing: &str, stderr: &str) -> Error {
    let stderr = without_warnings(stderr);
    let said = |words: &[&str]| words.iter().any(|word| stderr.to_lowercase().contains(word));
    let error = Error::failed(doing).because(stderr.clone());
    if said(&["permission denied"]) {
        error.hint("you may not use the engine's socket: run as a member of the group `docker`")
    } else if said(&["cannot connect", "is the docker daemon running", "connection refused", "no such host"]) {
        error.hint("start the Docker engine, or name one with DOCKER_HOST; `docker info` tells whether it answers")
    } else if said(&["is not a docker command", "unknown command", "unknown flag"]) {
        error.hint("install the buildx plug-in of Docker (package `docker-buildx` or `docker-buildx-plugin`)")
    } else if said(&["no builder"]) {
        error.hint("`docker buildx ls` lists the builders there are")
    } else {
        error
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_engine_that_does_not_answer_is_an_error_with_a_hint() {
        let stderr = "Cannot connect to the Docker daemon at unix:///x.sock. Is the docker daemon running?\n";
        let error = engine_failure("cannot ask", stderr);
        assert!(error.hint_text().is_some_and(|hint| hint.contains("DOCKER_HOST")));
    }
}
