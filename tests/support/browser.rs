//! A headless Chromium of a test's own, driven through chromedriver.
//!
//! ```ignore
//! let Some(browser) = Browser::start().await else { return };
//! browser.open("http://127.0.0.1:8080/").await;
//! browser.until("document.title.startsWith('Up')").await;
//! ```

use std::path::{Path, PathBuf};

use fantoccini::wd::{Capabilities, WebDriverCompatibleCommand};
use fantoccini::{Client, ClientBuilder};
use hyper::Method;
use hyper_util::client::legacy::connect::HttpConnector;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::time::{Instant, sleep};
use url::Url;

use super::daemon::{Daemon, PATIENCE, free_port, left_out, wait_for};

/// A browser with a profile of its own; gone when dropped.
#[derive(Debug)]
pub(crate) struct Browser {
    client: Client,
    // Before the directory, so that the browser is gone when that is removed.
    _daemon: Daemon,
    _dir: TempDir,
}

impl Browser {
    /// A browser with an empty page; none, with a notice, where Chromium is not installed.
    pub(crate) async fn start() -> Option<Self> {
        let (Some(driver), Some(chromium)) = (installed("chromedriver"), installed("chromium"))
        else {
            left_out("chromium with chromium-driver");
            return None;
        };
        let dir = tempfile::tempdir().expect("a directory");
        // The port was free a moment ago; should another have taken it, the next one will do.
        for _ in 0..5 {
            let port = free_port();
            let mut command = std::process::Command::new(&driver);
            command.arg(format!("--port={port}")).env("HOME", dir.path());
            let mut daemon = Daemon::start(command, &dir.path().join("log"));
            let address = ("127.0.0.1", port);
            let answers = async || tokio::net::TcpStream::connect(address).await.is_ok();
            wait_for("chromedriver to listen", async || !daemon.runs() || answers().await).await;
            if daemon.runs() {
                let client = session(port, &chromium, dir.path()).await;
                return Some(Self { client, _daemon: daemon, _dir: dir });
            }
        }
        let log = std::fs::read_to_string(dir.path().join("log")).unwrap_or_default();
        panic!("chromedriver does not start: {log}");
    }

    /// Opens a page and waits until it is loaded.
    pub(crate) async fn open(&self, url: &str) {
        self.client.goto(url).await.expect("the page opens");
    }

    /// The value of an expression of the page's own.
    pub(crate) async fn value(&self, expression: &str) -> Value {
        let script = format!("return ({expression});");
        self.client.execute(&script, Vec::new()).await.expect(expression)
    }

    /// The value of an expression that promises it.
    pub(crate) async fn promised(&self, expression: &str) -> Value {
        let script = format!(
            "const done = arguments[arguments.length - 1];\
             Promise.resolve({expression}).then(done, (error) => done(String(error)));"
        );
        self.client.execute_async(&script, Vec::new()).await.expect(expression)
    }

    /// Runs a script in the page.
    pub(crate) async fn run(&self, script: &str) {
        self.client.execute(script, Vec::new()).await.expect("the script runs");
    }

    /// Waits until an expression holds.
    ///
    /// # Panics
    /// When it does not within a minute, with the page's text.
    pub(crate) async fn until(&self, expression: &str) {
        let deadline = Instant::now() + PATIENCE;
        while self.value(expression).await != Value::Bool(true) {
            if Instant::now() >= deadline {
                let text = self.text().await;
                panic!("never `{expression}`; the page says:\n{text}\n{:?}", self.log().await);
            }
            sleep(std::time::Duration::from_millis(50)).await;
        }
    }

    /// What a reader sees of the page.
    pub(crate) async fn text(&self) -> String {
        self.value("document.body.innerText").await.as_str().expect("a text").to_owned()
    }

    /// Presses a key where the focus is, by its name in the protocol's list or as itself.
    pub(crate) async fn press(&self, key: &str) {
        self.devtools("Input.dispatchKeyEvent", json!({ "type": "keyDown", "key": key })).await;
        self.devtools("Input.dispatchKeyEvent", json!({ "type": "keyUp", "key": key })).await;
    }

    /// Moves the pointer.
    pub(crate) async fn point(&self, x: f64, y: f64) {
        let event = json!({ "type": "mouseMoved", "x": x, "y": y });
        self.devtools("Input.dispatchMouseEvent", event).await;
    }

