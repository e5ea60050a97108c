//! Checks the documents: links and anchors, configuration examples, quoted messages, and the length of README.

mod messages;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use tempfile::TempDir;
use watchpost::config;

/// README introduces the project; details belong in docs/.
const MAX_README_LINES: usize = 160;

/// Tables that complete a fragment: an agent needs a link and a device, a receiver a link.
const COMPLETIONS: [&str; 4] = [
    "[[link]]\npattern = \"pub\"\nbind = \"tcp://127.0.0.1:5560\"\n",
    "[[camera]]\nname = \"any\"\nsource = \"pattern\"\n",
    "[[camera]]\nname = \"any\"\nsource = \"pattern\"\n[[link]]\npattern = \"pub\"\nbind = \"tcp://127.0.0.1:5560\"\n",
    "[[link]]\npattern = \"pair\"\nbind = \"tcp://127.0.0.1:5559\"\n",
];

struct Document {
    path: PathBuf,
    text: String,
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn documents() -> Vec<Document> {
    let docs = fs::read_dir(root().join("docs")).expect("docs/").map(|entry| entry.expect("an entry").path());
    let docs = docs.filter(|path| path.extension().is_some_and(|ending| ending == "md"));
    let top = ["README.md", "CONTRIBUTING.md", "CHANGELOG.md"].map(|name| root().join(name));
    let mut paths: Vec<_> = docs.chain(top).collect();
    paths.sort();
    paths.into_iter().map(|path| Document { text: fs::read_to_string(&path).expect("a document"), path }).collect()
}

impl Document {
    fn name(&self) -> String {
        self.path.strip_prefix(root()).unwrap_or(&self.path).display().to_string()
    }

    /// The lines outside code blocks, with their numbers.
    fn prose(&self) -> impl Iterator<Item = (usize, &str)> {
        let mut is_code = false;
        self.text.lines().enumerate().filter_map(move |(index, line)| {
            let is_fence = line.trim_start().starts_with("```");
            is_code ^= is_fence;
            (!is_code && !is_fence).then_some((index + 1, line))
        })
    }

    /// The code blocks: number of the first line, info string, and text without the block's indentation.
    fn blocks(&self) -> Vec<(usize, &str, String)> {
        let (mut blocks, mut open) = (Vec::new(), None::<(usize, &str, String, usize)>);
        for (index, line) in self.text.lines().enumerate() {
            let fence = line.trim_start().strip_prefix("```");
            match (&mut open, fence) {
                (None, Some(info)) => {
                    open = Some((index + 2, info, String::new(), line.len() - line.trim_start().len()));
                }
                (Some(_), Some(_)) => blocks.extend(open.take().map(|(line, info, text, _)| (line, info, text))),
                (Some((_, _, text, indent)), None) => {
                    text.push_str(line.get(*indent..).unwrap_or_default());
                    text.push('\n');
                }
                (None, None) => {}
            }
        }
        assert!(open.is_none(), "{}: a code block is not closed", self.name());
        blocks
    }

    /// The anchors of the headings, as GitHub makes them.
    fn anchors(&self) -> Vec<String> {
        let mut seen = BTreeMap::<String, usize>::new();
        let headings = self.prose().filter(|(_, line)| line.starts_with('#')).map(|(_, line)| slug(line));
        let numbered = headings.map(|slug| {
            let count = seen.entry(slug.clone()).or_default();
            *count += 1;
            if *count == 1 { slug } else { format!("{slug}-{}", *count - 1) }
        });
        numbered.collect()
    }
}

fn slug(heading: &str) -> String {
    let text = heading.trim_start_matches('#').trim().to_lowercase();
    let kept = text.chars().filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_'));
    kept.map(|c| if c == ' ' { '-' } else { c }).collect()
}

/// The targets of the links in a line, without what is in backticks.
fn targets(line: &str) -> Vec<String> {
    let plain: String = line.split('`').step_by(2).collect::<Vec<_>>().join("code");
    let targets = plain.split("](").skip(1).filter_map(|rest| rest.split_once(')'));
    targets.map(|(target, _)| target.to_owned()).collect()
}

/// Returns the problem of a link in `from`, if it has one.
fn fault(from: &Document, target: &str, all: &[Document]) -> Option<String> {
    if target.contains("://") {
        return None;
    }
    let (file, anchor) = target.split_once('#').unwrap_or((target, ""));
    let path = if file.is_empty() { from.path.clone() } else { from.path.parent().expect("a file").join(file) };
    let Ok(path) = path.canonicalize() else { return Some(format!("{target}: no such file")) };
    let document = all.iter().find(|document| document.path.canonicalize().is_ok_and(|other| other == path));
    let is_there = anchor.is_empty() || document.is_some_and(|it| it.anchors().iter().any(|other| other == anchor));
    (!is_there).then(|| format!("{target}: no such heading"))
}

fn parses(dir: &TempDir, text: &str) -> Result<(), String> {
    let path = dir.path().join("config.toml");
    fs::write(&path, text).expect("a temporary file");
    config::either(&path).map(drop).map_err(|error| error.to_string())
}

#[test]
fn links_lead_to_files_and_headings() {
    let all = documents();
    let faults: Vec<String> = all
        .iter()
        .flat_map(|document| document.prose().map(move |(number, line)| (document, number, line)))
        .flat_map(|(document, number, line)| {
            let faults = targets(line).into_iter().filter_map(|target| fault(document, &target, &all));
            faults.map(move |fault| format!("{}:{number}: {fault}", document.name())).collect::<Vec<_>>()
        })
        .collect();
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

#[test]
fn every_document_is_linked_from_readme() {
    let readme = fs::read_to_string(root().join("README.md")).expect("README");
    let missing: Vec<_> = documents()
        .iter()
        .map(Document::name)
        .filter(|name| name != "README.md" && !readme.contains(name.as_str()))
        .collect();
    assert!(missing.is_empty(), "README does not link {}", missing.join(", "));
}

#[test]
fn configuration_examples_parse() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let mut count = 0;
    for document in documents() {
        for (line, info, text) in document.blocks() {
            let alone = parses(&dir, &text);
            match info {
                "toml" => assert_eq!(alone, Ok(()), "{}:{line}", document.name()),
                "toml fragment" => {
                    assert!(alone.is_err(), "{}:{line}: it parses alone and is no fragment", document.name());
                    let completed = COMPLETIONS.map(|tables| parses(&dir, &format!("{text}{tables}")));
                    assert!(completed.iter().any(Result::is_ok), "{}:{line}: {completed:?}", document.name());
                }
                _ => continue,
            }
            count += 1;
        }
    }
    assert!(count >= 10, "only {count} examples were found");
}

#[test]
fn readme_is_short() {
    let lines = fs::read_to_string(root().join("README.md")).expect("README").lines().count();
    assert!(lines <= MAX_README_LINES, "README has {lines} lines; move details into docs/");
}
