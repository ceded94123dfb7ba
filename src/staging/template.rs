//! The Dockerfile, rendered from a template: for the hashes when a project is read, and for the build folder when
//! there is a plan.

use std::borrow::Cow;
use std::collections::HashSet;

use minijinja::value::{Serde, Value};
use minijinja::{Environment, ErrorKind, UndefinedBehavior, context};
use serde::Serialize;

use crate::error::{Error, Result};
use crate::image::labels::ImageLabels;
use crate::image::tags::{BuildFromImageType, Tiers};
use crate::staging::steps::shell_words;
use crate::system::interrupt::Interrupt;

const CARGO: &str = include_str!("../templates/cargo.Dockerfile.j2");

const CUSTOM: &str = include_str!("../templates/custom.Dockerfile.j2");

/// What the built-in templates have in common.
const INCLUDED: [(&str, &str); 4] = [
    ("system.j2", include_str!("../templates/system.j2")),
    ("user.j2", include_str!("../templates/user.j2")),
    ("slim.j2", include_str!("../templates/slim.j2")),
    ("start.j2", include_str!("../templates/start.j2")),
];

/// What a template may do: instructions that it runs, and bytes that it writes or puts together. That is a thousand
/// times what the largest template of OpenHands does, and is done in a second or two.
const FUEL: u64 = 5_000_000;

/// The largest template, in bytes: many times that of OpenHands.
const LARGEST: usize = 128 << 10;

/// The stack for parsing and rendering, of which a template uses what it needs.
const STACK: usize = 512 << 20;

/// A Jinja template of a Dockerfile, with the values of its variables.
#[derive(Debug, Clone)]
pub struct Template {
    name: String,
    text: Cow<'static, str>,
    context: Value,
    undefined: UndefinedBehavior,
    interrupt: Interrupt,
}

/// Who gives the files of an image their dates.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum FileDates {
    /// The template's steps: all that they leave has a date that is the same at every build.
    #[default]
    Constant,
    /// Each command that makes a file. Such dates may matter, as those of Python's compiled modules do.
    OfTheirMaking,
}

/// The text of a Dockerfile, in the parts that are hashed for different names.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Parts {
    /// Base image, system packages, toolchain, extra dependencies.
    pub system: String,
    /// The project's dependencies; ends the stage `deps`, where there is one.
    pub dependencies: String,
    /// The project itself.
    pub runtime: String,
}

impl Template {
    /// The template of the cargo kind.
    pub fn cargo(context: &impl Serialize) -> Self {
        Self::strict("cargo.Dockerfile.j2", CARGO, context)
    }

    /// The custom kind's built-in template.
    pub fn custom(context: &impl Serialize) -> Self {
        Self::strict("custom.Dockerfile.j2", CUSTOM, context)
    }

    /// A template in which a variable that does not exist is an error. `name` is how errors call it.
    pub fn strict(name: &str, text: impl Into<Cow<'static, str>>, context: &impl Serialize) -> Self {
        Self {
            name: name.to_owned(),
            text: text.into(),
            context: Value::from(Serde(context)),
            undefined: UndefinedBehavior::Strict,
            interrupt: Interrupt::default(),
        }
    }

    /// A template in which a variable that does not exist is empty, as Jinja has it.
    pub fn lenient(name: &str, text: String, context: &impl Serialize) -> Self {
        Self { undefined: UndefinedBehavior::Lenient, ..Self::strict(name, text, context) }
    }

    /// The same template, for an image of these binaries alone that starts with `cmd`.
    #[must_use]
    pub fn of_binaries(self, binaries: &[String], cmd: Option<String>) -> Self {
        let context = context! { binaries => Value::from(Serde(binaries)), cmd, checks_inputs => true, ..self.context };
        Self { context, ..self }
    }

    /// The same template, with these mounts for the step that builds the sources. They are in no hash.
    #[must_use]
    pub fn with_seed(&self, mounts: String) -> Self {
        Self { context: context! { seed => mounts, ..self.context.clone() }, ..self.clone() }
    }

