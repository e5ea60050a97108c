//! docs/configuration.md against the real parser: every key of every table is documented, no other key is, and types,
//! examples and defaults hold. The keys come from the parser's own errors, so no list of them is kept here.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use tempfile::TempDir;
use watchpost::config;

const DOCUMENT: &str = include_str!("../docs/configuration.md");

/// A key that no table has.
const UNKNOWN: &str = "zzzzzzzz";

/// The words before the list of keys in the error for an unknown key.
const LIST: &str = "the keys here are ";

/// The heading of keys outside of any table.
const TOP: &str = "Top level";

type Section = (&'static str, &'static [(&'static str, &'static str)]);

/// A file with every table and the keys that have no default. A table that another one follows has that table's parent
/// above.
const AGENT: &[Section] = &[
    (TOP, &[("name", "\"shed\"")]),
    ("[[serial]]", &[("port", "\"/dev/ttyUSB0\"")]),
    ("[quantity.NAME]", &[]),
    ("[[camera]]", &[("name", "\"door\""), ("source", "\"pattern\"")]),
    ("[[link]]", &[("pattern", "\"pair\""), ("connect", "\"tcp://127.0.0.1:5559\"")]),
    ("[link.curve]", &[("secret_key_file", "\"/a.key_secret\""), ("server_key", "\"/b.key\"")]),
    ("[spool]", &[("path", "\"/var/lib/watchpost/spool.sqlite\"")]),
];

/// The format is base64 because only that one has names for agent and camera.
const RECEIVER: &[Section] = &[
    ("[[link]]", &[("pattern", "\"pair\""), ("bind", "\"tcp://127.0.0.1:5559\""), ("format", "\"base64\"")]),
    ("[link.curve]", &[("secret_key_file", "\"/a.key_secret\""), ("allowed_keys_dir", "\"/allowed\"")]),
    ("[web]", &[]),
    ("[history]", &[]),
    ("[record]", &[]),
    ("[limits]", &[]),
];

#[derive(Clone, Copy, PartialEq, Eq)]
enum File {
    Agent,
    Receiver,
}

/// A row of the document: a key of a table of a file.
#[derive(Clone)]
struct Row {
    file: File,
    section: String,
    key: String,
    default: String,
    example: String,
}

impl File {
    fn all() -> [File; 2] {
        [File::Agent, File::Receiver]
    }

    fn heading(self) -> &'static str {
        match self {
            File::Agent => "## The agent's file",
            File::Receiver => "## The receiver's file",
        }
    }

    fn sections(self) -> &'static [Section] {
        match self {
            File::Agent => AGENT,
            File::Receiver => RECEIVER,
        }
    }

    /// The sections of the parsed file as Rust prints them, or the error.
    fn parse(self, dir: &TempDir, text: &str) -> Result<BTreeMap<&'static str, String>, String> {
        let path = dir.path().join("file.toml");
        match self {
            File::Agent => config::agent_from(text, &path).map(|agent| {
                BTreeMap::from([
                    (TOP, format!("name: {:?}", agent.name)),
                    ("[[serial]]", format!("{:?}", agent.serial)),
                    ("[quantity.NAME]", format!("{:?}", agent.quantities)),
                    ("[[camera]]", format!("{:?}", agent.cameras)),
                    ("[[link]]", format!("{:?}", agent.links)),
                    ("[spool]", format!("{:?}", agent.spool)),
                ])
            }),
            File::Receiver => {
                fs::write(&path, text).map(|()| config::receiver(&path)).expect("a temporary file").map(|receiver| {
                    BTreeMap::from([
                        ("[[link]]", format!("{:?}", receiver.links)),
                        ("[web]", format!("{:?}", receiver.web)),
                        ("[history]", format!("{:?}", receiver.history)),
                        ("[record]", format!("{:?}", receiver.record)),
                        ("[limits]", format!("{:?}", receiver.limits)),
                    ])
                })
            }
        }
        .map_err(|error| error.to_string())
    }

    /// The keys that the table below `header` may have; none if there is no such table.
    fn keys(self, dir: &TempDir, header: &str) -> Option<Vec<String>> {
        let error = self.parse(dir, &format!("{header}\n{UNKNOWN} = 1\n")).expect_err("an unknown key");
        let rest = error.split_once(&format!("unknown key `{UNKNOWN}`"))?.1;
        let list = rest.split_once(LIST).unwrap_or_else(|| panic!("no {LIST:?} in {error:?}")).1;
        Some(list.lines().next().expect("a line").split(", ").map(|key| key.trim().to_owned()).collect())
    }

    /// Every key that the parser knows, with its table, found from the top level down.
    fn known(self, dir: &TempDir) -> BTreeSet<(String, String)> {
        let mut known = BTreeSet::new();
        let mut tables = vec![(TOP.to_owned(), String::new(), String::new())];
        while let Some((section, header, prefix)) = tables.pop() {
            for key in self.keys(dir, &header).expect("a table") {
                let path = format!("{prefix}{key}");
                let forms = [format!("[[{path}]]"), format!("[{path}]"), format!("[{path}.NAME]")];
                let is_table = |form: &&String| self.keys(dir, &format!("{header}\n{form}")).is_some();
                match forms.iter().find(is_table) {
                    Some(form) => tables.push((
                        form.clone(),
                        format!("{header}\n{form}"),
                        format!("{}.", form.trim_matches(['[', ']'])),
                    )),
                    None => drop(known.insert((section.clone(), key))),
                }
            }
        }
        known
    }

    /// A complete file without these keys of a table, and perhaps with one more line in it.
    fn text(self, section: &str, without: &[&str], line: &str) -> String {
        let mut lines = Vec::new();
        for (name, keys) in self.sections() {
            lines.push(if *name == TOP { String::new() } else { name.replace("NAME", "soil") });
            let is_changed = *name == section;
            let kept = keys.iter().filter(|(key, _)| !is_changed || !without.contains(key));
            lines.extend(kept.map(|(key, value)| format!("{key} = {value}")));
            lines.extend(is_changed.then(|| line.to_owned()));
        }
        lines.join("\n")
    }
}

