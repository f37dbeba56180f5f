use super::*;

fn pattern(text: &str) -> PathPattern {
    PathPattern::parse(text).unwrap_or_else(|error| panic!("{text}: {error}"))
}

fn expect(text: &str, yes: &[&str], no: &[&str]) {
    let pattern = pattern(text);
    for path in yes {
        assert!(pattern.may_match(path), "{text} should match {path}");
    }
    for path in no {
        assert!(!pattern.may_match(path), "{text} should not match {path}");
        assert!(!pattern.must_match(path), "{text} should not match {path}, and not surely");
    }
}

/// Checks paths that match in only some of their readings, and paths that match in all.
fn readings(text: &str, some: &[&str], all: &[&str]) {
    let pattern = pattern(text);
    for path in some {
        assert!(pattern.may_match(path), "{text} may match {path}");
        assert!(!pattern.must_match(path), "{text} need not match {path}");
    }
    for path in all {
        assert!(pattern.may_match(path), "{text} matches {path}");
        assert!(pattern.must_match(path), "{text} surely matches {path}");
    }
}

#[test]
fn runs_of_slashes_and_escapes_have_readings() {
    readings(
        "/health",
        &["//health", "/%68ealth", "//health/deep"],
        &["/health", "/health/", "/health/deep", "/health//", "/health//deep", "/health/%64eep"],
    );
    readings(
        "/users/*/posts",
        &[
            "/users//posts",
            "/users//posts/",
            "/users//posts//",
            "//users//posts",
            "/users/42//posts",
            "/users/%2F/%70osts",
        ],
        &["/users/42/posts", "/users/42/posts/", "/users/%34%32/posts"],
    );
    readings("/files/*/raw/**", &["/files//raw/a", "/files//raw"], &["/files/1/raw", "/files/1/raw//a"]);
    readings("/t/*/admin", &["/t//admin"], &["/t/a/admin"]);
    readings("/*", &["//", "//a", "/a//"], &["/a", "/a/"]);
    // Collapsed, and also with an empty segment in front, the second segment is `a`; without the outer slashes, it is
    // empty.
    readings("/*/a/**", &["//a//a"], &["/b/a", "/b/a//a"]);
    readings("/a%2Fb", &[], &["/a%2Fb", "/a%2fb/c"]);
    readings("/**", &[], &["/", "//", "", "*", "//a//"]);
    readings("/**/**", &[], &["/", "*"]);
}

#[test]
fn without_wildcard_it_is_the_path_and_all_below() {
    expect(
        "/api/users",
        &["/api/users", "/api/users/", "/api/users/1", "/api/users/1/2"],
        &["/api/users2", "/api/user", "/api", "/", "", "/x/api/users", "/API/users"],
    );
    expect("/api/users/", &["/api/users", "/api/users/1"], &["/api/users2"]);
    expect("/", &["/", "", "//", "/a", "/a/b", "*"], &[]);
}

#[test]
fn one_star_is_exactly_one_segment() {
    expect("/*", &["/a", "/a/", "//a"], &["/", "/a/b", "", "*"]);
    expect(
        "/users/*/posts",
        &["/users/42/posts", "/users/%2F/posts/"],
        &["/users/posts", "/users///posts", "/users/42/posts/1", "/users/4/2/posts"],
    );
}

#[test]
fn two_stars_are_any_number_of_segments() {
    expect("/**", &["/", "", "/a", "/a/b/c", "*"], &[]);
    expect("/api/**", &["/api", "/api/", "/api/a/b"], &["/apis", "/", "/x/api"]);
    expect("/**/export", &["/export", "/a/b/export"], &["/export/csv", "/"]);
    expect(
        "/a/**/b/*/**/c",
        &["/a/b/x/c", "/a/b/b/b/c", "/a/x/y/b/z/q/r/c"],
        &["/a/b/c", "/a/b", "/a/b/x/c/d"],
    );
    expect("/**/**/a", &["/a", "/b/a"], &["/", "/a/b"]);
    expect("/**/*", &["/a", "/a/b"], &["/"]);
}

