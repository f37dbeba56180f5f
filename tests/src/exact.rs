//! Proof that counting is exact.

use traffik::Throttle;

/// Asserts that exactly those of a fresh client's hits are allowed that are within the throttle's limit.
///
/// If the machine is too busy to answer in time, it is unknown what the call charged. The check then starts over with
/// another fresh client: the number of each is a million above that of the last.
///
/// # Panics
/// Panics if another hit is allowed or refused, or if one fails in any other way; `what` is where the test is.
pub async fn exact(what: &str, limited: &Throttle, client: u64) {
    let limit = limited.rate().expect("a fixed rate").limit();
    'fresh: for attempt in 0..5 {
        let client = client + attempt * 1_000_000;
        for hit in 0..limit + 30 {
            match limited.hit(client).await {
                Ok(decision) => assert_eq!(decision.is_allowed(), hit < limit, "{what}, {client}: hit {hit}"),
                Err(error) => {
                    assert!(error.is_timeout(), "{what}, {client}: hit {hit}: {error}");
                    continue 'fresh;
                }
            }
        }
        return;
    }
    panic!("{what}: five times over, a call was not answered in time");
}
