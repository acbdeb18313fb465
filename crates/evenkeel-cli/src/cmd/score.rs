//! `evenkeel score`: one JSON object per row, streamed; the file is never in memory as a whole.

use anyhow::Result;
use evenkeel_core::data::batch::Batch;
use evenkeel_core::data::{EncodeOptions, Encoded, Encoder, NumberedRow, PairRule, Prompt, Row, RowReader, Sequence};
use evenkeel_core::model::{Head, Model, load_text};
use evenkeel_core::train::forward;
use serde_json::{Map, Value, json};

use crate::args::ScoreArgs;
use crate::model_folder::ModelFolder;
use crate::{data_file, device, output};

/// Scores every row and prints as it goes.
pub fn run(args: &ScoreArgs) -> Result<()> {
    let folder = ModelFolder::open(&args.model)?;
    let config = folder.config()?;
    let text = load_text(&folder, &config)?;
    let options =
        EncodeOptions { max_length: args.max_length.min(config.max_positions), pair_rule: PairRule::CutLong, ..EncodeOptions::default() };
    let encoder = Encoder::new(text.as_ref(), config.vocab_size, options)?;
    let selected = device::open(args.device)?;
    let model = folder.load(&selected)?.model;

    let mut reader = RowReader::new(args.data.display().to_string(), data_file::policy(args.skip_bad_rows));
    let mut pending = Pending { model: &model, size: args.batch_size, items: Vec::new() };
    let take = |rows: Vec<NumberedRow>, reader: &mut RowReader, pending: &mut Pending| -> Result<()> {
        for NumberedRow { line, row, .. } in rows {
            match Item::of(&encoder, &row) {
                Ok(item) => pending.push(item)?,
                Err(fault) => reader.reject(line, fault)?,
            }
        }
        Ok(())
    };
    data_file::for_each_piece(&args.data, |piece| {
        let rows = reader.feed(piece)?;
        take(rows, &mut reader, &mut pending)
    })?;
    let rows = reader.finish()?;
    take(rows, &mut reader, &mut pending)?;
    pending.flush()?;
    for message in &reader.bad_rows().messages {
        eprintln!("skipped {message}");
    }
    Ok(())
}

/// One row: its sequences and how their results are named.
enum Item {
    One(Sequence),
    Pair([Sequence; 2]),
    Ranking(Vec<Sequence>),
    /// Nothing to score, for this reason: the row keeps its line in the output.
    Dropped(String),
}

impl Item {
    fn of(encoder: &Encoder, row: &Row) -> Result<Self, evenkeel_core::data::Fault> {
        Ok(match row {
            Row::Preference { .. } | Row::PreferenceIds { .. } | Row::Ranking { .. } => match encoder.preference(row)? {
                Encoded::Kept { example, .. } => match (row, <[Sequence; 2]>::try_from(example.responses)) {
                    (Row::Ranking { .. }, Ok(pair)) => Self::Ranking(pair.into()),
                    (_, Ok(pair)) => Self::Pair(pair),
                    (_, Err(responses)) => Self::Ranking(responses),
                },
                Encoded::Dropped(reason) => Self::Dropped(reason.to_string()),
            },
            Row::Prompt(_) => match encoder.prompt(row)? {
                Encoded::Kept { example: Prompt { ids, .. }, .. } => {
                    let mask = (0..ids.len()).map(|t| t > 0).collect();
                    Self::One(Sequence { ids, mask })
                }
                Encoded::Dropped(reason) => Self::Dropped(reason.to_string()),
            },
            _ => match encoder.sequence(row)? {
                Encoded::Kept { example, .. } => Self::One(example),
                Encoded::Dropped(reason) => Self::Dropped(reason.to_string()),
            },
        })
    }

    fn sequences(&self) -> &[Sequence] {
        match self {
            Self::One(one) => std::slice::from_ref(one),
            Self::Pair(pair) => pair,
            Self::Ranking(list) => list,
            Self::Dropped(_) => &[],
        }
    }

    fn object(&self, mut scores: impl Iterator<Item = Value>) -> Value {
        let mut next = || scores.next().expect("one result a sequence");
        match self {
            Self::One(_) => next(),
            Self::Pair(_) => json!({"chosen": next(), "rejected": next()}),
            Self::Ranking(list) => json!({"responses": list.iter().map(|_| next()).collect::<Vec<_>>()}),
            Self::Dropped(reason) => json!({"dropped": reason}),
        }
    }
}

/// Rows of the batch at hand.
struct Pending<'a> {
    model: &'a Model,
    size: usize,
    items: Vec<Item>,
}

impl Pending<'_> {
    fn push(&mut self, item: Item) -> Result<()> {
        self.items.push(item);
        if self.items.len() == self.size { self.flush() } else { Ok(()) }
    }

    fn flush(&mut self) -> Result<()> {
        let items = std::mem::take(&mut self.items);
        let sequences: Vec<&Sequence> = items.iter().flat_map(Item::sequences).collect();
        let mut results = pollster::block_on(score(self.model, &sequences))?.into_iter();
        items.iter().try_for_each(|item| output::line(&item.object(&mut results).to_string()))
    }
}

/// One object a sequence: log-probabilities of its masked tokens, or a reward model's score of the whole.
pub async fn score(model: &Model, sequences: &[&Sequence]) -> evenkeel_core::Result<Vec<Value>> {
    if sequences.is_empty() {
        return Ok(Vec::new());
    }
    let batch = Batch::padded(sequences);
    if model.head == Head::Score {
        let scores = forward::read(vec![forward::end_scores(model, &batch)]).await?.remove(0);
        return Ok(scores.into_iter().map(|score| json!({"score": score})).collect());
    }
    let logprobs = match batch.targets.is_empty() {
        true => Vec::new(),
        false => forward::read(vec![forward::token_stats(model, &batch, 1.0).logprob]).await?.remove(0),
    };
    let mut rest = logprobs.as_slice();
    let take = |&count: &usize| {
        let (own, after) = rest.split_at(count);
        rest = after;
        own
    };
    Ok(batch.predictions.iter().map(take).map(object).collect())
}

fn object(logprobs: &[f32]) -> Value {
    let sum: f64 = logprobs.iter().map(|&p| f64::from(p)).sum();
    let mut map = Map::new();
    map.insert("logprob".into(), json!(sum));
    map.insert("tokens".into(), json!(logprobs.len()));
    map.insert("token_logprobs".into(), json!(logprobs));
    Value::Object(map)
}
