//! Rollout, scoring and advantages: everything before the first update of an iteration.

use evenkeel_kernels::{Rows, gather};

use super::{Critic, PpoTrainer, RewardSource};
use crate::data::batch::Batch;
use crate::data::{Prompt, Sequence};
use crate::error::Result;
use crate::model::{Model, Sampling, generate};
use crate::recipe::KlEstimator;
use crate::rng;
use crate::train::forward::{Placed, end_scores, read, token_stats};
use crate::train::maths::{gae, kl, whiten};

/// Samples shown per iteration.
const SHOWN: usize = 4;

/// One response and what the frozen and the rollout policy thought of it. Per-token lists have one entry per response token.
#[derive(Debug, Clone, PartialEq)]
pub struct Episode {
    /// What was asked.
    pub prompt: Prompt,
    /// The sampled ids, stop token included.
    pub response: Vec<u32>,
    /// The response as text, empty without a tokenizer.
    pub text: String,
    /// Whether a stop token ended it.
    pub finished: bool,
    /// log π_old of each token, at the sampling temperature.
    pub logprobs: Vec<f64>,
    /// log π_ref of each token, at the same temperature.
    pub ref_logprobs: Vec<f64>,
    /// Entropy of π_old at each token.
    pub entropies: Vec<f64>,
    /// V before each token, and one more after the last (used only when the score stands one past the end).
    pub values: Vec<f64>,
}

impl Episode {
    /// Prompt + response, the response's tokens marked.
    pub fn sequence(&self) -> Sequence {
        let ids: Vec<u32> = self.prompt.ids.iter().chain(&self.response).copied().collect();
        let mask = (0..ids.len()).map(|t| t >= self.prompt.ids.len()).collect();
        Sequence { ids, mask }
    }
}

/// The responses of one iteration.
#[derive(Debug, Clone, PartialEq)]
pub struct Rollout {
    /// One per prompt.
    pub episodes: Vec<Episode>,
}

/// A rollout with scores, rewards and advantages. Per-token lists stand per episode; `returns` and `rewards` have one more entry where
/// the score stands one past the end.
#[derive(Debug, Clone, PartialEq)]
pub struct Experience {
    /// The responses.
    pub episodes: Vec<Episode>,
    /// What the reward source said, before penalty, normalisation and clip.
    pub raw_scores: Vec<f64>,
    /// What entered the rewards.
    pub scores: Vec<f64>,
    /// KL of each token to the reference, by the recipe's estimator.
    pub kl: Vec<Vec<f64>>,
    /// −β·KL, plus the score at its place.
    pub rewards: Vec<Vec<f64>>,
    /// Whitened over all response tokens.
    pub advantages: Vec<Vec<f64>>,
    /// Advantages before whitening + values.
    pub returns: Vec<Vec<f64>>,
}

impl PpoTrainer {
    /// Samples a response to each prompt of iteration `step` and lets policy, reference and critic read it.
    ///
    /// # Errors
    /// [`crate::Error::Device`]; a prompt that leaves no room in the model's context.
    pub async fn rollout(&mut self, step: u64) -> Result<Rollout> {
        let prompts = self.prompts(step);
        let rollout = self.rollout_on("rollout", step, &prompts).await?;
        self.controller.episodes += rollout.episodes.len() as u64;
        self.controller.tokens += rollout.episodes.iter().map(|e| (e.prompt.ids.len() + e.response.len()) as u64).sum::<u64>();
        Ok(rollout)
    }

    /// As [`PpoTrainer::rollout`], on any prompts; `purpose` and `index` key the randomness.
    ///
    /// # Errors
    /// As [`PpoTrainer::rollout`].
    pub async fn rollout_on(&self, purpose: &str, index: u64, prompts: &[Prompt]) -> Result<Rollout> {
        let policy = self.policy.frozen();
        let ids: Vec<Vec<u32>> = prompts.iter().map(|p| p.ids.clone()).collect();
        let mut generator = rng::stream(self.recipe.seed, purpose, index);
        let seeds: Vec<u64> = prompts.iter().map(|_| rand::RngExt::random(&mut generator)).collect();
        let sampling = Sampling {
            max_new_tokens: self.config.response_length,
            do_sample: true,
            temperature: self.config.temperature as f32,
            top_k: 0,
            top_p: 1.0,
            min_p: 0.0,
            repetition_penalty: 1.0,
            stop: self.stop.clone(),
        };
        let completions = generate(&policy, &ids, &sampling, &seeds, &mut |_, _| {}).await?;
        let mut episodes: Vec<Episode> = prompts
            .iter()
            .zip(completions)
            .map(|(prompt, completion)| Episode {
                prompt: prompt.clone(),
                text: self.text.as_ref().map(|t| t.decode(&completion.ids, true)).unwrap_or_default(),
                response: completion.ids,
                finished: completion.finished,
                logprobs: vec![],
                ref_logprobs: vec![],
                entropies: vec![],
                values: vec![],
            })
            .collect();
        for chunk in episodes.chunks_mut(self.micro_batch()) {
            self.read_episodes(&policy, chunk).await?;
        }
        Ok(Rollout { episodes })
    }