    /// What pages and scripts have complained of since this was last asked.
    pub(crate) async fn log(&self) -> Vec<String> {
        let asked = self.command("se/log", json!({ "type": "browser" })).await;
        let entries = asked.as_array().expect("a list").iter();
        entries.map(|entry| format!("{}: {}", entry["level"], entry["message"])).collect()
    }

    /// Sends a command of the DevTools protocol.
    pub(crate) async fn devtools(&self, name: &str, parameters: Value) -> Value {
        self.command("goog/cdp/execute", json!({ "cmd": name, "params": parameters })).await
    }

    /// Has the reader prefer `dark` or `light`.
    pub(crate) async fn prefer(&self, scheme: &str) {
        let feature = json!({ "name": "prefers-color-scheme", "value": scheme });
        self.devtools("Emulation.setEmulatedMedia", json!({ "features": [feature] })).await;
    }

    /// Gives the page a window of this size.
    pub(crate) async fn resize(&self, width: u32, height: u32) {
        let size = json!({
            "width": width, "height": height, "deviceScaleFactor": 1, "mobile": false
        });
        self.devtools("Emulation.setDeviceMetricsOverride", size).await;
    }

    /// Forbids pages opened from now on to run scripts.
    pub(crate) async fn forbid_scripts(&self) {
        self.devtools("Emulation.setScriptExecutionDisabled", json!({ "value": true })).await;
    }

    /// What axe-core finds serious or critical, as one text; none, with a notice, without it.
    pub(crate) async fn barriers(&self) -> Option<String> {
        let Some(axe) = std::env::var_os("VITALSIGN_AXE") else {
            left_out("axe-core (VITALSIGN_AXE names its axe.min.js)");
            return None;
        };
        let axe = std::fs::read_to_string(axe).expect("axe-core");
        // As the developer tools run it, for the page's own policy would refuse it as a script.
        let loaded = self.devtools("Runtime.evaluate", json!({ "expression": axe })).await;
        assert!(loaded["exceptionDetails"].is_null(), "{}", loaded["exceptionDetails"]);
        let found = self
            .promised(
                "axe.run().then(({ violations }) => violations\
                   .filter(({ impact }) => impact === 'serious' || impact === 'critical')\
                   .map(({ id, help, nodes }) => `${id}: ${help}: \
                     ${nodes.map(({ html, failureSummary }) => html + ' ' + failureSummary).join('; ')}`)\
                   .join('\\n'))",
            )
            .await;
        Some(found.as_str().expect("a text").to_owned())
    }

    async fn command(&self, path: &'static str, body: Value) -> Value {
        self.client.issue_cmd(Vendor { path, body }).await.expect("the driver obeys")
    }
}

/// A command beside the standard's.
#[derive(Debug)]
struct Vendor {
    path: &'static str,
    body: Value,
}

impl WebDriverCompatibleCommand for Vendor {
    fn endpoint(&self, base: &Url, session: Option<&str>) -> Result<Url, url::ParseError> {
        base.join(&format!("session/{}/{}", session.unwrap_or_default(), self.path))
    }

    fn method_and_body(&self, _: &Url) -> (Method, Option<String>) {
        (Method::POST, Some(self.body.to_string()))
    }
}

async fn session(port: u16, chromium: &Path, dir: &Path) -> Client {
    let profile = format!("--user-data-dir={}", dir.join("profile").display());
    let mut arguments = vec![
        "--headless=new",
        "--disable-background-networking",
        "--disable-component-update",
        "--disable-dev-shm-usage",
        "--disable-gpu",
        "--no-first-run",
        "--window-size=1280,900",
        &profile,
    ];
    if rustix::process::getuid().is_root() {
        // Its sandbox refuses to start as root.
        arguments.push("--no-sandbox");
    }
    let wanted = json!({
        "goog:chromeOptions": { "binary": chromium, "args": arguments },
        "goog:loggingPrefs": { "browser": "ALL" },
        "timeouts": { "script": 60_000, "pageLoad": 60_000 },
    });
    let capabilities: Capabilities = serde_json::from_value(wanted).expect("capabilities");
    let driver = format!("http://127.0.0.1:{port}");
    let mut builder = ClientBuilder::new(HttpConnector::new());
    builder.capabilities(capabilities).connect(&driver).await.expect("a browser")
}

fn installed(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).map(|dir| dir.join(name)).find(|file| file.is_file())
}
