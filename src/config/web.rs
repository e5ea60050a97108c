//! The `[web]` table of the receiver's file.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;

use serde::Deserialize;
use toml::Spanned;

use super::error::Fault;

/// The page, and who may see it.
#[derive(Clone, Debug, Deserialize, PartialEq)]
#[serde(deny_unknown_fields)]
pub struct Web {
    /// Where the page is served; on this machine only, unless there is a token.
    #[serde(default = "default_listen")]
    pub listen: SocketAddr,
    /// A file with the token of those who may see and switch; none: nobody is asked.
    pub token_file: Option<PathBuf>,
    /// One with the token of those who may only see.
    pub view_token_file: Option<PathBuf>,
}

fn default_listen() -> SocketAddr {
    (Ipv4Addr::LOCALHOST, 8080).into()
}

impl Default for Web {
    fn default() -> Web {
        Web { listen: default_listen(), token_file: None, view_token_file: None }
    }
}

impl Web {
    pub(super) fn check(table: Spanned<Web>) -> Result<Web, Fault> {
        let span = table.span();
        let web = table.into_inner();
        for (key, file) in [("token_file", &web.token_file), ("view_token_file", &web.view_token_file)] {
            if let Some(path) = file.as_ref().filter(|path| !path.is_absolute()) {
                let what =
                    format!("\"{}\" is not a file's whole path; write \"/etc/watchpost/keys/web.token\"", path.display());
                return Err(Fault::of(key, span, what));
            }
        }
        if web.view_token_file.is_some() && web.token_file.is_none() {
            let what = "a token for those who only see needs one for those who switch, or everybody may do both; \
                        `watchpost keygen --token` makes two; add `token_file = …`";
            return Err(Fault::of("view_token_file", span, what.into()));
        }
        if web.token_file.is_none() && !web.listen.ip().is_loopback() {
            let what = format!(
                "{} can be reached from other machines, and nobody is asked who they are; `watchpost keygen --token` \
                 makes a token, and says what to write here; or write \"127.0.0.1:8080\" and go there through \
                 `ssh -L 8080:127.0.0.1:8080 THIS-HOST`",
                web.listen
            );
            return Err(Fault::of("listen", span, what));
        }
        Ok(web)
    }
}
