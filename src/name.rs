//! Names of agents, cameras and ports.

use std::collections::hash_map::RandomState;
use std::fmt;
use std::hash::{BuildHasher as _, Hasher as _};
use std::ops::Deref;
use std::sync::Arc;

use serde::{Deserialize, Serialize, Serializer};

/// A name that is safe in a topic, a file name and a page: 1 to 64 letters, digits, `-`, `_` or `.`, in at most 192 bytes
/// of UTF-8, not starting with a dot. Cheap to clone.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Deserialize)]
#[serde(try_from = "String")]
pub struct Name(Arc<str>);

/// Maximum number of characters.
const MAX_CHARS: usize = 64;

/// Maximum length. A file's name has at most 255 bytes on Linux, and names become parts of file names, as in
/// `NAME.key_secret`. Letters of three bytes, such as Chinese ones, may still use all characters.
const MAX_BYTES: usize = 192;

impl Name {
    /// The nearest name to any text. Invalid characters become `_`. Long texts lose their start, because device names
    /// differ at the end.
    #[must_use]
    pub fn nearest(text: &str) -> Name {
        let excess = text.chars().count().saturating_sub(MAX_CHARS);
        let fits: String = text.chars().skip(excess).map(|c| if is_allowed(c) { c } else { '_' }).collect();
        let fits = &fits[fits.ceil_char_boundary(fits.len().saturating_sub(MAX_BYTES))..];
        match fits {
            "" => Name("_".into()),
            hidden if hidden.starts_with('.') => Name(format!("_{}", &hidden[1..]).into()),
            name => Name(name.into()),
        }
    }

    /// A new, unique name: 16 random hexadecimal digits.
    #[must_use]
    pub fn random() -> Name {
        Name(format!("{:016x}", RandomState::new().build_hasher().finish()).into())
    }
}

fn is_allowed(c: char) -> bool {
    c.is_alphanumeric() || matches!(c, '-' | '_' | '.')
}

/// The text is not a [`Name`].
#[derive(Debug, thiserror::Error)]
#[error(
    "{0:?} cannot be a name: use 1 to {MAX_CHARS} letters, digits, '-', '_' or '.', not starting with '.', and at most \
     {MAX_BYTES} bytes"
)]
pub struct NotAName(String);

impl TryFrom<String> for Name {
    type Error = NotAName;

    fn try_from(text: String) -> Result<Name, NotAName> {
        let is_valid = text.len() <= MAX_BYTES && is_well_formed(&text);
        if is_valid { Ok(Name(text.into())) } else { Err(NotAName(text)) }
    }
}

/// A name that was stored. Earlier versions limited a name only to 64 characters, so one of theirs may be longer than the
/// limit of a [`Name`] in bytes. Its data must expire and be removed like that of others.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize, Serialize)]
#[serde(try_from = "String")]
pub struct StoredName(pub Name);

impl TryFrom<String> for StoredName {
    type Error = NotAName;

    fn try_from(text: String) -> Result<StoredName, NotAName> {
        if is_well_formed(&text) { Ok(StoredName(Name(text.into()))) } else { Err(NotAName(text)) }
    }
}

/// Whether the text is a name but for its length in bytes.
fn is_well_formed(text: &str) -> bool {
    (1..=MAX_CHARS).contains(&text.chars().count()) && !text.starts_with('.') && text.chars().all(is_allowed)
}

impl Serialize for Name {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

impl Deref for Name {
    type Target = str;

    fn deref(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_leave_room_for_the_suffix_of_a_file() {
        let read = |text: String| Name::try_from(text).map(|name| name.len());
        assert!(read("\u{20000}".repeat(64)).is_err_and(|error| error.to_string().contains("at most 192 bytes")));
        assert_eq!(read("室".repeat(64)).expect("a name"), MAX_BYTES);
        assert_eq!(Name::nearest(&"\u{20000}".repeat(100)).len(), MAX_BYTES);
        assert_eq!(Name::nearest(&format!("a{}", "\u{20000}é".repeat(32))).len(), MAX_BYTES);
    }
}
