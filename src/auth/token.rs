//! The tokens of the receiver's page, for viewers and programs. Each is a file with one line.

use std::fs::File;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, ensure};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use crate::auth::secret::{advise_if_missing, create, directory, ensure_hidden, open_secret, read, remove};
use crate::config::Web;

/// Length of a new token: 256 bits.
const BYTES: usize = 32;

/// Shortest accepted token, for handwritten ones: 128 bits as hexadecimal digits.
const MIN_CHARACTERS: usize = 32;

/// A token. It cannot be printed by mistake.
pub struct Token(String);

impl Token {
    /// Creates a token with the system's random generator.
    ///
    /// # Errors
    /// If the system has none.
    pub fn generate() -> Result<Token> {
        let mut bytes = [0; BYTES];
        let generator = "/dev/urandom";
        File::open(generator).and_then(|mut file| file.read_exact(&mut bytes)).context(generator)?;
        Ok(Token(URL_SAFE_NO_PAD.encode(bytes)))
    }

    /// Reads a token file.
    ///
    /// # Errors
    /// If it cannot be read, has no token or one that is too short, or others than its owner may read it.
    pub fn read(path: &Path) -> Result<Token> {
        let missing = "`watchpost keygen --token` creates one";
        let file = open_secret(path, "token").map_err(|error| advise_if_missing(error, missing))?;
        ensure_hidden(&file, path, "token")?;
        let text = read(&file, path, "token")?;
        let token = text.trim();
        let is_one_word = token.bytes().all(|byte| byte.is_ascii_graphic());
        ensure!(
            token.len() >= MIN_CHARACTERS && is_one_word,
            "{} has no token: a token is one word of at least {MIN_CHARACTERS} letters, digits and signs; \
             `watchpost keygen --token` creates one",
            path.display()
        );
        Ok(Token(token.to_owned()))
    }

    /// Returns the token's text.
    #[must_use]
    pub fn word(&self) -> &str {
        &self.0
    }
}

/// Writes `web.token` and `web-view.token`, which only their owner can read, into a directory, which is created if
/// necessary; returns their paths. Never overwrites a file.
///
/// # Errors
/// If one already exists or cannot be written; then neither is created.
pub fn write_both(dir: &Path) -> Result<(PathBuf, PathBuf)> {
    let dir = directory(dir)?;
    let (control, view) = (dir.join("web.token"), dir.join("web-view.token"));
    let write = |path: &Path| create(path, 0o600, &format!("{}\n", Token::generate()?.word()));
    write(&control)?;
    write(&view).inspect_err(|_| remove(&control))?;
    Ok((control, view))
}

/// The tokens of a page.
pub struct Tokens {
    /// Permits viewing and control.
    pub control: Token,
    /// Permits viewing only.
    pub view: Option<Token>,
}

impl Tokens {
    /// Reads the token files of the configuration; returns `None` if it has none.
    ///
    /// # Errors
    /// As [`Token::read`], and if both files hold the same token.
    pub fn read(web: &Web) -> Result<Option<Tokens>> {
        let Some(control) = &web.token_file else { return Ok(None) };
        let view = web.view_token_file.as_deref().map(Token::read).transpose()?;
        let control = Token::read(control)?;
        ensure!(
            view.as_ref().is_none_or(|view| view.0 != control.0),
            "`token_file` and `view_token_file` hold the same token, so viewers could control cameras; \
             `watchpost keygen --token` creates two"
        );
        Ok(Some(Tokens { control, view }))
    }
}
