//! Chromium without a window, spoken to in its DevTools protocol through two pipes: messages
//! are JSON, each followed by a zero byte.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use base64::Engine;
use serde_json::{Value, json};

/// The longest that an answer may take, on a busy machine too.
const PATIENCE: Duration = Duration::from_secs(120);

/// The browser's usual names.
const NAMES: [&str; 4] = ["chromium", "chromium-browser", "google-chrome", "chrome"];

/// The browser of this machine: `$SOCKMIG_BROWSER`, or the first that is in `$PATH`.
pub fn found() -> Option<PathBuf> {
    if let Some(named) = std::env::var_os("SOCKMIG_BROWSER").filter(|path| !path.is_empty()) {
        return Some(named.into());
    }
    let path = std::env::var_os("PATH")?;
    let places = std::env::split_paths(&path);
    places.flat_map(|place| NAMES.map(|name| place.join(name))).find(|file| file.is_file())
}

/// A browser with one page.
pub struct Browser {
    child: Child,
    to: ChildStdin,
    from: Receiver<Value>,
    session: Option<String>,
    last: u64,
    /// What came unasked.
    events: Vec<Value>,
    _profile: tempfile::TempDir,
}

impl Browser {
    /// Starts it.
    pub fn start(program: &Path) -> Self {
        let profile = tempfile::tempdir().expect("a directory");
        // The browser wants its pipes at the descriptors 3 and 4.
        let mut child = Command::new("sh")
            .args(["-c", r#"exec 3<&0 4>&1 </dev/null >/dev/null; exec "$@""#, "sh"])
            .arg(program)
            .args(["--headless=new", "--remote-debugging-pipe", "--no-sandbox", "--disable-gpu"])
            .args(["--no-first-run", "--disable-extensions", "--disable-dev-shm-usage"])
            .args(["--disable-background-networking", "--hide-scrollbars"])
            .arg(format!("--user-data-dir={}", profile.path().display()))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("a shell");
        let to = child.stdin.take().expect("a pipe");
        let mut answers = BufReader::new(child.stdout.take().expect("a pipe"));
        let (tell, from) = channel();
        std::thread::spawn(move || {
            let mut message = vec![];
            while answers.read_until(0, &mut message).is_ok_and(|read| read > 0) {
                message.pop();
                let parsed = serde_json::from_slice(&message).expect("the protocol is JSON");
                if tell.send(parsed).is_err() {
                    return;
                }
                message.clear();
            }
        });
        let (session, events) = (None, vec![]);
        let mut browser = Self { child, to, from, session, last: 0, events, _profile: profile };
        let target = browser.call("Target.createTarget", &json!({ "url": "about:blank" }));
        let attach = json!({ "targetId": target["targetId"], "flatten": true });
        let attached = browser.call("Target.attachToTarget", &attach);
        browser.session = attached["sessionId"].as_str().map(str::to_owned);
        for domain in ["Page.enable", "Runtime.enable", "Log.enable", "Network.enable"] {
            browser.call(domain, &json!({}));
        }
        browser
    }

    /// Calls a method and waits for its result.
    pub fn call(&mut self, method: &str, parameters: &Value) -> Value {
        self.last += 1;
        let mut message = json!({ "id": self.last, "method": method, "params": parameters });
        if let Some(session) = &self.session {
            message["sessionId"] = json!(session);
        }
        let mut bytes = message.to_string().into_bytes();
        bytes.push(0);
        self.to.write_all(&bytes).and_then(|()| self.to.flush()).expect("the browser listens");
        loop {
            let mut said = self.hear(method);
            if said["id"] == json!(self.last) {
                assert!(said["error"].is_null(), "{method}: {}", said["error"]);
                return said["result"].take();
            }
            self.events.push(said);
        }
    }

    fn hear(&mut self, what: &str) -> Value {
        let said = self.from.recv_timeout(PATIENCE);
        said.unwrap_or_else(|e| panic!("the browser does not answer to {what}: {e}"))
    }

    /// Opens a file and waits until it is loaded.
    pub fn open(&mut self, file: &Path, fragment: &str) {
        // A change of the fragment alone would load nothing.
        self.navigate("about:blank");
        self.events.clear();
        self.navigate(&format!("file://{}{fragment}", file.display()));
    }

    fn navigate(&mut self, url: &str) {
        self.events.retain(|event| event["method"] != "Page.loadEventFired");
        self.call("Page.navigate", &json!({ "url": url }));
        while !self.events.iter().any(|event| event["method"] == "Page.loadEventFired") {
            let said = self.hear(url);
            self.events.push(said);
        }
    }

    /// The page's size, and whether it is dark.
    pub fn look(&mut self, width: u32, height: u32, dark: bool) {
        let size = json!({
            "width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 600,
        });
        self.call("Emulation.setDeviceMetricsOverride", &size);
        let scheme = if dark { "dark" } else { "light" };
        let media = json!({ "features": [{ "name": "prefers-color-scheme", "value": scheme }] });
        self.call("Emulation.setEmulatedMedia", &media);
    }

    /// The value of an expression, promises waited for.
    pub fn value(&mut self, expression: &str) -> Value {
        let what = json!({
            "expression": expression, "awaitPromise": true, "returnByValue": true,
        });
        let mut answer = self.call("Runtime.evaluate", &what);
        let thrown = &answer["exceptionDetails"];
        assert!(thrown.is_null(), "{expression}: {thrown}");
        answer["result"]["value"].take()
    }

    /// Errors on the console, and whatever was fetched besides the page itself.
    pub fn complaints(&mut self) -> Vec<String> {
        // What was said before this answer has arrived.
        self.value("0");
        let of = |event: &Value| {
            let params = &event["params"];
            let complains = match event["method"].as_str()? {
                "Runtime.exceptionThrown" => true,
                "Runtime.consoleAPICalled" => {
                    params["type"] == "error" || params["type"] == "warning"
                }
                "Log.entryAdded" => params["entry"]["level"] != "verbose",
                "Network.requestWillBeSent" => params["type"] != "Document",
                _ => false,
            };
            complains.then(|| params.to_string())
        };
        self.events.iter().filter_map(of).collect()
    }

    /// Keeps a picture of the page, down to `height`.
    pub fn picture(&mut self, file: &Path) {
        let shot = self.call("Page.captureScreenshot", &json!({ "format": "png" }));
        keep(file, &shot);
    }

    /// Keeps the page as it is printed.
    pub fn print(&mut self, file: &Path) {
        let printed = self.call("Page.printToPDF", &json!({ "printBackground": true }));
        keep(file, &printed);
    }
}

fn keep(file: &Path, answer: &Value) {
    let data = answer["data"].as_str().expect("data in base 64");
    let bytes = base64::engine::general_purpose::STANDARD.decode(data).expect("base 64");
    fs::write(file, bytes).expect("written");
}

impl Drop for Browser {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
