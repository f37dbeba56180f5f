//! The requests to each example, and the expected responses.

use std::time::Duration;

use crate::SECOND;

pub(crate) struct Row {
    pub(crate) name: &'static str,
    pub(crate) program: &'static str,
    /// The longest window of the example's limits, in seconds.
    pub(crate) window: u64,
    /// The time that the steps may take, for limits that don't count in windows.
    pub(crate) within: Option<Duration>,
    pub(crate) steps: &'static [Step],
}

/// One request, sent once for each of the statuses.
#[derive(Clone, Copy)]
pub(crate) struct Step {
    pub(crate) method: &'static str,
    pub(crate) path: &'static str,
    pub(crate) headers: &'static [(&'static str, &'static str)],
    pub(crate) body: &'static str,
    pub(crate) statuses: &'static [u16],
    /// What the last response contains, with headers in lower case.
    pub(crate) holds: &'static [&'static str],
    /// Whether to repeat the request until the response is as expected, because that takes some time.
    pub(crate) waits: bool,
}

const fn get(path: &'static str, statuses: &'static [u16]) -> Step {
    Step { method: "GET", path, headers: &[], body: "", statuses, holds: &[], waits: false }
}

impl Step {
    const fn method(self, method: &'static str) -> Self {
        Self { method, ..self }
    }

    const fn with(self, headers: &'static [(&'static str, &'static str)]) -> Self {
        Self { headers, ..self }
    }

    const fn body(self, body: &'static str) -> Self {
        Self { body, ..self }
    }

    const fn holds(self, holds: &'static [&'static str]) -> Self {
        Self { holds, ..self }
    }

    const fn waits(self) -> Self {
        Self { waits: true, ..self }
    }
}

macro_rules! row {
    ($name:literal, $window:literal, $within:expr, [$($step:expr),* $(,)?]) => {
        Row {
            name: $name,
            program: env!(concat!("CARGO_BIN_EXE_", $name)),
            window: $window,
            within: $within,
            steps: &[$($step),*],
        }
    };
}

const JSON: &[(&str, &str)] = &[("content-type", "application/json")];

const CHUNKED: &[(&str, &str)] = &[("transfer-encoding", "chunked")];

/// Announces a body that is never sent. If the example read the body first, it would never respond.
const ANNOUNCED: &[(&str, &str)] = &[("content-length", "20000")];

const UPGRADE: &[(&str, &str)] = &[
    ("connection", "Upgrade"),
    ("upgrade", "websocket"),
    ("sec-websocket-version", "13"),
    ("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ=="),
];

