//! Runs an example as a process, with a client that speaks plain HTTP/1.1 to it.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

/// A running example on its own port. Killed when dropped.
pub(crate) struct Running {
    child: Child,
    pub(crate) address: String,
}

impl Running {
    pub(crate) fn start(program: &str) -> Self {
        let mut child = Command::new(program)
            .env("ADDR", "127.0.0.1:0")
            .env("RUST_LOG", "warn")
            .env_remove("REDIS_URL")
            .stdout(Stdio::piped())
            .spawn()
            .unwrap_or_else(|error| panic!("{program}: {error}"));
        let mut line = String::new();
        let stdout = child.stdout.take().expect("stdout is piped");
        let mut lines = BufReader::new(stdout);
        while !line.contains("http://") {
            line.clear();
            let read = lines.read_line(&mut line).expect("a line of text");
            assert!(read > 0, "{program} ended before it listened");
        }
        // Keep reading, so that the example can always write its output.
        std::thread::spawn(move || std::io::copy(&mut lines, &mut std::io::sink()));
        let address = line.trim().split("http://").last().expect("an address").to_owned();
        Self { child, address }
    }

    /// Sends a request and returns the response: status line, headers in lower case, body.
    pub(crate) fn ask(&self, method: &str, path: &str, headers: &[(&str, &str)], body: &str) -> Answer {
        let mut stream = TcpStream::connect(&self.address).expect("the example listens");
        stream.set_read_timeout(Some(Duration::from_secs(30))).expect("a timeout above zero");
        let mut request = format!("{method} {path} HTTP/1.1\r\nhost: localhost\r\n");
        if !headers.iter().any(|(name, _)| *name == "connection") {
            request += "connection: close\r\n";
        }
        for (name, value) in headers {
            request += &format!("{name}: {value}\r\n");
        }
        if !headers.iter().any(|(name, _)| ["transfer-encoding", "content-length"].contains(name)) {
            request += &format!("content-length: {}\r\n", body.len());
        }
        request += &format!("\r\n{body}");
        stream.write_all(request.as_bytes()).expect("the example reads");
        let mut reader = BufReader::new(stream);
        let mut text = String::new();
        while !text.ends_with("\r\n\r\n") {
            let read = reader.read_line(&mut text).expect("the example answers");
            assert!(read > 0, "the answer ended within its head: {text}");
        }
        // An upgraded connection stays open, so only its head can be read.
        let head = text.to_ascii_lowercase();
        let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
        match length.map(|length| length.parse().expect("a length")) {
            Some(length) => reader.take(length).read_to_string(&mut text),
            None if text.starts_with("HTTP/1.1 101") => Ok(0),
            None => reader.read_to_string(&mut text),
        }
        .expect("an answer in UTF-8");
        Answer(text)
    }
}

/// Posts a request, and disconnects after reading this many bytes of the response.
pub(crate) fn hang_up(address: &str, path: &str, body: &str, after: usize) {
    let mut stream = TcpStream::connect(address).expect("the example listens");
    stream.set_read_timeout(Some(Duration::from_secs(30))).expect("a timeout above zero");
    let head = format!("POST {path} HTTP/1.1\r\nhost: localhost\r\ncontent-length: {}\r\n\r\n", body.len());
    stream.write_all(format!("{head}{body}").as_bytes()).expect("the example reads");
    let mut answer = BufReader::new(stream);
    let mut line = String::new();
    while line != "\r\n" {
        line.clear();
        assert!(
            answer.read_line(&mut line).expect("the example answers") > 0,
            "the answer ended within its head"
        );
    }
    answer.read_exact(&mut vec![0; after]).expect("so many bytes");
}

impl Drop for Running {
    fn drop(&mut self) {
        // Both fail only if the process has already ended.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

pub(crate) struct Answer(String);

impl Answer {
    pub(crate) fn status(&self) -> u16 {
        self.0.get(9..12).and_then(|status| status.parse().ok()).expect("an HTTP/1.1 status line")
    }

    /// Whether the head (in lower case) or the body contains this text.
    pub(crate) fn holds(&self, text: &str) -> bool {
        let (head, body) = self.0.split_once("\r\n\r\n").unwrap_or((&self.0, ""));
        head.to_ascii_lowercase().contains(text) || body.contains(text)
    }

    pub(crate) fn text(&self) -> &str {
        &self.0
    }
}
