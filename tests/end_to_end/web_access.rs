use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::Output;

use fantoccini::Locator;
use serde_json::json;
use tokio_tungstenite::connect_async;
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;

use crate::harness::Browser;
use crate::harness::http::{Answer, ask, get, post, raw};
use crate::harness::{Bench, Receiver, eventually};

impl Bench {
    /// Makes both tokens in the bench's directory.
    pub fn keygen_tokens(&self) -> Output {
        self.watchpost("keygen").arg("--token").arg("--dir").arg(self.dir.path()).output().expect("it starts")
    }

    pub fn token(&self, name: &str) -> String {
        fs::read_to_string(self.path(name)).expect("a token").trim().to_owned()
    }

    /// Starts a receiver that other machines can reach; returns it with its control token and its view token.
    pub fn guarded(&self) -> (Receiver, [String; 2]) {
        if !self.path("web.token").exists() {
            let made = self.keygen_tokens();
            assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
        }
        let dir = self.dir.path().display();
        let receiver = self.receiver_of(&format!(
            "[[link]]\npattern = \"pair\"\nbind = \"tcp://127.0.0.1:*\"\n[web]\nlisten = \"0.0.0.0:0\"\n\
             token_file = \"{dir}/web.token\"\nview_token_file = \"{dir}/web-view.token\"\n"
        ));
        (receiver, ["web.token", "web-view.token"].map(|name| self.token(name)))
    }

    pub fn with_camera(&self, receiver: &Receiver) -> crate::harness::Program {
        self.agent(&format!(
            "name = \"shed\"\ncamera = [{{ name = \"door\", source = \"pattern\" }}]\n\
             link = [{{ pattern = \"pair\", connect = \"{}\" }}]",
            receiver.link
        ))
    }
}

/// Returns every path in the receiver's source, with a camera's names filled in, and the paths of the page's files. New
/// routes are included automatically.
pub fn paths() -> BTreeSet<String> {
    let mut paths = BTreeSet::new();
    let web = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/receiver/web");
    let mut dirs = vec![web.clone()];
    while let Some(dir) = dirs.pop() {
        for path in fs::read_dir(dir).expect("the source").map(|entry| entry.expect("an entry").path()) {
            if path.is_dir() {
                dirs.push(path);
            } else if let Ok(file) = path.strip_prefix(web.join("page")) {
                paths.insert(format!("/{}", file.display()).replace("/index.html", "/"));
            } else if path.extension().is_some_and(|ending| ending == "rs") {
                let code = fs::read_to_string(path).expect("source");
                let texts = code.split('"').filter(|text| text.starts_with('/') && !text.contains([' ', '\n', '\\']));
                paths.extend(texts.map(|path| path.replace("{agent}", "shed").replace("{camera}", "door")));
            }
        }
    }
    assert!(paths.len() > 20 && paths.contains("/api/cameras/shed/door/frame.jpg"), "{paths:?}");
    assert!(paths.contains("/") && paths.contains("/live/tiles.js"), "{paths:?}");
    paths
}

fn bearer(token: &str) -> (&'static str, String) {
    ("Authorization", format!("Bearer {token}"))
}

pub fn with(page: &str, method: &str, path: &str, token: &str, body: &str) -> Answer {
    let (name, value) = bearer(token);
    ask(page, method, path, &[(name, &value)], body)
}

#[tokio::test]
async fn every_route_but_login_and_health_needs_a_token() {
    let bench = Bench::new();
    let (receiver, _) = bench.guarded();
    let _agent = bench.with_camera(&receiver);
    let page = &receiver.page;
    eventually("the camera", || receiver.program.find_json(|header| header["camera"] == "door"));
    let open = ["/login", "/login.css", "/page.css", "/icon.svg", "/health"];
    for path in paths() {
        for method in ["GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS"] {
            let answer = ask(page, method, &path, &[], "");
            if open.contains(&path.as_str()) {
                assert!([200, 400, 405].contains(&answer.status), "{method} {path}: {answer:?}");
            } else {
                assert_eq!(answer.status, 401, "{method} {path}");
                assert!(!answer.text().contains("shed"), "{}", answer.text());
            }
        }
    }
    assert_eq!(get(page, "/nowhere").status, 401);
    assert_eq!(get(page, "/health").text(), "ok\n");
    let from_a_browser = ask(page, "GET", "/", &[("Accept", "text/html,application/xhtml+xml")], "");
    assert_eq!((from_a_browser.status, from_a_browser.header("location")), (303, Some("/login")));
    assert!(connect_async(format!("ws://{page}/live")).await.is_err());
}

