//! What a run will take, said before it begins, and the estimate of memory by which a run that cannot fit is refused.

use std::fmt::Write;

use crate::Error;
use crate::figures;
use crate::model::{Arch, Head, KvCacheDtype, ModelConfig};
use crate::recipe::{Recipe, Stage, ValueFunction};
use crate::train::order::Order;

/// All numbers are f32.
const F32: u64 = 4;
/// A trained parameter: weight, gradient and AdamW's two moments.
const PER_TRAINED: u64 = 4;
/// Floats of width `hidden` that a layer keeps per token for the gradient: the residual stream before and between its halves, both
/// normalised copies, the queries and attention's output. Keys and values are counted by themselves (`Size::cache`), and so is what lies inside
/// the MLP (`Size::mlp`).
const HIDDEN_PER_LAYER: u64 = 6;
/// While the gradient of one layer is computed: of each width inside its MLP and of so many of width `hidden` the gradient, and once more what
/// the CPU backend transposes.
const HIDDEN_BACK: u64 = 2;
const BACK_COPIES: u64 = 2;
/// The program itself, in bytes, and what it has while it checks the device, before there is a model: a run takes no less.
const BASE: u64 = 27 << 20;
const LEAST: u64 = 46 << 20;
/// Logits and their gradient.
const LOGIT_COPIES: u64 = 2;
/// Copies of the embedding that come and go with them: gradients from either end and their sum, and the table transposed for the head's product.
const EMBEDDING_COPIES: u64 = 5;
/// What AdamW puts in the place of a block's weights and moments, before these are dropped.
const UPDATE_COPIES: u64 = 3;
/// Logits that exist at once, and rows of them that always do (`evenkeel_kernels::head_logprob`).
const MOST_LOGITS: u64 = 1 << 22;
const LOGIT_ROWS: u64 = 64;
/// Sequences shorter than this part (one in 2⁶) of what was asked for are not worth proposing.
const MOST_HALVINGS: u32 = 6;

/// What a model is, as far as memory goes.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Size {
    /// All weights.
    pub parameters: u64,
    /// Decoder layers.
    pub layers: u64,
    /// Width of the residual stream.
    pub hidden: u64,
    /// Width inside the MLP.
    pub intermediate: u64,
    /// Tokens in the vocabulary.
    pub vocab: u64,
    /// Floats that the key/value cache holds per token and layer.
    pub cache: u64,
    /// Widths `intermediate` that a token has within the MLP: gate, up and active, or raised and active.
    pub mlp: u64,
}

impl Size {
    /// A model of this configuration with this head.
    pub fn of(config: &ModelConfig, head: Head) -> Self {
        Self {
            parameters: config.num_parameters(head) as u64,
            layers: config.num_layers as u64,
            hidden: config.hidden_size as u64,
            intermediate: config.intermediate_size as u64,
            vocab: config.vocab_size as u64,
            cache: (2 * config.num_kv_heads * config.head_dim) as u64,
            mlp: if config.arch == Arch::Gpt2 { 2 } else { 3 },
        }
    }

    fn embedding(&self) -> u64 {
        self.vocab * self.hidden
    }

    /// Weights of a layer, but for its norms and biases.
    fn block(&self) -> u64 {
        self.hidden * (2 * self.hidden + self.cache + self.mlp * self.intermediate)
    }

    /// The widest that a token gets within a layer.
    fn widest(&self) -> u64 {
        (2 * self.intermediate).max(self.hidden + self.cache)
    }

    /// Floats of the largest weights that a kernel is given, and what they are.
    fn largest_weights(&self) -> [(u64, &'static str); 2] {
        [(self.embedding(), "the embedding of the vocabulary"), (self.widest() * self.hidden, "a weight matrix")]
    }

    /// Refuses the model at `place` where a kernel can be given no more than `most` bytes and a weight is more.
    ///
    /// # Errors
    /// Which weight, and both numbers.
    pub fn check(&self, place: &str, most: Option<u64>) -> Result<(), Error> {
        let (floats, what) = self.largest_weights().into_iter().max().expect("there are two");
        match most {
            Some(most) if floats.saturating_mul(F32) > most => {
                Err(Error::input(place, too_large(what, floats.saturating_mul(F32), most), "take a smaller model, or --device cpu"))
            }
            _ => Ok(()),
        }
    }
}

/// What the data is, after encoding.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Amount {
    /// Rows: sequences, preferences or prompts.
    pub rows: u64,
    /// Tokens of all sequences.
    pub tokens: u64,
    /// Those that are trained on, or belong to completions.
    pub trained: u64,
    /// Longest sequence.
    pub longest: u64,
    /// Sequences of the row that has most: 2 for pairs, K for rankings.
    pub per_row: u64,
}

