use super::*;

fn limited(limit: u64, period_micros: u64) -> RateSpec {
    RateSpec::Limited { limit, period_micros }
}

fn refusal(text: &str) -> RateError {
    match parse(text) {
        Ok(rate) => panic!("{text:?} was read as {rate}"),
        Err(error) => error,
    }
}

#[test]
fn reads_what_people_write() {
    assert_eq!(parse("20/min"), Ok(limited(20, MINUTE)));
    assert_eq!(parse("10/30 seconds"), Ok(limited(10, 30 * SECOND)));
    assert_eq!(parse("\t1_000_000 PeR 1_0\tDays "), Ok(limited(1_000_000, 10 * DAY)));
    assert_eq!(parse("007/01s"), Ok(limited(7, SECOND)));
    assert_eq!(parse("1/250us"), Ok(limited(1, 250)));
    assert_eq!(parse(" UNLIMITED "), Ok(RateSpec::Unlimited));
    assert_eq!("2/week".parse(), Ok(limited(2, WEEK)));
}

#[test]
fn underscores_stand_between_digits_only() {
    for text in ["_5/s", "5_/s", "5__0/s", "_/s", "5/_s", "5/1_s", "5/_1s", "5/1__0s", "5/1_ 0s"] {
        let kind = refusal(text).kind();
        assert!(matches!(kind, RateErrorKind::Limit | RateErrorKind::Period), "{text}: {kind:?}");
    }
}

#[test]
fn no_other_blank_is_a_blank() {
    for text in ["5/min\n", "\u{a0}5/min", "5\u{2003}/min", "5/\u{b}min"] {
        refusal(text);
    }
}

#[test]
fn bounds_hold_to_the_last_unit() {
    assert_eq!(MAX_LIMIT, 9_007_199_254_740_991);
    assert_eq!(MAX_PERIOD_MICROS, 3_155_760_000_000_000);
    assert_eq!(parse("9007199254740991/36525 days"), Ok(limited(MAX_LIMIT, MAX_PERIOD_MICROS)));
    assert_eq!(parse("1/us"), Ok(limited(1, 1)));
    assert_eq!(parse("1000000000/366days"), Ok(limited(1_000_000_000, 366 * DAY)));
    for text in ["9007199254740992/s", "18446744073709551615/s", "5/36526d", "1/3155760000000001us"] {
        assert!(shape(text).is_ok(), "{text}");
        assert_eq!(refusal(text).kind(), RateErrorKind::OutOfBounds, "{text}");
    }
    // Larger than a shape can hold.
    let long = format!("5/{}d", "9".repeat(60));
    for text in ["18446744073709551616/s", &long, "340282366920938463463374607431768211456/s"] {
        assert_eq!(shape(text).map_err(|error| error.kind()), Err(RateErrorKind::OutOfBounds));
    }
}

