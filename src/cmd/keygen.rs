//! Creates this machine's key pair, or the tokens of its page, and shows how to configure them.

use std::path::Path;

use anyhow::Result;

use crate::auth::certificate::KeyPair;
use crate::auth::token;
use crate::name::Name;

/// Writes `NAME.key` and `NAME.key_secret` into the directory; returns instructions.
///
/// # Errors
/// If one of them already exists or cannot be written.
pub fn run(name: &Name, dir: &Path) -> Result<String> {
    let pair = KeyPair::generate()?;
    let (secret, public) = pair.write(dir, name)?;
    let dir = secret.parent().unwrap_or(dir).display();
    let (secret, public, key) = (secret.display(), public.display(), pair.public);
    Ok(format!(
        r#"{secret}   keep it here; the user that runs watchpost must own it
{public}          copy it to the other machines; for a receiver, it permits the agent {name}

For a link of this machine that binds, put the .key files of permitted peers into a directory:

    [link.curve]
    secret_key_file = "{secret}"
    allowed_keys_dir = "{dir}/allowed"

For a link of this machine that connects, copy the other end's .key file here:

    [link.curve]
    secret_key_file = "{secret}"
    server_key = "{dir}/OTHER.key"

For a link of another machine that connects to this one, you can write the key itself instead of a file:

    server_key = "{key}"
"#
    ))
}

/// Writes `web.token` and `web-view.token` into the directory; returns instructions.
///
/// # Errors
/// If one of them already exists or cannot be written.
pub fn tokens(dir: &Path) -> Result<String> {
    let (control, view) = token::write_both(dir)?;
    let (control, view) = (control.display(), view.display());
    Ok(format!(
        r#"{control}        permits viewing everything and controlling cameras
{view}   permits viewing everything
The user that runs watchpost must own both. Write into the receiver's file:

    [web]
    listen = "0.0.0.0:8080"
    token_file = "{control}"
    view_token_file = "{view}"

The page at http://THIS-HOST:8080/ asks each browser once for a token; `cat {control}` shows it.
A program sends it with each request:

    curl -H "Authorization: Bearer $(cat {view})" http://THIS-HOST:8080/api/wall

HTTP is not encrypted: anyone who can listen in the network can read the token. If that matters, keep `listen` at
127.0.0.1:8080, and use a proxy with TLS or `ssh -L 8080:127.0.0.1:8080 THIS-HOST`.
"#
    ))
}
