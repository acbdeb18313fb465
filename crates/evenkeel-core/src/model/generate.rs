//! Writing completions with a key/value cache. Prompts of different lengths are padded on the left, so that all rows
//! write the same column; `first` keeps each row from seeing its padding, so that it gets what it would get alone.
//!
//! Tokens are drawn on the device and fed to the next pass there; the host looks at them every few tokens only.

use burn::tensor::{Device, Int, Tensor, TensorData, Transaction};
use evenkeel_kernels::draw;
use evenkeel_kernels::sampling::{Drawing, Settings, Start};

use super::{Head, Input, KvCache, Model, Sampling, device_error};
use crate::{Error, Result};

/// Columns by which the cache grows at least.
const CACHE_CHUNK: usize = 64;
/// Tokens that are drawn at most before the host looks at them; of a single row, at which somebody may be looking, fewer.
const MOST_UNSEEN: usize = 16;
const MOST_UNSEEN_ALONE: usize = 4;

/// What the model wrote after one prompt.
#[derive(Debug, Clone, PartialEq)]
pub struct Completion {
    /// Token ids, the stop token included when it was reached.
    pub ids: Vec<u32>,
    /// A stop token was reached; otherwise `max_new_tokens` or the end of the model's context was.
    pub finished: bool,
}

/// Completes every prompt. `seeds` holds one seed a prompt: a row's draws depend on its own seed and the token's index
/// only. `on_token(row, id)` sees every token, in bursts of up to 16.
pub async fn generate(
    model: &Model,
    prompts: &[Vec<u32>],
    sampling: &Sampling,
    seeds: &[u64],
    on_token: &mut dyn FnMut(usize, u32),
) -> Result<Vec<Completion>> {
    assert_eq!(prompts.len(), seeds.len(), "one seed a prompt");
    check(model, prompts, sampling)?;
    // No row outgrows the context, whatever is asked for; room is made for what can come.
    let sampling = &Sampling { max_new_tokens: sampling.max_new_tokens.min(model.config.max_positions), ..sampling.clone() };
    let empty = Completion { ids: Vec::new(), finished: false };
    let mut completions = vec![empty; prompts.len()];
    if prompts.is_empty() {
        return Ok(completions);
    }
    let mut batch = Batch::new(model.frozen(), prompts, sampling, seeds);
    let mut logits_bv = batch.read_prompts();
    loop {
        batch.draw(logits_bv);
        if batch.wants_a_look() {
            for (row, id) in batch.look().await? {
                completions[row].ids.push(id);
                completions[row].finished = sampling.stop.contains(&id);
                on_token(row, id);
            }
            if batch.rows.iter().all(|row| row.done) {
                return Ok(completions);
            }
            batch.drop_finished();
        }
        logits_bv = batch.step();
    }
}

/// The launches of [`generate`] while nothing is computed: the prompts, and two tokens.
///
/// # Errors
/// As [`generate`]'s, over its input.
pub(crate) fn rehearse(model: &Model, prompts: &[Vec<u32>], sampling: &Sampling) -> Result<()> {
    check(model, prompts, sampling)?;
    let seeds = vec![0; prompts.len()];
    let mut batch = Batch::new(model.frozen(), prompts, sampling, &seeds);
    let first_bv = batch.read_prompts();
    batch.draw(first_bv);
    let second_bv = batch.step();
    batch.draw(second_bv);
    Ok(())
}

fn check(model: &Model, prompts: &[Vec<u32>], sampling: &Sampling) -> Result<()> {
    if model.head == Head::Score {
        return Err(Error::input("model", "is a reward or value model, which writes no text", "give a *ForCausalLM model"));
    }
    sampling.check()?;
    if let Some(problem) = sampling.kv_cache_dtype.problem(&model.config) {
        return Err(Error::input("kv_cache_dtype", problem, "set it to float32"));
    }
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
struct Batch<'a> {
    model: Model,
    rows: Vec<Row>,
    cache: KvCache,
    device: Device,
    sampling: &'a Sampling,
    settings: Settings,
    drawing: Option<Drawing>,
    /// Tokens drawn for every row, and how many of them the host has seen.
    drawn: usize,
    looked_at: usize,
}

struct Row {
    /// Index among the prompts.
    prompt: usize,
    /// Prompt and what the host has seen of the completion.
    context: Vec<u32>,
    prompt_tokens: usize,
    /// Columns of padding before the prompt.
    padding: usize,
    seed: u64,
    /// Ended, but still carried along until dropping it pays.
    done: bool,
}

impl<'a> Batch<'a> {
    fn new(model: Model, prompts: &[Vec<u32>], sampling: &'a Sampling, seeds: &[u64]) -> Self {
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
        let capacity = width + sampling.max_new_tokens.min(CACHE_CHUNK);
        let cache = KvCache::new(&model.config, sampling.kv_cache_dtype, rows.len(), capacity, &device);
        let settings = sampling.settings(model.config.max_positions);
        let mut batch = Self { model, rows, cache, device, sampling, settings, drawing: None, drawn: 0, looked_at: 0 };
        batch.drawing = Some(batch.new_drawing());
        batch
    }

