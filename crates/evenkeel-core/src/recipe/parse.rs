//! Strict TOML and `key=value` assignments over a stage's defaults, with every problem reported at once.

use serde_json::{Map, Value};

use super::{Recipe, Stage};
use crate::sentence;

/// One thing wrong with a recipe: the setting's path and a sentence.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// `ppo.cliprange`, or the assignment as written.
    pub path: String,
    /// What is wrong and what would be right.
    pub message: String,
}

impl std::fmt::Display for Problem {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {}", sentence(&self.path), sentence(&self.message))
    }
}

/// `--set` of the command line: a full path or any unambiguous tail, and a TOML value (a bare word is a string).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Assignment {
    /// `ppo.kl_coef` or `kl_coef`.
    pub key: String,
    /// `0.1`, `true`, `"words"` or `words`.
    pub value: String,
}

impl std::str::FromStr for Assignment {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (key, value) = text.split_once('=').ok_or_else(|| format!("`{text}` has no `=`; write KEY=VALUE, such as ppo.kl_coef=0.1"))?;
        Ok(Self { key: key.trim().to_owned(), value: value.trim().to_owned() })
    }
}

impl Recipe {
    /// The stage's defaults, overlaid by `toml` (may be empty) and then by `assignments`; validated.
    ///
    /// # Errors
    /// All unknown keys, values of the wrong type and values out of range, each with its path.
    pub fn parse(stage: Stage, toml: &str, assignments: &[Assignment]) -> Result<Self, Vec<Problem>> {
        let file: toml::Table = toml.parse().map_err(|e: toml::de::Error| {
            let line = e.span().map_or(1, |s| toml[..s.start].matches('\n').count() + 1);
            vec![Problem { path: format!("line {line}"), message: format!("not TOML: {}", e.message()) }]
        })?;
        let mut overlay = Overlay::new(stage);
        overlay.table("", &file);
        for assignment in assignments {
            overlay.assign(assignment);
        }
        let Overlay { recipe, mut problems } = overlay;
        problems.extend(recipe.problems());
        if problems.is_empty() { Ok(recipe) } else { Err(problems) }
    }

    /// The whole recipe with every default written out; [`Recipe::parse`] reads it back to an equal one.
    pub fn to_toml(&self) -> String {
        toml::to_string(self).expect("a recipe holds only what TOML can say")
    }

    /// The stage that a recipe file names, if it names one.
    pub fn stage_of(toml: &str) -> Option<Stage> {
        let table: toml::Table = toml.parse().ok()?;
        table.get("stage")?.clone().try_into().ok()
    }
}

/// A recipe being overlaid; a bad value leaves the default in place and is remembered.
struct Overlay {
    recipe: Recipe,
    problems: Vec<Problem>,
}

impl Overlay {
    fn new(stage: Stage) -> Self {
        Self { recipe: Recipe::default_for(stage), problems: Vec::new() }
    }

    fn table(&mut self, prefix: &str, table: &toml::Table) {
        for (key, value) in table {
            let path = if prefix.is_empty() { key.clone() } else { format!("{prefix}.{key}") };
            match value {
                toml::Value::Table(inner) if known_sections(self.recipe.stage).contains(&path.as_str()) => self.table(&path, inner),
                _ if path == "stage" => self.stage(value),
                _ => self.set(&path, value),
            }
        }
    }

    fn stage(&mut self, value: &toml::Value) {
        let stage = self.recipe.stage.name();
        if value.as_str() != Some(stage) {
            self.problems.push(Problem {
                path: "stage".into(),
                message: format!("is {value}, but this is a recipe for `{stage}`; run the verb that the recipe names"),
            });
        }
    }

    /// Sets one leaf, if the whole recipe still reads with it.
    fn set(&mut self, path: &str, value: &toml::Value) {
        let keys = known_keys(self.recipe.stage);
        if !keys.iter().any(|k| k == path) {
            return self.problems.push(Problem { path: path.into(), message: unknown(path, &keys) });
        }
        let mut tree = serde_json::to_value(&self.recipe).expect("recipes are plain data");
        let leaf = serde_json::to_value(value).unwrap_or(Value::Null);
        *place(&mut tree, path) = leaf;
        match serde_json::from_value(tree) {
            Ok(recipe) => self.recipe = recipe,
            Err(e) => self.problems.push(Problem { path: path.into(), message: format!("{value} does not fit: {e}") }),
        }
    }

