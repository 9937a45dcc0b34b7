//! Which of many rows are refused, where only "one of these is" can be told: halves of halves. Each
//! bad row costs as many questions as its place has bits, at most, whatever the number of rows.

/// A place in a table: block and number in it, as one number.
pub(super) type Place = u64;

/// The most rows of a block have fewer bits than this (`MaxHeapTuplesPerPage` of blocks of 32 kB).
pub(super) const BITS_IN_BLOCK: u32 = 11;

/// Places from `from` on and before `until`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Span {
    pub(super) from: Place,
    pub(super) until: Place,
}

/// A search under way.
#[derive(Debug)]
pub(super) struct Bisection {
    /// What is left to ask, the first last.
    open: Vec<Span>,
}

impl Bisection {
    /// Of a table with so many blocks.
    pub(super) fn new(blocks: u64) -> Self {
        let until = blocks << BITS_IN_BLOCK;
        let all = Span { from: 0, until };
        Self { open: vec![all] }
    }

    /// What to ask next, in the order of places.
    pub(super) fn next(&mut self) -> Option<Span> {
        self.open.pop()
    }

    /// One of the rows in `span` is refused. Says where, once it is one place.
    pub(super) fn refused(&mut self, Span { from, until }: Span) -> Option<Place> {
        if until - from <= 1 {
            return Some(from);
        }
        // A block is not cut before it is alone.
        let half = (until - from) / 2;
        let middle = match half >> BITS_IN_BLOCK {
            0 => from + half,
            blocks => from + (blocks << BITS_IN_BLOCK),
        };
        self.open.push(Span {
            from: middle,
            until,
        });
        self.open.push(Span {
            from,
            until: middle,
        });
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is found of `bad`, and with how many questions.
    fn search(blocks: u64, bad: &[Place]) -> (Vec<Place>, u32) {
        let (mut bisection, mut found, mut asked) = (Bisection::new(blocks), Vec::new(), 0);
        while let Some(span) = bisection.next() {
            asked += 1;
            if bad
                .iter()
                .any(|place| (span.from..span.until).contains(place))
            {
                found.extend(bisection.refused(span));
            }
        }
        (found, asked)
    }

    #[test]
    fn each_bad_row_is_found_with_few_questions() {
        let place = |block: u64, row: u64| block << BITS_IN_BLOCK | row;
        assert_eq!(search(0, &[]), (vec![], 1));
        for (blocks, bad) in [
            (1, vec![place(0, 1)]),
            (1, vec![place(0, 1), place(0, 2), place(0, 291)]),
            (
                1_000_003,
                vec![place(0, 7), place(999_999, 1), place(1_000_002, 226)],
            ),
        ] {
            let (found, asked) = search(blocks, &bad);
            assert_eq!(found, bad);
            let bits = BITS_IN_BLOCK + 64 - u64::leading_zeros(blocks);
            let most = 1 + 2 * bits * u32::try_from(bad.len()).unwrap();
            assert!(asked <= most, "{asked} of {most}");
        }
    }
}
