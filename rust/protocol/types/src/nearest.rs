/// The candidates most like `text`, best first, at most three; none if nothing is close.
///
/// Closeness is Jaro-Winkler similarity of at least 0.8, so typing errors are found and other words are not.
pub fn nearest<'a>(text: &str, candidates: impl IntoIterator<Item = &'a str>) -> Vec<&'a str> {
    const SIMILARITY_MIN: f64 = 0.8;
    const ANSWERS_MAX: usize = 3;
    let mut close: Vec<(f64, &str)> = candidates
        .into_iter()
        .map(|candidate| (strsim::jaro_winkler(text, candidate), candidate))
        .filter(|(similarity, _)| *similarity >= SIMILARITY_MIN)
        .collect();
    close.sort_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(b.1)));
    close.dedup_by(|a, b| a.1 == b.1);
    close.into_iter().take(ANSWERS_MAX).map(|(_, candidate)| candidate).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn typing_errors_are_found_other_words_are_not() {
        let names = ["shop.score", "shop.price", "tail"];
        assert_eq!(nearest("shop.scoer", names)[0], "shop.score");
        assert!(nearest("zebra", names).is_empty());
    }
}
