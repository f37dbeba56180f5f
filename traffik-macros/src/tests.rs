//! Tests of the expansion as text, and of error messages. The `ui-tests` package covers what compiles, and what the
//! compiler reports.

use proc_macro2::TokenStream;
use quote::ToTokens;
use syn::parse_str;

use crate::args::{KEYS, Key};

fn expand(args: &str, item: &str) -> String {
    let tokens = |text: &str| parse_str::<TokenStream>(text).unwrap();
    squeeze(&crate::expand::throttle(tokens(args), tokens(item)).to_string())
}

/// Removes blanks, because the spacing of tokens doesn't matter.
fn squeeze(text: &str) -> String {
    text.split_whitespace().collect()
}

/// Returns the builder calls that follow the start of the stack.
fn calls(args: &str) -> String {
    let expanded = expand(args, "async fn handler() {}");
    let (_, calls) = expanded.split_once("Stack::new()").unwrap_or_else(|| panic!("{expanded}"));
    let (calls, _) = calls.split_once("});&STACK").unwrap();
    calls.to_owned()
}

fn messages(args: &str, item: &str) -> Vec<String> {
    let expanded: TokenStream = {
        let tokens = |text: &str| parse_str::<TokenStream>(text).unwrap();
        crate::expand::throttle(tokens(args), tokens(item))
    };
    let text = expanded.to_string();
    text.split("compile_error ! {")
        .skip(1)
        .map(|rest| {
            let (literal, _) = rest.split_once('}').unwrap();
            parse_str::<syn::LitStr>(literal.trim()).unwrap().value()
        })
        .collect()
}

const HANDLER: &str = "async fn handler(body: String) -> String { body }";

