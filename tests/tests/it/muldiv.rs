//! Checks the arithmetic of the Lua prelude against 128-bit integers, on a real Redis.

use traffik::strategy::EXACT;
use traffik_tests::{Random, RedisServer, seeds};

const PRELUDE: &str = include_str!("../../../traffik/src/backend/redis/lua/prelude.lua");

/// Returns a number below 2^53 of any magnitude, often close to a power of two.
fn number(random: &mut Random) -> u64 {
    let bits = random.below(54);
    let edge = 1_u64 << bits;
    let near = match random.below(4) {
        0 => edge,
        1 => edge.saturating_sub(1),
        2 => edge + random.below(3),
        _ => random.below(edge) + edge / 2,
    };
    near.min(EXACT - 1)
}

#[test]
fn muldiv_and_the_divisions_are_exact() {
    let server = RedisServer::start();
    let script = format!(
        "{PRELUDE}
        local out = {{}}
        for i = 1, #ARGV, 3 do
          local a, b, c = tonumber(ARGV[i]), tonumber(ARGV[i + 1]), tonumber(ARGV[i + 2])
          local quotient, rest = muldiv(a, b, c)
          for _, value in ipairs({{ quotient, rest, div(a, c), ceil_div(a, c) }}) do
            out[#out + 1] = value
          end
        end
        return out"
    );
    let mut connection = server.connection();
    for seed in seeds(20) {
        let mut random = Random::new(seed);
        let mut cases = Vec::new();
        while cases.len() < 500 {
            let (a, b, c) = (number(&mut random), number(&mut random), number(&mut random).max(1));
            if u128::from(a) * u128::from(b) / u128::from(c) < u128::from(EXACT) {
                cases.push((a, b, c));
            }
        }
        let mut command = redis::cmd("EVAL");
        command.arg(&script).arg(0);
        for (a, b, c) in &cases {
            command.arg(a).arg(b).arg(c);
        }
        let reply: Vec<u64> = command.query(&mut connection).unwrap();
        for ((a, b, c), got) in cases.into_iter().zip(reply.chunks_exact(4)) {
            let product = u128::from(a) * u128::from(b);
            let quotient = u64::try_from(product / u128::from(c)).unwrap();
            let rest = u64::try_from(product % u128::from(c)).unwrap();
            assert_eq!(got, [quotient, rest, a / c, a.div_ceil(c)], "{a} * {b} / {c}");
        }
    }
}
