// @ts-check
// Where the parts of the PPO loop stand: the chapter's diagram, once for wide places and once for narrow ones.

/** @typedef {{x: number, y: number, width: number}} Place */
/** @typedef {{path: string, label?: {x: number, y: number, anchor: "start" | "middle" | "end"}}} Way */
/** @typedef {{width: number, height: number, nodes: Record<string, Place>, edges: Record<string, Way>}} Layout */

export const NODE_HEIGHT = 50;

/** What each phase lights up. */
export const LIT = {
  rollout: ["prompt", "actor", "response", "prompt-actor", "actor-response"],
  score: ["response", "reward", "score", "response-reward", "reward-score"],
  kl: ["response", "reference", "kl", "response-reference", "reference-kl"],
  advantage: ["score", "kl", "score-update", "kl-update"],
  update: ["update", "actor", "update-actor"],
};

/** @type {Layout} */
export const WIDE = {
  width: 760,
  height: 350,
  nodes: {
    prompt: { x: 75, y: 50, width: 110 },
    actor: { x: 250, y: 50, width: 150 },
    response: { x: 560, y: 50, width: 150 },
    reward: { x: 465, y: 150, width: 160 },
    reference: { x: 660, y: 150, width: 180 },
    score: { x: 465, y: 245, width: 160 },
    kl: { x: 660, y: 245, width: 180 },
    update: { x: 250, y: 245, width: 150 },
  },
  edges: {
    "prompt-actor": { path: "M130 50H170" },
    "actor-response": { path: "M325 50H480", label: { x: 402, y: 40, anchor: "middle" } },
    "response-reward": { path: "M530 75V100H465V120" },
    "response-reference": { path: "M590 75V100H660V120" },
    "reward-score": { path: "M465 175V215" },
    "reference-kl": { path: "M660 175V215" },
    "score-update": { path: "M385 245H330", label: { x: 358, y: 234, anchor: "middle" } },
    "kl-update": { path: "M660 270V315H270V275", label: { x: 465, y: 335, anchor: "middle" } },
    "update-actor": { path: "M250 220V80", label: { x: 262, y: 154, anchor: "start" } },
  },
};

/** @type {Layout} */
export const TALL = {
  width: 360,
  height: 500,
  nodes: {
    prompt: { x: 62, y: 32, width: 100 },
    actor: { x: 245, y: 32, width: 170 },
    response: { x: 245, y: 136, width: 150 },
    reward: { x: 155, y: 236, width: 124 },
    reference: { x: 290, y: 236, width: 132 },
    score: { x: 155, y: 334, width: 124 },
    kl: { x: 290, y: 334, width: 132 },
    update: { x: 155, y: 440, width: 124 },
  },
  edges: {
    "prompt-actor": { path: "M112 32H155" },
    "actor-response": { path: "M245 57V106", label: { x: 254, y: 88, anchor: "start" } },
    "response-reward": { path: "M210 161V185H155V206" },
    "response-reference": { path: "M270 161V185H290V206" },
    "reward-score": { path: "M155 261V304" },
    "reference-kl": { path: "M290 261V304" },
    "score-update": { path: "M155 359V410", label: { x: 146, y: 392, anchor: "end" } },
    "kl-update": { path: "M290 359V440H222", label: { x: 354, y: 488, anchor: "end" } },
    "update-actor": { path: "M93 440H40V84H200V62", label: { x: 6, y: 488, anchor: "start" } },
  },
};
