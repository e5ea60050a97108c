//! Errors about keys, values and tables, in the words of someone who writes a configuration file.

use serde::de::DeserializeOwned;

use super::error::Fault;
use super::toml_syntax;

/// Tables in double brackets, because a file can have several.
const REPEATABLE: [&str; 3] = ["serial", "camera", "link"];

/// Required keys, each with a value to copy.
const EXAMPLES: [(&str, &str); 5] = [
    ("name", "\"door\""),
    ("source", "\"/dev/video0\""),
    ("port", "\"/dev/ttyUSB0\""),
    ("pattern", "\"pair\""),
    ("secret_key_file", "\"/etc/watchpost/pi.key_secret\""),
];

/// Parses a file.
///
/// # Errors
/// When the text is not TOML, or its keys and values are not those of `T`.
pub(super) fn parse<T: DeserializeOwned>(text: &str) -> Result<T, Fault> {
    let table: Result<toml::Table, _> = toml::from_str(text);
    if let Err(error) = table {
        let place = Place::of(text, &error);
        let what =
            if error.message() == "duplicate key" { place.duplicate() } else { toml_syntax::in_words(error.message()) };
        return Err(Fault { span: error.span(), key: "", what });
    }
    toml::from_str(text).map_err(|error| {
        let what = Place::of(text, &error).in_words(error.message());
        Fault { span: error.span(), key: "", what }
    })
}

/// Where an error is.
struct Place<'a> {
    line: &'a str,
    /// The line up to the error.
    before: &'a str,
    /// The line from the error on.
    rest: &'a str,
}

impl<'a> Place<'a> {
    fn of(text: &'a str, error: &toml::de::Error) -> Place<'a> {
        let at = error.span().map_or(0, |span| span.start.min(text.len()));
        let start = text[..at].rfind('\n').map_or(0, |end| end + 1);
        let end = text[at..].find('\n').map_or(text.len(), |length| at + length);
        Place { line: text[start..end].trim(), before: &text[start..at], rest: &text[at..end] }
    }

    /// The key whose value is wrong, if it is on the same line.
    fn key(&self) -> Option<&'a str> {
        let (left, _) = self.before.rsplit_once('=')?;
        left.trim_end().rsplit([' ', '{', ',', '.']).next().filter(|key| !key.is_empty())
    }

