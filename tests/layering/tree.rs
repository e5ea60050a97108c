//! The modules of the crate and which of them use which.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use crate::paths::{code, starting_with, without_comments};

/// A module: its path from the crate root, and its code without and with its unit tests.
pub struct Module {
    pub path: Vec<String>,
    pub code: String,
    pub code_with_tests: String,
}

pub fn source() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("src")
}

/// The Rust files below a directory.
pub fn source_files(dir: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in fs::read_dir(dir).expect("a readable directory") {
        let path = entry.expect("a readable entry").path();
        if path.is_dir() {
            files.extend(source_files(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
    files
}

/// Reads the library's modules; `lib.rs` has an empty path.
pub fn modules() -> Vec<Module> {
    let root = source();
    let of_binaries = ["main.rs", "cli.rs", "video"].map(|name| root.join(name));
    let files = source_files(&root).into_iter().filter(|file| !of_binaries.iter().any(|path| file.starts_with(path)));
    let read = |file: PathBuf| {
        let module = file.strip_prefix(&root).expect("a file below src").with_extension("");
        let mut path: Vec<String> = module.iter().map(|part| part.to_string_lossy().into_owned()).collect();
        path.pop_if(|last| last == "mod" || last == "lib");
        let text = fs::read_to_string(file).expect("a readable file");
        Module { path, code: code(&text), code_with_tests: without_comments(&text) }
    };
    files.map(read).collect()
}

/// The child modules that code declares, with or without `pub`, in its order.
pub fn children(code: &str) -> Vec<String> {
    let declared = code.lines().filter_map(|line| {
        let line = line.trim().strip_suffix(';')?;
        line.strip_prefix("mod ")
            .or_else(|| line.strip_prefix("pub").and_then(|rest| rest.split_once("mod ")).map(|it| it.1))
    });
    declared.map(str::to_owned).collect()
}

impl Module {
    /// The paths in this module's code, from the crate root.
    fn uses(&self) -> Vec<Vec<String>> {
        let mut uses = starting_with("crate", &self.code);
        for mut rest in starting_with("super", &self.code) {
            let mut base = self.path.clone();
            base.pop();
            while rest.first().is_some_and(|segment| segment == "super") {
                rest.remove(0);
                base.pop();
            }
            uses.push([base, rest].concat());
        }
        uses
    }
}

/// For each child of `parent`, the siblings that it uses: by their names, or by names that the parent imports from
/// them.
pub fn sibling_uses(parent: &Module, modules: &[Module]) -> BTreeMap<String, BTreeSet<String>> {
    let children = children(&parent.code);
    let mut owner: BTreeMap<String, &String> = children.iter().map(|child| (child.clone(), child)).collect();
    for child in &children {
        for path in starting_with(child, &parent.code) {
            owner.insert(path.last().expect("a segment").clone(), child);
        }
    }
    let mut uses: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for child in &children {
        let own = [parent.path.as_slice(), std::slice::from_ref(child)].concat();
        for path in modules.iter().filter(|module| module.path.starts_with(&own)).flat_map(Module::uses) {
            let name = path.strip_prefix(parent.path.as_slice()).and_then(<[String]>::first);
            if let Some(sibling) = name.and_then(|name| owner.get(name)).filter(|sibling| **sibling != child) {
                uses.entry(child.clone()).or_default().insert((*sibling).clone());
            }
        }
    }
    uses
}

/// A circle of modules that use one another, if there is one.
pub fn cycle(uses: &BTreeMap<String, BTreeSet<String>>) -> Option<Vec<String>> {
    fn follow(
        module: &str,
        uses: &BTreeMap<String, BTreeSet<String>>,
        way: &mut Vec<String>,
        done: &mut BTreeSet<String>,
    ) -> bool {
        if let Some(start) = way.iter().position(|passed| passed == module) {
            way.drain(..start);
            return true;
        }
        if !done.insert(module.to_owned()) {
            return false;
        }
        way.push(module.to_owned());
        if uses.get(module).into_iter().flatten().any(|next| follow(next, uses, way, done)) {
            return true;
        }
        way.pop();
        false
    }
    let mut done = BTreeSet::new();
    uses.keys().find_map(|module| {
        let mut way = Vec::new();
        follow(module, uses, &mut way, &mut done).then_some(way)
    })
}

#[test]
fn a_cycle_is_found_and_named() {
    let graph = |edges: &[(&str, &str)]| {
        let mut uses: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
        for (from, to) in edges {
            uses.entry((*from).to_owned()).or_default().insert((*to).to_owned());
        }
        cycle(&uses)
    };
    assert_eq!(graph(&[("a", "b"), ("a", "c"), ("b", "c")]), None);
    assert_eq!(graph(&[("a", "b"), ("b", "c"), ("c", "b")]), Some(vec!["b".to_owned(), "c".to_owned()]));
}