#[tokio::test]
async fn view_token_can_watch_but_not_control() {
    let bench = Bench::new();
    let (receiver, [control, view]) = bench.guarded();
    let _agent = bench.with_camera(&receiver);
    let page = &receiver.page;
    let wall = |token: &str| with(page, "GET", "/api/wall", token, "").json();
    eventually("the agent is reached", || (wall(&view)["agents"][0]["control"] == true).then_some(()));
    eventually("a frame", || {
        let frame = with(page, "GET", "/api/cameras/shed/door/frame.jpg", &view, "");
        (frame.status == 200).then_some(())
    });
    assert_eq!([&wall(&view)["role"], &wall(&control)["role"]], ["view", "control"]);
    assert_eq!(with(page, "GET", "/", &view, "").status, 200);
    let door = "/api/cameras/shed/door";
    for (path, body) in [(door.to_owned(), "{\"on\":false}"), (format!("{door}/snapshot"), "")] {
        let refused = with(page, "POST", &path, &view, body);
        assert_eq!(refused.status, 403, "{}", refused.text());
        assert!(refused.text().contains("read-only"), "{}", refused.text());
        assert_eq!(with(page, "POST", &path, &control, body).status, 202);
    }
    let mut request = format!("ws://{page}/live").into_client_request().expect("a request");
    request.headers_mut().insert("authorization", bearer(&view).1.parse().expect("a header"));
    connect_async(request).await.expect("a WebSocket");
}

#[test]
fn wrong_token_is_refused_in_every_form() {
    let bench = Bench::new();
    let (receiver, [control, _]) = bench.guarded();
    let page = &receiver.page;
    let status_for = |header: (&str, &str)| ask(page, "GET", "/api/wall", &[header], "").status;
    for wrong in [
        String::new(),
        "Bearer".into(),
        "Bearer ".into(),
        format!("Bearer {}", &control[1..]),
        format!("Bearer {control}x"),
        format!("Bearer {}", control.to_uppercase()),
        format!("Basic {control}"),
        control.clone(),
    ] {
        assert_eq!(status_for(("Authorization", &wrong)), 401, "{wrong}");
    }
    let cookie = cookie(page, &control).expect("a cookie");
    let name = cookie.split_once('=').expect("a value").0;
    assert_eq!(status_for(("Cookie", &format!("{name}={control}"))), 401, "the token itself is no cookie");
    assert_eq!(status_for(("Cookie", &format!("{name}=; {name}"))), 401);
    assert_eq!(status_for(("X-Token", &control)), 401);
    assert_eq!(get(page, &format!("/api/wall?token={control}")).status, 401);
    assert_eq!(status_for(("Authorization", &format!("bearer  {control} "))), 200);
    // Many wrong attempts are still answered, and do not lock out the right token.
    for _ in 0..15 {
        assert_eq!(status_for(("Authorization", "Bearer x")), 401);
    }
    assert_eq!(status_for(("Authorization", &format!("Bearer {control}"))), 200);
    assert!(!receiver.program.log().contains(&control), "a token is in the log");
}

/// Logs in with a token as the login page does; returns the cookie, if one is set.
fn cookie(page: &str, token: &str) -> Option<String> {
    let form = ("Content-Type", "application/x-www-form-urlencoded");
    let answer = ask(page, "POST", "/login", &[form], &format!("token={token}"));
    let set = answer.header("set-cookie")?;
    assert_eq!((answer.status, answer.header("location")), (303, Some("/")));
    for attribute in ["HttpOnly", "SameSite=Lax", "Path=/", "Max-Age=31536000"] {
        assert!(set.split("; ").any(|part| part == attribute), "{set} has no {attribute}");
    }
    Some(set.split(';').next().expect("a cookie").to_owned())
}

