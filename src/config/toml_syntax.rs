//! Syntax errors of the TOML parser, in the words of someone who writes a configuration file.

/// Parts of the parser's messages, each with what to say instead. The first match counts.
const SYNTAX: [(&str, &str); 22] = [
    ("must be quoted", "the value is missing or has no quotes; write text in quotes, numbers, true and false without"),
    ("non-double-quote", "a text contains a control character; remove it"),
    ("escape", "a backslash in double quotes needs another one; write `\\\\`, or use single quotes"),
    ("string", "a closing quote is missing; end the text with the quote that starts it"),
    ("unclosed table", "a bracket is missing; write `]` after the table's name"),
    ("unclosed array table", "a bracket is missing; write `]]` after the table's name"),
    ("unclosed array", "the list is not closed; write `]` at its end"),
    ("unclosed inline table", "the table is not closed; write `}` at its end"),
    ("missing comma", "a comma is missing; write one between each two values"),
    ("extra comma", "there is a comma too many; remove it"),
    ("extra", "there is a `=` too many; write `key = value`"),
    (
        "unexpected key or value",
        "text follows at the end of the line; start a new line, and write decimals with a point",
    ),
    ("key with no value", "`=` is missing; write `key = value`, with the key in one word"),
    ("cannot be empty", "a name is missing; write `key = value`, or a table as in [spool]"),
    ("unquoted key", "a key contains a character that it cannot have; use letters, digits, `-` and `_`"),
    ("comment", "a comment contains a control character; remove it"),
    ("boolean", "not a value; write true or false, in lower case"),
    ("date", "not a date; write text in quotes"),
    ("time", "not a time; write text in quotes"),
    ("overflowed", "not a number that can be used; write for example 9600 or 0.5"),
    ("any valid TOML value", "not a number that can be used; write for example 9600 or 0.5"),
    ("cannot recurse", "too many brackets; remove some"),
];

/// Words a syntax error of the TOML parser.
pub(super) fn describe(message: &str) -> String {
    let words = SYNTAX.iter().find(|(part, _)| message.contains(part)).map(|(_, words)| *words);
    let number = ["`_`", "fraction", "mantissa", "exponent", "zero", "digit"].iter().any(|part| message.contains(part));
    let other = if number {
        "not a number; write for example 9600 or 0.5"
    } else {
        "not TOML; write `key = value`, or a table as in [spool]"
    };
    words.unwrap_or(other).to_owned()
}
