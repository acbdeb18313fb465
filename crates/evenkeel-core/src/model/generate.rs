//! Writing completions with a key/value cache. Prompts of different lengths are padded on the left, so that all rows
//! write the same column; `first` keeps each row from seeing its padding, so that it gets what it would get alone.

use burn::tensor::{Device, Int, Tensor, TensorData};

use super::{Head, Input, KvCache, Model, Sampling, device_error};
use crate::{Error, Result};

/// Columns by which the cache grows at least.
const CACHE_CHUNK: usize = 64;

/// What the model wrote after one prompt.
#[derive(Debug, Clone, PartialEq)]
pub struct Completion {
    /// Token ids, the stop token included when it was reached.
    pub ids: Vec<u32>,
    /// A stop token was reached; otherwise `max_new_tokens` or the end of the model's context was.
    pub finished: bool,
}

/// Completes every prompt. `seeds` holds one seed a prompt: a row's draws depend on its own seed and the token's index
/// only. `on_token(row, id)` sees every token as it is drawn.
pub async fn generate(
    model: &Model,
    prompts: &[Vec<u32>],
    sampling: &Sampling,
    seeds: &[u64],
    on_token: &mut dyn FnMut(usize, u32),
) -> Result<Vec<Completion>> {
    assert_eq!(prompts.len(), seeds.len(), "one seed a prompt");
    check(model, prompts, sampling)?;
    let empty = Completion { ids: Vec::new(), finished: false };
    let mut completions = vec![empty; prompts.len()];
    if prompts.is_empty() {
        return Ok(completions);
    }
    let mut batch = Batch::new(model.frozen(), prompts, sampling, seeds);
    let mut logits_bv = batch.read_prompts();
    loop {
        for (row, id) in batch.draw(logits_bv, sampling).await? {
            completions[row].ids.push(id);
            completions[row].finished = sampling.stop.contains(&id);
            on_token(row, id);
        }
        batch.drop_finished();
        if batch.rows.iter().all(|row| row.done) {
            return Ok(completions);
        }
        logits_bv = batch.step();
    }
}

fn check(model: &Model, prompts: &[Vec<u32>], sampling: &Sampling) -> Result<()> {
    if model.head == Head::Score {
        return Err(Error::input("model", "is a reward or value model, which writes no text", "give a *ForCausalLM model"));
    }
    sampling.check()?;
    let (vocabulary, context) = (model.config.vocab_size, model.config.max_positions);
    for (i, prompt) in prompts.iter().enumerate() {
        let place = format!("prompt {}", i + 1);
        if prompt.is_empty() {
            return Err(Error::input(place, "is empty", "give at least one token, such as the beginning-of-text token"));
        }
        if prompt.len() >= context {
            let problem = format!("{} tokens leave no room in the model's context of {context}", prompt.len());
            return Err(Error::input(place, problem, "shorten it"));
        }
        if let Some(id) = prompt.iter().find(|&&id| id as usize >= vocabulary) {
            let problem = format!("token {id} is outside the vocabulary of {vocabulary}");
            return Err(Error::input(place, problem, "use the model's own tokenizer"));
        }
    }
    Ok(())
}

/// The rows still in the batch and their cache.
struct Batch {
    model: Model,
    rows: Vec<Row>,
    cache: KvCache,
    device: Device,
    /// Columns that the cache will ever need.
    most_columns: usize,
}

struct Row {
    /// Index among the prompts.
    prompt: usize,
    /// Prompt and completion so far.
    context: Vec<u32>,
    prompt_tokens: usize,
    /// Columns of padding before the prompt.
    padding: usize,
    seed: u64,
    /// Ended, but still carried along until dropping it pays.
    done: bool,
}

impl Batch {
    fn new(model: Model, prompts: &[Vec<u32>], sampling: &Sampling, seeds: &[u64]) -> Self {
        let width = prompts.iter().map(Vec::len).max().unwrap_or(0);
        let row = |(prompt, (ids, &seed)): (usize, (&Vec<u32>, &u64))| Row {
            prompt,
            context: ids.clone(),
            prompt_tokens: ids.len(),
            padding: width - ids.len(),
            seed,
            done: false,
        };
        let rows: Vec<Row> = prompts.iter().zip(seeds).enumerate().map(row).collect();
        let device = model.device();
        let most_columns = width + sampling.max_new_tokens;
        let capacity = most_columns.min(width + CACHE_CHUNK);
        let cache = KvCache::new(&model.config, rows.len(), capacity, &device);
        Self { model, rows, cache, device, most_columns }
    }