    /// Rows per forward pass of the update; the rollout is read in the same portions.
    pub(super) fn micro_batch(&self) -> usize {
        let minibatch = self.config.rollout_batch_size.div_ceil(self.config.num_mini_batches);
        minibatch.div_ceil(self.recipe.training.gradient_accumulation_steps)
    }

    /// π_now/π_old of every token of `episodes`.
    ///
    /// # Errors
    /// [`crate::Error::Device`].
    pub async fn ratios(&self, episodes: &[Episode]) -> Result<Vec<Vec<f64>>> {
        let sequences: Vec<Sequence> = episodes.iter().map(Episode::sequence).collect();
        let batch = Batch::padded(&sequences.iter().collect::<Vec<_>>());
        let now = read(vec![token_stats(&self.policy.frozen(), &batch, self.config.temperature).logprob]).await?.remove(0);
        let mut now = now.into_iter().map(f64::from);
        Ok(episodes.iter().map(|e| e.logprobs.iter().zip(now.by_ref()).map(|(old, new)| (new - old).exp()).collect()).collect())
    }

    /// Fills in log-probabilities, entropies and values.
    async fn read_episodes(&self, policy: &Model, episodes: &mut [Episode]) -> Result<()> {
        let sequences: Vec<Sequence> = episodes.iter().map(Episode::sequence).collect();
        let batch = Batch::padded(&sequences.iter().collect::<Vec<_>>());
        let rows = Rows::new(&value_rows(&batch), batch.ids.len(), &policy.device());
        let placed = Placed::new(&batch, policy);
        let temperature = self.config.temperature;
        let states = placed.hidden(policy);
        let stats = placed.stats(policy, placed.predictors(states.clone()), temperature);
        let reference = placed.token_stats(&self.reference, temperature);
        let values = match &self.critic {
            Critic::Model { model, .. } => {
                let model = model.frozen();
                model.scores(gather(placed.hidden(&model), &rows))
            }
            Critic::Head { head, .. } => head.frozen().scores(gather(states, &rows)),
        };
        let values = read(vec![stats.logprob, reference.logprob, stats.entropy, values]).await?;
        let (mut token, mut step) = (0, 0);
        for episode in episodes {
            let n = episode.response.len();
            let part = |k: usize| values[k][token..token + n].iter().map(|&v| f64::from(v)).collect();
            (episode.logprobs, episode.ref_logprobs, episode.entropies) = (part(0), part(1), part(2));
            episode.values = values[3][step..=step + n].iter().map(|&v| f64::from(v)).collect();
            token += n;
            step += n + 1;
        }
        Ok(())
    }

    /// The reward source's scores, with the missing-EOS penalty, normalisation and clip applied: (raw, final).
    ///
    /// # Errors
    /// [`crate::Error::Device`].
    pub async fn score(&mut self, rollout: &Rollout) -> Result<Vec<(f64, f64)>> {
        let raw = self.raw_scores(rollout).await?;
        if self.config.normalize_rewards {
            self.controller.scores.update(&raw);
        }
        let clip = self.config.reward_clip;
        let refined = raw.iter().zip(&rollout.episodes).map(|(&score, episode)| {
            let score = if self.config.normalize_rewards { self.controller.scores.normalize(score) } else { score };
            let score = if episode.finished { score } else { score - self.config.missing_eos_penalty };
            (score, if clip > 0.0 { score.clamp(-clip, clip) } else { score })
        });
        Ok(raw.iter().zip(refined).map(|(&raw, (_, score))| (raw, score)).collect())
    }

