//! `evenkeel recipe`: a stage's recipe with every setting, as a file to edit.

use anyhow::Result;
use evenkeel_core::recipe::Stage;

use crate::args::RecipeArgs;

/// Prints `recipes/STAGE.toml`, which a test holds equal to the defaults.
pub fn run(args: &RecipeArgs) -> Result<()> {
    crate::output::raw(text(args.stage.into()))
}

fn text(stage: Stage) -> &'static str {
    match stage {
        Stage::Sft => include_str!("../../../../recipes/sft.toml"),
        Stage::Reward => include_str!("../../../../recipes/reward.toml"),
        Stage::Dpo => include_str!("../../../../recipes/dpo.toml"),
        Stage::Ppo => include_str!("../../../../recipes/ppo.toml"),
    }
}

#[cfg(test)]
mod tests {
    use evenkeel_core::recipe::Recipe;

    use super::*;

    /// A new setting without a line in the recipe file, or a changed default, fails here.
    #[test]
    fn recipe_files_hold_every_setting_at_its_default() {
        for stage in [Stage::Sft, Stage::Reward, Stage::Dpo, Stage::Ppo] {
            assert_eq!(Recipe::parse(stage, text(stage), &[]), Ok(Recipe::default_for(stage)));
            let file: toml::Table = text(stage).parse().unwrap();
            let defaults: toml::Table = Recipe::default_for(stage).to_toml().parse().unwrap();
            assert_eq!(keys(&file), keys(&defaults), "{}", stage.name());
            let commented = |line: &&str| !line.contains('=') || line.contains('#');
            let bare: Vec<&str> = text(stage).lines().filter(|line| !commented(line)).collect();
            assert!(bare.is_empty(), "{}: no comment on {bare:?}", stage.name());
        }
    }

    fn keys(table: &toml::Table) -> Vec<String> {
        let inner = |(key, value): (&String, &toml::Value)| match value.as_table() {
            Some(table) => table.keys().map(|k| format!("{key}.{k}")).collect(),
            None => vec![key.clone()],
        };
        let mut keys: Vec<String> = table.iter().flat_map(inner).collect();
        keys.sort();
        keys
    }
}
