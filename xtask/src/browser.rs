//! The page in a real browser: built by trunk, served on loopback, opened in headless Chromium through ChromeDriver.

use std::{
    io::{BufRead, BufReader},
    net::SocketAddr,
    path::PathBuf,
    process::{Child, Stdio},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, anyhow, bail};
use serde_json::{Value, json};

use crate::{
    cache,
    command::{self, command},
    http::{self, Server},
    wasm::Toolchain,
};

/// WebGPU on the CPU compiles and runs a kernel in seconds; a busy machine gets ten times that.
const PATIENCE: Duration = Duration::from_secs(120);

/// What Chromium itself asks for at its start, whatever the page.
const CHROMIUM_ASKS: [&str; 6] = [
    "accounts.google.com",
    "clients2.google.com",
    "content-autofill.googleapis.com",
    "optimizationguide-pa.googleapis.com",
    "redirector.gvt1.com",
    "update.googleapis.com",
];

/// The browser, by the names it goes by.
pub fn chromium() -> Option<PathBuf> {
    ["chromium", "chromium-browser", "google-chrome"].iter().find_map(|name| command::which(name))
}

/// Builds the page and the worker with the profile that the tests share, not the one they are published with.
pub fn build_page(toolchain: &Toolchain) -> Result<()> {
    let dist = cache::dist()?;
    let dist = dist.to_str().context("the cache folder's name must be UTF-8")?;
    let args = ["build", "--cargo-profile", "release", "--dist", dist];
    // trunk takes NO_COLOR for a flag of its own and refuses the value 1.
    command::run(toolchain.command("trunk", &args)?.env_remove("NO_COLOR"))
}

/// The page loads, its worker says `ready` and checks its kernels on WebGPU; nothing is logged as an error, nothing is
/// missing, and no other host is asked for anything.
pub fn page_works(dist: &std::path::Path) -> Result<()> {
    let server = Server::start(dist)?;
    let session = Session::open(server.address)?;
    session.post("/url", &json!({ "url": format!("http://{}/", server.address) }))?;

    let shown = session.wait_for(|shown| {
        shown.worker != "ready" && !shown.worker.contains("could not") || ["checking", "not checked yet"].contains(&shown.device.as_str())
    })?;
    println!("worker: {}\nWebGPU: {}", shown.worker, shown.device);

    let mut complaints = session.errors()?;
    let of_the_page = |what: &String| !CHROMIUM_ASKS.contains(&host(what));
    complaints.extend(
        server.refused().into_iter().filter(of_the_page).map(|what| format!("the browser asked for {what}, which the page does not hold")),
    );
    if shown.worker != "ready" {
        complaints.push(format!("the worker is not ready: {}", shown.worker));
    }
    if !shown.device.contains("agree") {
        complaints.push(format!("the worker's check of its kernels failed: {}", shown.device));
    }
    if !complaints.is_empty() {
        bail!("{}", complaints.join("\n"));
    }
    Ok(())
}

/// The host in "http://host/path" or "host:port"; a path has none.
fn host(request: &str) -> &str {
    let address = request.split_once("://").map_or(request, |(_, rest)| rest);
    address.split(['/', ':']).next().unwrap_or_default()
}

/// What the page's two outputs say.
struct Shown {
    worker: String,
    device: String,
}

/// A ChromeDriver and one browser window; both end when this is dropped.
struct Session {
    driver: Child,
    address: SocketAddr,
    path: String,
}

impl Session {
    fn open(proxy: SocketAddr) -> Result<Session> {
        let mut driver = command("chromedriver", &["--port=0"])?.stdout(Stdio::piped()).spawn().context("cannot start chromedriver")?;
        let output = driver.stdout.take().expect("its output is piped");
        let mut session = Session { driver, address: SocketAddr::from(([127, 0, 0, 1], 0)), path: String::new() };
        session.address.set_port(announced_port(output)?);

        let browser = chromium().context("no Chromium on PATH")?;
        let mut options: Value = serde_json::from_str(include_str!("../../crates/evenkeel-web/webdriver.json"))?;
        options["goog:chromeOptions"]["binary"] = json!(browser);
        // Chromium asks loopback directly and everything else through the proxy, workers included.
        let args = options["goog:chromeOptions"]["args"].as_array_mut().context("webdriver.json has no list of args")?;
        args.push(json!(format!("--proxy-server=http://{proxy}")));
        options["goog:loggingPrefs"] = json!({ "browser": "ALL" });
        let wanted = json!({ "capabilities": { "alwaysMatch": options } });
        let opened = http::webdriver(session.address, "POST", "/session", &wanted)?;
        let id = opened["sessionId"].as_str().ok_or_else(|| anyhow!("ChromeDriver opened no session: {opened}"))?;
        session.path = format!("/session/{id}");
        Ok(session)
    }

    fn post(&self, what: &str, body: &Value) -> Result<Value> {
        http::webdriver(self.address, "POST", &format!("{}{what}", self.path), body)
    }

    /// Looks again and again while the page is `unfinished`; an error once patience ends.
    fn wait_for(&self, unfinished: impl Fn(&Shown) -> bool) -> Result<Shown> {
        let start = Instant::now();
        let script = "return ['worker', 'device'].map(id => document.getElementById(id)?.value ?? '')";
        loop {
            let values = self.post("/execute/sync", &json!({ "script": script, "args": [] }))?;
            let text = |index: usize| values[index].as_str().unwrap_or_default().to_owned();
            let shown = Shown { worker: text(0), device: text(1) };
            if !unfinished(&shown) {
                return Ok(shown);
            }
            if start.elapsed() > PATIENCE {
                let logged = self.errors()?.join("\n");
                bail!("after {PATIENCE:?} the worker is `{}` and WebGPU `{}`. {logged}", shown.worker, shown.device);
            }
            thread::sleep(Duration::from_millis(100));
        }
    }

    /// What the console shows in red.
    fn errors(&self) -> Result<Vec<String>> {
        let entries = self.post("/se/log", &json!({ "type": "browser" }))?;
        let red = entries.as_array().into_iter().flatten().filter(|entry| entry["level"] == "SEVERE");
        Ok(red.map(|entry| format!("console: {}", entry["message"].as_str().unwrap_or_default())).collect())
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        if !self.path.is_empty() {
            http::webdriver(self.address, "DELETE", &self.path, &Value::Null).ok();
        }
        self.driver.kill().ok();
        self.driver.wait().ok();
    }
}

/// The port in ChromeDriver's "was started successfully on port N."; the rest of its output is read and dropped.
fn announced_port(output: impl std::io::Read + Send + 'static) -> Result<u16> {
    let mut lines = BufReader::new(output).lines();
    for line in lines.by_ref() {
        let line = line?;
        if let Some((_, port)) = line.split_once("on port ")
            && line.contains("started successfully")
        {
            let port = port.trim_end_matches('.').parse()?;
            thread::spawn(move || lines.for_each(drop));
            return Ok(port);
        }
    }
    bail!("chromedriver ended without saying its port")
}

#[cfg(test)]
mod tests {
    use super::host;

    #[test]
    fn the_host_of_a_proxied_request_is_found_and_a_path_has_none() {
        assert_eq!(host("http://example.org/a/b"), "example.org");
        assert_eq!(host("example.org:443"), "example.org");
        assert_eq!(host("/missing.js"), "");
    }
}