fn rows(document: &str) -> Vec<Row> {
    let (mut file, mut section, mut rows) = (None, String::new(), Vec::new());
    for line in document.lines() {
        if line.starts_with("## ") {
            file = File::all().into_iter().find(|file| line == file.heading());
        } else if let Some(heading) = line.strip_prefix("### ") {
            heading.split(" of the ").next().expect("a heading").trim_matches('`').clone_into(&mut section);
        } else if let (Some(file), Some(row)) = (file, line.strip_prefix("| `")) {
            let cells: Vec<&str> = row.trim_end_matches('|').split('|').map(str::trim).collect();
            let [key, kind, _unit, default, example, meaning] = cells[..] else { panic!("six columns in {line:?}") };
            assert!(!kind.is_empty() && !meaning.is_empty(), "{line:?}");
            rows.push(Row {
                file,
                section: section.clone(),
                key: key.trim_end_matches('`').to_owned(),
                default: default.to_owned(),
                example: example.trim_matches('`').to_owned(),
            });
        }
    }
    rows
}

impl Row {
    /// The example or the default, if the parser disagrees.
    fn faults(&self, dir: &TempDir) -> Vec<String> {
        let faults = [self.example_fault(dir), self.default_fault(dir)];
        let location = format!("{} {}", self.section, self.key);
        faults.into_iter().filter_map(Result::err).map(|fault| format!("{location}: {fault}")).collect()
    }

    fn parse_with(
        &self,
        dir: &TempDir,
        without: &[&str],
        line: &str,
    ) -> Result<BTreeMap<&'static str, String>, String> {
        self.file.parse(dir, &self.file.text(&self.section, without, line))
    }

    /// The unknown key sorts last, so the parser reports it only if it accepts the example.
    fn example_fault(&self, dir: &TempDir) -> Result<(), String> {
        let line = format!("{} = {}\n{UNKNOWN} = 1", self.key, self.example);
        match self.parse_with(dir, &[&self.key], &line) {
            Err(error) if error.contains(&format!("unknown key `{UNKNOWN}`")) => Ok(()),
            other => Err(format!("the example {} is refused: {other:?}", self.example)),
        }
    }

    fn default_fault(&self, dir: &TempDir) -> Result<(), String> {
        let plain = self.parse_with(dir, &[&self.key], "");
        let alternatives: Vec<&str> = self.default.split('`').skip(1).step_by(2).collect();
        let is_missed = |without: &[&str]| match self.parse_with(dir, without, "") {
            Err(_) => Ok(()),
            Ok(_) => Err(format!("it is {:?} in the document, and not needed", self.default)),
        };
        if self.default.starts_with('`') {
            let with = self.parse_with(dir, &[&self.key], &format!("{} = {}", self.key, alternatives[0]));
            let is_same = plain.is_ok() && plain == with;
            return if is_same { Ok(()) } else { Err(format!("{} is not the default", self.default)) };
        }
        if self.default.starts_with("either") {
            return is_missed(&[&[self.key.as_str()], &alternatives[..]].concat());
        }
        if let Some(side) = self.default.strip_prefix("required with ") {
            // The link of one file connects and that of the other binds.
            let is_here = self.file.text("", &[], "").contains(&format!("\n{} = ", side.trim_matches('`')));
            return if is_here { is_missed(&[&self.key]) } else { Ok(()) };
        }
        match self.default.as_str() {
            "required" => is_missed(&[&self.key]),
            "none" => {
                let plain = plain.map_err(|error| format!("needed: {error}"))?;
                let part = &plain[self.section.as_str()];
                let is_none = part.contains(&format!(" {}: None", self.key));
                if is_none { Ok(()) } else { Err(format!("it has a default in {part}")) }
            }
            _ => plain.map(drop).map_err(|error| format!("needed: {error}")),
        }
    }
}

