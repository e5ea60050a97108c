//! The paths that Rust code names, with their `use` groups expanded.

/// Code without its comments and its unit tests, which are a module at the end of the file.
pub fn code(text: &str) -> String {
    let code = without_comments(text);
    // `mod tests;` names another file, and code may follow it.
    let is_module = |rest: &str| rest.lines().nth(1).is_some_and(|line| line.contains("mod ") && line.ends_with('{'));
    let tests = code.match_indices("#[cfg(test)]\n").find(|(start, _)| is_module(&code[*start..]));
    code[..tests.map_or(code.len(), |(start, _)| start)].to_owned()
}

pub fn without_comments(text: &str) -> String {
    text.lines().map(|line| line.split("//").next().unwrap_or("")).collect::<Vec<_>>().join("\n")
}

/// The paths that begin with `head` (`crate`, `super` or the name of a module), in segments without `head`.
pub fn starting_with(head: &str, code: &str) -> Vec<Vec<String>> {
    let mut paths = Vec::new();
    for (position, _) in code.match_indices(&format!("{head}::")) {
        // `super::super::a` is one path, and `my_crate::a` is another one.
        if !code[..position].ends_with(|c: char| c.is_alphanumeric() || c == '_' || c == ':') {
            expand(&code[position + head.len() + 2..], &mut Vec::new(), &mut paths);
        }
    }
    paths
}

/// Adds the paths of a `use` tree to `paths`, each with `prefix` before it; returns the rest after the tree.
fn expand<'a>(tree: &'a str, prefix: &mut Vec<String>, paths: &mut Vec<Vec<String>>) -> &'a str {
    let tree = tree.trim_start();
    if let Some(mut rest) = tree.strip_prefix('{') {
        loop {
            rest = expand(rest, prefix, paths).trim_start();
            match rest.strip_prefix(',') {
                Some(next) if !next.trim_start().starts_with('}') => rest = next,
                Some(next) => return next.trim_start().strip_prefix('}').unwrap_or(next),
                None => return rest.strip_prefix('}').unwrap_or(rest),
            }
        }
    }
    let end = tree.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(tree.len());
    let (segment, rest) = tree.split_at(end);
    prefix.push(segment.to_owned());
    let rest = match rest.strip_prefix("::") {
        Some(next) if !next.starts_with('<') => expand(next, prefix, paths),
        _ => {
            paths.push(prefix.clone());
            rest.trim_start()
                .strip_prefix("as ")
                .map_or(rest, |alias| alias.trim_start_matches(|c: char| c.is_alphanumeric() || c == '_'))
        }
    };
    prefix.pop();
    rest
}

#[test]
fn only_unit_tests_at_the_end_are_not_code() {
    for tests in ["mod tests {\n}\n", "pub(super) mod tests {\n}\n"] {
        assert_eq!(code(&format!("use a; // b\n#[cfg(test)]\n{tests}")), "use a; \n");
    }
    assert!(code("#[cfg(test)]\nmod tests;\nuse a;").ends_with("use a;"));
}

#[test]
fn groups_are_expanded_and_other_names_are_not_mistaken() {
    let code =
        "use crate::{config::{Quality, self as c}, wire::x::{y}, Also}; my_crate::no(); crate::link::open::<u8>()";
    let paths: Vec<String> = starting_with("crate", code).iter().map(|path| path.join("::")).collect();
    assert_eq!(paths, ["config::Quality", "config::self", "wire::x::y", "Also", "link::open"]);
    let code = "use super::super::a::B;";
    assert_eq!(starting_with("super", code), [["super", "a", "B"]]);
}