    /// Fills the cache with the prompts. → logits of their last tokens [B, V].
    fn read_prompts(&mut self) -> Tensor<2> {
        let (batch, time) = (self.rows.len(), self.rows[0].padding + self.rows[0].prompt_tokens);
        let cells = || self.rows.iter().flat_map(|row| (0..time).map(move |column| (row, column)));
        // Padding sees only itself: nobody sees padding, and its softmax stays finite.
        let real = |row: &Row, column: usize| column >= row.padding;
        let ids = cells().map(|(row, c)| if real(row, c) { row.context[c - row.padding] as i32 } else { 0 });
        let positions = cells().map(|(row, c)| c.saturating_sub(row.padding) as i32);
        let first = cells().map(|(row, c)| if real(row, c) { row.padding as i32 } else { c as i32 });
        let last = cells().map(|(_, c)| c as i32);
        let input = Input::new(ids.collect(), positions.collect(), first.collect(), last.collect(), batch, time, &self.device);
        let hidden_nd = self.model.hidden_cached(&input, &mut self.cache);
        let ends = (0..batch).map(|b| (b * time + time - 1) as i32);
        self.model.logits(hidden_nd.select(0, self.indices(ends)))
    }

    /// Feeds the tokens just drawn. → logits [B, V].
    fn step(&mut self) -> Tensor<2> {
        let batch = self.rows.len();
        let column = self.cache.len();
        if column == self.cache.capacity() {
            let doubled = (2 * column).max(column + CACHE_CHUNK);
            self.cache.reserve(doubled.min(self.most_columns));
        }
        // A row that is done rides along on token 0, seeing only itself.
        let live = |row: &Row, value: usize, idle: usize| if row.done { idle as i32 } else { value as i32 };
        let rows = || self.rows.iter();
        let ids = rows().map(|row| live(row, row.context[row.context.len() - 1] as usize, 0));
        let positions = rows().map(|row| live(row, row.context.len() - 1, 0));
        let first = rows().map(|row| live(row, row.padding, column));
        let last = vec![column as i32; batch];
        let input = Input::new(ids.collect(), positions.collect(), first.collect(), last, batch, 1, &self.device);
        let hidden_bd = self.model.hidden_cached(&input, &mut self.cache);
        self.model.logits(hidden_bd)
    }

    /// Draws the next token of every live row; marks rows that end. logits [B, V] → (prompt, token) each.
    async fn draw(&mut self, logits_bv: Tensor<2>, sampling: &Sampling) -> Result<Vec<(usize, u32)>> {
        let [_, v] = logits_bv.dims();
        let data = logits_bv.into_data_async().await.map_err(device_error)?;
        let logits = data.try_into_vec::<f32>().map_err(device_error)?;
        let context = self.model.config.max_positions;
        let mut drawn = Vec::new();
        for (row, logits_v) in self.rows.iter_mut().zip(logits.chunks_exact(v)).filter(|(row, _)| !row.done) {
            let index = row.context.len() - row.prompt_tokens;
            if logits_v.iter().any(|x| !x.is_finite()) {
                return Err(Error::NonFinite { step: index as u64 + 1, what: "logits".into() });
            }
            let id = sampling.next_token(logits_v, &row.context, row.seed, index as u64);
            row.context.push(id);
            row.done = sampling.stop.contains(&id) || index + 1 == sampling.max_new_tokens || row.context.len() == context;
            drawn.push((row.prompt, id));
        }
        Ok(drawn)
    }

    /// Copies the cache without finished rows once half of it is theirs.
    fn drop_finished(&mut self) {
        let live: Vec<i32> = (0..).zip(&self.rows).filter(|(_, row)| !row.done).map(|(i, _)| i).collect();
        if live.is_empty() || 2 * live.len() > self.rows.len() || live.len() == self.rows.len() {
            return;
        }
        self.cache.keep_rows(&self.indices(live.into_iter()));
        self.rows.retain(|row| !row.done);
    }

    fn indices(&self, values: impl Iterator<Item = i32>) -> Tensor<1, Int> {
        let values: Vec<i32> = values.collect();
        let size = values.len();
        Tensor::from_data(TensorData::new(values, [size]), &self.device)
    }
}
