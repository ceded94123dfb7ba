//! The error texts of this program, read from its source, and those of the page that explains them.
//!
//! A text is a literal or a `format!` that reaches an `Error`, also through a variable, a closure or a function. It is
//! read where it is written; no type is known, so a name stands for whatever has that name nearby. Values become `*`.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;

use super::{files_below, root};

/// What stands before the reason for which a registry did not do what it was asked.
const HEADS: [&str; 3] = ["cannot ask the registry for", "cannot push", "cannot write the index of"];

/// The error texts of all of `src/`. Not read, because they are not this program's words: the causes and hints below an
/// error, and what clap says of a wrong command line.
pub fn errors_of_the_program() -> BTreeSet<String> {
    let files: Vec<(String, Vec<Token>)> = files_below("src", "rs")
        .iter()
        .map(|path| {
            let name = path.strip_prefix(root()).unwrap().display().to_string();
            (name, tokens(&fs::read_to_string(path).unwrap()))
        })
        .collect();
    let (mut found, unreadable) = errors_in(&files);
    assert!(
        unreadable.is_empty(),
        "the text of these errors cannot be read from the source; write it as a literal or a `format!`, or teach this \
         test: {unreadable:#?}"
    );
    // What a registry does wrong is chosen by a method beside that text: its literals, in the place of one value.
    let is_there = |token: &Token| matches!(token, Token::Text(text) if text.starts_with(HEADS[0]));
    let reasons = files
        .iter()
        .filter(|(_, tokens)| tokens.iter().any(is_there))
        .find_map(|(_, tokens)| strings_of_function(tokens, "what"))
        .expect("the method `what(self)` that names a registry's failures");
    for head in HEADS {
        let text = found.iter().find(|text| text.starts_with(head)).cloned().expect("the error of a silent registry");
        found.remove(&text);
        let head = text.trim_end_matches('*');
        found.extend(reasons.iter().map(|reason| normal(&format!("{head}{reason}"))));
    }
    found
}

/// The literals in a method `name(self)`.
fn strings_of_function(tokens: &[Token], name: &str) -> Option<Vec<String>> {
    let scope = scopes(tokens).into_iter().find(|scope| scope.name == name && scope.params.is_empty())?;
    let strings = tokens[scope.body.0..scope.body.1].iter().filter_map(|token| match token {
        Token::Text(text) => Some(text.clone()),
        _ => None,
    });
    Some(strings.collect())
}

/// The bold code of the page, with the line it is in.
pub fn errors_of_the_page(page: &str) -> BTreeMap<String, usize> {
    let mut found = BTreeMap::new();
    for (number, line) in page.lines().enumerate() {
        let mut rest = line;
        while let Some((_, after)) = rest.split_once("**`") {
            let ticks = 1 + after.len() - after.trim_start_matches('`').len();
            let after = &after[ticks - 1..];
            let Some((text, after)) = after.split_once(&format!("{}**", "`".repeat(ticks))) else { break };
            found.insert(normal(text), number + 1);
            rest = after;
        }
    }
    found
}

/// With `*` for values: what is in CAPITALS, on the page and in the source, and what `format!` puts in.
fn normal(text: &str) -> String {
    let mut words = String::new();
    let mut rest = text;
    while let Some(start) = rest.find(|character: char| character.is_ascii_alphanumeric() || character == '_') {
        let word = &rest[start..];
        let end = word.find(|of: char| !(of.is_ascii_alphanumeric() || of == '_')).unwrap_or(word.len());
        words.push_str(&rest[..start]);
        let is_value = end > 1 && word[..end].chars().all(|of| of.is_ascii_uppercase() || of == '_');
        words.push_str(if is_value { "*" } else { &word[..end] });
        rest = &word[end..];
    }
    words.push_str(rest);
    while words.contains("**") {
        words = words.replace("**", "*");
    }
    words.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// As much of Rust's grammar as is needed to read the texts: strings, words, and single characters.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Token {
    Text(String),
    Word(String),
    Sign(char),
}

impl Token {
    fn is(&self, text: &str) -> bool {
        match self {
            Self::Word(word) => word == text,
            Self::Sign(sign) => text.len() == 1 && text.starts_with(*sign),
            Self::Text(_) => false,
        }
    }
}