    /// A drawing that goes on from the rows' contexts.
    fn new_drawing(&self) -> Drawing {
        let starts: Vec<Start> = self.rows.iter().map(|row| Start { seed: row.seed, context: &row.context, begins: row.padding }).collect();
        let (stops, vocabulary) = (&self.sampling.stop, self.model.config.vocab_size);
        Drawing::new(&starts, stops, self.sampling.max_new_tokens, vocabulary, &self.settings, &self.device)
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
        let ends = self.indices((0..batch).map(|b| (b * time + time - 1) as i32));
        let hidden_nd = self.model.hidden_cached(&input, &mut self.cache);
        self.model.logits(hidden_nd.select(0, ends))
    }

    /// Feeds the tokens just drawn. → logits [B, V].
    fn step(&mut self) -> Tensor<2> {
        let batch = self.rows.len();
        let column = self.cache.len();
        if column == self.cache.capacity() {
            let doubled = (2 * column).max(column + CACHE_CHUNK);
            let most = column + self.sampling.max_new_tokens - self.drawn;
            self.cache.reserve(doubled.min(most));
        }
        let drawing = self.drawing.as_ref().expect("a drawing is only taken during a draw");
        let column_of = |x: &Tensor<1, Int>| x.clone().reshape([batch, 1]);
        let [ids, positions, first] = [&drawing.ids, &drawing.positions, &drawing.begins].map(column_of);
        // A single token sees the keys up to its own: nobody reads `last`.
        let input = Input { ids, positions, last: first.clone(), first, batch, time: 1, gathered: None };
        let hidden_bd = self.model.hidden_cached(&input, &mut self.cache);
        self.model.logits(hidden_bd)
    }

    /// Draws the next token of every row that is not done. logits [B, V]
    fn draw(&mut self, logits_bv: Tensor<2>) {
        let drawing = self.drawing.take().expect("a drawing is only taken during a draw");
        self.drawing = Some(draw(logits_bv, drawing, self.drawn, &self.settings));
        self.drawn += 1;
    }

    /// Whether the host should read what was drawn: always on a device whose reads cost nothing, else now and then and at the end.
    fn wants_a_look(&self) -> bool {
        let due = self.drawn >= next_look(self.looked_at, self.rows.len());
        due || self.device == Device::flex() || self.drawn == self.sampling.max_new_tokens
    }

    /// Reads the tokens drawn since the last look; marks rows that ended. → (prompt, token) each, in order of drawing.
    async fn look(&mut self) -> Result<Vec<(usize, u32)>> {
        let tokens = self.drawing.as_ref().expect("a drawing is only taken during a draw").tokens.clone();
        let [_, most] = tokens.dims();
        let data = Transaction::default().register(tokens).execute_async().await.map_err(device_error)?;
        let tokens: Vec<i64> = data.iter().flat_map(|data| data.iter::<i64>()).collect();
        let context = self.model.config.max_positions;
        let mut seen = Vec::new();
        for index in self.looked_at..self.drawn {
            for (row, tokens) in self.rows.iter_mut().zip(tokens.chunks_exact(most)).filter(|(row, _)| !row.done) {
                let Ok(id) = u32::try_from(tokens[index]) else {
                    return Err(Error::Logits { prompt: row.prompt + 1, token: index + 1 });
                };
                row.context.push(id);
                row.done = self.sampling.stop.contains(&id) || index + 1 == self.sampling.max_new_tokens || row.context.len() == context;
                seen.push((row.prompt, id));
            }
        }
        self.looked_at = self.drawn;
        Ok(seen)
    }

    /// Copies the cache without finished rows once half of it is theirs. Every token drawn must have been looked at.
    fn drop_finished(&mut self) {
        let live: Vec<i32> = (0..).zip(&self.rows).filter(|(_, row)| !row.done).map(|(i, _)| i).collect();
        if live.is_empty() || 2 * live.len() > self.rows.len() || live.len() == self.rows.len() {
            return;
        }
        self.cache.keep_rows(&self.indices(live.into_iter()));
        self.rows.retain(|row| !row.done);
        self.drawing = Some(self.new_drawing());
    }

    fn indices(&self, values: impl Iterator<Item = i32>) -> Tensor<1, Int> {
        let values: Vec<i32> = values.collect();
        let size = values.len();
        Tensor::from_data(TensorData::new(values, [size]), &self.device)
    }
}

/// How many tokens will be drawn when the host, which has seen `looked_at`, reads them next: soon at first, then every 16.
fn next_look(looked_at: usize, rows: usize) -> usize {
    let most = if rows == 1 { MOST_UNSEEN_ALONE } else { MOST_UNSEEN };
    looked_at + looked_at.clamp(1, most)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_host_reads_seldom() {
        let looks = |rows: usize, tokens: usize| -> Vec<usize> {
            std::iter::successors(Some(0), |&seen| Some(next_look(seen, rows))).skip(1).take_while(|&seen| seen <= tokens).collect()
        };
        assert_eq!(looks(64, 64), [1, 2, 4, 8, 16, 32, 48, 64]);
        assert_eq!(looks(1, 13), [1, 2, 4, 8, 12]);
    }
}
