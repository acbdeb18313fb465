//! Rollout, scoring and advantages: everything before the first update of an iteration.

use burn::tensor::Tensor;
use evenkeel_kernels::{Kl, Responses, Rows, gae, gather, rewards, whiten};

use super::experience::{Said, ranges};
use super::{Critic, Episode, Experience, PpoTrainer, RewardSource, Rollout};
use crate::data::batch::Batch;
use crate::data::{Prompt, Sequence};
use crate::error::{Error, Result};
use crate::model::{Completion, Model, Sampling, generate, rehearse_generation};
use crate::recipe::KlEstimator;
use crate::rng;
use crate::train::forward::{Placed, end_scores, floats, read, token_stats};

/// Samples shown per iteration.
const SHOWN: usize = 4;

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
        let completions = generate(&policy, &ids, &self.sampling(), &seeds, &mut |_, _| {}).await?;
        let episode = |(prompt, completion): (&Prompt, Completion)| Episode {
            prompt: prompt.clone(),
            text: self.text.as_ref().map(|t| t.decode(&completion.ids, true)).unwrap_or_default(),
            response: completion.ids,
            finished: completion.finished,
        };
        let episodes: Vec<Episode> = prompts.iter().zip(completions).map(episode).collect();
        let said = self.said(&policy, &episodes);
        Ok(Rollout { episodes, said })
    }

    fn sampling(&self) -> Sampling {
        Sampling {
            max_new_tokens: self.config.response_length,
            do_sample: true,
            temperature: self.config.temperature as f32,
            top_k: 0,
            top_p: 1.0,
            min_p: 0.0,
            repetition_penalty: 1.0,
            stop: self.stop.clone(),
            kv_cache_dtype: self.config.kv_cache_dtype,
        }
    }

    /// The launches of an iteration, of one epoch, with made-up responses; see [`crate::train::run::Trainer::rehearse`].
    pub(super) async fn rehearse_iteration(&mut self) -> Result<()> {
        let (policy, prompts) = (self.policy.frozen(), self.prompts(1));
        let ids: Vec<Vec<u32>> = prompts.iter().map(|prompt| prompt.ids.clone()).collect();
        rehearse_generation(&policy, &ids, &self.sampling())?;
        let room = |prompt: &Prompt| policy.config.max_positions - prompt.ids.len();
        let made_up = |prompt: Prompt| Episode {
            response: vec![0; self.config.response_length.min(room(&prompt))],
            prompt,
            text: String::new(),
            finished: false,
        };
        let episodes: Vec<Episode> = prompts.into_iter().map(made_up).collect();
        let rollout = Rollout { said: self.said(&policy, &episodes), episodes };
        if let RewardSource::Model(_) = self.reward {
            self.raw_scores(&rollout).await?;
        }
        let scores = vec![(0.0, 0.0); rollout.episodes.len()];
        let experience = self.advantages(rollout, &scores);
        let epochs = std::mem::replace(&mut self.config.num_ppo_epochs, 1);
        let updated = self.update(1, &experience).await;
        self.config.num_ppo_epochs = epochs;
        self.shown.clear();
        match updated {
            Err(Error::NonFinite { .. }) => Ok(()),
            other => other.map(drop),
        }
    }

    /// Rows per forward pass of the update; the rollout is read in the same portions.
    pub(super) fn micro_batch(&self) -> usize {
        let minibatch = self.config.rollout_batch_size.div_ceil(self.config.num_mini_batches);
        minibatch.div_ceil(self.recipe.training.gradient_accumulation_steps)
    }

    /// π_now/π_old of every token of `episodes`, of which `logprobs` are log π_old.
    ///
    /// # Errors
    /// [`crate::Error::Device`].
    pub async fn ratios(&self, episodes: &[Episode], logprobs: &[Vec<f64>]) -> Result<Vec<Vec<f64>>> {
        let batch = batch(episodes);
        let now = read(vec![token_stats(&self.policy.frozen(), &batch, self.config.temperature).logprob]).await?.remove(0);
        let mut now = now.into_iter().map(f64::from);
        let of_episode = |old: &Vec<f64>| old.iter().zip(now.by_ref()).map(|(old, new)| (new - old).exp()).collect();
        Ok(logprobs.iter().take(episodes.len()).map(of_episode).collect())
    }

    fn said(&self, policy: &Model, episodes: &[Episode]) -> Said {
        let tokens: Vec<usize> = episodes.iter().map(|e| e.response.len()).collect();
        let steps: Vec<usize> = tokens.iter().map(|&n| n + usize::from(self.is_scored_past_end(n))).collect();
        let responses = Responses::new(&tokens, &steps, &policy.device());
        let chunk = self.micro_batch();
        let parts: Vec<_> =
            episodes.chunks(chunk).zip(steps.chunks(chunk)).map(|(e, steps)| self.read_episodes(policy, e, steps)).collect();
        let [logprobs, ref_logprobs, values] = [0, 1, 2].map(|k| joined(parts.iter().map(|part| part[k].clone()).collect()));
        Said { logprobs, ref_logprobs, values, responses, tokens: ranges(&tokens), steps: ranges(&steps) }
    }

    /// Whether the score of a response of so many tokens stands one past its end.
    fn is_scored_past_end(&self, tokens: usize) -> bool {
        self.config.score_one_past_end && tokens < self.config.response_length
    }

    /// log π_old, log π_ref and V, one episode after another.
    fn read_episodes(&self, policy: &Model, episodes: &[Episode], steps: &[usize]) -> [Tensor<1>; 3] {
        let batch = batch(episodes);
        let rows = Rows::new(&value_rows(&batch, steps), batch.ids.len(), &policy.device());
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
        [stats.logprob, reference.logprob, values].map(Tensor::inner)
    }

    /// The reward source's scores, with the missing-EOS penalty, normalisation and clip applied: (raw, final).
    ///
    /// # Errors
    /// [`crate::Error::Device`].
    pub async fn score(&mut self, rollout: &Rollout) -> Result<Vec<(f64, f64)>> {
        let raw = self.raw_scores(rollout).await?;
        // A score that is not a number would stay in the moments for good.
        if self.config.normalize_rewards && raw.iter().all(|score| score.is_finite()) {
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
                let chunks = rollout.episodes.chunks(self.config.rollout_batch_size);
                let scores = read(chunks.map(|chunk| end_scores(model, &batch(chunk))).collect()).await?;
                scores.into_iter().flatten().map(f64::from).collect()
            }
        };
        Ok(scores)
    }

    /// Rewards −β·KL with the score at its place, GAE, whitening; all on the device.
    pub fn advantages(&mut self, Rollout { episodes, said }: Rollout, scores: &[(f64, f64)]) -> Experience {
        let config = &self.config;
        let of_responses: Vec<f32> = scores.iter().map(|s| s.1 as f32).collect();
        let of_responses = floats(&of_responses, &said.logprobs.device());
        let estimator = match config.kl_estimator {
            KlEstimator::K1 => Kl::K1,
            KlEstimator::K3 => Kl::K3,
        };
        let (logprobs, ref_logprobs) = (said.logprobs.clone(), said.ref_logprobs.clone());
        let (kl, mut rewards) = rewards(logprobs, ref_logprobs, of_responses, &said.responses, estimator, self.controller.kl_coef);
        if config.whiten_rewards {
            rewards = whiten(rewards, true);
        }
        let (advantages, returns) = gae(rewards.clone(), said.values.clone(), &said.responses, config.gamma, config.lam);
        let (raw_scores, scores) = scores.iter().copied().unzip();
        let experience = Experience { episodes, raw_scores, scores, said, kl, rewards, advantages: whiten(advantages, false), returns };
        self.show(&experience);
        experience
    }

    fn show(&mut self, experience: &Experience) {
        let shown = experience.episodes.iter().zip(&experience.raw_scores).take(SHOWN);
        self.shown = shown.map(|(e, s)| (e.prompt.text.clone(), e.text.clone(), Some(*s))).collect();
    }
}

/// Prompt and response of every episode.
pub(super) fn batch<'a>(episodes: impl IntoIterator<Item = &'a Episode>) -> Batch {
    let sequences: Vec<Sequence> = episodes.into_iter().map(Episode::sequence).collect();
    Batch::padded(&sequences.iter().collect::<Vec<_>>())
}

/// Where the critic reads: the position before each response token and, of a response with one more of `steps`, the last token itself.
pub(super) fn value_rows(batch: &Batch, steps: &[usize]) -> Vec<i32> {
    let mut rows = Vec::with_capacity(steps.iter().sum());
    let mut next = 0;
    for ((&count, &end), &steps) in batch.predictions.iter().zip(&batch.ends).zip(steps) {
        rows.extend(&batch.predictors[next..next + count]);
        if steps > count {
            rows.push(end);
        }
        next += count;
    }
    rows
}

/// One vector of all parts.
fn joined(mut parts: Vec<Tensor<1>>) -> Tensor<1> {
    if parts.len() == 1 { parts.remove(0) } else { Tensor::cat(parts, 0) }
}