    /// What the reward source alone says.
    pub(super) async fn raw_scores(&mut self, rollout: &Rollout) -> Result<Vec<f64>> {
        let scores = match &mut self.reward {
            RewardSource::Function(function) => {
                rollout.episodes.iter().map(|e| f64::from(function.score(&e.prompt, &e.response, &e.text))).collect()
            }
            RewardSource::Model(model) => {
                let minibatch = self.config.rollout_batch_size;
                let mut scores = Vec::new();
                for chunk in rollout.episodes.chunks(minibatch) {
                    let sequences: Vec<Sequence> = chunk.iter().map(Episode::sequence).collect();
                    let batch = Batch::padded(&sequences.iter().collect::<Vec<_>>());
                    scores.extend(read(vec![end_scores(model, &batch)]).await?.remove(0).into_iter().map(f64::from));
                }
                scores
            }
        };
        Ok(scores)
    }

    /// Rewards −β·KL with the score at its place, GAE, whitening; then moves β when the controller is on.
    pub fn advantages(&mut self, rollout: Rollout, scores: &[(f64, f64)]) -> Experience {
        let config = &self.config;
        let mut experience = Experience {
            raw_scores: scores.iter().map(|s| s.0).collect(),
            scores: scores.iter().map(|s| s.1).collect(),
            kl: vec![],
            rewards: vec![],
            advantages: vec![],
            returns: vec![],
            episodes: rollout.episodes,
        };
        for (episode, &(_, score)) in experience.episodes.iter().zip(scores) {
            let kls = per_token_kl(config.kl_estimator, episode);
            let mut rewards: Vec<f64> = kls.iter().map(|k| -self.controller.kl_coef * k).collect();
            if config.score_one_past_end && episode.response.len() < config.response_length {
                rewards.push(score);
            } else {
                *rewards.last_mut().expect("a response has a token") += score;
            }
            experience.kl.push(kls);
            experience.rewards.push(rewards);
        }
        if config.whiten_rewards {
            whiten_all(&mut experience.rewards, true);
        }
        for (episode, rewards) in experience.episodes.iter().zip(&experience.rewards) {
            let (mut advantages, returns) = gae(rewards, &episode.values[..rewards.len()], config.gamma, config.lam);
            advantages.truncate(episode.response.len());
            experience.advantages.push(advantages);
            experience.returns.push(returns);
        }
        whiten_all(&mut experience.advantages, false);
        self.adapt(&experience);
        self.show(&experience);
        experience
    }

    fn adapt(&mut self, experience: &Experience) {
        if self.config.kl_target > 0.0 {
            let n = experience.episodes.len();
            let kl = experience.kl.iter().flatten().sum::<f64>() / n as f64;
            self.controller.kl_coef =
                crate::train::maths::adapt_kl_coef(self.controller.kl_coef, kl, self.config.kl_target, n, self.config.kl_horizon);
        }
    }

    fn show(&mut self, experience: &Experience) {
        let shown = experience.episodes.iter().zip(&experience.raw_scores).take(SHOWN);
        self.shown = shown.map(|(e, s)| (e.prompt.text.clone(), e.text.clone(), Some(*s))).collect();
    }
}

/// Where the critic reads: the position before each response token, then the last token itself; L + 1 per sequence.
pub(super) fn value_rows(batch: &Batch) -> Vec<i32> {
    let mut rows = Vec::with_capacity(batch.predictors.len() + batch.ends.len());
    let mut next = 0;
    for (&count, &end) in batch.predictions.iter().zip(&batch.ends) {
        rows.extend(&batch.predictors[next..next + count]);
        rows.push(end);
        next += count;
    }
    rows
}

fn per_token_kl(estimator: KlEstimator, episode: &Episode) -> Vec<f64> {
    episode.logprobs.iter().zip(&episode.ref_logprobs).map(|(&p, &r)| kl(estimator, p, r)).collect()
}

/// [`whiten`] over the values of all lists together.
fn whiten_all(lists: &mut [Vec<f64>], keep_mean: bool) {
    let mut flat: Vec<f64> = lists.iter().flatten().copied().collect();
    whiten(&mut flat, keep_mean);
    let mut next = flat.into_iter();
    for value in lists.iter_mut().flatten() {
        *value = next.next().expect("as many values as were taken");
    }
}
