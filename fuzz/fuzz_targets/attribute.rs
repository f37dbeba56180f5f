//! A proc-macro crate exports nothing else, so its source files are compiled in here.
#![no_main]
#![allow(dead_code)]

#[path = "../../traffik-macros/src/args.rs"]
mod args;
#[path = "../../traffik-macros/src/expand.rs"]
mod expand;
#[path = "../../traffik-macros/src/fallback.rs"]
mod fallback;
#[path = "../../traffik-macros/src/item.rs"]
mod item;
#[path = "../../traffik-macros/src/keys.rs"]
mod keys;
#[path = "../../traffik-macros/src/model.rs"]
mod model;
#[path = "../../traffik-macros/src/returned.rs"]
mod returned;
#[path = "../../traffik-macros/src/stack.rs"]
mod stack;
#[path = "../../traffik-macros/src/validate.rs"]
mod validate;
#[path = "../../traffik-macros/src/value.rs"]
mod value;

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let Ok(Ok(arguments)) = std::str::from_utf8(data).map(|text| text.parse()) else { return };
    let item = "async fn handler() {}".parse().unwrap();
    assert!(expand::throttle(arguments, item).to_string().contains("handler"), "the handler survives");
});
