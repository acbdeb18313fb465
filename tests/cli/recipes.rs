//! Recipes and `--set`: every problem at once, each with its path; what is missing is named with its flag.

use super::{evenkeel, folder, words};

#[test]
fn every_problem_is_said_at_once() {
    let folder = folder();
    std::fs::write(folder.path().join("r.toml"), "[training]\nlearning_rat = 1\nmax_steps = \"many\"\n[ppo]\ncliprange = -1.0\n").unwrap();
    let outcome = evenkeel(folder.path(), &words("ppo --config r.toml --set lam=7 --set nonsense=1 --model m --data d --reward-model r"));
    let outcome = outcome.refused(&["did you mean training.learning_rate?"]);
    for path in ["training.learning_rat", "training.max_steps", "ppo.cliprange", "ppo.lam", "nonsense"] {
        let line = format!("error: r.toml: {path}: ");
        assert!(outcome.stderr.lines().any(|l| l.starts_with(&line)), "{line}\n{}", outcome.stderr);
    }
    assert_eq!(outcome.stderr.lines().count(), 5, "{}", outcome.stderr);
}

#[test]
fn what_is_missing_is_named_with_its_flag() {
    let folder = folder();
    evenkeel(folder.path(), &["sft"]).refused(&["model.path: is not given; add --model DIR", "data.train: is not given; add --data FILE"]);
    evenkeel(folder.path(), &words("ppo --model m --data d")).refused(&["--reward-model DIR"]);
    evenkeel(folder.path(), &words("sft --config none.toml")).refused(&["none.toml: cannot be read"]);
    evenkeel(folder.path(), &words("sft --resume none")).refused(&["none/recipe.toml: cannot be read"]);
    std::fs::write(folder.path().join("dpo.toml"), "stage = \"dpo\"\n").unwrap();
    evenkeel(folder.path(), &words("sft --config dpo.toml --model m --data d")).refused(&["dpo.toml: stage", "run the verb"]);
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1, "a refused run leaves nothing behind");
}

#[test]
fn a_printed_recipe_is_a_recipe() {
    let folder = folder();
    for stage in ["sft", "reward", "dpo", "ppo"] {
        let recipe = evenkeel(folder.path(), &["recipe", stage]).ok().stdout;
        std::fs::write(folder.path().join("r.toml"), recipe).unwrap();
        // It gets past the recipe, to what the recipe cannot know.
        evenkeel(folder.path(), &[stage, "--config", "r.toml"]).refused(&["model.path: is not given"]);
    }
}