/// The tokens of a file without comments and what is for tests only.
#[allow(clippy::too_many_lines, reason = "an arm for each token of Rust")]
fn tokens(text: &str) -> Vec<Token> {
    let text: Vec<char> = text.chars().collect();
    let at = |index: usize| text.get(index).copied().unwrap_or('\0');
    let is_word = |character: char| character.is_alphanumeric() || character == '_';
    let mut found = Vec::new();
    let mut index = 0;
    while index < text.len() {
        let character = at(index);
        if character == '/' && at(index + 1) == '/' {
            while index < text.len() && at(index) != '\n' {
                index += 1;
            }
        } else if character == '/' && at(index + 1) == '*' {
            while index < text.len() && !(at(index) == '*' && at(index + 1) == '/') {
                index += 1;
            }
            index += 2;
        } else if character == '\'' && (at(index + 1) == '\\' || at(index + 2) == '\'') {
            // A character; anything else with a quote is a lifetime.
            index += if at(index + 1) == '\\' { 3 } else { 2 };
            while index < text.len() && at(index) != '\'' {
                index += 1;
            }
            index += 1;
        } else if character == 'r' && (at(index + 1) == '"' || (at(index + 1) == '#' && "#\"".contains(at(index + 2))))
        {
            let hashes = text[index + 1..].iter().take_while(|of| **of == '#').count();
            let end: String = format!("\"{}", "#".repeat(hashes));
            let start = index + hashes + 2;
            let rest: String = text[start..].iter().collect();
            let length = rest.split(&end).next().unwrap_or_default().chars().count();
            found.push(Token::Text(text[start..start + length].iter().collect()));
            index = start + length + end.len();
        } else if character == '"' {
            let mut string = String::new();
            index += 1;
            while index < text.len() && at(index) != '"' {
                if at(index) != '\\' {
                    string.push(at(index));
                    index += 1;
                    continue;
                }
                index += 2;
                match at(index - 1) {
                    'n' => string.push('\n'),
                    '\n' => {
                        while at(index).is_whitespace() {
                            index += 1;
                        }
                    }
                    other => string.push(other),
                }
            }
            index += 1;
            found.push(Token::Text(string));
        } else if is_word(character) {
            let start = index;
            while is_word(at(index)) {
                index += 1;
            }
            found.push(Token::Word(text[start..index].iter().collect()));
        } else {
            if !character.is_whitespace() {
                found.push(Token::Sign(character));
            }
            index += 1;
        }
    }
    without_tests(&found)
}

/// Without the item after each `#[cfg(test)]`.
fn without_tests(tokens: &[Token]) -> Vec<Token> {
    let mark = ["#", "[", "cfg", "(", "test", ")", "]"];
    let mut kept = Vec::new();
    let mut index = 0;
    while index < tokens.len() {
        if mark.iter().enumerate().all(|(offset, text)| tokens.get(index + offset).is_some_and(|of| of.is(text))) {
            while index < tokens.len() && !tokens[index].is("{") && !tokens[index].is(";") {
                index += 1;
            }
            index = if tokens.get(index).is_some_and(|token| token.is("{")) { closing(tokens, index) } else { index };
        } else {
            kept.push(tokens[index].clone());
        }
        index += 1;
    }
    kept
}

/// The index of the bracket that closes the one at `open`.
fn closing(tokens: &[Token], open: usize) -> usize {
    let mut depth = 0_usize;
    for (index, token) in tokens.iter().enumerate().skip(open) {
        match token {
            Token::Sign('(' | '[' | '{') => depth += 1,
            Token::Sign(')' | ']' | '}') => {
                depth -= 1;
                if depth == 0 {
                    return index;
                }
            }
            _ => {}
        }
    }
    tokens.len()
}

/// The arguments in the brackets at `open`.
fn arguments(tokens: &[Token], open: usize) -> Vec<(usize, usize)> {
    split_at_commas(tokens, open + 1, closing(tokens, open))
}

/// What stands between commas, outside of all brackets.
fn split_at_commas(tokens: &[Token], from: usize, end: usize) -> Vec<(usize, usize)> {
    let (mut found, mut start, mut index) = (Vec::new(), from, from);
    while index < end {
        match &tokens[index] {
            Token::Sign('(' | '[' | '{') => index = closing(tokens, index),
            Token::Sign(',') => {
                found.push((start, index));
                start = index + 1;
            }
            _ => {}
        }
        index += 1;
    }
    if start < end {
        found.push((start, end));
    }
    found
}

/// A function, or a closure that has a name.
#[derive(Debug, Clone)]
struct Scope {
    name: String,
    /// Without `self`.
    params: Vec<String>,
    body: (usize, usize),
    /// It is called as `.name(`, from anywhere.
    is_method: bool,
    /// It is called in its file alone: a closure, or a function that is not `pub`.
    is_private: bool,
}

