//! Tests of the errors about wrong files.

use std::path::Path;

use super::{agent_from, either};

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

fn of_agent(text: &str) -> String {
    agent_from(text, Path::new("x")).expect_err(text).to_string()
}

fn of_receiver(text: &str) -> String {
    let file = tempfile::NamedTempFile::new().expect("a temporary file");
    std::fs::write(file.path(), text).expect("a temporary file");
    either(file.path()).expect_err(text).to_string()
}

/// Checks that an error has these words and no jargon.
#[track_caller]
fn check(text: &str, error: &str, words: &str) {
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
        (
            "[[camera]]\nname = \"a\"\nsource = \"pattern\"\ncertificate = \"/a\"",
            "only a camera at an https:// address has a certificate",
        ),
        (
            "[[camera]]\nname = \"a\"\nsource = \"HTTPS://a/\"\ncertificate = \"a\"",
            "not a whole path; write for example \"/etc/watchpost/door.pem\"",
        ),
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

#[test]
fn syntax_errors_say_what_to_write() {
    for (text, words) in [
        ("name = a", "write text in quotes"),
        ("name =", "the value is missing"),
        ("name = yes", "true and false without"),
        ("name = “a”", "write text in quotes"),
        ("name = \"a", "a closing quote is missing"),
        ("name = 'a\nb = 1", "a closing quote is missing"),
        ("name = \"a\u{1}\"", "control character"),
        ("#\u{1}", "control character"),
        ("name = \"\\q\"", "write `\\\\`, or use single quotes"),
        ("name", "`=` is missing"),
        ("name \"a\"", "`=` is missing"),
        ("na me = 3", "with the key in one word"),
        ("name: \"a\"", "`=` is missing"),
        ("= 3", "a name is missing"),
        ("[]", "a name is missing"),
        ("[camera", "write `]` after the table's name"),
        ("[[camera]", "write `]]` after the table's name"),
        ("name = [1, 2", "the list is not closed"),
        ("name = {a = 1", "the table is not closed"),
        ("name = \"a\" x", "start a new line"),
        ("fps = 1,5", "write decimals with a point"),
        ("[[link]] pattern = \"pair\"", "start a new line"),
        ("name = True", "in lower case"),
        ("x = 1_", "not a number; write for example"),
        ("x = 1.", "not a number; write for example"),
        ("x = .5", "not a number; write for example"),
        ("x = 05", "not a number; write for example"),
        ("x = 0x", "not a number that can be used"),
        ("x = 1e999", "not a number that can be used"),
        ("x = 99999999999999999999", "not a number that can be used"),
        ("x = 2020-13-45", "not a date"),
        ("café = 1", "use letters, digits"),
        ("{\"name\": \"a\"}", "not TOML; write `key = value`"),
    ] {
        check(text, &of_agent(text), words);
    }
}
