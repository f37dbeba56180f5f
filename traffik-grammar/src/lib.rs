//! The small grammars of `traffik`: rates (`"20/min"`), throttle ids (`"api:burst"`) and path
//! patterns (`"/api/**"`).
//!
//! The attribute macro parses these strings at compile time, the runtime when a throttle is built. Both
//! use this crate, so a string that compiles also works at run time, and a mistake gets the same message
//! in either place. Applications depend on `traffik`, not on this crate.
//!
//! ```
//! use traffik_grammar::{PathPattern, RateSpec, rate, uid};
//!
//! let spec = rate::parse("10/30 seconds")?;
//! assert_eq!(spec, RateSpec::Limited { limit: 10, period_micros: 30_000_000 });
//!
//! uid::check("api:burst")?;
//!
//! let pattern = PathPattern::parse("/users/*/posts")?;
//! assert!(pattern.may_match("/users/42/posts"));
//!
//! let error = rate::parse("5/mins").unwrap_err();
//! assert_eq!(error.to_string(), r#"unknown time unit "mins"; did you mean "min"?"#);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

#![forbid(unsafe_code)]
#![cfg_attr(test, allow(clippy::unwrap_used))]

mod error;
pub mod path;
pub mod rate;
pub mod suggest;
pub mod uid;

pub use error::Quoted;
pub use path::{PathError, PathErrorKind, PathPattern};
pub use rate::{RateError, RateErrorKind, RateSpec};
pub use uid::{UidError, UidErrorKind};
