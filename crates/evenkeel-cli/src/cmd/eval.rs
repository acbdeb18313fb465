//! `evenkeel eval`: held-out measurements of one model; which ones follows from the rows and the other models given.

use std::path::Path;

use anyhow::Result;
use evenkeel_core::Error;
use evenkeel_core::data::{AnyExample, EncodeOptions, Encoder, Kind, PairRule, Preference, Prompt, Sequence};
use evenkeel_core::event::Metrics;
use evenkeel_core::model::{Head, Pretrained};
use evenkeel_core::recipe::{Recipe, Stage};
use evenkeel_core::train::ppo::{PpoTrainer, RewardSource};
use evenkeel_core::train::{reward, sft};
use serde_json::{Value, json};

use crate::args::EvalArgs;
use crate::cmd::score;
use crate::model_folder::ModelFolder;
use crate::{data_file, device, output, sampling, table};

/// Measures and prints.
pub fn run(args: &EvalArgs) -> Result<()> {
    let folder = ModelFolder::open(&args.model)?;
    let config = folder.config()?;
    let reference = args.reference.as_deref().map(|path| open(path, Head::Lm, "--reference")).transpose()?;
    let judge = args.reward_model.as_deref().map(|path| open(path, Head::Score, "--reward-model")).transpose()?;
    if config.head() == Head::Score && (reference.is_some() || judge.is_some()) {
        let remedy = "leave out --reference and --reward-model, which a language model is measured with";
        return Err(Error::input("--model", "is a reward model", remedy).into());
    }
    let selected = device::open(args.device)?;
    let model = folder.load(&selected)?;
    let load = |folder: Option<ModelFolder>| folder.map(|f| f.load(&selected)).transpose();
    let (reference, judge) = (load(reference)?, load(judge)?);

    let rows = Rows::read(args, &model)?;
    let mut metrics = rows.measure(args, &model, reference.as_ref())?;
    // Answers are sampled where they are judged, and where there is nothing but prompts.
    if !rows.prompts.is_empty() && (judge.is_some() || (rows.only_prompts() && reference.is_some())) {
        metrics.extend(sampled(args, &model, reference, judge, &rows.prompts)?);
    }
    if metrics.is_empty() {
        let problem = "prompts alone give nothing to measure";
        return Err(Error::input(
            args.data.display().to_string(),
            problem,
            "add --reward-model, --reference or both, or give rows with answers",
        )
        .into());
    }
    print(args, rows.count, &metrics)
}

fn open(path: &Path, head: Head, flag: &str) -> Result<ModelFolder> {
    let folder = ModelFolder::open(path)?;
    if folder.config()?.head() != head {
        let (is, wanted) = match head {
            Head::Lm => ("a reward model", "a language model"),
            Head::Score => ("a language model", "a reward model, such as `evenkeel reward` makes"),
        };
        return Err(Error::input(format!("{flag} {}", path.display()), format!("is {is}"), format!("give {wanted}")).into());
    }
    Ok(folder)
}

/// The rows by what can be done with them.
struct Rows {
    count: usize,
    sequences: Vec<Sequence>,
    preferences: Vec<Preference>,
    /// Empty unless the model writes and the rows have prompts.
    prompts: Vec<Prompt>,
}

impl Rows {
    fn read(args: &EvalArgs, model: &Pretrained) -> Result<Self> {
        let max_length = args.max_length.min(model.model.config.max_positions);
        let options = EncodeOptions { max_length, pair_rule: PairRule::CutLong, ..EncodeOptions::default() };
        let encoder = || Encoder::new(model.text.as_ref(), model.model.config.vocab_size, options);
        let loaded = data_file::examples::<AnyExample>(&args.data, encoder()?, args.skip_bad_rows)?;
        data_file::say(&loaded.report, max_length);
        let mut rows = Self { count: loaded.examples.len(), sequences: Vec::new(), preferences: Vec::new(), prompts: Vec::new() };
        for example in loaded.examples {
            match example {
                AnyExample::Sequence(sequence) => rows.sequences.push(sequence),
                AnyExample::Preference(preference) => rows.preferences.push(preference),
                AnyExample::Prompt(prompt) => rows.prompts.push(prompt),
            }
        }
        let asked = [Kind::PromptCompletion, Kind::Preference, Kind::Ranking, Kind::Messages];
        if args.reward_model.is_some() && loaded.report.shape.is_some_and(|shape| asked.contains(&shape.kind)) {
            rows.prompts = data_file::examples::<Prompt>(&args.data, encoder()?, args.skip_bad_rows)?.examples;
        }
        Ok(rows)
    }

    fn only_prompts(&self) -> bool {
        self.sequences.is_empty() && self.preferences.is_empty()
    }

    /// What needs no sampling.
    fn measure(&self, args: &EvalArgs, model: &Pretrained, reference: Option<&Pretrained>) -> Result<Metrics> {
        let batch = args.batch_size;
        let (sequences, preferences): (Vec<&Sequence>, Vec<&Preference>) =
            (self.sequences.iter().collect(), self.preferences.iter().collect());
        let score = model.model.head == Head::Score;
        Ok(match (sequences.is_empty(), preferences.is_empty()) {
            (false, _) if score => Metrics::from([("score".into(), mean(&numbers(model, &sequences, batch, "score")?))]),
            (false, _) => pollster::block_on(sft::evaluate(&model.model, &sequences, batch))?,
            (true, false) if score => pollster::block_on(reward::evaluate(&model.model, &preferences, batch))?,
            (true, false) => preference(&preferences, model, reference, batch)?,
            (true, true) => Metrics::new(),
        })
    }
}

