//! `docs/reference/logs.md` lists every line that a process may log at INFO,
//! WARN or ERROR, as the sources have them.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use proc_macro2::{Delimiter, TokenStream, TokenTree};

const HEAD: &str = "\
# Logs

Generated from the sources; `UPDATE_REFERENCE=1 cargo test -p postrider-tests --test reference` writes it anew.

A process logs to stderr, a JSON object a line: `timestamp` (RFC 3339, UTC), `level`, `target` (the module), `message`, the fields below,
and `trace_id` and `span_id` (hex) where the work belongs to a trace. With `--dev`, or `POSTRIDER_LOG_FORMAT=text`, lines are for people.

`POSTRIDER_LOG` says what is logged: a level, or directives such as `info,dispatcher=debug`. While a process runs, its admin address changes
it: `curl -X PUT --data 'info,dispatcher=debug' http://127.0.0.1:9090/log-level`; `GET` tells what holds now. A restart forgets it.

ERROR means that a human must act, WARN that something waits or is not as it should be, INFO is the life of a process. DEBUG tells of single
events and is not listed. No line holds a secret, a signature, a token, a body or the query of a URL.

";

/// A line that may be logged.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Line {
    level: &'static str,
    target: String,
    message: String,
    fields: Vec<String>,
}

#[test]
fn the_page_in_docs_is_what_the_sources_say() {
    let path = harness::repository().join("docs/reference/logs.md");
    let page = page();
    if std::env::var_os("UPDATE_REFERENCE").is_some() {
        fs::write(&path, &page).expect("it can be written");
    }
    let stored = fs::read_to_string(&path).unwrap_or_default();
    assert!(
        stored == page,
        "docs/reference/logs.md is stale: run this test with UPDATE_REFERENCE=1"
    );
}

#[test]
fn macros_are_read_with_their_message_and_fields() {
    let source = r#"fn a() { if x { tracing::warn!(%error, id = %event.id, "it {} waits", 1); } }
        #[cfg(test)] mod tests { fn b() { error!("not this"); } }"#;
    let mut lines = BTreeSet::new();
    read(source.parse().expect("it is Rust"), "m", &mut lines);
    let line = Line {
        level: "WARN",
        target: "m".to_owned(),
        message: "it {} waits".to_owned(),
        fields: vec!["error".to_owned(), "id".to_owned()],
    };
    assert_eq!(lines, BTreeSet::from([line]));
}

fn page() -> String {
    let mut lines = BTreeSet::new();
    for file in sources(&harness::repository().join("crates")) {
        let text = fs::read_to_string(&file).expect("a source can be read");
        let tokens = text.parse().expect("it compiles, so it has tokens");
        read(tokens, &target(&file), &mut lines);
    }
    let mut page = HEAD.to_owned();
    for level in ["ERROR", "WARN", "INFO"] {
        let _ = write!(
            page,
            "## {level}\n\n| message | fields | target |\n| --- | --- | --- |\n"
        );
        for line in lines.iter().filter(|line| line.level == level) {
            let fields = line.fields.iter().map(|field| format!("`{field}`"));
            let fields = fields.collect::<Vec<_>>().join(", ");
            let message = line.message.replace('|', "\\|");
            let _ = writeln!(page, "| {message} | {fields} | `{}` |", line.target);
        }
        page.push('\n');
    }
    page.truncate(page.trim_end().len());
    page.push('\n');
    page
}

/// Sources of the crates but for files of tests, in order.
fn sources(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).expect("a folder of sources");
    let mut paths: Vec<_> = entries
        .filter_map(|entry| Some(entry.ok()?.path()))
        .collect();
    paths.sort();
    let mut found = Vec::new();
    for path in paths {
        let name = path.file_stem().unwrap_or_default();
        if name == "tests" || name == "build" {
            continue;
        }
        if path.is_dir() {
            found.extend(sources(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
    found
}

/// `crates/<crate>/src/a/b.rs` as `<crate>::a::b`.
fn target(file: &Path) -> String {
    let root = harness::repository().join("crates");
    let path = file
        .strip_prefix(root)
        .expect("it is below")
        .with_extension("");
    let parts = path.iter().filter_map(|part| part.to_str());
    let parts: Vec<_> = parts
        .filter(|part| !["src", "lib", "main", "mod"].contains(part))
        .collect();
    parts.join("::")
}

fn read(tokens: TokenStream, target: &str, lines: &mut BTreeSet<Line>) {
    let tokens: Vec<TokenTree> = tokens.into_iter().collect();
    let mut place = 0;
    while place < tokens.len() {
        // What is behind `#[cfg(test)]` is not the process's.
        if is_test_attribute(&tokens[place..]) {
            let ended = |token: &TokenTree| {
                matches!(token, TokenTree::Group(group) if group.delimiter() == Delimiter::Brace)
                    || matches!(token, TokenTree::Punct(punct) if punct.as_char() == ';')
            };
            let rest = tokens[place..].iter().position(ended);
            place += rest.map_or(tokens.len(), |end| end + 1);
            continue;
        }
        if let Some(line) = logged(&tokens[place..], target) {
            lines.insert(line);
        }
        if let TokenTree::Group(group) = &tokens[place] {
            read(group.stream(), target, lines);
        }
        place += 1;
    }
}

fn is_test_attribute(tokens: &[TokenTree]) -> bool {
    matches!(tokens, [TokenTree::Punct(hash), TokenTree::Group(attribute), ..]
        if hash.as_char() == '#' && attribute.stream().to_string().replace(' ', "") == "cfg(test)")
}

fn logged(tokens: &[TokenTree], target: &str) -> Option<Line> {
    let [
        TokenTree::Ident(name),
        TokenTree::Punct(bang),
        TokenTree::Group(arguments),
        ..,
    ] = tokens
    else {
        return None;
    };
    let level = match name.to_string().as_str() {
        "error" => "ERROR",
        "warn" => "WARN",
        "info" => "INFO",
        _ => return None,
    };
    if bang.as_char() != '!' {
        return None;
    }
    let mut line = Line {
        level,
        target: target.to_owned(),
        message: String::new(),
        fields: Vec::new(),
    };
    for argument in split(arguments.stream()) {
        match argument.as_slice() {
            [TokenTree::Literal(text)] => {
                line.message = message(&text.to_string());
                break;
            }
            argument => line.fields.extend(field(argument)),
        }
    }
    Some(line)
}

/// What stands between commas.
fn split(arguments: TokenStream) -> Vec<Vec<TokenTree>> {
    let mut parts = vec![Vec::new()];
    for token in arguments {
        match &token {
            TokenTree::Punct(punct) if punct.as_char() == ',' => parts.push(Vec::new()),
            _ => parts.last_mut().expect("there is one").push(token),
        }
    }
    parts.retain(|part| !part.is_empty());
    parts
}

/// `%error`, `?waits_for`, `id = %event.id`: the name.
fn field(argument: &[TokenTree]) -> Option<String> {
    argument.iter().find_map(|token| match token {
        TokenTree::Ident(name) => Some(name.to_string()),
        _ => None,
    })
}

/// A literal's text on one line.
fn message(literal: &str) -> String {
    let text = literal.trim_matches('"').replace("\\\"", "\"");
    let joined = text.split("\\\n").map(str::trim_start);
    joined.collect()
}
