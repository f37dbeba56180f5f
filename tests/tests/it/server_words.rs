//! What a Redis server says when it cannot decide: each answer has its row in the guide.

use traffik::strategy::Tiered;
use traffik::{RedisBackend, SystemClock};
use traffik_tests::RedisServer;

use crate::support::throttle;

/// The messages of the chapter's section, each as the parts that do not vary.
fn rows() -> Vec<Vec<String>> {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../traffik/src/docs/errors.md");
    let chapter = std::fs::read_to_string(path).unwrap();
    let (_, section) = chapter.split_once("# What Redis says by itself").unwrap();
    let section = section.split("\n# ").next().unwrap();
    let cells = section.lines().filter_map(|line| line.strip_prefix("| `")?.split(" | ").next());
    let messages = cells.flat_map(|cell| cell.split("`, `")).map(|message| message.trim_end_matches('`'));
    messages.map(|message| message.split('…').map(str::to_owned).collect()).collect()
}

#[tokio::test]
async fn are_in_the_guide() {
    let rows = rows();
    for (options, database) in [
        (&["--rename-command", "EVALSHA", ""][..], 0),
        (&["--rename-command", "EVAL", ""], 0),
        (&["--rename-command", "TIME", ""], 0),
        (&["--requirepass", "s3cret"], 0),
        (&["--user default on nopass ~* +@all -evalsha"], 0),
        (&["--databases", "1"], 1),
        (&["--replicaof", "127.0.0.1 1"], 0),
        (&["--min-replicas-to-write", "1"], 0),
        (&["--maxmemory", "1"], 0),
        (&["--cluster-enabled", "yes"], 0),
    ] {
        let server = RedisServer::start_with(options);
        let url = format!("redis://127.0.0.1:{}/{database}", server.port());
        let error = match RedisBackend::connect(url).await {
            Ok(redis) => {
                throttle("a", "10/day").backend(redis).build().unwrap().hit("ann").await.unwrap_err()
            }
            Err(error) => error,
        };
        let said = error.to_string();
        let found = rows.iter().any(|parts| parts.iter().all(|part| said.contains(part.as_str())));
        assert!(error.is_backend() && found, "{options:?}: {said}");
    }
}

/// The mend that the guide names for servers that forbid `TIME`.
#[tokio::test]
async fn a_server_without_time_decides_by_the_clock_of_the_application() {
    let server = RedisServer::start_with(&["--rename-command", "TIME", ""]);
    let redis = RedisBackend::builder(server.url()).clock(SystemClock).connect().await.unwrap();
    let throttles = [
        throttle("script", "1/day").backend(redis.clone()).build().unwrap(),
        throttle("swap", "1/day")
            .strategy(Tiered::new().tier("gold", 2))
            .backend(redis.clone())
            .build()
            .unwrap(),
    ];
    for throttle in throttles {
        for expected in [true, false] {
            assert_eq!(throttle.hit("ann").await.unwrap().is_allowed(), expected, "{}", throttle.uid());
        }
    }
}