/// What a device has for a run; what is not known refuses nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Room {
    /// Free bytes.
    pub memory: Option<u64>,
    /// Bytes of the largest tensor that a kernel can be given.
    pub tensor: Option<u64>,
}

/// Everything that is said before a run begins.
#[derive(Debug, Clone)]
pub struct Estimate<'a> {
    /// The run's settings.
    pub recipe: &'a Recipe,
    /// The trained model.
    pub policy: Size,
    /// The reward model of PPO.
    pub reward: Option<Size>,
    /// What it learns from.
    pub data: Amount,
    /// Held-out rows.
    pub eval_rows: u64,
    /// The device's name.
    pub device: String,
    /// Floating-point operations that it does in a second ([`crate::bench::speed`]); unknown where nobody measured.
    pub speed: Option<f64>,
}

impl Estimate<'_> {
    /// Optimiser steps (PPO: iterations).
    pub fn steps(&self) -> u64 {
        let rows = self.data.rows as usize;
        let order = match &self.recipe.ppo {
            Some(ppo) => Order::in_chunks(rows, ppo.rollout_batch_size, self.recipe),
            None => Order::new(rows, self.recipe),
        };
        order.total_steps(&self.recipe.training)
    }

    /// Seconds that the run will take, where the device's speed is known: a weight takes two operations per token forward and four backward. Not
    /// counted: attention's products, evaluation, checkpoints.
    pub fn seconds(&self) -> Option<f64> {
        let (training, policy, reward) = (&self.recipe.training, self.policy.parameters, self.reward.unwrap_or_default().parameters);
        let backward = if training.gradient_checkpointing { 8 } else { 6 };
        let mean = self.data.tokens as f64 / (self.data.rows as f64).max(1.0);
        let (rows, tokens, operations) = match &self.recipe.ppo {
            Some(ppo) => {
                let trained = backward * ppo.num_ppo_epochs as u64;
                // Sampling, then what policy, reference, judge and critic say, then the epochs.
                let each = policy * (6 + trained) + 2 * reward + self.value().parameters * (2 + trained);
                (ppo.rollout_batch_size, mean + ppo.response_length as f64, each)
            }
            None => {
                let frozen = if self.recipe.stage == Stage::Dpo { 2 } else { 0 };
                (training.per_device_train_batch_size * training.gradient_accumulation_steps, mean, policy * (backward + frozen))
            }
        };
        let all = self.steps() as f64 * rows as f64 * tokens * operations as f64;
        self.speed.map(|speed| all / speed)
    }

    /// Peak memory in bytes: weights, gradients and moments, and beside them what a training pass keeps, or PPO's cache where that is more.
    /// Calibrated on the CPU backend: `cargo xtask memory` (docs/performance.md).
    pub fn memory(&self) -> u64 {
        let policy = self.policy;
        let frozen = match self.recipe.stage {
            Stage::Sft | Stage::Reward => 0,
            Stage::Dpo => policy.parameters,
            Stage::Ppo => policy.parameters + self.reward.unwrap_or_default().parameters,
        };
        let trained = PER_TRAINED.saturating_mul(policy.parameters + self.value().parameters);
        let floats = trained.saturating_add(frozen).saturating_add(self.pass().max(self.cache()));
        floats.saturating_mul(F32).saturating_add(BASE).max(LEAST)
    }

    /// PPO's value model, where it is one of its own.
    fn value(&self) -> Size {
        match &self.recipe.ppo {
            Some(ppo) if ppo.value_function != ValueFunction::Head => self.reward.unwrap_or_default(),
            _ => Size::default(),
        }
    }

    /// Floats of one forward and backward pass, in PPO the policy's and the value model's together: what it keeps, and the more of what one
    /// layer's gradient and what the logits and the update take for a while.
    fn pass(&self) -> u64 {
        let (rows, length) = self.micro_batch();
        let tokens = rows.saturating_mul(length);
        let kept = tokens.saturating_mul(self.layers(self.policy) + self.layers(self.value()));
        let back = |size: Size| tokens.saturating_mul(BACK_COPIES * (size.mlp * size.intermediate + HIDDEN_BACK * size.hidden));
        kept.saturating_add(back(self.policy).max(back(self.value())).max(self.head(rows, length) + UPDATE_COPIES * self.policy.block()))
    }

    /// Floats that come and go with the logits, which are those of trained tokens; a score head has none.
    fn head(&self, rows: u64, length: u64) -> u64 {
        let (vocab, data) = (self.policy.vocab, self.data);
        let trained = match (self.recipe.stage, &self.recipe.ppo) {
            (Stage::Reward, _) => return 0,
            (_, Some(ppo)) => rows.saturating_mul(ppo.response_length as u64),
            // As many of the longest sequence's as of all.
            _ => (rows as f64 * length as f64 * data.trained as f64 / data.tokens.max(1) as f64) as u64,
        };
        let logits = trained.saturating_mul(vocab).min(MOST_LOGITS.max(LOGIT_ROWS * vocab));
        LOGIT_COPIES * logits + EMBEDDING_COPIES * self.policy.embedding()
    }

    /// Floats per token that all layers keep.
    fn layers(&self, size: Size) -> u64 {
        let one = HIDDEN_PER_LAYER * size.hidden + size.cache + size.mlp * size.intermediate;
        // With checkpointing every layer keeps its input, and one at a time the rest.
        if self.recipe.training.gradient_checkpointing { size.layers * size.hidden + one } else { size.layers * one }
    }

    /// Sequences and tokens of the largest forward pass that is trained on.
    fn micro_batch(&self) -> (u64, u64) {
        let rows = self.micro_batch_rows() as u64;
        match &self.recipe.ppo {
            Some(ppo) => (rows, self.data.longest + ppo.response_length as u64),
            None => (rows * self.data.per_row.max(1), self.data.longest),
        }
    }

    /// Floats of the key/value cache while PPO samples.
    fn cache(&self) -> u64 {
        let Some(ppo) = &self.recipe.ppo else { return 0 };
        let tokens = ppo.rollout_batch_size as u64 * (self.data.longest + ppo.response_length as u64);
        let layers = match ppo.kv_cache_dtype {
            KvCacheDtype::Float32 => self.policy.layers,
            // Half a number each; while the prompts are read, a layer's are unpacked.
            KvCacheDtype::Float16 => self.policy.layers.div_ceil(2) + 1,
        };
        tokens.saturating_mul(layers * self.policy.cache)
    }

    /// Bytes of the largest tensor that a kernel is given, and what it holds.
    fn largest_tensor(&self) -> (u64, &'static str) {
        let (rows, length) = self.micro_batch();
        let sampled = self.recipe.ppo.as_ref().map_or(0, |ppo| ppo.rollout_batch_size as u64);
        let of_model = |size: Size| {
            let [embedding, matrix] = size.largest_weights();
            [
                embedding,
                matrix,
                (rows.saturating_mul(length).saturating_mul(size.widest()), "what a layer computes of a batch"),
                (MOST_LOGITS.max(LOGIT_ROWS.max(sampled) * size.vocab), "logits"),
                (self.cache() / size.layers.max(1), "a layer's keys and values"),
            ]
        };
        let all = [self.policy, self.reward.unwrap_or_default()].map(of_model);
        let (floats, what) = all.into_iter().flatten().max().expect("a model has tensors");
        (floats.saturating_mul(F32), what)
    }

    /// Refuses a run that needs more than there is room for, with settings that would fit.
    ///
    /// # Errors
    /// What is needed and what there is, and the settings.
    pub fn check(&self, room: &Room) -> Result<(), Error> {
        let (needed, (tensor, what)) = (self.memory(), self.largest_tensor());
        let problem = match *room {
            Room { tensor: Some(most), .. } if tensor > most => too_large(what, tensor, most),
            Room { memory: Some(free), .. } if needed > free => {
                format!("the run needs about {} and {} are free", figures::bytes(needed), figures::bytes(free))
            }
            _ => return Ok(()),
        };
        let remedy = self.what_fits(room).unwrap_or_else(|| "no batch of this model fits: take a smaller model".into());
        Err(Error::input("memory", problem, remedy))
    }

    fn fits(&self, room: &Room) -> bool {
        room.memory.is_none_or(|free| self.memory() <= free) && room.tensor.is_none_or(|most| self.largest_tensor().0 <= most)
    }

    /// The settings nearest to these with which the run fits, as a sentence.
    ///
    /// Tried in this order: smaller batches that accumulate to the same step, then gradient checkpointing as well (both compute what
    /// was asked for), then shorter sequences. `None`: the model alone is too much.
    fn what_fits(&self, room: &Room) -> Option<String> {
        for (checkpointing, halvings) in [(false, 0), (true, 0)].into_iter().chain((1..=MOST_HALVINGS).map(|halvings| (true, halvings))) {
            let rows = self.micro_batch_rows();
            for parts in (1..=rows).filter(|parts| rows.is_multiple_of(*parts)) {
                let Some((recipe, longest)) = self.smaller(parts, checkpointing, halvings) else { continue };
                let smaller = Estimate { recipe: &recipe, data: Amount { longest, ..self.data }, device: self.device.clone(), ..*self };
                if smaller.fits(room) {
                    return Some(format!("set {}, which needs about {}", changes(self.recipe, &recipe), figures::bytes(smaller.memory())));
                }
            }
        }
        None
    }

    /// Rows of one forward pass.
    fn micro_batch_rows(&self) -> usize {
        let training = &self.recipe.training;
        match &self.recipe.ppo {
            Some(ppo) => ppo.rollout_batch_size.div_ceil((ppo.num_mini_batches * training.gradient_accumulation_steps).max(1)),
            None => training.per_device_train_batch_size,
        }
    }

    /// The recipe with each forward pass in `parts`, and sequences (of PPO: responses) halved so many times, with the longest sequence
    /// that is left; `None` where that is no recipe: nothing is left of a sequence.
    fn smaller(&self, parts: usize, checkpointing: bool, halvings: u32) -> Option<(Recipe, u64)> {
        let mut recipe = self.recipe.clone();
        let training = &mut recipe.training;
        training.gradient_checkpointing |= checkpointing;
        training.gradient_accumulation_steps *= parts;
        let mut longest = self.data.longest;
        match &mut recipe.ppo {
            Some(ppo) => ppo.response_length >>= halvings,
            None => training.per_device_train_batch_size /= parts,
        }
        if halvings > 0 && recipe.ppo.is_none() {
            longest >>= halvings;
            recipe.data.max_length = longest as usize;
        }
        recipe.problems().is_empty().then_some((recipe, longest))
    }

    /// Some facts for a person, each with its label.
    pub fn facts(&self, available: Option<u64>) -> Vec<(&'static str, String)> {
        let (recipe, data) = (self.recipe, self.data);
        let training = &recipe.training;
        let per_step = match &recipe.ppo {
            Some(ppo) => {
                format!("{} prompts a rollout, {} epochs × {} updates", ppo.rollout_batch_size, ppo.num_ppo_epochs, ppo.num_mini_batches)
            }
            None => format!("{} rows a step", training.per_device_train_batch_size * training.gradient_accumulation_steps),
        };
        let mut held_out = String::new();
        if self.eval_rows > 0 {
            let _ = write!(held_out, "; {} rows held out", figures::thousands(self.eval_rows));
        }
        let trained = if recipe.stage == Stage::Ppo { String::new() } else { format!(", {} trained", figures::count(data.trained as f64)) };
        let free = available.map_or_else(String::new, |bytes| format!(" of {} free", figures::bytes(bytes)));
        [
            ("model", format!("{}, {} parameters", recipe.model.path, figures::thousands(self.policy.parameters))),
            (
                "data",
                format!(
                    "{} rows, {} tokens{trained}, longest {}{held_out}",
                    figures::thousands(data.rows),
                    figures::count(data.tokens as f64),
                    data.longest
                ),
            ),
            ("steps", format!("{}, {per_step}, learning rate {}, {} schedule", self.steps(), training.learning_rate, schedule(recipe))),
            ("memory", format!("about {}{free}", figures::bytes(self.memory()))),
        ]
        .into_iter()
        .chain(self.seconds().map(|seconds| ("time", format!("about {}", figures::duration(seconds)))))
        .collect()
    }
}

