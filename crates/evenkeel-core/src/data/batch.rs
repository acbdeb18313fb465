//! Sequences laid out as one padded or packed batch, with the list of positions that predict a trained token.
//!
//! Only the listed positions meet the LM head. B rows, T time, N predictions (in sequence order), S sequences.

use super::Sequence;

/// Host side of one forward pass.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Batch {
    /// B.
    pub rows: usize,
    /// T, the longest row.
    pub time: usize,
    /// Token ids, [B·T]; 0 where nothing stands.
    pub ids: Vec<i32>,
    /// Position of each token within its own sequence, [B·T].
    pub positions: Vec<i32>,
    /// First key that each query sees, [B·T].
    pub first: Vec<i32>,
    /// Last key that each query sees, [B·T]; −1 where nothing stands, so that it sees none.
    pub last: Vec<i32>,
    /// Flat positions (b·T + t) whose hidden state predicts a trained token, `[N]`.
    pub predictors: Vec<i32>,
    /// The token predicted there, `[N]`.
    pub targets: Vec<i32>,
    /// Predictions of each sequence, `[S]`; they stand one after another in `predictors`.
    pub predictions: Vec<usize>,
    /// Flat position of each sequence's last token, `[S]`.
    pub ends: Vec<i32>,
    /// Tokens that are not padding.
    pub tokens: usize,
}

impl Batch {
    /// One sequence per row, padded on the right to the longest.
    pub fn padded(sequences: &[&Sequence]) -> Self {
        let rows: Vec<Vec<&Sequence>> = sequences.iter().map(|s| vec![*s]).collect();
        Self::from_rows(&rows)
    }

    /// Several sequences per row, none longer than `max_length`, by best fit in decreasing length (ties in the order given).
    /// They cannot see each other and each counts its positions from 0. Sequences keep no order: use this for sums over tokens only.
    pub fn packed(sequences: &[&Sequence], max_length: usize) -> Self {
        let mut order: Vec<&Sequence> = sequences.to_vec();
        order.sort_by_key(|s| std::cmp::Reverse(s.ids.len()));
        let mut rows: Vec<(usize, Vec<&Sequence>)> = Vec::new();
        for sequence in order {
            let length = sequence.ids.len();
            let fits = rows.iter_mut().filter(|(used, _)| used + length <= max_length).max_by_key(|(used, _)| *used);
            match fits {
                Some((used, row)) => {
                    *used += length;
                    row.push(sequence);
                }
                None => rows.push((length, vec![sequence])),
            }
        }
        let rows: Vec<Vec<&Sequence>> = rows.into_iter().map(|(_, row)| row).collect();
        Self::from_rows(&rows)
    }

    fn from_rows(rows: &[Vec<&Sequence>]) -> Self {
        let time = rows.iter().map(|row| row.iter().map(|s| s.ids.len()).sum()).max().unwrap_or(0);
        let cells = rows.len() * time;
        let mut batch = Self {
            rows: rows.len(),
            time,
            ids: vec![0; cells],
            positions: vec![0; cells],
            first: vec![0; cells],
            last: vec![-1; cells],
            ..Self::default()
        };
        for (b, row) in rows.iter().enumerate() {
            let mut start = 0;
            for sequence in row {
                batch.place(b, start, sequence);
                start += sequence.ids.len();
            }
        }
        batch
    }

    fn place(&mut self, row: usize, start: usize, sequence: &Sequence) {
        let before = self.predictors.len();
        for (t, &id) in sequence.ids.iter().enumerate() {
            let cell = row * self.time + start + t;
            self.ids[cell] = id as i32;
            self.positions[cell] = t as i32;
            self.first[cell] = start as i32;
            self.last[cell] = (start + t) as i32;
            if t > 0 && sequence.mask[t] {
                self.predictors.push(cell as i32 - 1);
                self.targets.push(id as i32);
            }
        }
        self.predictions.push(self.predictors.len() - before);
        self.ends.push((row * self.time + start + sequence.ids.len()) as i32 - 1);
        self.tokens += sequence.ids.len();
    }

    /// Flat position of each sequence's last token that is not `pad`, `[S]`; of its first token if all are.
    pub fn ends_before(&self, pad: Option<u32>) -> Vec<i32> {
        let is_pad = |cell: usize| pad.is_some_and(|pad| self.ids[cell] == pad as i32);
        let back = |&end: &i32| {
            let start = end - self.positions[end as usize];
            (start..=end).rev().find(|&cell| !is_pad(cell as usize)).unwrap_or(start)
        };
        self.ends.iter().map(back).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sequence(ids: &[u32], trained_from: usize) -> Sequence {
        Sequence { ids: ids.to_vec(), mask: (0..ids.len()).map(|t| t >= trained_from).collect() }
    }

    #[test]
    fn padding_sees_nothing_and_predictions_precede_their_targets() {
        let batch = Batch::padded(&[&sequence(&[5, 6, 7], 1), &sequence(&[8, 9], 1)]);
        assert_eq!((batch.rows, batch.time, batch.tokens), (2, 3, 5));
        assert_eq!(batch.last, [0, 1, 2, 0, 1, -1]);
        assert_eq!(batch.predictors, [0, 1, 3]);
        assert_eq!(batch.targets, [6, 7, 9]);
        assert_eq!(batch.ends, [2, 4]);
    }

    #[test]
    fn packed_sequences_start_over_and_see_only_themselves() {
        let batch = Batch::packed(&[&sequence(&[1, 2], 1), &sequence(&[3, 4, 5], 1), &sequence(&[6, 7], 1)], 5);
        assert_eq!((batch.rows, batch.time), (2, 5));
        assert_eq!(batch.ids[..5], [3, 4, 5, 1, 2]);
        assert_eq!(batch.positions[..5], [0, 1, 2, 0, 1]);
        assert_eq!(batch.first[..5], [0, 0, 0, 3, 3]);
        assert_eq!(batch.last[..5], [0, 1, 2, 3, 4]);
        assert!(!batch.predictors.contains(&2), "no document predicts the next one's first token");
    }

    #[test]
    fn an_end_token_that_pads_is_not_scored() {
        let batch = Batch::padded(&[&sequence(&[1, 5, 2], 1), &sequence(&[2, 2], 1), &sequence(&[1, 2, 6], 1)]);
        assert_eq!(batch.ends_before(Some(2)), [1, 3, 8]);
        assert_eq!(batch.ends_before(None), batch.ends);
    }

    #[test]
    fn the_first_token_is_never_a_target() {
        assert_eq!(Batch::padded(&[&sequence(&[1, 2], 0)]).targets, [2]);
    }
}
