//! The message for an unknown name: "did you mean".

/// The message for `written`. It suggests the nearest name of `known` if one is near, and lists all of them.
pub(crate) fn unknown(what: &str, written: &str, known: &[&str]) -> String {
    let expected = known.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ");
    match nearest(written, known) {
        Some(near) => {
            format!(
                "unknown {what} `{written}`, did you mean `{near}`?\nexpected one of {expected}"
            )
        }
        None => format!("unknown {what} `{written}`, expected one of {expected}"),
    }
}

fn nearest<'a>(written: &str, known: &[&'a str]) -> Option<&'a str> {
    // At most half of the letters, and at most three. Two swapped letters count twice: `TREM` is near `TERM`, but `FOO` is near nothing.
    let near = (written.chars().count() / 2).clamp(1, 3);
    let distances = known.iter().map(|&name| (distance(written, name), name));
    distances
        .filter(|&(distance, _)| distance <= near)
        .min_by_key(|&(distance, _)| distance)
        .map(|(_, name)| name)
}

/// The Levenshtein distance: how many letters have to be inserted, removed or replaced. Case does not matter.
fn distance(from: &str, to: &str) -> usize {
    let to: Vec<char> = to.to_lowercase().chars().collect();
    let mut row: Vec<usize> = (0..=to.len()).collect();
    for (n, letter) in from.to_lowercase().chars().enumerate() {
        let mut left = n + 1;
        let mut next = vec![left];
        for (other, above) in to.iter().zip(row.windows(2)) {
            let &[diagonal, above] = above else { continue };
            left = (diagonal + usize::from(letter != *other)).min(above + 1).min(left + 1);
            next.push(left);
        }
        row = next;
    }
    row.last().copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distances_are_levenshtein_without_case() {
        for (from, to, expected) in [
            ("", "", 0),
            ("", "abc", 3),
            ("abc", "", 3),
            ("kitten", "sitting", 3),
            ("term", "TERM", 0),
        ] {
            assert_eq!(distance(from, to), expected, "{from} {to}");
        }
    }

    #[test]
    fn only_near_names_are_suggested() {
        let known = ["timeout", "lame_duck", "USR1"];
        assert_eq!(nearest("time_out", &known), Some("timeout"));
        assert_eq!(nearest("lameduck", &known), Some("lame_duck"));
        assert_eq!(nearest("usr1", &known), Some("USR1"));
        assert_eq!(nearest("RUS1", &known), Some("USR1"));
        assert_eq!(nearest("grace", &known), None);
    }

    #[test]
    fn the_message_lists_all_known_names() {
        assert_eq!(
            unknown("signal", "FOO", &["INT", "TERM"]),
            "unknown signal `FOO`, expected one of `INT`, `TERM`"
        );
        assert_eq!(
            unknown("signal", "TREM", &["INT", "TERM"]),
            "unknown signal `TREM`, did you mean `TERM`?\nexpected one of `INT`, `TERM`"
        );
    }
}