fn too_large(what: &str, bytes: u64, most: u64) -> String {
    format!("{what} takes {} and this device gives a kernel no more than {} at once", figures::bytes(bytes), figures::bytes(most))
}

/// What `after` sets otherwise than `before`, as a recipe writes it.
fn changes(before: &Recipe, after: &Recipe) -> String {
    let [before, after] = [before, after].map(|recipe| serde_json::to_value(recipe).unwrap_or_default());
    let mut changes = Vec::new();
    for (section, fields) in after.as_object().into_iter().flatten() {
        for (field, value) in fields.as_object().into_iter().flatten() {
            if before[section][field] != *value {
                changes.push(format!("{section}.{field} = {value}"));
            }
        }
    }
    changes.join(", ")
}

fn schedule(recipe: &Recipe) -> String {
    serde_json::to_value(recipe.training.lr_scheduler_type).ok().and_then(|v| v.as_str().map(str::to_owned)).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan(recipe: &Recipe) -> Estimate<'_> {
        let policy = Size { parameters: 5_000_000, layers: 2, hidden: 64, intermediate: 128, vocab: 512, cache: 128, mlp: 3 };
        let data = Amount { rows: 100, tokens: 50_000, trained: 20_000, longest: 1000, per_row: 2 };
        Estimate { recipe, policy, reward: Some(policy), data, eval_rows: 10, device: "CPU".into(), speed: None }
    }

    fn free(bytes: u64) -> Room {
        Room { memory: Some(bytes), tensor: None }
    }

    #[test]
    fn a_tensor_that_no_kernel_can_be_given_is_refused_with_its_size() {
        let sft = Recipe::default_for(Stage::Sft);
        let room = Room { memory: None, tensor: Some(128 << 20) };
        let of = |vocab, hidden, intermediate, longest| {
            let policy = Size { vocab, hidden, intermediate, ..plan(&sft).policy };
            let data = Amount { longest, per_row: 1, ..plan(&sft).data };
            Estimate { policy, data, ..plan(&sft) }.check(&room).err().map(|error| error.to_string())
        };
        assert_eq!(of(65_536, 512, 1024, 100), None, "128 MiB are 128 MiB");
        let error = of(131_072, 512, 1024, 100).unwrap();
        assert!(
            error.contains("the embedding of the vocabulary takes 256 MiB and this device gives") && error.contains("smaller model"),
            "{error}"
        );
        let error = of(512, 512, 4096, 1000).unwrap();
        assert!(error.contains("what a layer computes of a batch takes") && error.contains("per_device_train_batch_size = 4"), "{error}");
    }

    #[test]
    fn time_follows_the_weights_and_the_tokens() {
        let (sft, dpo) = (Recipe::default_for(Stage::Sft), Recipe::default_for(Stage::Dpo));
        assert_eq!(plan(&sft).seconds(), None);
        let of = |recipe: &Recipe| Estimate { speed: Some(1e6), ..plan(recipe) }.seconds().unwrap();
        // 8 rows a step, of 500 tokens each.
        assert_eq!(of(&sft), plan(&sft).steps() as f64 * 8.0 * 500.0 * 6.0 * 5_000_000.0 / 1e6);
        assert_eq!(of(&dpo) / plan(&dpo).steps() as f64, 8.0 * 500.0 * 8.0 * 5_000_000.0 / 1e6, "and the reference's pass");
        let mut longer = Recipe::default_for(Stage::Ppo);
        let once = of(&longer);
        longer.ppo.as_mut().unwrap().num_ppo_epochs *= 2;
        assert!(of(&longer) > 1.5 * once);
    }

    #[test]
    fn memory_follows_the_formula() {
        let sft = Recipe::default_for(Stage::Sft);
        let layer = 6 * 64 + 128 + 3 * 128;
        let (tokens, back, embedding) = (8 * 2 * 1000, 2 * (3 * 128 + 2 * 64), 512 * 64);
        let update = 3 * 64 * (2 * 64 + 128 + 3 * 128);
        // Two in five are trained.
        let trained = tokens * 2 / 5;
        let few = Estimate { policy: Size { vocab: 64, ..plan(&sft).policy }, ..plan(&sft) };
        assert_eq!(few.memory(), BASE + 4 * (20_000_000 + tokens * (2 * layer + back)), "a layer's gradient takes more than logits");
        let many = Estimate { policy: Size { vocab: 30_000, ..plan(&sft).policy }, ..plan(&sft) };
        // More tokens than logits may exist at once.
        let logits = 2 * (1 << 22) + 5 * 30_000 * 64 + update;
        assert_eq!(many.memory(), BASE + 4 * (20_000_000 + tokens * 2 * layer + logits), "and less than those of a large vocabulary");
        let mut less = sft.clone();
        less.training.gradient_checkpointing = true;
        let wide = Estimate {
            policy: Size { vocab: 2500, ..plan(&sft).policy },
            recipe: &less,
            data: Amount { longest: 250, ..plan(&sft).data },
            ..plan(&sft)
        };
        assert_eq!(
            wide.memory(),
            BASE + 4 * (20_000_000 + tokens / 4 * (2 * 64 + layer) + 2 * trained / 4 * 2500 + 5 * 2500 * 64 + update)
        );
        let reward = Recipe::default_for(Stage::Reward);
        assert_eq!(plan(&reward).memory(), BASE + 4 * (20_000_000 + tokens * (2 * layer + back)), "scores have no logits");
        let ppo = Recipe::default_for(Stage::Ppo);
        let tokens = 64 * (1000 + 53);
        let pass = tokens * (4 * layer) + (2 * 64 * 53 * 512 + 5 * embedding + update).max(tokens * back);
        assert_eq!(plan(&ppo).memory(), BASE + 4 * (50_000_000 + pass));
        let long = Amount { longest: 1_000_000, ..plan(&ppo).data };
        let mut wide = ppo.clone();
        wide.training.gradient_accumulation_steps = 64;
        let cached = Estimate { recipe: &wide, data: long, policy: Size { layers: 64, ..plan(&ppo).policy }, ..plan(&ppo) };
        assert!(cached.memory() > BASE + 4 * cached.cache(), "the cache is the least that a rollout takes");
        let mut half = wide.clone();
        half.ppo.as_mut().expect("a recipe for PPO").kv_cache_dtype = KvCacheDtype::Float16;
        let whole = cached.cache();
        let packed = Estimate { recipe: &half, ..cached };
        assert_eq!(packed.cache(), whole / 64 * 33, "half of 64 layers, and one of them unpacked");
        let small = Estimate {
            policy: Size { parameters: 1000, ..plan(&sft).policy },
            data: Amount { longest: 1, ..plan(&sft).data },
            ..plan(&sft)
        };
        assert_eq!(small.memory(), LEAST, "the device is checked before any run");
    }

    #[test]
    fn what_cannot_fit_is_refused_with_a_remedy() {
        let recipe = Recipe::default_for(Stage::Dpo);
        let plan = plan(&recipe);
        assert_eq!(plan.check(&Room::default()), Ok(()));
        assert_eq!(plan.check(&free(plan.memory())), Ok(()));
        let error = plan.check(&free(plan.memory() - 1)).unwrap_err().to_string();
        assert!(error.starts_with(&format!("memory: the run needs about {}", figures::bytes(plan.memory()))), "{error}");
        let text: String = plan.facts(Some(1 << 30)).into_iter().map(|(_, fact)| fact).collect();
        assert!(text.contains("5,000,000 parameters") && text.contains("; 10 rows held out") && text.contains("of 1.0 GiB free"), "{text}");
    }
    /// The proposal is worth what it says: a recipe with it fits, and what is next nearer to the wish does not.
    #[test]
    fn the_settings_that_are_proposed_fit() {
        let dpo = Recipe::default_for(Stage::Dpo);
        let of = |batch, accumulation, checkpointing| {
            let mut recipe = dpo.clone();
            recipe.training.per_device_train_batch_size = batch;
            recipe.training.gradient_accumulation_steps = accumulation;
            recipe.training.gradient_checkpointing = checkpointing;
            plan(&recipe).memory()
        };
        let batch = dpo.training.per_device_train_batch_size;
        assert_eq!((batch, dpo.training.gradient_accumulation_steps), (8, 1));
        let proposed = |recipe: &Recipe, available| plan(recipe).what_fits(&free(available));
        let [half, one, one_again] = [of(4, 2, false), of(1, 8, false), of(1, 8, true)];
        let wanted = "set training.per_device_train_batch_size = 4, training.gradient_accumulation_steps = 2, which needs about";
        assert!(proposed(&dpo, half).unwrap().starts_with(wanted), "{:?}", proposed(&dpo, half));
        assert!(proposed(&dpo, half - 1).unwrap().contains("per_device_train_batch_size = 2"));
        assert!(proposed(&dpo, one - 1).unwrap().contains("gradient_checkpointing = true"));
        let shorter = proposed(&dpo, one_again - 1).unwrap();
        assert!(shorter.contains("data.max_length = 500") && shorter.contains("checkpointing = true"), "{shorter}");
        assert_eq!(proposed(&dpo, BASE), None, "the weights alone are more");

        let ppo = Recipe::default_for(Stage::Ppo);
        let answer = proposed(&ppo, plan(&ppo).memory() - 1).unwrap();
        assert!(answer.contains("training.gradient_accumulation_steps = 2,"), "{answer}");
    }
}
