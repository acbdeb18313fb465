//! From flags to a recipe: defaults, then the recipe file, then `--set`, then the flags that stand for settings.

use std::path::Path;

use anyhow::Result;
use evenkeel_core::Error;
use evenkeel_core::recipe::{Assignment, Recipe, Stage};

use crate::args::TrainArgs;
use crate::failure::RecipeProblems;
use crate::files;

/// Models that only some verbs name.
#[derive(Debug, Clone, Copy, Default)]
pub struct OtherModels<'a> {
    /// `--reference`
    pub reference: Option<&'a Path>,
    /// `--reward-model`
    pub reward_model: Option<&'a Path>,
}

/// The recipe of a run, validated, with everything that it needs named.
pub fn resolve(stage: Stage, args: &TrainArgs, others: OtherModels) -> Result<Recipe> {
    let file = match (&args.resume, &args.config) {
        (Some(run), _) => Some(run.join("recipe.toml")),
        (None, config) => config.clone(),
    };
    let toml = match &file {
        Some(path) => read_recipe(path)?,
        None => String::new(),
    };
    let place = file.as_ref().map_or_else(|| "settings".to_owned(), |path| path.display().to_string());
    let assignments = assignments(args, others);
    let recipe = Recipe::parse(stage, &toml, &assignments).map_err(|problems| RecipeProblems { place: place.clone(), problems })?;
    complete(&place, &recipe)?;
    Ok(recipe)
}

fn read_recipe(path: &Path) -> Result<String> {
    /// A recipe of everything that can be said has a few kilobytes.
    const MOST: u64 = 1 << 20;
    let bytes = files::read(path, MOST, "check the path given to --config or --resume")?;
    String::from_utf8(bytes).map_err(|e| {
        let problem = format!("not valid UTF-8 at byte {}", e.utf8_error().valid_up_to() + 1);
        Error::input(path.display().to_string(), problem, "save the recipe as UTF-8").into()
    })
}

/// `--set` in the order given, then the flags, so that a flag wins.
fn assignments(args: &TrainArgs, others: OtherModels) -> Vec<Assignment> {
    let mut list = args.set.clone();
    let paths = [
        ("model.path", args.model.as_deref()),
        ("data.train", args.data.as_deref()),
        ("data.eval", args.eval_data.as_deref()),
        ("model.reference", others.reference),
        ("model.reward_model", others.reward_model),
    ];
    for (key, path) in paths {
        list.extend(path.map(|p| assign(key, toml::Value::String(p.to_string_lossy().into_owned()))));
    }
    list.extend(args.seed.map(|seed| assign("seed", seed)));
    list.extend(args.max_steps.map(|steps| assign("training.max_steps", steps)));
    list.extend(args.skip_bad_rows.then(|| assign("data.skip_bad_rows", true)));
    list
}

fn assign(key: &str, value: impl std::fmt::Display) -> Assignment {
    Assignment { key: key.to_owned(), value: value.to_string() }
}

/// What has no default must be there: the model, the data, and a reward for PPO.
fn complete(place: &str, recipe: &Recipe) -> Result<()> {
    let mut needed = vec![("model.path", &recipe.model.path, "--model DIR"), ("data.train", &recipe.data.train, "--data FILE")];
    if recipe.stage == Stage::Ppo {
        needed.push(("model.reward_model", &recipe.model.reward_model, "--reward-model DIR"));
    }
    let missing = |(path, _, flag): &(&str, &String, &str)| evenkeel_core::recipe::Problem {
        path: (*path).to_owned(),
        message: format!("is not given; add {flag} or set it in the recipe"),
    };
    let problems: Vec<_> = needed.iter().filter(|(_, value, _)| value.is_empty()).map(missing).collect();
    if problems.is_empty() { Ok(()) } else { Err(RecipeProblems { place: place.to_owned(), problems }.into()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn args(set: &[&str]) -> TrainArgs {
        let set = set.iter().map(|s| s.parse().unwrap()).collect();
        TrainArgs { set, model: Some("a \"quoted\" folder".into()), data: Some("rows.jsonl".into()), ..TrainArgs::default() }
    }

    #[test]
    fn a_flag_wins_over_an_assignment_and_any_path_survives() {
        let args = TrainArgs { max_steps: Some(3), seed: Some(7), skip_bad_rows: true, ..args(&["max_steps=9", "learning_rate=1e-3"]) };
        let recipe = resolve(Stage::Sft, &args, OtherModels::default()).unwrap();
        assert_eq!((recipe.training.max_steps, recipe.seed, recipe.data.skip_bad_rows), (3, 7, true));
        assert_eq!((recipe.model.path.as_str(), recipe.training.learning_rate), ("a \"quoted\" folder", 1e-3));
    }

    #[test]
    fn what_is_missing_is_named_with_its_flag() {
        let error = resolve(Stage::Ppo, &args(&[]), OtherModels::default()).unwrap_err().to_string();
        assert!(error.contains("model.reward_model") && error.contains("--reward-model"), "{error}");
        let error = resolve(Stage::Sft, &TrainArgs::default(), OtherModels::default()).unwrap_err().to_string();
        assert_eq!(error.lines().count(), 2, "{error}");
    }
}