fn scopes(tokens: &[Token]) -> Vec<Scope> {
    let mut found = Vec::new();
    for (index, token) in tokens.iter().enumerate() {
        let Some(Token::Word(name)) = tokens.get(index + 1) else { continue };
        if token.is("fn") {
            let Some(open) = (index..tokens.len()).find(|at| tokens[*at].is("(")) else { continue };
            let all = names_before_colons(tokens, &arguments(tokens, open));
            let end = closing(tokens, open);
            let Some(body) = (end..tokens.len()).find(|at| tokens[*at].is("{") || tokens[*at].is(";")) else {
                continue;
            };
            if tokens[body].is("{") {
                let before = &tokens[index.saturating_sub(4)..index];
                let params: Vec<String> = all.iter().filter(|name| *name != "self").cloned().collect();
                found.push(Scope {
                    name: name.clone(),
                    is_method: params.len() < all.len(),
                    params,
                    body: (body, closing(tokens, body)),
                    is_private: !before.iter().any(|token| token.is("pub")),
                });
            }
        } else if token.is("let") && tokens.get(index + 2).is_some_and(|token| token.is("=")) {
            let start = index + 3 + usize::from(tokens.get(index + 3).is_some_and(|token| token.is("move")));
            if !tokens.get(start).is_some_and(|token| token.is("|")) {
                continue;
            }
            let Some(end) = (start + 1..tokens.len()).find(|at| tokens[*at].is("|")) else { continue };
            let mut last = end;
            while last < tokens.len() && !tokens[last].is(";") {
                last = if matches!(tokens[last], Token::Sign('(' | '[' | '{')) { closing(tokens, last) } else { last };
                last += 1;
            }
            found.push(Scope {
                name: name.clone(),
                params: names_before_colons(tokens, &split_at_commas(tokens, start + 1, end)),
                body: (end, last),
                is_method: false,
                is_private: true,
            });
        }
    }
    found
}

fn names_before_colons(tokens: &[Token], ranges: &[(usize, usize)]) -> Vec<String> {
    let name = |(start, end): &(usize, usize)| {
        let mut words =
            tokens[*start..*end].iter().take_while(|token| !token.is(":")).filter_map(|token| match token {
                Token::Word(word) if !["mut", "ref"].contains(&word.as_str()) => Some(word.clone()),
                _ => None,
            });
        words.next()
    };
    ranges.iter().map(|range| name(range).unwrap_or_default()).collect()
}

/// Reads the error texts of files that are given as tokens. Values are `*`. The second list is of errors whose text is
/// neither a literal nor made by `format!`, nor comes as one from a caller.
fn errors_in(files: &[(String, Vec<Token>)]) -> (BTreeSet<String>, Vec<String>) {
    let reader = Reader::new(files);
    let makers = makers(files, &reader);
    let (mut found, mut unreadable) = (BTreeSet::new(), Vec::new());
    for (file, (name, tokens)) in files.iter().enumerate() {
        for index in 0..tokens.len() {
            let Some(open) = opens_an_error(tokens, index, &makers) else { continue };
            // `Self::new(kind, message)`, or the message alone.
            let Some((start, end)) = arguments(tokens, open).pop() else { continue };
            let texts: Vec<String> = reader.texts(file, start, end).iter().map(|text| normal(text)).collect();
            if texts.is_empty() || texts.iter().any(|text| text == "*") {
                unreadable.push(format!("{name}: {}", shown(&tokens[index..=closing(tokens, open)])));
            }
            found.extend(texts);
        }
    }
    (found, unreadable)
}

/// The functions `Error::...(message)`, one for each kind of error.
fn makers(files: &[(String, Vec<Token>)], reader: &Reader<'_>) -> BTreeSet<String> {
    let mut found = BTreeSet::from(["failed", "usage", "build"].map(str::to_owned));
    for ((_, tokens), scopes) in files.iter().zip(&reader.scopes) {
        let of_a_kind = scopes.iter().filter(|scope| {
            let body = &tokens[scope.body.0..scope.body.1];
            scope.params.last().is_some_and(|param| param == "message") && body.iter().any(|of| of.is("ErrorKind"))
        });
        found.extend(of_a_kind.map(|scope| scope.name.clone()));
    }
    found
}

