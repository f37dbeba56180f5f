//! Unique ids of throttles, interned: a decision names its throttle without reference counting.

use std::collections::HashSet;
use std::sync::{Mutex, OnceLock, PoisonError};

use crate::error::Error;

/// Returns the only copy of a valid uid.
///
/// It is kept for the life of the process. Uids are few and written in source code; a program that builds
/// them from user input would leak them, and should put that part into the scope instead.
pub(crate) fn intern(uid: &str) -> Result<&'static str, Error> {
    static UIDS: OnceLock<Mutex<HashSet<&'static str>>> = OnceLock::new();
    traffik_grammar::uid::check(uid).map_err(|error| Error::configuration(error.to_string()))?;
    let mut uids = UIDS.get_or_init(Mutex::default).lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(known) = uids.get(uid) {
        return Ok(known);
    }
    let leaked: &'static str = Box::leak(uid.into());
    uids.insert(leaked);
    Ok(leaked)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_copy_each() {
        let a = intern("uid:test").unwrap();
        assert!(std::ptr::eq(a, intern(&String::from("uid:test")).unwrap()));
        assert!(intern("").is_err());
    }
}
