//! Removes passwords from text that people or other programs can read.

/// Names in paths and queries whose values are secret, and the names of users, which precede passwords.
const SECRET_NAMES: [&str; 15] = [
    "pass", "pwd", "psw", "pw=", "pw_", "secret", "token", "key=", "auth", "login", "sign", "session", "usr", "user=",
    "user_",
];

/// Parts of the names of a pipeline's properties whose values are secret.
const SECRET_PROPERTIES: [&str; 6] = ["passw", "pwd", "-pw", "secret", "token", "auth"];

/// Returns the text without the passwords in addresses and in properties of a pipeline.
///
/// It rather removes too much: a password may contain every character that ends a part of an address.
#[must_use]
pub fn without_passwords(text: &str) -> String {
    text.split_inclusive('\n').map(|line| without_targets(&without_properties(&without_logins(line)))).collect()
}

/// Replaces what precedes the last @ after the start of an address.
fn without_logins(line: &str) -> String {
    let Some((before, mut rest)) = line.split_once("://") else { return without_bare_logins(line) };
    let mut shown = before.to_owned();
    loop {
        let (address, next) = rest.split_at(next_address(rest));
        shown.extend(["://", &without_login(address)]);
        let Some((scheme, after)) = next.split_once("://") else { return shown };
        shown.push_str(scheme);
        rest = after;
    }
}

/// Where the scheme of the next address starts: after a space, a quote or the name of a property.
fn next_address(text: &str) -> usize {
    let is_scheme = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'-' | b'.');
    let starts = text.match_indices("://").map(|(at, _)| {
        let scheme = text.as_bytes()[..at].iter().rev().take_while(|byte| is_scheme(byte)).count();
        at - scheme
    });
    let mut starts = starts.filter(|start| text[..*start].ends_with([' ', '\t', '"', '\'', '=']));
    starts.next().unwrap_or(text.len())
}

fn without_login(address: &str) -> String {
    let Some((login, host)) = address.rsplit_once('@') else { return address.to_owned() };
    if !login.contains(['/', '?', '#']) {
        return format!("…@{host}");
    }
    // Either the password has such a character, or the path has an @.
    format!("…{}", host.find(['"', ' ']).map_or("", |end| &host[end..]))
}

/// Replaces `USER:PASSWORD` in words such as `USER:PASSWORD@HOST`.
fn without_bare_logins(line: &str) -> String {
    let shown = |word: &str| match word.rsplit_once('@') {
        Some((login, host)) if login.contains(':') => format!("…@{host}"),
        _ => word.to_owned(),
    };
    line.split_inclusive(char::is_whitespace).map(shown).collect()
}

/// Replaces query and fragment of each address, and its path from the first name of a secret on.
fn without_targets(line: &str) -> String {
    let mut shown = String::new();
    let mut rest = line;
    while let Some((before, after)) = rest.split_once("://") {
        let end = after.find(|c: char| c == '"' || c.is_whitespace()).unwrap_or(after.len());
        let (host, target) = after[..end].split_at(after[..end].find(['/', '?', '#']).unwrap_or(end));
        let lower = target.to_ascii_lowercase();
        let secrets = SECRET_NAMES.iter().filter_map(|name| lower.find(name)).chain(target.find(['?', '#']));
        let target = secrets.min().map_or(target.to_owned(), |start| format!("{}…", &target[..start]));
        shown.extend([before, "://", host, &target]);
        rest = &after[end..];
    }
    shown + rest
}