#[test]
fn cookie_survives_a_restart_but_not_a_new_token() {
    let bench = Bench::new();
    let (mut receiver, [control, view]) = bench.guarded();
    assert_eq!(cookie(&receiver.page, "wrong"), None);
    let [for_control, for_view] = [control, view].map(|token| cookie(&receiver.page, &token).expect("a cookie"));
    let role = |page: &str, cookie: &str| {
        let answer = ask(page, "GET", "/api/wall", &[("Cookie", &format!("other=1; {cookie}"))], "");
        (answer.status == 200).then(|| answer.json()["role"].as_str().expect("a role").to_owned())
    };
    let roles = [Some("control".to_owned()), Some("view".to_owned())];
    assert_eq!([role(&receiver.page, &for_control), role(&receiver.page, &for_view)], roles);
    receiver.program.terminate();
    let (mut receiver, _) = bench.guarded();
    assert_eq!([role(&receiver.page, &for_control), role(&receiver.page, &for_view)], roles);
    receiver.program.terminate();
    fs::remove_file(bench.path("web.token")).expect("ours");
    fs::remove_file(bench.path("web-view.token")).expect("ours");
    let (receiver, _) = bench.guarded();
    assert_eq!([role(&receiver.page, &for_control), role(&receiver.page, &for_view)], [None, None]);
}

/// Browsers share cookies between the ports of a host, and a proxy may set its own `Authorization` header.
#[test]
fn second_receiver_or_proxy_does_not_log_users_out() {
    let benches = [Bench::new(), Bench::new()];
    let [(one, [token, _]), (other, [another, _])] = benches.each_ref().map(Bench::guarded);
    let both = [cookie(&one.page, &token), cookie(&other.page, &another)].map(|cookie| cookie.expect("a cookie"));
    assert_ne!(both[0].split('=').next(), both[1].split('=').next());
    let both = both.join("; ");
    for page in [&one.page, &other.page] {
        let headers = [("Cookie", both.as_str()), ("Authorization", "Basic eDp5")];
        assert_eq!(ask(page, "GET", "/api/wall", &headers, "").status, 200);
        let answer = ask(page, "GET", "/login", &headers[..1], "");
        assert_eq!(
            (answer.status, answer.header("location")),
            (303, Some("/")),
            "a logged-in user sees the login page"
        );
    }
}

#[test]
fn foreign_origins_and_host_names_are_refused() {
    let bench = Bench::new();
    let open = bench.pair_receiver();
    let port = open.page.rsplit_once(':').expect("a port").1;
    let local = format!("localhost:{port}");
    let host = |host: &str| ask(&open.page, "GET", "/api/wall", &[("Host", host)], "").status;
    for (name, status) in [
        (local.as_str(), 200),
        ("localhost", 200),
        ("127.0.0.1:9999", 200),
        ("[::1]:8080", 200),
        ("evil.example", 403),
        ("localhost.evil.example", 403),
        ("127.0.0.1.evil.example:80", 403),
        ("10.0.0.1", 403),
        ("", 403),
    ] {
        assert_eq!(host(name), status, "{name}");
    }
    assert_eq!(raw(&open.page, b"GET /api/wall HTTP/1.0\r\n\r\n").expect("an answer").status, 403);

    let guarded_bench = Bench::new();
    let (guarded, [control, _]) = guarded_bench.guarded();
    let token = bearer(&control).1;
    let status_of_post = |page: &str, path: &str, headers: &[(&str, &str)]| {
        let all = [&[("Authorization", token.as_str())], headers].concat();
        ask(page, "POST", path, &all, "{\"on\":true}").status
    };
    for (page, name) in [(&open.page, "localhost"), (&guarded.page, "cameras.example:8080")] {
        for (origin, status) in [
            (format!("http://{name}"), 404),
            (format!("https://{name}"), 404),
            (format!("http://{name}.evil.example"), 403),
            ("http://evil.example".to_owned(), 403),
            (format!("ftp://{name}"), 403),
            ("null".to_owned(), 403),
        ] {
            let headers = [("Host", name), ("Origin", origin.as_str())];
            assert_eq!(status_of_post(page, "/api/cameras/shed/door", &headers), status, "{origin} to {name}");
        }
        // A foreign page that embeds our picture, and a link from one.
        for (mode, status) in [("no-cors", 403), ("navigate", 404)] {
            let headers = [("Host", name), ("Sec-Fetch-Site", "cross-site"), ("Sec-Fetch-Mode", mode)];
            assert_eq!(status_of_post(page, "/api/cameras/shed/door", &headers), status, "{mode} to {name}");
        }
    }
}