    /// The same template, which is not waited for any more when a signal comes in.
    #[must_use]
    pub fn ended_by(self, interrupt: &Interrupt) -> Self {
        Self { interrupt: interrupt.clone(), ..self }
    }

    /// What errors call the template.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The template's text.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The Dockerfile that starts with `image`.
    ///
    /// # Errors
    /// When the template is wrong, or refers to a variable that does not exist.
    pub fn render(&self, from: BuildFromImageType, image: &str, labels: &ImageLabels) -> Result<String> {
        self.rendered(Self::values(from, image, labels, &self.context))
    }

    /// The Dockerfile that starts with the base image, as it is hashed: without labels and mounts of secrets.
    ///
    /// # Errors
    /// As [`render`](Self::render).
    pub fn hashed(&self, base_image: &str) -> Result<String> {
        self.rendered(self.hashed_values(base_image))
    }

    /// The Dockerfile as it is hashed, in the template's blocks `system`, `dependencies` and `runtime`.
    ///
    /// # Errors
    /// As [`render`](Self::render).
    pub fn hashed_blocks(&self, base_image: &str) -> Result<Parts> {
        let values = self.hashed_values(base_image);
        self.with_parsed(|template| {
            let mut rendered = template.render_captured(values)?;
            let mut block = |name: &str| rendered.with_state_mut(|state| state.render_block(name));
            Ok(Parts { system: block("system")?, dependencies: block("dependencies")?, runtime: block("runtime")? })
        })
    }

    /// The variables that the template looks at and does not set itself.
    ///
    /// # Errors
    /// When the template is wrong.
    pub fn variables(&self) -> Result<HashSet<String>> {
        self.with_parsed(|template| Ok(template.undeclared_variables(false)))
    }

    /// The earlier images that the template's images can be built on. With `has_deps_stage`, the dependencies are an
    /// image of their own.
    ///
    /// A template of one stage that does not ask what it starts from would keep files of an earlier image that are
    /// gone by now. One that asks for `build_from_scratch` alone leaves out changed dependencies where that is false.
    ///
    /// # Errors
    /// When the template is wrong.
    pub fn tiers(&self, has_deps_stage: bool, unlabelled: bool) -> Result<Tiers> {
        let variables = self.variables()?;
        let [scratch, versioned] =
            ["build_from_scratch", "build_from_versioned"].map(|variable| variables.contains(variable));
        Ok(Tiers {
            lock: has_deps_stage || scratch || versioned,
            versioned: versioned || (has_deps_stage && !scratch),
            unlabelled,
        })
    }

    fn rendered(&self, values: Value) -> Result<String> {
        self.with_parsed(|template| template.render(values))
    }