    /// The first part of a table's or key's name that starts the line.
    fn first_name(&self) -> &'a str {
        let name = self.line.trim_start_matches('[');
        name.split(|c: char| !(c.is_alphanumeric() || c == '_' || c == '-')).next().unwrap_or(name)
    }

    fn in_words(&self, message: &str) -> String {
        if let Some(rest) = message.strip_prefix("unknown field ") {
            unknown_key(&quoted(rest))
        } else if let Some(rest) = message.strip_prefix("unknown variant ") {
            unknown_value(&quoted(rest))
        } else if let Some(rest) = message.strip_prefix("missing field ") {
            missing_key(rest.trim_matches('`'))
        } else if message.contains("socket address syntax") {
            "not an address; write for example \"127.0.0.1:8080\"".to_owned()
        } else if message.starts_with("wanted string or table") {
            self.wrong_type(self.rest, "a string")
        } else {
            let types = ["invalid type: ", "invalid value: ", "invalid length "];
            let rest = types.iter().find_map(|start| message.strip_prefix(start));
            match rest.and_then(|rest| rest.rsplit_once(", expected ")) {
                Some((found, expected)) => self.wrong_type(found, expected),
                // Our own values say what is wrong with them.
                None => message.to_owned(),
            }
        }
    }

    fn wrong_type(&self, found: &str, expected: &str) -> String {
        if let Some(what) = self.wrong_brackets(found, expected) {
            return what;
        }
        let is_table = expected.starts_with("struct") || expected == "a map";
        let (kind, advice) = match expected {
            "f64" => ("a number", "write it without quotes, as in 2.5".to_owned()),
            "u32" | "u64" | "i64" => ("a whole number", "write it without quotes, as in 80".to_owned()),
            "a boolean" => ("true or false", "write one of them, without quotes".to_owned()),
            "a sequence" => ("a list", "write for example [\"door\"]".to_owned()),
            "socket address" => ("an address", "write for example \"127.0.0.1:8080\"".to_owned()),
            _ if is_table => ("a table", self.table_advice()),
            _ => ("text", "write it in quotes".to_owned()),
        };
        let key = self.key().map(|key| format!("`{key}`: ")).unwrap_or_default();
        format!("{key}expected {kind}, found {}; {advice}", self.found(found))
    }

    /// The remedy for a table with too few or too many brackets.
    fn wrong_brackets(&self, found: &str, expected: &str) -> Option<String> {
        let name = self.first_name();
        let header = self.line.split_inclusive(']').take_while(|part| !part.contains('#')).collect::<String>();
        match (REPEATABLE.contains(&name), self.line.starts_with("[[")) {
            (true, false) if self.line.starts_with('[') && header.contains('.') => {
                Some(format!("{header} belongs to a [[{name}]] table; write [[{name}]] above it"))
            }
            (true, false) if found == "map" && expected == "a sequence" => {
                Some(format!("[{name}] is a table; write [[{name}]], because there can be several"))
            }
            (true, false) if expected == "a sequence" && self.key() == Some(name) => {
                Some(format!("`{name}` is not a value; write a [[{name}]] table"))
            }
            (_, true) if name == "quantity" => {
                Some("[[quantity]] has no name; write a table for each quantity, as in [quantity.temperature]".into())
            }
            (_, true) if header.contains("curve") => {
                Some("[[link.curve]] has two brackets; write [link.curve], because a link has one".to_owned())
            }
            (false, true) => {
                Some(format!("[[{name}]] has two brackets; write [{name}], because there can be only one"))
            }
            _ => None,
        }
    }

    fn table_advice(&self) -> String {
        match self.key() {
            Some("curve") => "write a table, [link.curve], after the link's other keys".to_owned(),
            Some(key @ ("web" | "history" | "record" | "spool")) => format!("write [{key}] and its keys below it"),
            _ => "write for example [quantity.temperature] and its keys below it".to_owned(),
        }
    }

    fn found(&self, found: &str) -> String {
        let number = found.trim_start_matches("integer ").trim_start_matches("floating point ");
        match found.split(' ').next().unwrap_or(found) {
            "integer" | "floating" => number.trim_end_matches(" as i128").trim_matches('`').to_owned(),
            "boolean" => found.trim_start_matches("boolean ").trim_matches('`').to_owned(),
            "string" => "text in quotes".to_owned(),
            "map" if self.rest.starts_with(|c: char| c.is_ascii_digit()) => "a date".to_owned(),
            "map" => "a table".to_owned(),
            "sequence" | "0" => "a list".to_owned(),
            _ => self.rest.split(['#', ',', ']', '}']).next().unwrap_or_default().trim().to_owned(),
        }
    }

    fn duplicate(&self) -> String {
        let name = self.first_name();
        if !self.line.starts_with('[') {
            return format!("`{name}` is already set above; remove one of the two lines");
        }
        if REPEATABLE.contains(&name) {
            return format!("[{name}] and [[{name}]] do not go together; write [[{name}]] everywhere");
        }
        format!("{} is already written above; move its keys there", self.line)
    }
}

/// The words in backticks.
fn quoted(text: &str) -> Vec<&str> {
    text.split('`').skip(1).step_by(2).collect()
}

fn nearest<'a>(wrong: &str, known: &[&'a str]) -> Option<&'a str> {
    let distance = |name: &&&str| strsim::damerau_levenshtein(wrong, name);
    known.iter().min_by_key(distance).filter(|name| distance(name) <= 2).copied()
}

