//! Authentication and roles.
//!
//! Every request passes `authenticate`. Without tokens, requests to a loopback address may do everything, except those
//! that a browser makes for another site's page. With tokens, a request needs one, in a header or as the cookie that
//! the login page sets.

use std::convert::Infallible;
use std::fmt;
use std::sync::Mutex;
use std::time::Duration;

use anyhow::Result;
use axum::extract::{FromRequestParts, Request, State};
use axum::http::header::{ACCEPT, AUTHORIZATION, COOKIE, LOCATION, WWW_AUTHENTICATE};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Serialize;
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;
use tokio::time::{Instant, sleep};

use super::Site;
use super::cross_site;
use super::error::HttpError;
use crate::auth::token::{Token, Tokens};
use crate::config::Web;
use crate::lock::lock;

/// Paths served without authentication: the login page with its files, and the health check.
const PUBLIC_PATHS: [&str; 5] = ["/login", "/login.css", "/page.css", "/icon.svg", "/health"];

/// Number of wrong tokens per second above which answers are delayed, and the delay.
const MAX_WRONG_TOKENS: u32 = 10;
const WRONG_TOKEN_DELAY: Duration = Duration::from_millis(500);

/// The permissions of a viewer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Role {
    /// May see everything.
    View,
    /// May also control cameras.
    Control,
}

/// The configured tokens.
pub struct Access {
    /// Empty if no token is required.
    credentials: Vec<Credential>,
    /// The cookie's name. Cookies do not depend on the port, so each receiver on a host needs its own name.
    cookie_name: String,
    wrong_tokens: Mutex<WrongTokens>,
}

/// A token that grants a role.
struct Credential {
    role: Role,
    token: [u8; 32],
    /// Derived from the token: stays the same after a restart and changes with the token.
    cookie: String,
}

/// The number of wrong tokens in the current second.
struct WrongTokens {
    since: Instant,
    count: u32,
}

impl Credential {
    fn new(role: Role, token: &Token) -> Credential {
        let salt = match role {
            Role::View => "watchpost cookie view ",
            Role::Control => "watchpost cookie control ",
        };
        let cookie = Sha256::new().chain_update(salt).chain_update(token.word()).finalize();
        Credential { role, token: digest(token.word()), cookie: URL_SAFE_NO_PAD.encode(cookie) }
    }
}

/// Hashes to a fixed length, so that the time of a comparison reveals nothing.
fn digest(text: &str) -> [u8; 32] {
    Sha256::digest(text).into()
}

impl Access {
    /// Reads the configured tokens.
    ///
    /// # Errors
    /// When a token cannot be read.
    pub fn open(web: &Web) -> Result<Access> {
        let tokens = Tokens::read(web)?;
        let word = tokens.as_ref().map_or("", |tokens| tokens.control.word());
        let [a, b, c, d, ..] = digest(word);
        let cookie_name = format!("watchpost-{:08x}", u32::from_be_bytes([a, b, c, d]));
        let credentials = tokens.iter().flat_map(|tokens| {
            let control = Credential::new(Role::Control, &tokens.control);
            [Some(control), tokens.view.as_ref().map(|token| Credential::new(Role::View, token))]
        });
        let wrong_tokens = Mutex::new(WrongTokens { since: Instant::now(), count: 0 });
        Ok(Access { credentials: credentials.flatten().collect(), cookie_name, wrong_tokens })
    }

    /// Whether requests need a token.
    pub(super) fn requires_token(&self) -> bool {
        !self.credentials.is_empty()
    }

    /// The cookie for a token, if the token is right. After too many wrong tokens, all answers are delayed.
    pub(super) async fn cookie(&self, token: &str) -> Option<&str> {
        let credential = self.credential(token);
        if self.exceeds_limit(credential.is_none()) {
            sleep(WRONG_TOKEN_DELAY).await;
        }
        credential.map(|credential| credential.cookie.as_str())
    }

    fn credential(&self, token: &str) -> Option<&Credential> {
        let digest = digest(token);
        self.credentials.iter().find(|credential| credential.token.ct_eq(&digest).into())
    }

    /// Counts a wrong token; returns true after too many.
    fn exceeds_limit(&self, is_wrong: bool) -> bool {
        let mut wrong = lock(&self.wrong_tokens);
        if wrong.since.elapsed() >= Duration::from_secs(1) {
            *wrong = WrongTokens { since: Instant::now(), count: 0 };
        }
        wrong.count = wrong.count.saturating_add(u32::from(is_wrong));
        wrong.count > MAX_WRONG_TOKENS
    }

