//! The command line of the endurance tests.

use std::fmt::Write as _;

use super::Test;

/// The parsed command line.
pub struct Request {
    /// The value of `--times`.
    pub times: Option<u32>,
    /// `NAME`, `NAME/PART` or `all`.
    names: Vec<String>,
}

impl Request {
    /// Checks the arguments against the tests.
    pub fn parse(arguments: &[String], tests: &[Test]) -> Result<Request, String> {
        let mut request = Request { times: None, names: Vec::new() };
        let mut arguments = arguments.iter();
        while let Some(argument) = arguments.next() {
            if argument == "--times" {
                let times = arguments.next().and_then(|times| times.parse().ok()).filter(|times| *times > 0);
                request.times = Some(times.ok_or("--times needs a positive number")?);
            } else if argument == "all" || tests.iter().any(|test| test.has(argument)) {
                request.names.push(argument.clone());
            } else {
                return Err(format!("unknown test or option {argument:?}"));
            }
        }
        if request.names.is_empty() { Err("no test named".to_owned()) } else { Ok(request) }
    }

    /// The requested parts of a test, none of them for the whole test; `None` if it was not requested.
    pub fn parts_of(&self, test: &Test) -> Option<Vec<&str>> {
        if self.names.iter().any(|name| name == "all" || name == test.name) {
            return Some(Vec::new());
        }
        let parts: Vec<&str> = self.names.iter().filter_map(|name| test.part(name)).collect();
        (!parts.is_empty()).then_some(parts)
    }
}

impl Test {
    fn has(&self, name: &str) -> bool {
        name == self.name || self.part(name).is_some_and(|part| (self.parts)().contains(&part))
    }

    /// The part that `name` refers to, if it refers to a part of this test.
    fn part<'a>(&self, name: &'a str) -> Option<&'a str> {
        name.strip_prefix(self.name)?.strip_prefix('/')
    }
}

/// How to call the tests, and what they are.
pub fn usage(tests: &[Test]) -> String {
    let mut usage = "Usage: script/endurance NAME|NAME/PART|all... [--times N]\n".to_owned();
    for test in tests {
        let (unit, default) = test.times;
        let root = if test.needs_root { "; needs root" } else { "" };
        let _ =
            write!(usage, "\n  {:<15}{}\n{:17}--times: {unit}, default {default}{root}\n", test.name, test.about, "");
        let parts = (test.parts)();
        if !parts.is_empty() {
            let _ = writeln!(usage, "{:17}parts: {}", "", parts.join("; "));
        }
    }
    usage
}