#[test]
fn spelling_the_path_differently_does_not_dodge_a_rule() {
    expect(
        "/api/users",
        &["/%61pi/users", "//api///users//", "/api/%75%73%65%72%73/1", "/api/users/%2e%2e"],
        &["/api%2Fusers", "/%2561pi/users", "/api/users%", "/api/users%00"],
    );
    expect("/caf%C3%A9", &["/caf%c3%a9", "/caf\u{e9}"], &["/cafe"]);
    expect("/a%2Ab", &["/a*b", "/a%2ab"], &["/axb"]);
    expect("/100%25", &["/100%25", "/100%"], &["/100%2525"]);
    expect("/%2A", &["/*", "/%2A/x"], &["/a"]);
}

#[test]
fn dot_segments_are_ordinary() {
    expect("/api", &["/api/../admin"], &["/admin/../api", "/./api"]);
}

#[test]
fn many_wildcards_stay_cheap() {
    let hard = pattern(&"/**/a".repeat(200));
    let path = format!("{}/b", "/a".repeat(20_000));
    assert!(!hard.may_match(&path));
    assert!(hard.may_match(&"/a".repeat(20_000)));
}

#[test]
fn traits_keep_the_text() {
    let parsed: PathPattern = "/api/*".parse().unwrap();
    assert_eq!(parsed.as_str(), "/api/*");
    assert_eq!(parsed.to_string(), "/api/*");
    assert_eq!(parsed.clone(), pattern("/api/*"));
    assert_ne!(parsed, pattern("/api/*/"));
}

#[test]
fn errors_mark_the_place() {
    use PathErrorKind::*;
    let cases = [
        ("", Start, 0),
        ("api", Start, 0),
        ("*", Start, 0),
        ("//", EmptySegment, 0),
        ("/api//users", EmptySegment, 4),
        ("/files/*.json", Wildcard, 7),
        ("/a/***", Wildcard, 3),
        ("/a*", Wildcard, 1),
        ("/a?b=1", Character, 2),
        ("/a#b", Character, 2),
        ("/users/{id}", Character, 7),
        ("/users/:id/posts", Character, 7),
        ("/a b", Character, 2),
        ("/caf\u{e9}", Character, 4),
        ("/a\n", Character, 2),
        ("/100%", Escape, 4),
        ("/%4", Escape, 1),
        ("/%zz", Escape, 1),
    ];
    for (text, kind, offset) in cases {
        let error = PathPattern::parse(text).unwrap_err();
        assert_eq!((error.kind(), error.offset()), (kind, offset), "{text}: {error}");
    }
}

#[test]
fn messages_name_place_culprit_and_mend() {
    let cases = [
        ("/api//users", r#"empty segment at byte 4, near "//users"; write one "/""#),
        (
            "api/users",
            r#"the path pattern does not start with "/" at byte 0, near "api/users"; write "/api/users""#,
        ),
        (
            "/files/*.json",
            r#"wildcard inside the segment "*.json" at byte 7, near "*.json"; a wildcard must be a whole segment: write "*" or "**" on its own, or %2A for a literal "*""#,
        ),
        (
            "/users/{id}",
            r#"unexpected '{' in a path pattern at byte 7, near "{id}"; write "*" for one segment, or %7B for a literal '{'"#,
        ),
        (
            "/users/:id",
            r#"unsupported path parameter ":id" at byte 7, near ":id"; write "*" for one segment, or %3A for a literal ':'"#,
        ),
        (
            "/caf\u{e9}",
            "unexpected '\u{e9}' in a path pattern at byte 4, near \"\u{e9}\"; write it as %C3%A9",
        ),
    ];
    for (text, message) in cases {
        assert_eq!(PathPattern::parse(text).unwrap_err().to_string(), message);
    }
}
