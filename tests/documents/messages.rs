//! docs/troubleshooting.md quotes messages as the program words them.

use std::fs;
use std::path::Path;

use crate::root;

/// Shorter pieces of a message say too little to be searched for.
const MIN_PIECE: usize = 8;

/// Words of a quoted message that the program fills in, as it does for `…`.
const PLACEHOLDERS: [&str; 4] = ["ADDRESS", "NAME", "USER", "watchpost-video"];

/// The program's texts: its source without line breaks and backticks, with `…` in the place of each `{}`.
fn program_texts() -> String {
    let mut texts = String::new();
    add_sources(&root().join("src"), &mut texts);
    let unescaped = texts.replace("\\\n", " ").replace("\\\"", "\"").replace('`', "");
    let one_line = unescaped.split_whitespace().collect::<Vec<_>>().join(" ");
    let mut pieces = one_line.split('{');
    let mut plain = pieces.next().unwrap_or_default().to_owned();
    for piece in pieces {
        // Code has braces, too; the content of a placeholder has no spaces.
        match piece.split_once('}') {
            Some((inside, rest)) if !inside.contains([' ', ';']) => plain.extend(["…", rest]),
            _ => plain.extend(["{", piece]),
        }
    }
    let plain = plain.replace("$…", "…");
    // Identifiers of counters and causes appear with spaces in messages.
    let worded = plain.replace('_', " ");
    plain + &worded
}

fn add_sources(dir: &Path, texts: &mut String) {
    for entry in fs::read_dir(dir).expect("a readable directory") {
        let path = entry.expect("a readable entry").path();
        if path.is_dir() {
            add_sources(&path, texts);
        } else if path.extension().is_some_and(|ending| ["rs", "js", "html"].iter().any(|it| ending == *it)) {
            texts.push_str(&fs::read_to_string(&path).expect("a readable file"));
            texts.push('\n');
        }
    }
}

/// The fixed parts of a quoted message.
fn pieces(quote: &str) -> Vec<String> {
    let quote = PLACEHOLDERS.iter().fold(quote.to_owned(), |quote, name| quote.replace(name, "…"));
    let pieces = quote.split(|c: char| c == '…' || c.is_ascii_digit());
    let trimmed = pieces.map(|piece| piece.trim_matches(|c: char| " ,;:.()".contains(c)).to_owned());
    trimmed.filter(|piece| piece.len() >= MIN_PIECE).collect()
}

#[test]
fn troubleshooting_quotes_what_the_program_says() {
    let texts = program_texts();
    let document = fs::read_to_string(root().join("docs/troubleshooting.md")).expect("a document");
    let mut unknown = Vec::new();
    for (index, row) in document.lines().enumerate().filter(|(_, line)| line.starts_with("| ")) {
        let quotes = row.split(" | ").next().unwrap_or_default().split('`').skip(1).step_by(2);
        for piece in quotes.flat_map(pieces).filter(|piece| !texts.contains(piece.as_str())) {
            unknown.push(format!("{}: {piece:?}", index + 1));
        }
    }
    assert!(unknown.is_empty(), "quotes that are not in src/:\n{}", unknown.join("\n"));
}