#[test]
fn page_files_are_served_with_their_content_type() {
    let bench = Bench::new();
    let receiver = bench.pair_receiver();
    for (path, kind) in [
        ("/", "text/html; charset=utf-8"),
        ("/page.js", "text/javascript; charset=utf-8"),
        ("/history/footage.js", "text/javascript; charset=utf-8"),
        ("/live/live.css", "text/css; charset=utf-8"),
        ("/icon.svg", "image/svg+xml"),
    ] {
        let answer = get(&receiver.page, path);
        assert_eq!((answer.status, answer.header("content-type")), (200, Some(kind)), "{path}");
    }
    for path in ["/index.html", "/login.html", "/package.json", "/types.d.ts", "/live/", "/../login.html"] {
        assert_eq!(get(&receiver.page, path).status, 404, "{path}");
    }
}

#[test]
fn responses_carry_security_headers() {
    let bench = Bench::new();
    let receiver = bench.pair_receiver();
    for path in ["/", "/page.js", "/api/wall", "/metrics", "/health", "/nowhere", "/api/cameras/a/b/frame.jpg"] {
        let answer = get(&receiver.page, path);
        let policy = answer.header("content-security-policy").expect("a policy");
        assert!(policy.starts_with("default-src 'self';") && policy.contains("frame-ancestors 'none'"), "{policy}");
        assert!(!policy.contains("unsafe"), "{policy}");
        assert_eq!(answer.header("x-content-type-options"), Some("nosniff"), "{path}");
        assert_eq!(answer.header("cross-origin-resource-policy"), Some("same-origin"), "{path}");
        assert_eq!(answer.header("referrer-policy"), Some("same-origin"), "{path}");
        let is_ours = path == "/" || path == "/page.js";
        assert_eq!(answer.header("cache-control"), Some(if is_ours { "no-cache" } else { "no-store" }), "{path}");
        if answer.status >= 400 {
            assert_eq!(answer.header("content-type"), Some("application/json"), "{path}");
            assert!(answer.json()["error"].is_string(), "{path}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn browser_stays_logged_in_until_logout() {
    let bench = Bench::new();
    let (receiver, [control, _]) = bench.guarded();
    let browser = Browser::open(&bench, &format!("{}/#history", receiver.page)).await;
    let enter = async |token: &str| {
        let field = browser.client.find(Locator::Id("token")).await.expect("a field");
        field.send_keys(token).await.expect("a typed token");
        browser.client.find(Locator::Css("button")).await.expect("a button").click().await.expect("a click");
    };
    browser.sees("body.login form").await;
    enter("not the token").await;
    browser.sees("#wrong[role=alert]").await;
    enter(&control).await;
    browser.sees("body[data-connection=live]").await;
    let url = browser.client.current_url().await.expect("an address");
    assert_eq!((url.path(), url.query(), url.fragment()), ("/", None, Some("history")));
    let run = async |script: &str| browser.client.execute(script, vec![]).await.expect(script);
    assert_eq!(run("return document.cookie").await, json!(""), "a script sees the cookie");
    browser.client.refresh().await.expect("the page");
    browser.sees("body[data-connection=live]").await;
    let leave = "return fetch('/logout', { method: 'POST' }).then(answer => answer.ok)";
    assert_eq!(run(leave).await, json!(true));
    browser.client.refresh().await.expect("the page");
    browser.sees("body.login form").await;
    assert_eq!(post(&receiver.page, "/logout", "").status, 401);
    browser.close().await;
}
