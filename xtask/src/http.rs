//! Just enough HTTP/1.1 on loopback: a server of static files, and a client that speaks JSON to ChromeDriver.

use std::{
    fs,
    io::{BufRead, BufReader, Read, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    path::{Path, PathBuf},
    sync::{Arc, Mutex},
    thread,
    time::Duration,
};

use anyhow::{Context, Result, bail};
use serde_json::Value;

/// A folder served on a free port of 127.0.0.1 until the program ends. It is a proxy too, one that refuses everything:
/// a browser that is told to use it shows here what it wants from other hosts.
pub struct Server {
    pub address: SocketAddr,
    refused: Arc<Mutex<Vec<String>>>,
}

impl Server {
    pub fn start(folder: &Path) -> Result<Server> {
        let listener = TcpListener::bind("127.0.0.1:0").context("no free port on 127.0.0.1")?;
        let (address, refused) = (listener.local_addr()?, Arc::default());
        let (folder, log): (PathBuf, Arc<Mutex<Vec<String>>>) = (folder.canonicalize()?, Arc::clone(&refused));
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (folder, log) = (folder.clone(), Arc::clone(&log));
                // A browser that hangs up early is not our failure.
                thread::spawn(move || answer(stream, &folder, &log).ok());
            }
        });
        Ok(Server { address, refused })
    }

    /// What was asked for and not given: a path that is not in the folder, or another host's address.
    pub fn refused(&self) -> Vec<String> {
        self.refused.lock().expect("no thread panics while it holds the list").clone()
    }
}

fn answer(stream: TcpStream, folder: &Path, refused: &Mutex<Vec<String>>) -> Result<()> {
    let mut lines = BufReader::new(&stream).lines();
    let request = lines.next().context("an empty request")??;
    while lines.next().transpose()?.is_some_and(|line| !line.is_empty()) {}

    let path = request.split(' ').nth(1).and_then(|url| url.split('?').next()).unwrap_or("/");
    let name = if path == "/" { "index.html" } else { path.trim_start_matches('/') };
    let inside = folder.join(name).canonicalize().is_ok_and(|file| file.starts_with(folder));
    let (status, body) = match fs::read(folder.join(name)) {
        Ok(body) if inside => ("200 OK", body),
        _ => {
            refused.lock().expect("no thread panics while it holds the list").push(path.to_owned());
            ("404 Not Found", Vec::new())
        }
    };
    let kind = content_type(name);
    let length = body.len();
    write!(&stream, "HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n")?;
    Ok((&stream).write_all(&body)?)
}

fn content_type(name: &str) -> &'static str {
    match name.rsplit('.').next() {
        Some("html") => "text/html; charset=utf-8",
        Some("js") => "text/javascript; charset=utf-8",
        Some("css") => "text/css; charset=utf-8",
        Some("wasm") => "application/wasm",
        _ => "application/octet-stream",
    }
}

/// The field `value` of the JSON that a WebDriver answers with; its error message where it refuses.
pub fn webdriver(address: SocketAddr, method: &str, path: &str, body: &Value) -> Result<Value> {
    let body = if method == "POST" { body.to_string() } else { String::new() };
    let mut stream = TcpStream::connect(address).context("cannot reach ChromeDriver")?;
    stream.set_read_timeout(Some(Duration::from_secs(120)))?;
    write!(
        stream,
        "{method} {path} HTTP/1.1\r\nHost: {address}\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\
         Connection: close\r\n\r\n{body}",
        body.len()
    )?;

    let mut reader = BufReader::new(stream);
    let mut length = 0;
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line)? == 0 || line.trim().is_empty() {
            break;
        }
        if let Some((name, value)) = line.split_once(':')
            && name.eq_ignore_ascii_case("content-length")
        {
            length = value.trim().parse()?;
        }
    }
    let mut text = vec![0; length];
    reader.read_exact(&mut text)?;
    let mut answer: Value = serde_json::from_slice(&text).with_context(|| format!("ChromeDriver's answer to {path}"))?;
    let value = answer["value"].take();
    if value["error"].is_string() {
        bail!("ChromeDriver refuses {path}: {}", value["message"].as_str().unwrap_or("it does not say why"));
    }
    Ok(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The status line that the server answers `target` with.
    fn status(server: &Server, target: &str) -> String {
        let mut stream = TcpStream::connect(server.address).unwrap();
        write!(stream, "GET {target} HTTP/1.1\r\nHost: test\r\n\r\n").unwrap();
        BufReader::new(stream).lines().next().unwrap().unwrap()
    }

    #[test]
    fn only_files_of_the_folder_are_served_and_everything_else_is_noted() {
        let server = Server::start(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src")).unwrap();
        assert_eq!(status(&server, "/http.rs"), "HTTP/1.1 200 OK");
        let elsewhere = ["/nothing.js", "/../Cargo.toml", "http://example.org/http.rs", "example.org:443"];
        for target in elsewhere {
            assert_eq!(status(&server, target), "HTTP/1.1 404 Not Found", "{target}");
        }
        assert_eq!(server.refused(), elsewhere);
    }
}
