//! The examples of `docs/expressions.md`: the lines of its blocks of expressions.

/// An example.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Example {
    /// The expression, with its comment.
    pub text: String,
    /// The flows that match by the comment.
    pub matches: Vec<String>,
}

/// The examples of a page.
pub fn examples(page: &str) -> Vec<Example> {
    let mut examples = Vec::new();
    let mut inside = false;
    for line in page.lines() {
        if let Some(fence) = line.strip_prefix("```") {
            inside = fence == "expression";
        } else if inside {
            let comment = line.rsplit_once('#').map_or("", |(_, comment)| comment);
            let matches = comment.split_whitespace().filter(|word| *word != "nothing").map(str::to_owned).collect();
            examples.push(Example { text: line.to_owned(), matches });
        }
    }
    examples
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_blocks_are_examples() {
        let page = "a\n```expression\nx = 1  # web dns\ny = 2 # nothing\n```\n```console\n$ z\n```\n";
        let found = examples(page);
        assert_eq!(found.len(), 2);
        assert_eq!((found[0].text.as_str(), found[0].matches.join(",")), ("x = 1  # web dns", "web,dns".to_owned()));
        assert!(found[1].matches.is_empty());
    }
}
