//! [`RedisServer`]: a test's own `redis-server` process.

use std::collections::BTreeMap;
use std::net::TcpListener;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use redis::{Client, Connection};

/// How long a server may take to answer after it is started.
const STARTING: Duration = Duration::from_secs(10);

/// A Redis server on a free port of the loopback interface, without persistence. Killed when dropped.
///
/// Tests never talk to a Redis server that they did not start.
#[derive(Debug)]
pub struct RedisServer {
    port: u16,
    dir: PathBuf,
    options: Vec<String>,
    /// The configuration of a Sentinel, which must be a file.
    sentinel: Option<String>,
    child: Option<Child>,
}

impl RedisServer {
    /// Starts a server and waits until it answers.
    ///
    /// # Panics
    /// Panics if `redis-server` is missing or does not start.
    #[must_use]
    pub fn start() -> Self {
        Self::start_with(&[])
    }

    /// Starts a server with additional options, such as `["--requirepass", "s3cret"]`.
    ///
    /// # Panics
    /// Panics as [`start`](Self::start) does.
    #[must_use]
    pub fn start_with(options: &[&str]) -> Self {
        // Another process may take the free port before the server does. In that case, try the next one.
        for _ in 0..5 {
            let mut server = Self::stopped();
            server.options = options.iter().map(|&option| option.to_owned()).collect();
            if server.try_start() {
                return server;
            }
        }
        panic!(
            "redis-server exited at once, five times over; try it by hand: redis-server --port 0 {options:?}"
        );
    }

    /// Starts a Sentinel with this configuration.
    ///
    /// # Panics
    /// Panics as [`start`](Self::start) does.
    #[must_use]
    pub fn start_sentinel(lines: &str) -> Self {
        for _ in 0..5 {
            let mut server = Self::stopped();
            server.sentinel = Some(lines.to_owned());
            if server.try_start() {
                return server;
            }
        }
        panic!("redis-server --sentinel exited at once, five times over, with: {lines}");
    }

    /// Creates a server on a free port without starting it.
    #[must_use]
    pub fn stopped() -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port on 127.0.0.1");
        let port = listener.local_addr().expect("the address of a bound socket").port();
        let name = format!("traffik-redis-{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        let dir = std::env::temp_dir().join(name);
        std::fs::create_dir_all(&dir).expect("a temporary directory");
        Self { port, dir, options: Vec::new(), sentinel: None, child: None }
    }

    /// Returns the port of the server.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Returns `redis://127.0.0.1:<port>/`.
    #[must_use]
    pub fn url(&self) -> String {
        format!("redis://127.0.0.1:{}/", self.port)
    }

    /// Returns whether the server has been started and not been killed since.
    #[must_use]
    pub fn is_running(&self) -> bool {
        self.child.is_some()
    }

    /// Starts the process on the same port, with no data.
    ///
    /// # Panics
    /// Panics if it does not start.
    pub fn resurrect(&mut self) {
        assert!(self.try_start(), "redis-server does not start on port {} again", self.port);
    }

