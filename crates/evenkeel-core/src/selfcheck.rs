//! What holds of every trainer whatever the weights, tried on the device in use with a model of 20,000 parameters: a device whose every
//! kernel is right by itself may still mix up what one hands to the next.

use burn::tensor::Device;
use evenkeel_kernels::selfcheck::Verdict;

use crate::Result;
use crate::data::batch::Batch;
use crate::data::{Preference, Prompt, Sequence};
use crate::event::Metrics;
use crate::model::{Completion, Head, Model, ModelConfig, Sampling, generate};
use crate::recipe::{Assignment, Recipe, Stage};
use crate::rng;
use crate::train::dpo::DpoTrainer;
use crate::train::forward::{end_scores, read, sequence_logprobs};
use crate::train::ppo::{PpoTrainer, RewardSource};
use crate::train::reward::RewardTrainer;
use crate::train::run::Trainer;
use crate::train::sft::SftTrainer;

/// f32 sums in another order.
const SAME: f64 = 2e-5;
const VOCABULARY: u32 = 31;
const CONFIG: &str = r#"{"architectures":["LlamaForCausalLM"],"model_type":"llama","vocab_size":31,"hidden_size":32,"intermediate_size":48,
    "num_hidden_layers":2,"num_attention_heads":4,"num_key_value_heads":2,"max_position_embeddings":64,"rms_norm_eps":1e-5,
    "hidden_act":"silu","tie_word_embeddings":true,"initializer_range":0.2,"bos_token_id":0,"eos_token_id":1}"#;
/// Enough for gradients to be seen in the losses.
const COMMON: [&str; 4] = ["learning_rate=1e-2", "shuffle=false", "max_steps=2", "per_device_train_batch_size=4"];

/// Tries every invariance on `device`.
///
/// # Errors
/// [`crate::Error::Device`] where it cannot be read.
pub async fn selfcheck(device: &Device) -> Result<Vec<Verdict>> {
    let on = On { device };
    Ok(vec![
        Verdict { of: "padding changes nothing", error: on.padding().await? },
        Verdict { of: "generation: a token follows as in a forward pass", error: on.generated().await? },
        Verdict { of: "sft: the same seed, the same bits", error: on.repeated().await? },
        Verdict { of: "sft: accumulation equals the large batch", error: on.accumulated().await? },
        Verdict { of: "sft: activations computed again, the same bits", error: on.computed_again().await? },
        Verdict { of: "reward: equal answers cost ln 2", error: on.equal_rewards().await? },
        Verdict { of: "dpo: the first step costs ln 2", error: on.first_dpo().await? },
        Verdict { of: "ppo: ratio 1 and KL 0 at first, and the reference stays", error: on.first_ppo().await? },
    ])
}

struct On<'a> {
    device: &'a Device,
}