/// Replaces values of properties with a secret's name.
fn without_properties(line: &str) -> String {
    let mut shown = String::new();
    let mut rest = line;
    while let Some((before, after)) = rest.split_once('=') {
        let name = before.rsplit([' ', '\t', '"', ';', '&', ',']).next().unwrap_or_default().to_ascii_lowercase();
        shown.extend([before, "="]);
        rest = after;
        if name.contains("://") || !SECRET_PROPERTIES.iter().any(|secret| name.contains(secret)) {
            continue;
        }
        let value = after.trim_start();
        let quote = value.chars().next().filter(|c| matches!(c, '"' | '\''));
        let end = match quote {
            Some(quote) => value[1..].find(quote).map(|at| at + 2),
            None => value.find(|c: char| c.is_whitespace() || c == '"'),
        };
        shown.push('…');
        rest = end.map_or("", |end| &value[end..]);
    }
    shown.push_str(rest);
    shown
}

#[cfg(test)]
mod tests {
    use super::without_passwords;

    #[test]
    fn passwords_are_removed() {
        for (text, shown) in [
            ("films/door.mp4", "films/door.mp4"),
            ("rtsp://me:you@cam:554/1", "rtsp://…@cam:554/1"),
            ("rtsp://me:y#o/u?@1@cam/live", "rtsp://…"),
            ("rtsp://me:y@o@cam/live", "rtsp://…@cam/live"),
            ("http://cam/a@b", "http://…"),
            ("me:you@cam", "…@cam"),
            ("http://10.0.0.9:81?user=me&password=you", "http://10.0.0.9:81…"),
            ("http://cam/v?user=me&pwd=you", "http://cam/v…"),
            ("rtsp://cam/user=me_password=you_channel=1", "rtsp://cam/…"),
            ("rtsp://cam/live#you", "rtsp://cam/live…"),
            (
                "rtspsrc location=rtsp://me:you@cam/1 user-id=me user-pw=you ! decodebin ! appsink drop=true",
                "rtspsrc location=rtsp://…@cam/1 user-id=me user-pw=… ! decodebin ! appsink drop=true",
            ),
            (
                "souphttpsrc user-pw=\"y o u\" location=http://cam/ ! appsink",
                "souphttpsrc user-pw=… location=http://cam/ ! appsink",
            ),
            ("source = \"rtsp://me:you@cam/1\" # the door", "source = \"rtsp://…@cam/1\" # the door"),
            ("http://me:you@one/ and rtsp://me:you@two/", "http://…@one/ and rtsp://…@two/"),
        ] {
            assert_eq!(without_passwords(text), shown);
        }
    }

    /// Puts a secret into addresses as people and cameras do, with every character that may end a part of an address.
    #[test]
    fn no_secret_is_left_in_generated_addresses() {
        let mut random = fastrand::Rng::with_seed(1);
        let mut pick = |choices: &[&'static str]| choices[random.usize(..choices.len())];
        for _ in 0..100_000 {
            let around: String =
                (0..4).map(|_| pick(&["", "#", "/", "?", "@", ":", "&", "=", "%23", "a", "1", "."])).collect();
            let secret = format!("{around}hunter2{}", pick(&["", "#", "@", "/", "?", ":"]));
            let scheme = pick(&["rtsp", "http", "HTTPS", "rtmp", "rtsps"]);
            let host = pick(&["cam", "10.0.0.9:81", "[fe80::1]:554", "cam.local"]);
            let name = pick(&["password", "Passwd", "pwd", "psw", "token", "auth", "usr=me_pwd", "secret"]);
            let address = match pick(&["login", "query", "path", "bare", "property"]) {
                "login" => format!("{scheme}://me:{secret}@{host}/live"),
                "query" => format!("{scheme}://{host}/live?x=1&{name}={secret}"),
                "path" => format!("{scheme}://{host}/{name}={secret}/ch0"),
                "bare" => format!("me:{secret}@{host}/live"),
                _ => format!("rtspsrc location={scheme}://{host}/ user-pw=\"{secret}\" ! appsink"),
            };
            let text =
                format!("{}{address}{}", pick(&["", "camera door: ", "source = \""]), pick(&["", "\"", " failed"]));
            let shown = without_passwords(&text);
            assert!(!shown.contains("hunter2"), "{text}\n{shown}");
        }
    }
}