/// The bracket after `Error::failed` and the like, or after `Self::new` if the first argument is an `ErrorKind` and the
/// second a literal.
fn opens_an_error(tokens: &[Token], index: usize, makers: &BTreeSet<String>) -> Option<usize> {
    let is = |offset: usize, text: &str| tokens.get(index + offset).is_some_and(|token| token.is(text));
    let is_call = is(1, ":") && is(2, ":") && is(4, "(");
    let is_maker = makers.iter().any(|name| is(3, name));
    let is_new = || {
        let arguments = arguments(tokens, index + 4);
        is(0, "Self")
            && is(3, "new")
            && is(5, "ErrorKind")
            && matches!(arguments.get(1).map(|(start, _)| &tokens[*start]), Some(Token::Text(_)))
    };
    (is_call && ((is(0, "Error") && is_maker) || is_new())).then_some(index + 4)
}

fn shown(tokens: &[Token]) -> String {
    let text = |token: &Token| match token {
        Token::Text(text) => format!("{text:?}"),
        Token::Word(word) => word.clone(),
        Token::Sign(sign) => sign.to_string(),
    };
    tokens.iter().map(text).collect()
}

/// Whether the name at `index` is written as `Error::name`: then it is no function of the file.
fn is_of_errors(tokens: &[Token], index: usize) -> bool {
    index > 2 && tokens[index - 1].is(":") && tokens[index - 2].is(":") && tokens[index - 3].is("Error")
}

struct Reader<'a> {
    files: &'a [(String, Vec<Token>)],
    scopes: Vec<Vec<Scope>>,
    /// `const NAME: &str = "..."`, by file and name.
    constants: BTreeMap<(usize, String), String>,
}

impl<'a> Reader<'a> {
    fn new(files: &'a [(String, Vec<Token>)]) -> Self {
        let mut constants = BTreeMap::new();
        for (file, (_, tokens)) in files.iter().enumerate() {
            for (index, token) in tokens.iter().enumerate().filter(|(_, token)| token.is("const")) {
                let value = tokens[index..].iter().position(|token| token.is("=")).map(|offset| index + offset + 1);
                if let (true, Some(Token::Word(name)), Some(Token::Text(text))) =
                    (token.is("const"), tokens.get(index + 1), value.and_then(|value| tokens.get(value)))
                {
                    constants.insert((file, name.clone()), text.clone());
                }
            }
        }
        Self { files, scopes: files.iter().map(|(_, tokens)| scopes(tokens)).collect(), constants }
    }

    /// The texts that an expression can be; none if they are not known.
    fn texts(&self, file: usize, mut start: usize, end: usize) -> Vec<String> {
        let tokens = &self.files[file].1;
        while start < end && ["&", "|", "move"].iter().any(|text| tokens[start].is(text)) {
            start += 1;
        }
        match &tokens[start..end] {
            [Token::Text(text), ..] => vec![text.clone()],
            [format, sign, open, Token::Text(text), ..] if format.is("format") && sign.is("!") && open.is("(") => {
                self.formatted(file, start, text)
            }
            [Token::Word(name)] => self.named(file, start, name),
            [Token::Word(name), open, close] if open.is("(") && close.is(")") => self.named(file, start, name),
            _ => Vec::new(),
        }
    }

    /// The texts of a parameter, a local variable or a constant, as seen at `index`.
    fn named(&self, file: usize, index: usize, name: &str) -> Vec<String> {
        if let Some(scope) = self.scope_with(file, index, name) {
            return self.given(file, scope, name);
        }
        let tokens = &self.files[file].1;
        for at in (0..index).rev().take_while(|at| !tokens[*at].is("fn")) {
            if tokens[at].is("let") && tokens[at + 1].is(name) && tokens[at + 2].is("=") {
                let end = (at..tokens.len()).find(|end| tokens[*end].is(";")).unwrap_or(tokens.len());
                return self.texts(file, at + 3, end);
            }
        }
        self.constant(file, name).into_iter().collect()
    }

    fn constant(&self, file: usize, name: &str) -> Option<String> {
        let elsewhere = || self.constants.iter().find(|((_, of), _)| of == name).map(|(_, text)| text);
        self.constants.get(&(file, name.to_owned())).or_else(elsewhere).cloned()
    }

    /// The innermost function or closure around `index` that has this parameter.
    fn scope_with(&self, file: usize, index: usize, name: &str) -> Option<&Scope> {
        let around = self.scopes[file].iter().filter(|scope| (scope.body.0..scope.body.1).contains(&index));
        around.rev().find(|scope| scope.params.iter().any(|param| param == name))
    }