impl On<'_> {
    fn model(&self, head: Head) -> Model {
        let config = ModelConfig::from_json("selfcheck", CONFIG.as_bytes()).expect("it is valid");
        Model::init(config, head, 11, self.device)
    }

    async fn padding(&self) -> Result<f64> {
        let (lm, judge) = (self.model(Head::Lm), self.model(Head::Score));
        let of = |rows: &[&Sequence]| {
            let batch = Batch::padded(rows);
            read(vec![sequence_logprobs(&lm, &batch), end_scores(&judge, &batch)])
        };
        let rows = sequences(4);
        let together = of(&rows.iter().collect::<Vec<_>>()).await?;
        let mut error = 0.0_f64;
        for (i, row) in rows.iter().enumerate() {
            let alone = of(&[row]).await?;
            error = error.max(far(alone[0][0].into(), together[0][i].into())).max(far(alone[1][0].into(), together[1][i].into()));
        }
        Ok(error)
    }

    /// What is written with a cache, the most likely token each time, is what the trainer would have guessed.
    async fn generated(&self) -> Result<f64> {
        let model = self.model(Head::Lm);
        let prompts: Vec<_> = sequences(4).into_iter().map(|row| row.ids).collect();
        let greedy = Sampling { max_new_tokens: 8, do_sample: false, ..Sampling::default() };
        let completions = generate(&model, &prompts, &greedy, &[0; 4], &mut |_, _| {}).await?;
        let whole = |(prompt, completion): (Vec<u32>, Completion)| Sequence {
            mask: (0..prompt.len() + completion.ids.len()).map(|t| t >= prompt.len()).collect(),
            ids: [prompt, completion.ids].concat(),
        };
        let rows = prompts.into_iter().zip(completions).map(whole).collect();
        let metrics = self.sft(rows, &["max_steps=1"]).await?.0;
        Ok(unless(metrics[0]["mean_token_accuracy"] == 1.0))
    }

    async fn sft(&self, rows: Vec<Sequence>, settings: &[&str]) -> Result<(Vec<Metrics>, Model)> {
        run(SftTrainer::new(&recipe(Stage::Sft, settings), &self.model(Head::Lm), rows, vec![])).await
    }

    async fn repeated(&self) -> Result<f64> {
        let [a, b] = [self.sft(sequences(8), &[]).await?, self.sft(sequences(8), &[]).await?];
        Ok(unless(a.0 == b.0 && a.1.digest().await? == b.1.digest().await?))
    }

    async fn accumulated(&self) -> Result<f64> {
        let whole = self.sft(sequences(8), &[]).await?.0;
        let parts = self.sft(sequences(8), &["per_device_train_batch_size=1", "gradient_accumulation_steps=4"]).await?.0;
        let steps = whole.iter().zip(&parts);
        Ok(steps.flat_map(|(a, b)| ["loss", "grad_norm"].map(|name| far(a[name], b[name]))).fold(0.0, f64::max))
    }

    async fn computed_again(&self) -> Result<f64> {
        let kept = self.sft(sequences(8), &[]).await?.0;
        Ok(unless(kept == self.sft(sequences(8), &["gradient_checkpointing=true"]).await?.0))
    }

    async fn equal_rewards(&self) -> Result<f64> {
        let answer = sequence(5, 3, 4);
        let equal = vec![Preference { responses: vec![answer.clone(), answer], margin: 0.0 }; 3];
        let recipe = recipe(Stage::Reward, &["max_steps=1"]);
        let metrics = run(RewardTrainer::new(&recipe, &self.model(Head::Score), equal, vec![])).await?.0;
        Ok(far(metrics[0]["loss"], std::f64::consts::LN_2).max(far(metrics[0]["grad_norm"], 0.0)))
    }

    async fn first_dpo(&self) -> Result<f64> {
        let pair = |i: u64| Preference { responses: vec![sequence(2 * i, 3, 5), sequence(2 * i + 1, 3, 4)], margin: 0.0 };
        let pairs: Vec<_> = (0..4).map(pair).collect();
        let recipe = recipe(Stage::Dpo, &["max_steps=1"]);
        let metrics = run(DpoTrainer::new(&recipe, &self.model(Head::Lm), None, &pairs, &[]).await?).await?.0;
        Ok(far(metrics[0]["loss"], std::f64::consts::LN_2))
    }

    async fn first_ppo(&self) -> Result<f64> {
        let prompts = sequences(4).into_iter().map(|row| Prompt { ids: row.ids, text: String::new() }).collect();
        let judge = RewardSource::Model(self.model(Head::Score));
        let recipe = recipe(Stage::Ppo, &["max_steps=1", "rollout_batch_size=4", "response_length=6"]);
        let mut trainer = PpoTrainer::new(&recipe, &self.model(Head::Lm), None, judge, None, prompts, &[1]).await?;
        let metrics = trainer.step(1).await?;
        let moved = far(metrics["val/first_log_ratio"], 0.0).max(far(metrics["objective/kl"], 0.0));
        let changed = trainer.policy.digest().await? != self.model(Head::Lm).digest().await?;
        Ok(moved.max(unless(changed && trainer.verify_reference().await.is_ok())))
    }
}

fn recipe(stage: Stage, settings: &[&str]) -> Recipe {
    // PPO's batches are rollouts.
    let common = COMMON.iter().filter(|setting| stage != Stage::Ppo || !setting.contains("batch_size"));
    let settings: Vec<Assignment> = common.chain(settings).map(|setting| setting.parse().expect("key=value")).collect();
    Recipe::parse(stage, "", &settings).expect("its settings are valid")
}

async fn run<T: Trainer>(mut trainer: T) -> Result<(Vec<Metrics>, Model)> {
    let mut metrics = Vec::new();
    for step in 1..=trainer.total_steps() {
        metrics.push(trainer.step(step).await?);
    }
    Ok((metrics, trainer.model().clone()))
}

/// Tokens as they come, the completion trained on.
fn sequence(seed: u64, prompt: usize, completion: usize) -> Sequence {
    let mut generator = rng::stream(seed, "selfcheck", 0);
    let length = prompt + completion;
    let ids = (0..length).map(|_| (rng::uniform(&mut generator) * f64::from(VOCABULARY)) as u32).collect();
    Sequence { ids, mask: (0..length).map(|t| t >= prompt).collect() }
}

/// Of ragged lengths, so that means of means differ from means of tokens.
fn sequences(count: usize) -> Vec<Sequence> {
    (0..count).map(|i| sequence(i as u64, 2 + (i * 3) % 5, 1 + (i * 7) % 9)).collect()
}

/// How far two numbers are apart, in units of the tolerance; infinite where one is none.
fn far(a: f64, b: f64) -> f64 {
    let error = (a - b).abs() / (SAME * (1.0 + b.abs()));
    if error.is_nan() { f64::INFINITY } else { error }
}

/// The error of what holds to the last bit or not at all.
fn unless(holds: bool) -> f64 {
    if holds { 0.0 } else { f64::INFINITY }
}