fn unknown_key(words: &[&str]) -> String {
    let [wrong, known @ ..] = words else { return "unknown key".to_owned() };
    let list = known.join(", ");
    match nearest(wrong, known) {
        Some(name) => format!("unknown key `{wrong}`; did you mean `{name}`? (the keys here: {list})"),
        None => format!("unknown key `{wrong}`; the keys here are {list}"),
    }
}

fn unknown_value(words: &[&str]) -> String {
    let [wrong, known @ ..] = words else { return "unknown value".to_owned() };
    let list = known.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ");
    match nearest(wrong, known) {
        Some(name) => format!("unknown value `{wrong}`; did you mean `{name}`? (the values here: {list})"),
        None => format!("unknown value `{wrong}`; the values here are {list}"),
    }
}

fn missing_key(key: &str) -> String {
    let example = EXAMPLES.iter().find(|(name, _)| *name == key).map_or("…", |(_, example)| *example);
    format!("missing key `{key}`; add for example `{key} = {example}`")
}

#[cfg(test)]
pub(super) mod tests {
    use std::path::Path;

    const CAMERA: &str = "[[camera]]\nname = \"a\"\nsource = \"pattern\"\n";
    const LINK: &str = "[[link]]\npattern = \"pair\"\nconnect = \"tcp://127.0.0.1:1\"\n";

    /// Words of libraries that nobody who writes a file has to know.
    const JARGON: [&str; 20] = [
        "f64",
        "u32",
        "i64",
        "i128",
        " map",
        "sequence",
        "struct",
        "string",
        " field",
        "variant",
        "literal",
        "boolean",
        "integer",
        "floating",
        "inline",
        "overflow",
        "mantissa",
        "invalid",
        "array",
        "expected `",
    ];

    pub(in crate::config) fn of_agent(text: &str) -> String {
        crate::config::agent_from(text, Path::new("x")).expect_err(text).to_string()
    }

    fn of_receiver(text: &str) -> String {
        crate::config::receiver::parse(text).expect_err(text).what
    }

    /// Checks that an error has these words and no jargon.
    #[track_caller]
    pub(in crate::config) fn check(text: &str, error: &str, words: &str) {
        assert!(error.contains(words), "{text}\n{error}");
        let what = error.split("\n  ").next().unwrap_or(error);
        let jargon = JARGON.iter().find(|word| what.contains(**word));
        assert_eq!(jargon, None, "{text}\n{error}");
    }

    #[test]
    fn wrong_types_name_the_key_and_what_to_write() {
        for (line, words) in [
            ("fps = \"25\"", "`fps`: expected a number, found text in quotes; write it without quotes"),
            ("fps = true", "`fps`: expected a number, found true"),
            ("fps = [1]", "`fps`: expected a number, found a list"),
            ("quality = 80.5", "`quality`: expected a whole number, found 80.5"),
            ("quality = \"80\"", "`quality`: expected a whole number, found text in quotes"),
            ("rotate = 90.0", "`rotate`: expected a whole number, found 90"),
            ("on = \"yes\"", "`on`: expected true or false, found text in quotes"),
            ("on = 1", "`on`: expected true or false, found 1"),
            ("size = 640", "`size`: expected text, found 640; write it in quotes"),
            ("flip = true", "`flip`: expected text, found true; write it in quotes"),
            ("flip = 3 # x", "`flip`: expected text, found 3; write it in quotes"),
            ("name = 2020-01-01", "`name` is already set above"),
            ("crop = 2020-01-01", "`crop`: expected text, found a date"),
        ] {
            let text = format!("{CAMERA}{line}");
            check(&text, &of_agent(&text), words);
        }
        for (line, words) in [
            ("port = 3", "`port`: expected text, found 3"),
            ("port = \"/x\"\nbaud = -1", "`baud`: expected a whole number, found -1"),
            ("port = \"/x\"\nbaud = 99999999999", "`baud`: expected a whole number, found 99999999999"),
            ("port = \"/x\"\nfields = \"t\"", "`fields`: expected a list, found text in quotes; write for example [\""),
            ("port = \"/x\"\nfields = [1]", "`fields`: expected text, found 1"),
            ("port = \"/x\"\nfields = [\n1]", "expected text, found 1"),
            ("port = \"/x\"\nstale_after = 10", "`stale_after`: expected text, found 10"),
        ] {
            let text = format!("[[serial]]\n{line}");
            check(&text, &of_agent(&text), words);
        }
    }