    /// The texts that callers give for a parameter.
    fn given(&self, of: usize, scope: &Scope, name: &str) -> Vec<String> {
        let place = scope.params.iter().position(|param| param == name).unwrap_or_default();
        let mut found = Vec::new();
        for (file, (_, tokens)) in self.files.iter().enumerate() {
            // Another file calls by that name what it has itself, if it has it.
            let has_its_own = || self.scopes[file].iter().any(|own| own.name == scope.name && !own.is_method);
            if file != of && !scope.is_method && (scope.is_private || has_its_own()) {
                continue;
            }
            for index in 1..tokens.len().saturating_sub(1) {
                let is_call = tokens[index].is(&scope.name)
                    && tokens[index + 1].is("(")
                    && tokens[index - 1].is(".") == scope.is_method
                    && !tokens[index - 1].is("fn")
                    && !is_of_errors(tokens, index);
                if !is_call {
                    continue;
                }
                if let Some((start, end)) = arguments(tokens, index + 1).get(place) {
                    let texts = self.texts(file, *start, *end);
                    found.extend(if texts.is_empty() { vec!["*".to_owned()] } else { texts });
                }
            }
        }
        found
    }

    /// The texts of a `format!`. What is not in backticks is taken for words, and looked up; what is, for a name.
    fn formatted(&self, file: usize, index: usize, format: &str) -> Vec<String> {
        let mut texts = vec![String::new()];
        let mut rest = format;
        while let Some(at) = rest.find(['{', '}']) {
            let (before, after) = rest.split_at(at);
            for text in &mut texts {
                text.push_str(before);
            }
            if after.starts_with("{{") || after.starts_with("}}") {
                for text in &mut texts {
                    text.push_str(&after[..1]);
                }
                rest = &after[2..];
                continue;
            }
            let (inside, after) = after[1..].split_once('}').unwrap_or((&after[1..], ""));
            let (name, form) = inside.split_once(':').unwrap_or((inside, ""));
            let so_far = format.len() - rest.len() + at;
            let in_backticks = format[..so_far].matches('`').fold(false, |inside, _| !inside);
            let is_words = form.is_empty() && !in_backticks;
            let words = match self.scope_with(file, index, name) {
                Some(scope) if is_words => self.given(file, scope, name),
                Some(_) => Vec::new(),
                None => self.constant(file, name).into_iter().collect(),
            };
            let words = if words.is_empty() { vec!["*".to_owned()] } else { words };
            let quote = if form == "?" { "\"" } else { "" };
            texts = texts
                .iter()
                .flat_map(|text| words.iter().map(move |word| format!("{text}{quote}{word}{quote}")))
                .collect();
            rest = after;
        }
        for text in &mut texts {
            text.push_str(rest);
        }
        texts
    }
}
#[test]
fn errors_are_found_however_they_are_written() {
    let text = r#"
        const FILE: &str = "x.toml";
        pub fn refused(what: &str) -> Error { Error::failed(format!("{what} here")) }
        fn a(path: &str) -> Result<()> {
            // Error::failed("a comment")
            let cannot = || format!("cannot read `{path}`");
            read(path).context(cannot)?;
            read(path).context(|| "cannot read".to_owned())?;
            let what = format!("{} cannot be made", joined(&platforms));
            return Err(refused(&what).hint("leave it out"));
        }
        fn b() -> Error {
            refused("a cache cannot \
                     be kept").because(Error::usage(format!("wrong {FILE:?}: {}", 1)));
            Error::build(concat(1))
        }
        impl Error { pub fn refused(message: &str) -> Self { Self::new(ErrorKind::Refused, message) } }
        fn c() { Err(Error::refused("not so")); Err(Self::new(ErrorKind::Interrupted(1), "interrupted")) }
        trait Context { fn context(self, message: impl FnOnce() -> String) { Error::failed(message()) } }
        #[cfg(test)]
        mod tests { fn c() { Error::failed("in a test") } }
    "#;
    let other = r#"fn d() { let refused = |why: &str| Error::failed("other").because(why); refused("a cause") }"#;
    let (found, unreadable) = errors_in(&[("a.rs".to_owned(), tokens(text)), ("b.rs".to_owned(), tokens(other))]);
    let found: Vec<&str> = found.iter().map(String::as_str).collect();
    let expected = [
        "* cannot be made here",
        "a cache cannot be kept here",
        "cannot read",
        "cannot read `*`",
        "interrupted",
        "not so",
        "other",
        "wrong \"x.toml\": *",
    ];
    assert_eq!(found, expected);
    assert_eq!(unreadable, ["a.rs: Error::build(concat(1))"]);
}