/// Accuracy of the implicit reward log π − log π_ref (Rafailov et al. 2023, §4), or of log π where there is no reference.
fn preference(rows: &[&Preference], model: &Pretrained, reference: Option<&Pretrained>, batch: usize) -> Result<Metrics> {
    let responses: Vec<&Sequence> = rows.iter().flat_map(|row| &row.responses).collect();
    let policy = numbers(model, &responses, batch, "logprob")?;
    let anchor = match reference {
        Some(reference) => numbers(reference, &responses, batch, "logprob")?,
        None => vec![0.0; policy.len()],
    };
    let reward: Vec<f64> = policy.iter().zip(&anchor).map(|(p, r)| p - r).collect();
    let (mut right, mut margins, mut start) = (Vec::new(), Vec::new(), 0);
    for row in rows {
        let own = &reward[start..start + row.responses.len()];
        start += own.len();
        for (i, better) in own.iter().enumerate() {
            for worse in &own[i + 1..] {
                right.push(if better > worse { 1.0 } else { 0.0 });
                margins.push(better - worse);
            }
        }
    }
    let [accuracy, margin] =
        if reference.is_some() { ["rewards/accuracies", "rewards/margins"] } else { ["logps/accuracies", "logps/margins"] };
    Ok(Metrics::from([(accuracy.into(), mean(&right)), (margin.into(), mean(&margins)), ("pairs".into(), right.len() as f64)]))
}

/// One field of what `score` prints, for each sequence.
fn numbers(model: &Pretrained, sequences: &[&Sequence], batch: usize, field: &str) -> Result<Vec<f64>> {
    let mut all = Vec::with_capacity(sequences.len());
    for chunk in sequences.chunks(batch) {
        let scored = pollster::block_on(score::score(&model.model, chunk))?;
        all.extend(scored.iter().map(|object| object[field].as_f64().unwrap_or(f64::NAN)));
    }
    Ok(all)
}

/// Reward, KL and length of answers that the model samples at the flags' temperature (default 1: the model's own distribution).
fn sampled(
    args: &EvalArgs,
    model: &Pretrained,
    reference: Option<Pretrained>,
    judge: Option<Pretrained>,
    prompts: &[Prompt],
) -> Result<Metrics> {
    let sampling = sampling::overlay(&model.sampling, &args.sampling)?;
    let mut recipe = Recipe::default_for(Stage::Ppo);
    recipe.seed = args.sampling.seed;
    let ppo = recipe.ppo.as_mut().expect("a PPO recipe has its section");
    ppo.response_length = sampling.max_new_tokens.min(model.model.config.max_positions / 2);
    ppo.temperature = args.sampling.temperature.unwrap_or(1.0);
    let (judged, anchored) = (judge.is_some(), reference.is_some());
    let source = match judge {
        Some(judge) => RewardSource::Model(judge.model),
        None => RewardSource::Function(Box::new(|_: &Prompt, _: &[u32], _: &str| 0.0)),
    };
    let anchor = reference.map(|r| r.model);
    let (mut scores, mut kls, mut lengths) = (Vec::new(), Vec::new(), Vec::new());
    pollster::block_on(async {
        let mut trainer = PpoTrainer::new(&recipe, &model.model, anchor, source, None, prompts.to_vec(), &sampling.stop).await?;
        trainer.text = model.text.clone();
        for (index, chunk) in prompts.chunks(args.batch_size).enumerate() {
            let rollout = trainer.rollout_on("eval", index as u64, chunk).await?;
            scores.extend(trainer.score(&rollout).await?.iter().map(|(raw, _)| *raw));
            let [logprobs, ref_logprobs] = rollout.logprobs().await?;
            kls.extend(logprobs.iter().zip(&ref_logprobs).map(|(p, r)| p.iter().zip(r).map(|(p, r)| p - r).sum::<f64>()));
            lengths.extend(rollout.episodes.iter().map(|episode| episode.response.len() as f64));
        }
        Ok::<_, Error>(())
    })?;
    let mut metrics = Metrics::from([("response_tokens".into(), mean(&lengths))]);
    if judged {
        metrics.insert("reward".into(), mean(&scores));
    }
    if anchored {
        metrics.insert("kl".into(), mean(&kls));
    }
    Ok(metrics)
}

fn mean(values: &[f64]) -> f64 {
    if values.is_empty() { 0.0 } else { values.iter().sum::<f64>() / values.len() as f64 }
}

fn print(args: &EvalArgs, rows: usize, metrics: &Metrics) -> Result<()> {
    let plain = |name: &str| name.strip_prefix("eval_").unwrap_or(name).to_owned();
    if args.json {
        let mut object = serde_json::Map::from_iter([("rows".to_owned(), json!(rows))]);
        object.extend(metrics.iter().map(|(name, value)| (plain(name), json!(value))));
        return output::line(&Value::Object(object).to_string());
    }
    let named: Vec<(String, String)> = metrics.iter().map(|(name, value)| (plain(name), format!("{value:.4}"))).collect();
    let facts: Vec<(&str, String)> = named.iter().map(|(name, value)| (name.as_str(), value.clone())).collect();
    output::raw(&format!("{} on {} ({rows} rows)\n{}", args.model.display(), args.data.display(), table::facts(&facts)))
}
