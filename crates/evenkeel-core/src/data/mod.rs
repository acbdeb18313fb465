//! From rows of text or token ids to tokenised examples and padded batches.
//!
//! `reader` cuts files into rows and `rows` understands them (TRL's shapes, detected), `encode` tokenises (`tokenise`) and masks,
//! `load` does both and counts into a `report`.

pub mod batch;
pub mod dataset;
mod encode;
mod fault;
mod fields;
mod implicit;
mod json;
mod lines;
pub mod load;
pub mod reader;
pub mod report;
pub mod rows;
pub mod shape;
mod tokenise;

pub use dataset::{DataFiles, Rows, load, longest_sequence, notes, read};
pub use encode::{DropReason, EncodeOptions, Encoded, Encoder, PairRule};
pub use fault::Fault;
pub use lines::DEFAULT_ROW_CAP;
pub use load::{AnyExample, Example, Loaded, Loader};
pub use reader::{BadRowList, BadRows, NumberedRow, RowReader};
pub use report::{DataReport, Histogram, LengthUnit, SampleRow, Span, SpanKind, spans};
pub use rows::{Content, Message, Row, TokenRow};
pub use shape::{Form, Kind, Shape};

/// One tokenised sequence and which of its tokens are trained on (or, in a preference, belong to the completion).
#[derive(Debug, Clone, PartialEq, Default, serde::Serialize, serde::Deserialize)]
pub struct Sequence {
    /// Token ids, BOS and EOS included where they belong.
    pub ids: Vec<u32>,
    /// `mask[t]`: token `t` is a target (never true at `t = 0`: nothing precedes it). Same length as `ids`.
    pub mask: Vec<bool>,
}

/// Answers to one prompt, best first: a pair is a list of two, a ranking of K stands for all K(K−1)/2 pairs.
#[derive(Debug, Clone, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct Preference {
    /// Prompt + answer each, best first; `mask` marks the answer's tokens. At least two.
    pub responses: Vec<Sequence>,
    /// Reward margin between chosen and rejected (TRL's `margin` column); 0 where the row has none.
    pub margin: f32,
}

/// A prompt to be answered by the policy.
#[derive(Debug, Clone, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct Prompt {
    /// Token ids, BOS and generation prompt included.
    pub ids: Vec<u32>,
    /// The prompt as the user wrote it, for samples and reward functions.
    pub text: String,
}