pub(crate) const ROWS: &[Row] = &[
    row!(
        "admin_kill_switch",
        60,
        None,
        [
            get("/orders", &[200, 200, 429]),
            get("/admin/limits/orders/disable", &[200]).method("POST").holds(&["off"]),
            get("/orders", &[200, 200, 200]),
            get("/admin/limits/orders/enable", &[200]).method("POST").holds(&["on"]),
            get("/admin/limits/orders/rate", &[200]).method("PUT").body("5/min").holds(&["5/min"]),
            get("/admin/limits", &[200]).holds(&["orders: 5/min, fixed_window, on"]),
            get("/admin/limits/orders/rate", &[400]).method("PUT").body("5/mins").holds(&["did you mean"]),
            get("/admin/limits/nobody/disable", &[404]).method("POST"),
        ]
    ),
    row!(
        "behind_proxy",
        60,
        None,
        [
            get("/", &[200, 200, 429]).with(&[("x-forwarded-for", "203.0.113.9")]),
            get("/", &[200]).with(&[("x-forwarded-for", "203.0.113.8")]),
            get("/", &[429]).with(&[("x-forwarded-for", "198.51.100.1, 203.0.113.9")]),
        ]
    ),
    row!(
        "bulk_write",
        3_600,
        None,
        [
            get("/rows", &[200])
                .method("POST")
                .with(JSON)
                .body(r#"["ann", "", "bob"]"#)
                .holds(&["wrote 2 of 3 rows"]),
            get("/left", &[200]).holds(&["2 of 5 rows used"]),
            get("/rows", &[429]).method("POST").with(JSON).body(r#"["a", "b", "c", "d"]"#),
            get("/rows", &[200])
                .method("POST")
                .with(JSON)
                .body(r#"["a", "b", "c"]"#)
                .holds(&["wrote 3 of 3 rows"]),
            get("/left", &[200]).holds(&["5 of 5 rows used"]),
        ]
    ),
    row!(
        "costs",
        60,
        None,
        [
            get("/export", &[200]).holds(&[r#"ratelimit: "export";r=90;"#]),
            get("/translate", &[200])
                .method("POST")
                .body("one two three")
                .holds(&[r#""translate";r=97;"#, "ONE TWO"]),
            get("/translate", &[200]).method("POST").holds(&[r#""translate";r=96;"#]),
            get("/translate", &[200])
                .method("POST")
                .with(CHUNKED)
                .body("d\r\none two three\r\n0\r\n\r\n")
                .holds(&[r#""translate";r=46;"#, "ONE TWO"]),
            get("/translate", &[429]).method("POST").with(CHUNKED).body("0\r\n\r\n"),
            get("/search", &[200; 6]),
            get("/search?fresh", &[200]).holds(&[r#""search";r=75;"#]),
            get("/search?fresh", &[200, 200, 200, 429]),
        ]
    ),
    row!(
        "custom_backend",
        3_600,
        None,
        [
            get("/data", &[200, 200, 200, 429])
                .holds(&[r#""notebook:minute";r=0"#, r#""notebook:hour";r=97"#]),
            get("/kept", &[200]).holds(&["2\n"]),
        ]
    ),
    row!(
        "custom_strategy",
        60,
        Some(SECOND),
        [
            get("/sign-in", &[200, 200, 200, 429]).with(&[("x-user", "ann")]).holds(&["retry-after: 1\r\n"]),
            get("/sign-in", &[200]).with(&[("x-user", "bob")]),
        ]
    ),
    row!(
        "degrade_gracefully",
        60,
        None,
        [
            get("/prices", &[200]).holds(&[r#""computed":1"#]),
            get("/prices", &[200]).holds(&[r#""computed":2"#]),
            get("/prices", &[200, 200]).holds(&[r#""computed":2"#, r#""stale":true"#]),
        ]
    ),
    row!(
        "exemptions",
        60,
        None,
        [
            get("/", &[200, 200, 200, 429]),
            get("/", &[200; 9]).with(&[("x-admin-token", "s3cret")]),
            get("/", &[200, 200, 200, 429]).with(&[("x-api-key", "ann")]),
        ]
    ),
    row!(
        "failover",
        60,
        None,
        [
            get("/data", &[200]).holds(&[r#""data";r=19"#, "the breaker is closed"]),
            get("/redis/pause", &[200]).method("POST").holds(&["paused"]),
            get("/data", &[200, 200, 200]).holds(&["the breaker is open"]),
            get("/data", &[200; 16]),
            get("/data", &[429]).waits().holds(&[r#""data";r=0"#]),
            get("/breaker", &[200]).waits().holds(&["the breaker is half-open"]),
            get("/redis/resume", &[200]).method("POST").holds(&["resumed"]),
            get("/data", &[200]).waits().holds(&["the breaker is closed"]),
            get("/breaker", &[200]).holds(&["the breaker is closed"]),
        ]
    ),
    row!(
        "layered",
        3_600,
        None,
        [
            get("/data", &[200, 200, 200, 429, 429]).holds(&[
                r#""burst";r=0"#,
                r#""hourly";r=7"#,
                "retry-after"
            ]),
            get("/left", &[200]).holds(&["burst 0 of 3\nhourly 7 of 10\n"]),
        ]
    ),
    row!(
        "llm_tokens",
        60,
        None,
        [
            get("/complete", &[200])
                .method("POST")
                .body("three short words")
                .holds(&["THREE", "SHORT", "WORDS"]),
            get("/left", &[200]).holds(&["3 of 1000 tokens used"]),
            get("/complete", &[200]).method("POST").body("write 800").holds(&["word"]),
            get("/left", &[200]).holds(&["803 of 1000 tokens used"]),
            get("/complete", &[429]).method("POST").body("once more"),
        ]
    ),
    row!(
        "multi_tenant",
        60,
        None,
        [
            get("/quota", &[200, 200, 429]).with(&[("x-tenant", "enterprise")]),
            get("/quota", &[200, 200, 429]).with(&[("x-tenant", "premium")]),
            get("/quota", &[200, 200, 429]),
        ]
    ),
    row!(
        "observability",
        60,
        None,
        [
            get("/orders", &[200, 200, 429]),
            get("/reports", &[200, 200]),
            get("/metrics", &[200]).holds(&[
                r#"traffik_hits_total{uid="orders",backend="memory",outcome="allowed"} 2"#,
                r#"traffik_hits_total{uid="orders",backend="memory",outcome="denied"} 1"#,
                r#"traffik_hits_total{uid="reports",backend="memory",outcome="shadowed"} 1"#,
                r#"traffik_units_total{uid="orders",backend="memory"} 2"#,
                r#"traffik_retry_after_seconds_count{uid="orders",backend="memory"} 1"#,
                "# HELP traffik_hits_total Hits, counted per throttle and decision",
                "# TYPE traffik_hits_total counter",
            ]),
        ]
    ),
    row!(
        "quickstart",
        60,
        None,
        [
            get("/api/data", &[200; 20]).holds(&["hello"]),
            get("/api/data", &[429]).holds(&[
                "retry-after",
                r#""api:burst";r=0"#,
                r#""api:sustained";r=480"#
            ]),
        ]
    ),
    row!(
        "report",
        3_600,
        None,
        [
            get("/report/sales", &[200]).holds(&["sales: 42, 2 queries, 1 chart"]),
            get("/report/broken", &[500]),
            get("/left", &[200]).holds(&["queries: 2 of 4 used", "charts: 1 of 10 used"]),
            get("/report/sales", &[200, 429]).holds(&["retry-after"]),
            get("/left", &[200]).holds(&["queries: 4 of 4 used", "charts: 2 of 10 used"]),
        ]
    ),
    row!(
        "router_layer",
        60,
        None,
        [
            get("/notes", &[200, 200, 200, 429]).method("POST"),
            get("/notes", &[200]).holds(&[r#""notes:all";r=96"#]),
        ]
    ),
    row!(
        "rules",
        60,
        None,
        [
            get("/api/users", &[200, 200, 429]),
            get("/api/health", &[200; 4]),
            get("/api/users", &[200; 4]).with(&[("x-batch-job", "nightly")]),
            get("/about", &[200; 4]),
        ]
    ),
    row!(
        "upload_bytes",
        3_600,
        None,
        [
            get("/upload", &[200]).method("POST").body("nine byte").holds(&["read 9 bytes"]),
            get("/left", &[200]).holds(&["9 of 10000 bytes used"]),
            get("/upload", &[200])
                .method("POST")
                .with(CHUNKED)
                .body("5\r\nfive \r\n0\r\n\r\n")
                .holds(&["read 5 bytes"]),
            get("/upload", &[200]).method("POST").holds(&["read 0 bytes"]),
            get("/left", &[200]).holds(&["15 of 10000 bytes used"]),
            get("/upload", &[429]).method("POST").with(ANNOUNCED),
            get("/left", &[200]).holds(&["15 of 10000 bytes used"]),
        ]
    ),
    row!("websocket_chat", 60, None, [get("/chat", &[101, 101, 101, 429]).with(UPGRADE),]),
];
