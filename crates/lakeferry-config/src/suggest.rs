//! Did you mean: the known word nearest to one that is not known.

/// The candidate that `word` was probably meant to be.
pub(crate) fn nearest<'a>(
    word: &str,
    candidates: impl IntoIterator<Item = &'a str>,
) -> Option<&'a str> {
    let word = word.to_lowercase();
    let tolerance = (word.chars().count() / 3).max(1);
    candidates
        .into_iter()
        .map(|known| (strsim::osa_distance(&word, &known.to_lowercase()), known))
        .filter(|(distance, _)| *distance <= tolerance)
        .min()
        .map(|(_, known)| known)
}

/// A hint that names the nearest of `candidates`, else all of them after `otherwise`.
pub(crate) fn hint<'a>(
    word: &str,
    candidates: impl IntoIterator<Item = &'a str>,
    otherwise: &str,
) -> String {
    let candidates: Vec<&str> = candidates.into_iter().collect();
    match nearest(word, candidates.iter().copied()) {
        Some(known) => format!("did you mean `{known}`?"),
        None => format!("{otherwise}: {}", candidates.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::nearest;

    #[test]
    fn near_words_are_found_and_far_ones_are_not() {
        let known = ["key", "mode", "schedule", "on_source_replaced"];
        for (word, expected) in [
            ("kye", Some("key")),
            ("KEY", Some("key")),
            ("shedule", Some("schedule")),
            ("on_source_replace", Some("on_source_replaced")),
            ("colour", None),
            ("", None),
        ] {
            assert_eq!(nearest(word, known), expected, "{word}");
        }
    }
}
