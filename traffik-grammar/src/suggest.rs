//! "Did you mean …?" suggestions: finds the known word closest to a mistyped one.

/// The longest word to compare. It bounds the work, and no name in these grammars comes near it.
const LONGEST: usize = 48;

/// Returns the candidate closest to `word`, or `None` if none is close enough to be what was meant.
///
/// Distance is the number of single-character slips (insertion, omission, substitution, swap of two
/// neighbors) between the two words, ignoring letter case. One slip is forgiven in words of two to five
/// characters, two in words of six to eight, and three in longer words. A single character only matches
/// itself. Among equally close candidates, one with the same first letter wins, then the earlier one.
///
/// The work is bounded whatever the input: words longer than 48 characters are not compared.
///
/// ```
/// use traffik_grammar::suggest::nearest;
///
/// let keys = ["rate", "cost", "identifier", "strategy"];
/// assert_eq!(nearest("identifer", keys), Some("identifier"));
/// assert_eq!(nearest("Rate", keys), Some("rate"));
/// assert_eq!(nearest("colour", keys), None);
/// ```
pub fn nearest<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let word = fold(word)?;
    candidates
        .into_iter()
        .filter_map(|candidate| Some((rank(&word, candidate)?, candidate)))
        .min_by_key(|&(rank, _)| rank)
        .map(|(_, candidate)| candidate)
}

/// Returns how far a candidate is from a folded word: first the number of slips, then whether the first letter
/// differs. `None` if that is too far.
fn rank(word: &[char], candidate: &str) -> Option<(usize, bool)> {
    let allowed = match word.len() {
        0 | 1 => 0,
        2..=5 => 1,
        6..=8 => 2,
        _ => 3,
    };
    let candidate = fold(candidate)?;
    if candidate.len().abs_diff(word.len()) > allowed {
        return None;
    }
    let slips = distance(word, &candidate);
    (slips <= allowed).then_some((slips, candidate.first() != word.first()))
}

/// Returns the characters of a word in lower case, or `None` if it is too long to be compared.
fn fold(word: &str) -> Option<Vec<char>> {
    let mut folded = Vec::new();
    for c in word.chars() {
        folded.extend(c.to_lowercase());
        if folded.len() > LONGEST {
            return None;
        }
    }
    Some(folded)
}

/// Returns the optimal string alignment distance: Damerau-Levenshtein without edits inside a swapped pair.
fn distance(a: &[char], b: &[char]) -> usize {
    let mut before = vec![0; b.len() + 1];
    let mut previous: Vec<usize> = (0..=b.len()).collect();
    let mut current = vec![0; b.len() + 1];
    for i in 1..=a.len() {
        current[0] = i;
        for j in 1..=b.len() {
            let substituted = previous[j - 1] + usize::from(a[i - 1] != b[j - 1]);
            let mut best = substituted.min(previous[j] + 1).min(current[j - 1] + 1);
            if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                best = best.min(before[j - 2] + 1);
            }
            current[j] = best;
        }
        std::mem::swap(&mut before, &mut previous);
        std::mem::swap(&mut previous, &mut current);
    }
    previous[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn slips(a: &str, b: &str) -> usize {
        distance(&fold(a).unwrap(), &fold(b).unwrap())
    }

    #[test]
    fn distance_counts_each_kind_of_slip_once() {
        assert_eq!(slips("", ""), 0);
        assert_eq!(slips("", "abc"), 3);
        assert_eq!(slips("abc", ""), 3);
        assert_eq!(slips("min", "mins"), 1);
        assert_eq!(slips("minute", "minuet"), 1);
        assert_eq!(slips("kitten", "sitting"), 3);
        assert_eq!(slips("ca", "abc"), 3);
        assert_eq!(slips("RATE", "rate"), 0);
    }

    #[test]
    fn one_letter_is_never_a_slip_of_another() {
        assert_eq!(nearest("y", ["d", "h", "m"]), None);
        assert_eq!(nearest("M", ["d", "h", "m"]), Some("m"));
        assert_eq!(nearest("", ["d"]), None);
    }

    #[test]
    fn ties_go_to_the_same_first_letter_then_to_the_earlier() {
        assert_eq!(nearest("cat", ["bat", "car", "cot"]), Some("car"));
        assert_eq!(nearest("cat", ["bat", "hat"]), Some("bat"));
    }

    #[test]
    fn typical_mistakes_of_an_attribute() {
        let words = ["fixed_window", "sliding_window", "token_bucket", "gcra"];
        assert_eq!(nearest("fixed-window", words), Some("fixed_window"));
        assert_eq!(nearest("tokenbucket", words), Some("token_bucket"));
        assert_eq!(nearest("gcar", words), Some("gcra"));
        assert_eq!(nearest("moving_average", words), None);
    }

    #[test]
    fn huge_words_cost_nothing() {
        let huge = "a".repeat(10_000_000);
        assert_eq!(nearest(&huge, ["rate"]), None);
        assert_eq!(nearest("rate", [huge.as_str(), "rate"]), Some("rate"));
    }
}
