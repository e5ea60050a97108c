//! Answers the challenges of cameras that want a user and a password: Basic and Digest (RFC 7617, RFC 7616).

use http_auth::{PasswordClient, PasswordParams};

use crate::agent::camera::refusal::Refusal;

/// How many challenges to answer for one request.
const MAX_CHALLENGES: u32 = 3;

/// User and password of an address, and the challenge that they answer.
pub(super) struct Login {
    user_and_password: Option<(String, String)>,
    challenge: Option<PasswordClient>,
    /// Number of challenges since the last request that was accepted.
    challenges: u32,
}

impl Login {
    pub(super) fn new(user_and_password: Option<(String, String)>) -> Login {
        Login { user_and_password, challenge: None, challenges: 0 }
    }

    /// Takes the challenges of an answer with the status 401. A password is never sent twice in vain.
    ///
    /// # Errors
    /// When there is no user, or the camera refuses it.
    pub(super) fn challenge<'a>(&mut self, challenges: impl Iterator<Item = &'a str>) -> Result<(), Refusal> {
        if self.user_and_password.is_none() {
            return Err(Refusal::no_login(401));
        }
        let challenges: Vec<&str> = challenges.collect();
        // The password was right, but the server's random number has expired.
        let is_stale = challenges.iter().any(|text| text.to_ascii_lowercase().replace('"', "").contains("stale=true"));
        let is_limit = self.challenges >= MAX_CHALLENGES;
        if is_limit || self.challenges > 0 && !is_stale {
            return Err(Refusal::login(401));
        }
        self.challenges += 1;
        let builder = challenges.iter().fold(PasswordClient::builder(), |builder, text| builder.challenges(text));
        let client = builder.build();
        self.challenge =
            Some(client.map_err(|_| Refusal::of("asks for a kind of login that watchpost does not have"))?);
        Ok(())
    }

    /// Notes that the camera accepted a request.
    pub(super) fn accepted(&mut self) {
        self.challenges = 0;
    }

    /// The header `Authorization` for a request, once the camera has asked for it.
    pub(super) fn authorization(&mut self, method: &str, uri: &str) -> Option<String> {
        let (user, password) = self.user_and_password.as_ref()?;
        let params = PasswordParams { username: user, password, uri, method, body: Some(b"") };
        self.challenge.as_mut()?.respond(&params).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wrong_password_is_sent_once() {
        let mut login = Login::new(Some(("me".to_owned(), "you".to_owned())));
        assert_eq!(login.authorization("GET", "/"), None);
        assert_eq!(login.challenge(["Basic realm=\"a\""].into_iter()), Ok(()));
        assert_eq!(login.authorization("GET", "/").as_deref(), Some("Basic bWU6eW91"));
        assert_eq!(login.challenge(["Basic realm=\"a\""].into_iter()), Err(Refusal::login(401)));
        assert_eq!(Login::new(None).challenge(["Basic realm=\"a\""].into_iter()), Err(Refusal::no_login(401)));
    }

    #[test]
    fn digest_is_preferred_and_renewed_when_it_is_stale() {
        let mut login = Login::new(Some(("me".to_owned(), "you".to_owned())));
        let digest = "Digest realm=\"a\", nonce=\"1\", qop=\"auth\"";
        assert_eq!(login.challenge(["Basic realm=\"a\"", digest].into_iter()), Ok(()));
        assert!(login.authorization("GET", "/").is_some_and(|text| text.starts_with("Digest ")));
        assert_eq!(login.challenge([&*format!("{digest}, stale=TRUE")].into_iter()), Ok(()));
        assert_eq!(login.challenge([digest].into_iter()), Err(Refusal::login(401)));
        login.accepted();
        assert_eq!(login.challenge([digest].into_iter()), Ok(()));
        login.accepted();
        assert!(login.challenge(["Negotiate"].into_iter()).is_err());
    }
}