    /// Parses the template for `work`, on a stack of its own: both go down as deep as the template is nested. A signal
    /// is obeyed meanwhile.
    fn with_parsed<T: Send + 'static>(
        &self,
        work: impl FnOnce(&minijinja::Template<'_, '_>) -> Result<T, minijinja::Error> + Send + 'static,
    ) -> Result<T> {
        if self.text.len() > LARGEST {
            let size = LARGEST >> 10;
            return Err(Error::usage(format!("the template `{}` holds more than {size} KiB", self.name))
                .hint("put long texts into files of the project, and copy them from `code/` or `deps/`"));
        }
        let template = self.clone();
        self.interrupt.unless_interrupted(STACK, move || {
            let environment = template.environment()?;
            let parsed = environment.get_template(&template.name).map_err(|error| template.wrong(&error))?;
            work(&parsed).map_err(|error| template.wrong(&error))
        })?
    }

    fn values(from: BuildFromImageType, image: &str, labels: &ImageLabels, context: &Value) -> Value {
        context! {
            base_image => image,
            build_from_scratch => from == BuildFromImageType::Scratch,
            build_from_versioned => from == BuildFromImageType::Versioned,
            deps_labels => Value::from(Serde(&labels.dependencies)),
            labels => Value::from(Serde(&labels.finished)),
            ..context.clone()
        }
    }

    fn hashed_values(&self, base_image: &str) -> Value {
        let context = context! { mounts => "", trust => "", ..self.context.clone() };
        Self::values(BuildFromImageType::Scratch, base_image, &ImageLabels::default(), &context)
    }

    fn environment(&self) -> Result<Environment<'_>> {
        let mut environment = Environment::new();
        environment.set_fuel(Some(FUEL));
        environment.set_undefined_behavior(self.undefined);
        environment.set_unknown_method_callback(minijinja_contrib::pycompat::unknown_method_callback);
        environment.add_filter("quoted", quoted);
        environment.add_filter("literal", literal);
        environment.add_filter("json", json);
        environment.add_filter("words", |words: Vec<String>| shell_words(&words));
        for (name, text) in INCLUDED.into_iter().chain([(self.name.as_str(), &*self.text)]) {
            environment.add_template(name, text).map_err(|error| self.wrong(&error))?;
        }
        Ok(environment)
    }

    fn wrong(&self, error: &minijinja::Error) -> Error {
        let place = match error.line() {
            Some(line) => format!("`{}`, line {line}", error.name().unwrap_or(&self.name)),
            None => format!("`{}`", self.name),
        };
        if error.kind() == ErrorKind::UndefinedError {
            let source = error.template_source().unwrap_or(&self.text);
            let expression = error.range().and_then(|range| source.get(range)).unwrap_or("a variable");
            let known = self.hashed_values("").try_iter().map(|names| {
                let mut names: Vec<String> = names.map(|name| name.to_string()).collect();
                names.sort();
                names.dedup();
                names.join(", ")
            });
            return Error::usage(format!("{place}: `{expression}` is not defined"))
                .hint(format!("a template sees {}", known.unwrap_or_default()));
        }
        if error.kind() == ErrorKind::OutOfFuel {
            return Error::usage(format!("{place}: the template does more than a Dockerfile can need"))
                .hint("see whether loops in loops, or texts that grow in a loop, are meant");
        }
        let what = error.detail().map_or_else(|| error.kind().to_string(), str::to_owned);
        Error::usage(format!("{place}: {what}")).hint("templates are written in Jinja, as minijinja understands it")
    }
}

/// A word in double quotes as Dockerfiles read them; `$NAME` in it is still expanded.
fn quoted(text: &str) -> String {
    let escaped = text.replace('\\', r"\\").replace('"', "\\\"").replace(['\n', '\r'], " ");
    format!("\"{escaped}\"")
}

/// A word in double quotes as Dockerfiles read them, in which nothing is expanded.
fn literal(text: &str) -> String {
    quoted(text).replace('$', "\\$")
}

/// A JSON string, for the exec form of an instruction.
fn json(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_literal_is_literal_whatever_it_holds() {
        assert_eq!(literal("a \"b\" $HOME \\ c\nd"), "\"a \\\"b\\\" \\$HOME \\\\ c d\"");
    }

    #[test]
    fn a_missing_variable_is_named_with_its_line_and_what_there_is() {
        let template =
            Template::strict("my.j2", "FROM {{ base_image }}\nRUN {{ instal }}\n", &context! { version => 1 });
        let error = template.hashed("debian").expect_err("an undefined variable was accepted");
        assert_eq!(error.to_string(), "`my.j2`, line 2: `instal` is not defined");
        let hint = error.hint_text().unwrap_or_default();
        assert!(hint.contains("base_image, ") && hint.contains("version"), "{hint}");
    }

    #[test]
    fn a_syntax_error_names_file_and_line() {
        let template = Template::strict("my.j2", "FROM x\n{% if %}\n", &context! {});
        let error = template.hashed("debian").expect_err("a syntax error was accepted");
        assert!(error.to_string().starts_with("`my.j2`, line 2: "), "{error}");
    }
}