    /// The role that the headers prove; `None` without a valid token.
    pub(super) async fn role(&self, headers: &HeaderMap) -> Option<Role> {
        if !self.requires_token() {
            return Some(Role::Control);
        }
        // `Authorization` may hold another scheme, for a proxy in front of the receiver.
        let header =
            headers.get(AUTHORIZATION).and_then(|value| value.to_str().ok()).and_then(|value| value.split_once(' '));
        if let Some((_, token)) = header.filter(|(scheme, _)| is_bearer(scheme)) {
            let role = self.credential(token.trim()).map(|credential| credential.role);
            if role.is_none() && self.exceeds_limit(true) {
                sleep(WRONG_TOKEN_DELAY).await;
            }
            return role;
        }
        self.cookies(headers).find_map(|cookie| {
            let digest = digest(cookie);
            self.credentials
                .iter()
                .find(|credential| self::digest(&credential.cookie).ct_eq(&digest).into())
                .map(|credential| credential.role)
        })
    }

    /// The values of this receiver's cookies.
    fn cookies<'a>(&'a self, headers: &'a HeaderMap) -> impl Iterator<Item = &'a str> {
        let all = headers.get_all(COOKIE).into_iter().filter_map(|cookies| cookies.to_str().ok());
        let each = all.flat_map(|cookies| cookies.split(';')).filter_map(|cookie| cookie.trim().split_once('='));
        each.filter(|(name, _)| *name == self.cookie_name).map(|(_, value)| value)
    }

    /// A `Set-Cookie` value that sets or deletes the cookie. Scripts cannot read it, and browsers send it with links
    /// from other sites but not with their requests.
    pub(super) fn set_cookie(&self, value: &str, seconds: u32, encrypted: bool) -> HeaderValue {
        let (name, secure) = (&self.cookie_name, if encrypted { "; Secure" } else { "" });
        let text = format!("{name}={value}; HttpOnly; SameSite=Lax; Path=/; Max-Age={seconds}{secure}");
        HeaderValue::from_str(&text).expect("a cookie is valid in a header")
    }
}

impl fmt::Display for Access {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.requires_token() { "token required" } else { "open to all users of this machine" })
    }
}

fn is_bearer(scheme: &str) -> bool {
    scheme.eq_ignore_ascii_case("bearer")
}

/// Rejects cross-site requests, and requests without the required role.
pub(super) async fn authenticate(State(site): State<Site>, mut request: Request, next: Next) -> Response {
    if let Err(reason) = cross_site::check(request.headers(), !site.access.requires_token()) {
        return HttpError(StatusCode::FORBIDDEN, reason).into_response();
    }
    let path = request.uri().path();
    if PUBLIC_PATHS.contains(&path) {
        return next.run(request).await;
    }
    let Some(role) = site.access.role(request.headers()).await else {
        return unauthenticated(&request);
    };
    let is_read_only = matches!(*request.method(), Method::GET | Method::HEAD) || path == "/logout";
    if role == Role::View && !is_read_only {
        let message = "this token is read-only; use the one in `token_file` to control cameras";
        return HttpError(StatusCode::FORBIDDEN, message.into()).into_response();
    }
    request.extensions_mut().insert(role);
    next.run(request).await
}

/// Redirects browsers to the login page; answers programs with an error.
fn unauthenticated(request: &Request) -> Response {
    let accepts = request.headers().get(ACCEPT).and_then(|accepts| accepts.to_str().ok()).unwrap_or("");
    if request.method() == Method::GET && request.uri().path() == "/" && accepts.contains("text/html") {
        return (StatusCode::SEE_OTHER, [(LOCATION, "/login")]).into_response();
    }
    let message = if request.headers().contains_key(AUTHORIZATION) {
        "unknown token; send `Authorization: Bearer TOKEN` with the token in the receiver's token_file"
    } else {
        "token required: log in at /login or send the header `Authorization: Bearer TOKEN`"
    };
    let error = HttpError(StatusCode::UNAUTHORIZED, message.into());
    ([(WWW_AUTHENTICATE, "Bearer realm=\"watchpost\"")], error).into_response()
}

/// The role that `authenticate` found.
impl<S: Sync> FromRequestParts<S> for Role {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Role, Infallible> {
        Ok(parts.extensions.get().copied().unwrap_or(Role::View))
    }
}