#[test]
fn every_value_becomes_its_call() {
    let cases = [
        (r#"cost = 10"#, ".cost(10)"),
        (r#"cost = 0x10u64"#, ".cost(16)"),
        (r#"cost = price"#, ".cost_with(price)"),
        (r#"cost = a::b::<C, D>"#, ".cost_with(a::b::<C,D>)"),
        (r#"cost = |req| req.f(1, 2)"#, ".cost_with(|req:&::traffik::Parts|req.f(1,2))"),
        (r#"cost = async move |r: &P| 3"#, ".cost_with(asyncmove|r:&P|3)"),
        (r#"identifier = client"#, ".identifier(client)"),
        (r#"identifier = make(1, 2)"#, ".identifier(make(1,2))"),
        (r#"strategy = "leaky_queue""#, ".strategy(::traffik::strategy::LeakyQueue::new())"),
        (r#"strategy = Gcra::new().burst(5)"#, ".strategy(Gcra::new().burst(5))"),
        (r#"backend = memory()"#, ".backend(memory())"),
        (r#"dynamic_backend"#, ".dynamic_backend()"),
        (r#"dynamic_backend = true"#, ".dynamic_backend()"),
        (r#"dynamic_backend = false"#, ""),
        (r#"dynamic_backend = of_tenant"#, ".dynamic_backend_with(of_tenant)"),
        (r#"scope = "part""#, r#".scope("part")"#),
        (r#"scope = part"#, ".scope_with(part)"),
        (r#"on_error = "raise""#, ".on_error(::traffik::OnError::raise())"),
        (r#"on_error = policy()"#, ".on_error(policy())"),
        (r#"on_throttled = "continue""#, ".continue_when_throttled()"),
        (
            r#"on_throttled = |req, refused| 1"#,
            ".on_throttled(|req:&::traffik::Parts,refused:&::traffik::Throttled|1)",
        ),
        (r#"headers = "throttled""#, ".headers(::traffik::Headers::when_throttled())"),
        (r#"mode = "enforce""#, ".enforce()"),
        (r#"mode = "shadow""#, ".shadow()"),
        (r#"on_cancel = "refund""#, ".on_cancel(::traffik::OnCancel::Refund)"),
        (r#"refund_on = "5xx""#, ".refund_on_status(::traffik::private::is_5xx)"),
        (r#"refund_on = |s| s == 404"#, ".refund_on_status(|s:::traffik::private::StatusCode|s==404)"),
    ];
    for (setting, call) in cases {
        let expected = format!(r#".declare(::traffik::Throttle::builder("u").rate("20/min"){call})"#);
        assert_eq!(calls(&format!(r#""u", rate = "20/min", {setting}"#)), expected, "{setting}");
    }
}

/// A key that has no call would be accepted and ignored.
#[test]
fn every_key_has_a_call_and_a_row() {
    let guide = include_str!("throttle.md");
    let (_, shared_keys) = guide.split_once("only the keys ").unwrap();
    let (shared_keys, _) = shared_keys.split_once(" may follow").unwrap();
    for Key { name, example, shared } in KEYS {
        assert!(guide.contains(&format!("\n| `{name}` | ")), "`{name}` has no row in throttle.md");
        let listed = shared_keys.contains(&format!("`{name}`"));
        assert_eq!(listed, shared, "`{name}` among the keys of shared throttles in throttle.md");
        // These two are no calls that follow the rate.
        if ["rate", "crate"].contains(&name) {
            continue;
        }
        let plain = calls(r#""u", rate = "20/min""#);
        let with_it = calls(&format!(r#""u", rate = "20/min", {example}"#));
        assert_ne!(with_it, plain, "`{example}` calls nothing: give `{name}` an arm in keys.rs");
        if shared {
            assert_ne!(calls(&format!("UPLOADS, {example}")), calls("UPLOADS"), "{example}");
        }
    }
}

#[test]
fn rates_are_strings_constants_or_functions() {
    let builder = r#".declare(::traffik::Throttle::builder("u")"#;
    assert_eq!(calls(r#""u", rate = const a::BURST"#), format!("{builder}.rate(a::BURST))"));
    assert_eq!(calls(r#""u", rate = of_request"#), format!("{builder}.rate_with(of_request))"));
    assert_eq!(
        calls(r#""u", rate = |Parts { uri, .. }| r(uri)"#),
        format!("{builder}.rate_with(|Parts{{uri,..}}:&::traffik::Parts|r(uri)))")
    );
}

#[test]
fn costs_and_scopes_may_be_constants() {
    let builder = r#".declare(::traffik::Throttle::builder("u")"#;
    assert_eq!(
        calls(r#""u", rate = "20/min", cost = const COST, scope = const a::SCOPE"#),
        format!(r#"{builder}.rate("20/min").cost(COST).scope(a::SCOPE))"#)
    );
    assert_eq!(
        calls("UPLOADS, cost = const COST"),
        ".shared(&UPLOADS,|__traffik_applied|__traffik_applied.cost(COST))"
    );
}

#[test]
fn a_shared_throttle_is_adjusted() {
    assert_eq!(calls("UPLOADS"), ".shared(&UPLOADS,|__traffik_applied|__traffik_applied)");
    assert_eq!(
        calls(r#"UPLOADS, mode = "enforce""#),
        ".shared(&UPLOADS,|__traffik_applied|__traffik_applied.enforce())"
    );
    assert_eq!(
        calls(r#"self::limits::UPLOADS, cost = 3, mode = "shadow""#),
        ".shared(&self::limits::UPLOADS,|__traffik_applied|__traffik_applied.cost(3).shadow())"
    );
}

#[test]
fn the_crate_can_live_elsewhere() {
    let expanded = expand(
        r#""u", rate = "20/min", strategy = "gcra", crate = crate::kit::limits"#,
        r#"#[kit::limits::throttle("not absorbed")] async fn handler() {}"#,
    );
    assert!(!expanded.contains("::traffik::"), "{expanded}");
    assert!(expanded.contains("crate::kit::limits::private::Gate<"), "{expanded}");
    assert!(expanded.contains("#[kit::limits::throttle"), "another path: {expanded}");
}

#[test]
fn values_end_at_their_own_comma() {
    for value in [
        "a::<B, C>()",
        "<A as B<C, D>>::e",
        "|req: &Map<A, B>| -> Result<A, B> { f(a, b) }",
        "|a| |b, c| a",
        "&mut |b, c| a",
        "x as Map<A, B>",
        "a || b",
        "a << 1",
        "|a| f(a, b) << <C as D<E, F>>::G",
        "m(|a, b| a, 2)",
        "f(a)? + b",
        "if a { b } else { |c, d| e }",
        "match a { b => |c, d| e, f => g }",
        // Values that contain a `=`.
        "|req| { let a = 1; a }",
        "async move |req| { a.b = 2; a }",
        "|req| a == b && c != d && e <= f && g >= h",
        "|req| a = b",
        "|req| a.b = c",
        "if let None = a { b } else { c }",
        "if let Some(a) = b && let ref mut c = d && let 1..=E = f { g } else { h }",
        "a.b(c = d)",
        "loop { break a = b }",
        "::a::f::<dyn B<C = D>>()",
        // Values that begin with a literal.
        "1 + a",
        "1 << a",
        "7 as u64 * b",
        "\"a\".b(c)?",
        "1 == a",
        "0..=9",
        "true && a",
        "-1 + a",
    ] {
        let args = format!("backend = {value}, cost = 7");
        let calls = calls(&format!(r#""u", rate = "20/min", {args}"#));
        assert!(calls.ends_with(&format!(".backend({}).cost(7))", squeeze(value))), "{calls}");
    }
}

#[test]
fn a_missing_comma_is_missed_behind_any_value() {
    const MISSING: &str = "expected a comma before the next `key = value`";
    for args in [
        r#"rate = "1/s" cost = 1"#,
        r#"rate = "1/s"; cost = 1"#,
        r#"rate = "1/s" cost"#,
        r#"rate = "1/s" "2/s""#,
        r#"rate = "1/s": cost = 1"#,
        r#"rate = "1/s" (cost = 1)"#,
        r#"rate = "1/s", cost = 1 scope = "a""#,
        r#"rate = "1/s", cost = f(1) scope = "a""#,
        r#"rate = "1/s", cost = a.b scope = "a""#,
        r#"rate = "1/s", cost = 1 + 2 scope = "a""#,
        r#"rate = "1/s", cost = |req| 1 scope = "a""#,
        r#"rate = "1/s", cost = |req| { let a = 1; a } scope = "a""#,
        r#"rate = "1/s", cost = a; scope = "a""#,
        r#"rate = "1/s", identifier = if let A = b { c } else { d } crate = a"#,
        r#"rate = const RATE cost = 1"#,
        r#"rate = "1/s", crate = ::a cost = 1"#,
        r#"rate = "1/s", dynamic_backend = true cost = 1"#,
    ] {
        assert_eq!(messages(&format!(r#""u", {args}"#), HANDLER), [MISSING], "{args}");
    }
}

#[test]
fn siblings_are_absorbed_and_others_stay_in_order() {
    let item = r#"
        #[first]
        #[throttle("b", rate = "2/s")]
        #[doc = "second"]
        #[traffik::throttle("c", rate = "3/s")]
        #[other::throttle("d")]
        pub async fn handler() {}
    "#;
    let expanded = expand(r#""a", rate = "1/s""#, item);
    for uid in ["a", "b", "c"] {
        assert!(expanded.contains(&format!(r#".declare(::traffik::Throttle::builder("{uid}")"#)));
    }
    let order = [
        "(\"a\")",
        "(\"b\")",
        "(\"c\")",
        "#[first]",
        "#[doc=\"second\"]",
        "#[other::throttle(\"d\")]pubasyncfn",
    ];
    let places: Vec<_> = order.iter().map(|part| expanded.find(part).unwrap()).collect();
    assert!(places.is_sorted(), "{expanded}");
}

#[test]
fn a_gate_that_stands_is_widened() {
    let tokens = |text: &str| parse_str::<TokenStream>(text).unwrap();
    let uid = tokens(r#""a", rate = "1/s""#);
    let once = crate::expand::throttle(uid.clone(), tokens(HANDLER));
    // The compiler passes only the function to the next attribute.
    let text = once.to_string();
    let function = &text[text.find("async fn handler").unwrap()..];
    let twice = squeeze(&crate::expand::throttle(uid, tokens(function)).to_string());
    let name = |text: &str| text.split("struct").nth(1).unwrap().split(';').next().unwrap().to_owned();
    let (outer, inner) = (name(&squeeze(&text)), name(&twice));
    // No name is defined twice, even for the same uid, which the runtime rejects.
    assert_ne!(outer, inner);
    assert!(
        twice.contains(&format!("Stack::after(<{outer}as::traffik::private::Gated>::stack()).declare(")),
        "{twice}"
    );
    assert!(twice.contains(&format!("handler(__traffik_gate:::traffik::private::Gate<{inner}>,")), "{twice}");
    assert_eq!(twice.matches("private::respond(__traffik_gate,").count(), 1, "{twice}");
}

/// Applies only if nothing can follow the gate. What other attributes do to the handler is unknown.
#[test]
fn a_gate_by_itself_is_given_the_request() {
    for (item, is_alone) in [
        ("/// Said of it.\n#[inline] pub async fn handler() {}", true),
        ("async fn handler<T: Default>() -> T { T::default() }", true),
        ("async fn handler(body: String) {}", false),
        ("async fn handler(#[cfg(any())] body: String) {}", false),
        ("#[instrument] async fn handler() {}", false),
        ("async fn handler() { #![instrument] }", false),
    ] {
        let expanded = expand(r#""a", rate = "1/s""#, item);
        assert_eq!(expanded.contains(",::traffik::private::Alone>"), is_alone, "{expanded}");
    }
}

#[test]
fn the_gate_is_no_parameter_too_many() {
    for (parameters, allowed) in [
        ("a: A, b: B, c: C, d: D, e: E, f: F", false),
        ("a: A, b: B, c: C, d: D, e: E, f: F, g: G", true),
        (
            "a::A(b): a::A<B, C>, c: <C as ::c::D>::E, d: D, E { e: f }: E, f: [F; 1], g: fn(G) -> G, h: H,",
            true,
        ),
        ("a: A, b: B, c: C, d: D, e: E, f: F, g: G, h: H", false),
    ] {
        let expanded = expand(r#""a", rate = "1/s""#, &format!("async fn handler({parameters}) {{}}"));
        assert_eq!(expanded.contains("#[allow(clippy::too_many_arguments)]"), allowed, "{parameters}");
    }
}

#[test]
fn expansion_is_idempotent() {
    assert_eq!(expand(r#""a", rate = "1/s""#, HANDLER), expand(r#""a", rate = "1/s""#, HANDLER));
    let other = "async fn other(body: String) -> String { body }";
    assert_ne!(
        expand(r#""a", rate = "1/s""#, HANDLER).replace("handler", "other"),
        expand(r#""a", rate = "1/s""#, other)
    );
}

#[test]
fn an_opaque_return_type_is_inferred() {
    let item = "async fn handler() -> Result<(u8, impl IntoResponse), Vec<impl A<Item = u8> + Send>> {}";
    let expanded = expand(r#""a", rate = "1/s""#, item);
    assert!(expanded.contains("Option::<Result<(u8,_),Vec<_>>>::None"), "{expanded}");
    let parameter = "fn__traffik_opaque(_:&[Result<(u8,implIntoResponse),Vec<implA<Item=u8>+Send>>]){}";
    assert!(expanded.contains(parameter), "{expanded}");
    assert!(expanded.contains("__traffik_opaque(::core::slice::from_ref(&__traffik_return));"), "{expanded}");
    let item =
        "async fn handler<'a, T, const N: usize>() -> (impl Iterator<Item = T> + 'a, u8) where T: B {}";
    let expanded = expand(r#""a", rate = "1/s""#, item);
    let parameter = "fn__traffik_opaque<'a,T,constN:usize>(_:&[(implIterator<Item=T>+'a,u8)])whereT:B{}";
    assert!(expanded.contains(parameter), "{expanded}");
    assert!(expanded.contains("__traffik_opaque::<T,N>("), "{expanded}");
    let item = "async fn handler<'a>() -> impl Iterator + 'a {}";
    let expanded = expand(r#""a", rate = "1/s""#, item);
    assert!(expanded.contains("__traffik_opaque(::core"), "{expanded}");
    let item = "async fn handler<T>(_: T) -> impl IntoResponse {}";
    let expanded = expand(r#""a", rate = "1/s""#, item);
    assert!(expanded.contains("fn__traffik_opaque(_:&[implIntoResponse]){}"), "{expanded}");
    let item = "async fn handler() -> Box<dyn A<Item = impl B<Item = impl C + use<>> + use<> + D> + Send> {}";
    let expanded = expand(r#""a", rate = "1/s""#, item);
    assert!(expanded.contains("Option::<Box<dynA<Item=_>+Send>>::None"), "{expanded}");
    assert!(expanded.contains("(_:&[Box<dynA<Item=implB<Item=implC>+D>+Send>])"), "{expanded}");
    assert!(!expand(r#""a", rate = "1/s""#, HANDLER).contains("__traffik_opaque"));
}

#[test]
fn half_typed_code_reaches_the_compiler() {
    let item = "async fn handler(body: , #[cfg(x)] y: Z) -> String { body. ; let x = }";
    let expanded = expand(r#""a", rate = "1/s""#, item);
    assert!(expanded.contains("body.;letx="), "{expanded}");
    assert!(expanded.contains("body:,#[cfg(x)]y:Z)"), "{expanded}");
}

#[test]
fn mistakes_keep_the_handler_and_its_other_attributes() {
    let item = r#"#[inline] #[throttle("b")] #[doc = "x"] async fn handler() {}"#;
    let expanded = expand(r#""a""#, item);
    assert!(expanded.ends_with(r#"#[inline]#[doc="x"]asyncfnhandler(){}"#), "{expanded}");
    assert_eq!(messages(r#""a""#, item).len(), 2);
}

#[test]
fn what_is_no_function_is_emitted_as_it_was() {
    for item in
        ["struct S;", "const X: u8 = 1;", "impl S {}", "macro_rules! m { () => {} }", "fn f", "fn f()", ""]
    {
        let tokens = parse_str::<TokenStream>(item).unwrap();
        let expanded = crate::expand::throttle(quote::quote!("a", rate = "1/s"), tokens.clone());
        let expanded = squeeze(&expanded.to_string());
        assert!(expanded.contains("compile_error"), "{expanded}");
        assert!(expanded.ends_with(&squeeze(&tokens.to_token_stream().to_string())), "{expanded}");
    }
}

#[test]
fn arguments_never_panic() {
    let pieces = [
        "",
        ",",
        "=",
        "|",
        "||",
        "<",
        "::",
        "\"u\"",
        "7",
        "-",
        "-1 + a",
        "rate",
        "crate",
        "cost",
        "const",
        "async",
        "|a",
        "a::<",
        "()",
        "as",
        "1.5",
        "self",
        "_",
        "'a",
        "rate = ",
        "cost = ,",
        "mode = \"x\"",
        "#",
        "&",
        "?",
    ];
    for a in pieces {
        for b in pieces {
            for c in ["", ",", "|", "<", "= 7", "=> a, b"] {
                if let Ok(tokens) = parse_str::<TokenStream>(&format!("{a} {b} {c}")) {
                    let item = parse_str(HANDLER).unwrap();
                    let expanded = crate::expand::throttle(tokens, item).to_string();
                    assert!(expanded.contains("async fn handler"));
                }
            }
        }
    }
}

#[test]
fn all_mistakes_are_reported_at_once() {
    let args = r#""a b", rate = "1/mins", cost = -1, cost = 2, mode = "x", colour = 1, scope, backend = b(), dynamic_backend"#;
    assert_eq!(messages(args, "fn handler() {}").len(), 9, "{:#?}", messages(args, "fn handler() {}"));
    // The argument that could not be parsed may be the one that seems to be missing.
    assert_eq!(messages(r#""u", rate"#, HANDLER).len(), 1);
    assert_eq!(messages(r#""u", rate("1/s")"#, HANDLER).len(), 1);
    assert_eq!(messages(r#"rate = "1/s", "u""#, HANDLER).len(), 1);
    assert_eq!(messages(r#""u", cost = 1, cost = 2"#, HANDLER).len(), 2);
    assert_eq!(messages(r#""u", rate = "1/s", crate = ::a, crate = ::b"#, HANDLER).len(), 1);
    assert_eq!(messages(r#""u", rate = "1/s", crate = "a""#, HANDLER).len(), 1);
    assert_eq!(messages(r#""u", rate = "1/s", crate = ::a + b"#, HANDLER).len(), 1);
}

#[test]
fn a_cost_that_can_never_fit_is_refused() {
    let refused = |settings: &str| !messages(&format!(r#""u", {settings}"#), HANDLER).is_empty();
    for strategy in
        ["fixed_window", "sliding_window", "sliding_log", "token_bucket", "leaky_bucket", "leaky_queue"]
    {
        let settings = |cost: u64| format!(r#"rate = "20/min", strategy = "{strategy}", cost = {cost}"#);
        assert!(refused(&settings(21)) && !refused(&settings(20)), "{strategy}");
    }
    assert!(refused(r#"rate = "20/min", cost = 21"#));
    assert!(refused(r#"cost = 2, strategy = "gcra", rate = "20/min""#));
    assert!(!refused(r#"cost = 1, strategy = "gcra", rate = "20/min""#));
    assert!(!refused(r#"cost = 0, strategy = "gcra", rate = "20/min""#));
    assert!(!refused(r#"cost = 50, strategy = TokenBucket::new().burst(50), rate = "20/min""#));
    assert!(!refused(r#"cost = 50, rate = "unlimited""#));
    assert!(!refused(r#"cost = 50, rate = const RATE"#));
}

/// Runs the fuzz target over its corpus, with each input also truncated at every position.
#[test]
fn the_handler_survives_any_arguments() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../fuzz/corpus/attribute");
    let (mut run, mut parsed) = (0, 0);
    for entry in std::fs::read_dir(folder).unwrap() {
        let text = std::fs::read_to_string(entry.unwrap().path()).unwrap();
        for end in 0..=text.len() {
            let Some(Ok(arguments)) = text.get(..end).map(str::parse::<TokenStream>) else { continue };
            let item = parse_str("async fn handler() {}").unwrap();
            let expanded = crate::expand::throttle(arguments, item).to_string();
            assert!(expanded.contains("handler"), "{text}");
            parsed += 1;
        }
        run += 1;
    }
    assert!(run > 9 && parsed > 100, "a corpus of {run}, {parsed} parsed");
}
