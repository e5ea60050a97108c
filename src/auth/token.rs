//! The tokens that let viewers and programs in at the receiver's page: a file each, with one line.

use std::fs::File;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, anyhow, ensure};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use crate::auth::secret::{create, directory, ensure_hidden, forget, open_secret, read};
use crate::config::Web;

/// What nobody guesses: 256 bits.
const BYTES: usize = 32;

/// Characters of the shortest that is taken, for who writes one without [`Token::generate`]: 128 bits as hexadecimal
/// digits.
const SHORTEST: usize = 32;

/// A token. It cannot be printed by mistake.
pub struct Token(String);

impl Token {
    /// A new one, from the system's generator.
    ///
    /// # Errors
    /// When the system has none.
    pub fn generate() -> Result<Token> {
        let mut bytes = [0; BYTES];
        let generator = "/dev/urandom";
        File::open(generator).and_then(|mut file| file.read_exact(&mut bytes)).context(generator)?;
        Ok(Token(URL_SAFE_NO_PAD.encode(bytes)))
    }

    /// Reads a file that has one.
    ///
    /// # Errors
    /// When it cannot be read, holds none or one that is too short, or others than its owner may read it.
    pub fn read(path: &Path) -> Result<Token> {
        let missing = |error| anyhow!("{error:#}; `watchpost keygen --token` makes one");
        let file = open_secret(path, "token").map_err(|error| if path.exists() { error } else { missing(error) })?;
        ensure_hidden(&file, path, "token")?;
        let text = read(&file, path, "token")?;
        let token = text.trim();
        let is_one_word = token.bytes().all(|byte| byte.is_ascii_graphic());
        ensure!(
            token.len() >= SHORTEST && is_one_word,
            "{} has no token: that is one word of at least {SHORTEST} letters, digits and signs; \
             `watchpost keygen --token` makes one",
            path.display()
        );
        Ok(Token(token.to_owned()))
    }

    /// The word itself.
    #[must_use]
    pub fn word(&self) -> &str {
        &self.0
    }
}

/// Makes `web.token` and `web-view.token`, which only their owner can read, in a directory, which is made if it is not
/// there; gives their paths. Files that are there are left as they are.
///
/// # Errors
/// When one is there already or cannot be written; then neither is made.
pub fn write_both(dir: &Path) -> Result<(PathBuf, PathBuf)> {
    let dir = directory(dir)?;
    let (control, view) = (dir.join("web.token"), dir.join("web-view.token"));
    let write = |path: &Path| create(path, 0o600, &format!("{}\n", Token::generate()?.word()));
    write(&control)?;
    write(&view).inspect_err(|_| forget(&control))?;
    Ok((control, view))
}

/// The tokens of a page.
pub struct Tokens {
    /// Of those who may see and switch.
    pub control: Token,
    /// Of those who may only see.
    pub view: Option<Token>,
}

impl Tokens {
    /// Reads the files that the configuration names; none: it names none.
    ///
    /// # Errors
    /// As [`Token::read`], and when both hold the same.
    pub fn read(web: &Web) -> Result<Option<Tokens>> {
        let Some(control) = &web.token_file else { return Ok(None) };
        let view = web.view_token_file.as_deref().map(Token::read).transpose()?;
        let control = Token::read(control)?;
        ensure!(
            view.as_ref().is_none_or(|view| view.0 != control.0),
            "`token_file` and `view_token_file` hold the same token, so nobody could tell who may switch; \
             `watchpost keygen --token` makes two"
        );
        Ok(Some(Tokens { control, view }))
    }
}