    #[test]
    fn wrong_tables_name_the_right_one() {
        for (text, words) in [
            ("[camera]\nname = \"a\"", "[camera] is a table; write [[camera]], because there can be several"),
            ("[serial]\nport = \"/x\"", "[serial] is a table; write [[serial]], because there can be several"),
            ("link = { pattern = \"pair\" }", "[link] is a table; write [[link]], because there can be several"),
            ("camera.name = \"x\"", "[camera] is a table; write [[camera]]"),
            ("camera = \"a\"", "`camera` is not a value; write a [[camera]] table"),
            ("[link.curve]\nserver_key = \"\"", "[link.curve] belongs to a [[link]] table; write [[link]] above it"),
            ("[[quantity]]\nname = \"x\"", "write a table for each quantity, as in [quantity.temperature]"),
            ("[quantity]\nmin = 1", "`min`: expected a table, found 1; write for example [quantity.temperature]"),
            ("quantity = 3", "`quantity`: expected a table, found 3"),
            ("[[spool]]\noff = true", "[[spool]] has two brackets; write [spool], because there can be only one"),
            ("spool = true", "`spool`: expected a table, found true; write [spool] and its keys below it"),
            ("spool = []", "`spool`: expected a table, found a list"),
            (&format!("{LINK}curve = true"), "`curve`: expected a table, found true; write a table, [link.curve]"),
            (&format!("{LINK}[[link.curve]]\nserver_key = \"\""), "write [link.curve], because a link has one"),
            (&format!("{LINK}curve = {{ secret_key_file = 3 }}"), "`secret_key_file`: expected text, found 3"),
            ("[[camera]]\n[camera]", "[camera] and [[camera]] do not go together"),
            ("[spool]\n[spool]", "[spool] is already written above"),
            ("name = \"a\"\nname = \"b\"", "`name` is already set above"),
            ("[[camera]]\nname = \"a\"", "missing key `source`; add for example `source = \"/dev/video0\"`"),
            ("[[link]]\nbind = \"ipc://x\"", "missing key `pattern`; add for example `pattern = \"pair\"`"),
            ("[[link]]\npattern = \"pear\"", "unknown value `pear`; did you mean `pair`?"),
            ("[[link]]\npattern = \"x\"", "unknown value `x`; the values here are `pair`, `pub`, `dealer`, `req`"),
            ("[[cameras]]\nname = \"a\"", "unknown key `cameras`; did you mean `camera`?"),
            ("foo = 1", "unknown key `foo`; the keys here are name, serial, "),
        ] {
            check(text, &of_agent(text), words);
        }
    }

    #[test]
    fn receiver_files_are_checked_alike() {
        for (text, words) in [
            ("[web]\nlisten = \"8080\"", "not an address; write for example \"127.0.0.1:8080\""),
            ("[web]\nlisten = 8080", "`listen`: expected an address, found 8080"),
            ("[web]\ntoken_file = 3", "`token_file`: expected text, found 3"),
            ("[history]\nkeep = 3", "`keep`: expected text, found 3"),
            ("[record]\nfps = \"1\"", "`fps`: expected a number, found text in quotes"),
            ("[[web]]\nlisten = \"127.0.0.1:1\"", "[[web]] has two brackets; write [web]"),
            ("[[history]]\noff = true", "[[history]] has two brackets; write [history]"),
            ("web = 3", "`web`: expected a table, found 3; write [web] and its keys below it"),
            ("[link]\npattern = \"sub\"", "[link] is a table; write [[link]], because there can be several"),
        ] {
            check(text, &of_receiver(text), words);
        }
    }
}