#[test]
fn bounds_of_a_rate_that_is_no_text() {
    assert_eq!(check_bounds(1, 1), Ok(()));
    assert_eq!(check_bounds(MAX_LIMIT, MAX_PERIOD_MICROS.into()), Ok(()));
    let cases = [
        (0, 1, r#"the limit is zero; write 1 or more, such as "1/us""#),
        (1, 0, "the period is shorter than the minimum of 1 microsecond; lengthen it"),
        (
            MAX_LIMIT + 1,
            60_000_000,
            r#"the limit "9007199254740992" exceeds the maximum of 9007199254740991 (2^53 - 1); lower it, or write "unlimited""#,
        ),
        (
            5,
            u128::from(DAY) * 40_000,
            r#"the period "40000day" exceeds the maximum of 36525day (100 years); shorten it"#,
        ),
        (0, 0, r#"the limit is zero; write 1 or more, such as "1/min""#),
    ];
    for (limit, micros, message) in cases {
        let error = check_bounds(limit, micros).unwrap_err();
        assert_eq!(error.to_string(), message);
        assert_eq!(error.kind(), RateErrorKind::OutOfBounds);
    }
    assert!(check_bounds(u64::MAX, u128::MAX).is_err());
}

#[test]
fn renders_with_the_longest_unit_that_divides() {
    let cases = [
        (20, MINUTE, "20/min"),
        (500, HOUR, "500/hour"),
        (10, 30 * SECOND, "10/30s"),
        (1000, 500 * MILLI, "1000/500ms"),
        (2, WEEK, "2/week"),
        (1, 2 * DAY, "1/2day"),
        (1, 14 * DAY, "1/2week"),
        (5, SECOND, "5/s"),
        (5, 90 * MINUTE, "5/90min"),
        (1, 1_500, "1/1500us"),
        (1, MAX_PERIOD_MICROS, "1/36525day"),
    ];
    for (limit, micros, text) in cases {
        assert_eq!(render(limit, micros), text);
        assert_eq!(parse(text), Ok(limited(limit, micros)));
    }
    assert_eq!(RateSpec::Unlimited.to_string(), "unlimited");
    // Not a valid rate, but it must not panic.
    assert_eq!(render(0, 0), "0/0us");
}

#[test]
fn messages_name_the_culprit_and_the_mend() {
    let cases = [
        ("", r#"the rate is empty; write a limit and a period, such as "20/min", or "unlimited""#),
        ("5/mins", r#"unknown time unit "mins"; did you mean "min"?"#),
        ("5/hrs", r#"unknown time unit "hrs"; did you mean "hr"?"#),
        ("5/secs", r#"unknown time unit "secs"; did you mean "sec"?"#),
        ("5/minuets", r#"unknown time unit "minuets"; did you mean "minutes"?"#),
        ("5/m s", r#"unknown time unit "m s"; did you mean "ms"?"#),
        ("5/msec", r#"unknown time unit "msec"; did you mean "ms"?"#),
        ("5/month", r#"unknown time unit "month", whose length varies; did you mean "30days"?"#),
        ("5/3 months", r#"unknown time unit "months", whose length varies; did you mean "90days"?"#),
        ("5/y", r#"unknown time unit "y", whose length varies; did you mean "365days"?"#),
        (
            "5/\u{43c}\u{438}\u{43d}",
            "unknown time unit \"\u{43c}\u{438}\u{43d}\"; use one of us, ms, s, min, hour, day, week",
        ),
        (
            "5/min per hour",
            r#"unexpected "per hour" after the time unit "min"; end the rate there, such as "5/min""#,
        ),
        (
            "5/",
            r#"no time unit after the limit "5"; write one of us, ms, s, min, hour, day, week, such as "5/min""#,
        ),
        ("5.5/min", r#"the limit "5.5" is not a whole number; write digits only, such as "5/min""#),
        ("+5/min", r#"the limit "+5" is not a whole number; write digits only, such as "5/min""#),
        ("1,000/min", r#"the limit "1,000" is not a whole number; write digits only, such as "1000/min""#),
        ("5e3/min", r#"the limit "5e3" is not a whole number; write digits only, such as "5000/min""#),
        (
            "\u{ff15}/min",
            "the limit \"\u{ff15}\" is not a whole number; write digits only, such as \"5/min\"",
        ),
        ("abc/hour", r#"the limit "abc" is not a whole number; write digits only, such as "5/min""#),
        ("inf/min", r#"the limit "inf" is not a whole number; write "unlimited" for no limit"#),
        ("/hour", r#"no limit before the period; write one, such as "5/hour""#),
        ("0/hour", r#"the limit is zero; write 1 or more, such as "1/hour""#),
        ("5/0s", r#"the period "0s" is zero; write 1 or more, or the unit alone, such as "5/s""#),
        (
            "5/1.5s",
            r#"the period "1.5s" is not a whole number of units; write digits and a unit, such as "5/1500ms""#,
        ),
        (
            "5-min",
            r#"no "/" or "per" between limit and period in "5-min"; write a limit and a period, such as "5/min""#,
        ),
        (
            "5",
            r#"no "/" or "per" between limit and period in "5"; write a limit and a period, such as "5/min""#,
        ),
        ("5//min", r#"more than one "/" or "per" between limit and period; write one, such as "5/min""#),
        (
            "5 per per hour",
            r#"more than one "/" or "per" between limit and period; write one, such as "5/hour""#,
        ),
        ("unlimted", r#""unlimted" is not a rate; did you mean "unlimited"?"#),
        ("5/min,10/hour", r#"multiple rates in one string: "5/min,10/hour"; declare one throttle per rate"#),
        (
            "5/min ;10/hour",
            r#"multiple rates in one string: "5/min ;10/hour"; declare one throttle per rate"#,
        ),
        ("5/min 10/hour", r#"multiple rates in one string: "5/min 10/hour"; declare one throttle per rate"#),
        (
            "18446744073709551616/s",
            r#"the limit "18446744073709551616" exceeds the maximum of 9007199254740991 (2^53 - 1); lower it, or write "unlimited""#,
        ),
        (
            "5/99999999999999999999d",
            r#"the period "99999999999999999999day" exceeds the maximum of 36525day (100 years); shorten it"#,
        ),
    ];
    for (text, message) in cases {
        assert_eq!(refusal(text).to_string(), message);
    }
}

#[test]
fn suggestions_survive_a_second_mistake() {
    let cases = [
        ("1,000/mins", Some("1000/min")),
        ("5.5/secnds", Some("5/seconds")),
        ("5k/hour", Some("5000/hour")),
        ("5 requests per minute", Some("5/minute")),
        ("5 minutes", Some("5/minutes")),
        ("0.5/s", Some("1/2s")),
        (".25 per hour", Some("1/4hour")),
        ("0.4/3 mins", Some("2/15min")),
        ("0.0/s", None),
        ("0.00000000000000000000000000000000000001/s", None),
        ("0.000000000000001/s", None),
        ("5/1h30m", Some("5/1h")),
        ("9007199254740992/s", Some("9007199254740991/s")),
        ("5/40000d", Some("5/36525day")),
        ("5/parsec", None),
        ("5/30", Some("5/30s")),
        ("5/2fortnights", Some("5/4weeks")),
    ];
    for (text, suggestion) in cases {
        assert_eq!(refusal(text).suggestion(), suggestion, "{text}: {}", refusal(text));
    }
}

#[test]
fn huge_texts_get_short_messages() {
    for text in ["9".repeat(1_000_000), "a/".repeat(500_000), "5/".to_owned() + &"x".repeat(1_000_000)] {
        assert!(refusal(&text).to_string().len() < 300);
    }
}