    fn assign(&mut self, assignment: &Assignment) {
        let keys = known_keys(self.recipe.stage);
        let tail = format!(".{}", assignment.key);
        let fits: Vec<&String> = keys.iter().filter(|k| **k == assignment.key || k.ends_with(&tail)).collect();
        let path = match fits.as_slice() {
            [one] => (*one).clone(),
            [] => return self.problems.push(Problem { path: assignment.key.clone(), message: unknown(&assignment.key, &keys) }),
            many => match many.iter().find(|k| ***k == assignment.key) {
                Some(exact) => (**exact).clone(),
                None => {
                    let names = many.iter().map(|k| k.as_str()).collect::<Vec<_>>().join(", ");
                    return self
                        .problems
                        .push(Problem { path: assignment.key.clone(), message: format!("is ambiguous; name one of {names}") });
                }
            },
        };
        let value = format!("x = {}", assignment.value).parse::<toml::Table>().ok().and_then(|mut t| t.remove("x"));
        self.set(&path, &value.unwrap_or_else(|| toml::Value::String(assignment.value.clone())));
    }
}

fn known_sections(stage: Stage) -> [&'static str; 4] {
    ["model", "data", "training", stage.name()]
}

/// Every leaf's path. Optional fields are absent from the defaults' tree and named here.
fn known_keys(stage: Stage) -> Vec<String> {
    let tree = serde_json::to_value(Recipe::default_for(stage)).expect("recipes are plain data");
    let mut keys = Vec::new();
    collect("", tree.as_object().expect("a recipe is a table"), &mut keys);
    keys.retain(|k| k != "stage");
    if stage == Stage::Sft {
        keys.extend(["sft.completion_only_loss".to_owned(), "sft.assistant_only_loss".to_owned()]);
    }
    keys
}

fn collect(prefix: &str, map: &Map<String, Value>, keys: &mut Vec<String>) {
    for (key, value) in map {
        let path = if prefix.is_empty() { key.clone() } else { format!("{prefix}.{key}") };
        match value {
            Value::Object(inner) => collect(&path, inner, keys),
            _ => keys.push(path),
        }
    }
}

fn place<'a>(tree: &'a mut Value, path: &str) -> &'a mut Value {
    path.split('.').fold(tree, |node, key| node.as_object_mut().expect("known paths lead through tables").entry(key).or_insert(Value::Null))
}

fn unknown(path: &str, keys: &[String]) -> String {
    let tail = path.rsplit('.').next().unwrap_or(path);
    let nearest = keys
        .iter()
        .map(|k| (strsim::jaro_winkler(k.rsplit('.').next().unwrap_or(k), tail), k))
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .filter(|(similarity, _)| *similarity > 0.8);
    match nearest {
        Some((_, key)) => format!("is not a setting; did you mean {key}?"),
        None => "is not a setting of this stage; `evenkeel recipe STAGE` lists them".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(text: &str) -> Assignment {
        text.parse().expect("has an =")
    }

    #[test]
    fn defaults_survive_a_round_trip() {
        for stage in [Stage::Sft, Stage::Reward, Stage::Ppo, Stage::Dpo] {
            let recipe = Recipe::default_for(stage);
            assert_eq!(Recipe::parse(stage, &recipe.to_toml(), &[]), Ok(recipe));
        }
    }

    #[test]
    fn every_problem_is_reported_at_once_with_its_path() {
        let toml = "[training]\nlearning_rat = 1\nmax_steps = \"many\"\n[ppo]\ncliprange = -1.0\n";
        let problems = Recipe::parse(Stage::Ppo, toml, &[set("lam=7")]).unwrap_err();
        let paths: Vec<&str> = problems.iter().map(|p| p.path.as_str()).collect();
        assert_eq!(paths, ["training.learning_rat", "training.max_steps", "ppo.cliprange", "ppo.lam"]);
        assert!(problems[0].message.contains("training.learning_rate"), "{}", problems[0]);
    }

    #[test]
    fn an_assignment_takes_a_full_path_or_a_tail() {
        let recipe =
            Recipe::parse(Stage::Ppo, "", &[set("kl_coef=0.1"), set("training.learning_rate=1e-3"), set("model.path=a/b")]).unwrap();
        assert_eq!(recipe.ppo.as_ref().unwrap().kl_coef, 0.1);
        assert_eq!(recipe.training.learning_rate, 1e-3);
        assert_eq!(recipe.model.path, "a/b");
        assert_eq!(
            Recipe::parse(Stage::Sft, "", &[set("completion_only_loss=false")]).unwrap().sft.unwrap().completion_only_loss,
            Some(false)
        );
    }

    #[test]
    fn another_stages_section_and_a_second_stage_are_refused() {
        assert!(Recipe::parse(Stage::Sft, "[ppo]\nlam = 1.0\n", &[]).is_err());
        assert!(Recipe::parse(Stage::Sft, "stage = \"ppo\"\n", &[]).is_err());
    }
}