    fn try_start(&mut self) -> bool {
        let log = std::fs::File::create(self.dir.join("log")).expect("a log file in a fresh directory");
        let mut command = Command::new("redis-server");
        if let Some(lines) = &self.sentinel {
            let file = self.dir.join("sentinel.conf");
            std::fs::write(&file, lines).expect("a file in a fresh directory");
            command.arg(file).arg("--sentinel");
        }
        command.args(["--port", &self.port.to_string(), "--bind", "127.0.0.1", "--dir"]).arg(&self.dir);
        if self.sentinel.is_none() {
            command.args(["--save", "", "--appendonly", "no"]).args(&self.options);
        }
        let spawned = command.stdin(Stdio::null()).stdout(log).stderr(Stdio::null()).spawn();
        match spawned {
            Ok(child) => self.child = Some(child),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => panic!(
                "these tests start their own redis-server, and none is installed; `cargo xtask test` installs it, \
                 or use your package manager (apt-get install redis-server, brew install redis)"
            ),
            Err(error) => panic!("redis-server cannot be started: {error}"),
        }
        let deadline = Instant::now() + STARTING;
        while Instant::now() < deadline {
            let exited = self.child.as_mut().is_none_or(|child| !matches!(child.try_wait(), Ok(None)));
            if exited {
                return false;
            }
            if self.answers() {
                return true;
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        let log = std::fs::read_to_string(self.dir.join("log")).unwrap_or_default();
        panic!("redis-server on port {} does not answer within {STARTING:?}; its log:\n{log}", self.port);
    }

    /// Returns whether a server answers on the port, even if it only asks for a password.
    fn answers(&self) -> bool {
        let Ok(client) = Client::open(self.url()) else { return false };
        match client.get_connection_with_timeout(Duration::from_millis(200)) {
            Ok(mut connection) => match redis::cmd("PING").exec(&mut connection) {
                Ok(()) => true,
                Err(error) => error.code() == Some("NOAUTH"),
            },
            Err(_) => false,
        }
    }

    /// Kills the process with SIGKILL.
    pub fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            // Both calls fail only if the process is already gone.
            let _ = child.kill();
            let _ = child.wait();
        }
    }

    /// Kills the process and starts it again, without data or scripts.
    pub fn restart(&mut self) {
        self.kill();
        self.resurrect();
    }

    /// Suspends the process with SIGSTOP: connections stay open, but nothing is answered.
    pub fn pause(&self) {
        self.signal("-STOP");
    }

    /// Resumes a suspended process.
    pub fn resume(&self) {
        self.signal("-CONT");
    }

    fn signal(&self, signal: &str) {
        let child = self.child.as_ref().expect("a running server");
        let status = Command::new("kill").args([signal, &child.id().to_string()]).status();
        assert!(status.is_ok_and(|status| status.success()), "kill {signal} failed");
    }

    /// Opens a connection that bypasses the library, for inspection and interference.
    ///
    /// # Panics
    /// Panics if the server does not answer.
    #[must_use]
    pub fn connection(&self) -> Connection {
        let client = Client::open(self.url()).expect("a well-formed URL");
        let connection =
            client.get_connection_with_timeout(Duration::from_secs(5)).expect("a server that answers");
        connection.set_read_timeout(Some(Duration::from_secs(5))).expect("a timeout above zero");
        connection
    }

    /// Runs one command, bypassing the library.
    ///
    /// # Panics
    /// Panics if the server refuses it.
    pub fn command<T: redis::FromRedisValue>(&self, words: &[&str]) -> T {
        let mut command = redis::Cmd::new();
        for word in words {
            command.arg(*word);
        }
        command.query(&mut self.connection()).unwrap_or_else(|error| panic!("{words:?}: {error}"))
    }

    /// Returns the number of calls of each command since the last
    /// [`reset_stats`](Self::reset_stats), from `INFO commandstats`.
    #[must_use]
    pub fn commandstats(&self) -> BTreeMap<String, u64> {
        let info: String = self.command(&["INFO", "commandstats"]);
        info.lines()
            .filter_map(|line| {
                let (name, rest) = line.strip_prefix("cmdstat_")?.split_once(":calls=")?;
                Some((name.to_owned(), rest.split(',').next()?.parse().ok()?))
            })
            .collect()
    }

    /// Returns the number of `EVALSHA` calls since the last [`reset_stats`](Self::reset_stats).
    #[must_use]
    pub fn decisions(&self) -> u64 {
        self.commandstats().get("evalsha").copied().unwrap_or(0)
    }

    /// Resets the statistics.
    pub fn reset_stats(&self) {
        self.command::<()>(&["CONFIG", "RESETSTAT"]);
    }

    /// Returns all keys.
    #[must_use]
    pub fn keys(&self) -> Vec<String> {
        self.command(&["KEYS", "*"])
    }
}

impl Drop for RedisServer {
    fn drop(&mut self) {
        self.kill();
        let _ = std::fs::remove_dir_all(&self.dir);
    }
}