/// The keys that the document lacks or makes up.
fn key_faults(rows: &[Row], file: File, known: &BTreeSet<(String, String)>) -> Vec<String> {
    let rows = rows.iter().filter(|row| row.file == file);
    let documented: Vec<_> = rows.map(|row| (row.section.clone(), row.key.clone())).collect();
    let unique: BTreeSet<_> = documented.iter().cloned().collect();
    let what = file.heading();
    let missing = known.difference(&unique).map(|(table, key)| format!("{what}, {table}: {key} is not documented"));
    let extra = unique.difference(known).map(|(table, key)| format!("{what}, {table}: there is no key {key}"));
    let twice = (documented.len() > unique.len()).then(|| format!("{what}: a key is documented twice"));
    missing.chain(extra).chain(twice).collect()
}

/// How types, examples and defaults of the document differ from the parser.
fn value_faults(document: &str) -> Vec<String> {
    let dir = tempfile::tempdir().expect("a temporary directory");
    rows(document).iter().flat_map(|row| row.faults(&dir)).collect()
}

fn known() -> [(File, BTreeSet<(String, String)>); 2] {
    let dir = tempfile::tempdir().expect("a temporary directory");
    File::all().map(|file| (file, file.known(&dir)))
}

#[test]
fn every_key_is_documented_and_no_other() {
    let rows = rows(DOCUMENT);
    let faults: Vec<_> = known().iter().flat_map(|(file, known)| key_faults(&rows, *file, known)).collect();
    assert!(faults.is_empty(), "docs/configuration.md:\n{}", faults.join("\n"));
    assert!(rows.len() > 50);
}

#[test]
fn examples_and_defaults_hold() {
    let faults = value_faults(DOCUMENT);
    assert!(faults.is_empty(), "docs/configuration.md:\n{}", faults.join("\n"));
}

#[test]
fn each_row_that_is_missing_or_misnamed_is_found() {
    let (rows, known) = (rows(DOCUMENT), known());
    for index in 0..rows.len() {
        let Row { file, section, key, .. } = &rows[index];
        let known = &known.iter().find(|(of, _)| of == file).expect("a file").1;
        let (mut missing, mut misnamed) = (rows.clone(), rows.clone());
        missing.remove(index);
        "colour".clone_into(&mut misnamed[index].key);
        assert_eq!(key_faults(&missing, *file, known).len(), 1, "{section} {key}");
        assert_eq!(key_faults(&misnamed, *file, known).len(), 2, "{section} {key}");
    }
}

#[test]
fn a_wrong_default_is_found() {
    for (right, wrong) in [
        ("| `115200` |", "| `9600` |"),
        ("| `\"10s\"` |", "| `\"15s\"` |"),
        ("| `25` |", "| `30` |"),
        ("| `\"7d\"` |", "| `\"8d\"` |"),
        ("| `\"10 GB\"` |", "| none |"),
        ("| `\"watchpost\"` |", "| required |"),
        ("| path | | required |", "| path | | `\"/dev/ttyUSB1\"` |"),
        ("| `true` | `false` |", "| `false` | `true` |"),
        ("| `80` | `60` |", "| `80` | `600` |"),
    ] {
        let is_row = |line: &&str| line.starts_with("| `") && line.contains(right);
        let line = DOCUMENT.lines().find(is_row).unwrap_or_else(|| panic!("{right} is in no row"));
        let document = DOCUMENT.replacen(line, &line.replacen(right, wrong, 1), 1);
        assert_eq!(value_faults(&document).len(), 1, "{right} to {wrong}");
    }
}

#[test]
fn defaults_that_depend_on_others_hold() {
    let text = "[[serial]]\nport = \"/dev/ttyUSB7\"\n[[camera]]\nname = \"a\"\nsource = \"pattern\"\n\
                [[camera]]\nname = \"b\"\nsource = \"pattern\"\n[[link]]\npattern = \"pub\"\nbind = \"tcp://127.0.0.1:*\"\n";
    let agent = config::agent_from(text, Path::new("agent.toml")).expect("a configuration");
    assert_eq!(agent.name, config::host_name());
    assert_eq!(&*agent.serial[0].name, "ttyUSB7");
    assert_eq!(agent.links[0].cameras.iter().map(|name| &**name).collect::<Vec<_>>(), ["a", "b"]);
    assert_eq!(agent.cameras[0].expected_size(), (640, 480));
}
