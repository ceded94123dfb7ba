//! The Dockerfile, from a template and what was decided.

use minijinja::value::Serde;
use minijinja::{Environment, UndefinedBehavior};
use serde::Serialize;

use crate::error::{Error, Result};

/// The built-in template of the cargo kind.
const CARGO: &str = include_str!("templates/cargo.Dockerfile.j2");

/// The parts of a two-stage Dockerfile, each rendered on its own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Dockerfile {
    /// Base image, system packages, toolchain, extra dependencies; opens the stage `deps`.
    pub system: String,
    /// The project's dependencies, compiled; ends the stage `deps`.
    pub dependencies: String,
    /// The project itself; the stage `runtime`.
    pub runtime: String,
}

impl Dockerfile {
    /// Renders the template of the cargo kind.
    ///
    /// # Errors
    /// When the template refers to something that `context` does not hold.
    pub fn cargo(context: &impl Serialize) -> Result<Self> {
        let wrong = |error| Error::failed("cannot render the Dockerfile template").because(error);
        let mut environment = Environment::new();
        environment.set_undefined_behavior(UndefinedBehavior::Strict);
        environment.add_filter("quoted", quoted);
        environment.add_filter("json", json);
        let template = environment.template_from_named_str("cargo.Dockerfile.j2", CARGO).map_err(wrong)?;
        let mut rendered = template.render_captured(Serde(context)).map_err(wrong)?;
        let mut block = |name: &str| rendered.with_state_mut(|state| state.render_block(name)).map_err(wrong);
        Ok(Self { system: block("system")?, dependencies: block("dependencies")?, runtime: block("runtime")? })
    }
}

/// `LABEL` lines, one a label. Values are taken literally: nothing in them is expanded.
pub fn labels<'a>(labels: impl IntoIterator<Item = (&'a str, &'a str)>) -> String {
    let line = |(name, value)| format!("LABEL {}={}\n", quoted(name), quoted(value).replace('$', "\\$"));
    labels.into_iter().map(line).collect::<Vec<_>>().concat()
}

/// A word in double quotes as Dockerfiles read them; `$NAME` in it is still expanded.
fn quoted(text: &str) -> String {
    let escaped = text.replace('\\', r"\\").replace('"', "\\\"").replace(['\n', '\r'], " ");
    format!("\"{escaped}\"")
}

/// A JSON string, for the exec form of an instruction.
fn json(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_are_literal_whatever_they_hold() {
        let text = labels([("title", "a \"b\" $HOME \\ c\nd")]);
        assert_eq!(text, "LABEL \"title\"=\"a \\\"b\\\" \\$HOME \\\\ c d\"\n");
    }
}
